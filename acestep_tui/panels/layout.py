"""Where each panel of the monitor stands, to the exact cell. Pure: a size and a face of the monitor in, places out.

80 columns: loss (or the page of the state), a strip of tabs, one panel under it. 100: Speed and GPU beside the loss.
120: all panels. Positions never jump: the rows for a banner come out of the loss, or out of two rows kept for it.
"""

from __future__ import annotations

from typing import NamedTuple

from acestep_tui.panels.view import View

# Below this the layout keeps its size and the body scrolls.
LEAST_WIDTH, LEAST_HEIGHT = 60, 22
MID_COLUMNS, WIDE_COLUMNS, TALL_ROWS = 100, 120, 32
PANELS = ("loss", "speed", "gpu", "data", "samples", "saves", "log")
TABS = PANELS[1:]

_STRIP = 4
_SIDE, _GUTTER = 37, 3
_SHORT_PANEL, _TALL_PANEL = 5, 9
_SPEED, _GPU, _DATA, _LOG, _SAMPLES = 6, 7, 6, 6, 6
# Rows kept free at the foot of a wide screen, which a banner takes.
_SPARE = 2
_LEAST_LOSS = 6
_RESULT_ROWS = 11


class Place(NamedTuple):
    """The cells of one widget inside the body."""

    x: int
    y: int
    width: int
    height: int


class Layout(NamedTuple):
    """Places by widget name: panels, pages, ``strip``, ``banner``, ``tabs``; and what the tabs offer."""

    places: dict[str, Place]
    tabs: tuple[str, ...] = ()


class Body(NamedTuple):
    """What the layout depends on.

    Attributes:
        width, height: Between header and footer, in cells.
        view: The face of the monitor.
        banner: Rows there are to say under the phases.
        trouble: Rows the page of a crash needs, its title included.
        tab: The panel under the tab strip.
        is_compact: Whether the user wants no empty rows.
    """

    width: int
    height: int
    view: View
    banner: int = 0
    trouble: int = 7
    tab: str = "samples"
    is_compact: bool = False

    @property
    def air(self) -> int:
        """Empty rows between panels."""
        return int(self.height + 2 >= TALL_ROWS and not self.is_compact)

    @property
    def margin(self) -> int:
        """Empty columns at both sides."""
        return 1 if self.width < MID_COLUMNS else 2

    @property
    def inner(self) -> int:
        """Columns between the margins."""
        return self.width - 2 * self.margin

    @property
    def top(self) -> int:
        """First row under the phases and the banner."""
        return 2 * self.air + _STRIP + self.banner


def arrange(body: Body) -> Layout:
    """The places for a size and a state."""
    body = body._replace(width=max(body.width, LEAST_WIDTH), height=max(body.height, LEAST_HEIGHT))
    places = {"strip": Place(body.margin, body.air, body.inner, _STRIP)}
    if body.banner:
        places["banner"] = Place(body.margin, 2 * body.air + _STRIP, body.inner, body.banner)
    wide = _wide(body) if body.width >= WIDE_COLUMNS else None
    if wide is not None:
        return Layout({**places, **wide})
    found = _tabbed(body)
    return Layout({**places, **found.places}, found.tabs)


def zoomed(body: Body) -> Place:
    """The place of a zoomed panel: everything but the margins."""
    width, height = max(body.width, LEAST_WIDTH), max(body.height, LEAST_HEIGHT)
    return Place(body.margin, body.air, width - 2 * body.margin, height - body.air)


# -- all panels --


def _wide(body: Body) -> dict[str, Place] | None:
    """All seven panels; None where the screen is too low for them."""
    end = body.height - _SPARE + min(body.banner, _SPARE)
    height, air = end - body.top, body.air
    left_width = body.inner - _SIDE - _GUTTER
    left = _Column(body.margin, body.top, left_width, end)
    right = _Column(body.margin + left_width + _GUTTER, body.top, _SIDE, end)
    if body.view is View.FINISHED:
        return _wide_finished(left, right, air, height)
    if body.view.is_broken:
        has_evidence = body.view is View.CRASHED
        return _wide_broken(left, right, air, height, body.trouble, has_evidence=has_evidence)
    loss = height - _SAMPLES - _LOG - 2 * air
    if loss < _LEAST_LOSS + 2 or height < _SPEED + _GPU + _DATA + 3 * air + 3:
        return None
    places = {"speed": right.take(_SPEED, air), "gpu": right.take(_GPU, air), "data": right.take(_DATA, air)}
    if body.view is View.PREPARING:
        return {**places, "prepare": left.rest(), "log": right.rest()}
    places |= {"loss": left.take(loss, air), "samples": left.take(_SAMPLES, air), "log": left.rest()}
    return {**places, "saves": right.rest()}


class _Column:
    """A column that is filled from the top."""

    def __init__(self, x: int, y: int, width: int, end: int) -> None:
        self.x, self.y, self.width, self.end = x, y, width, end

    def take(self, height: int, gap: int) -> Place:
        """The next rows, and a gap after them."""
        place = Place(self.x, self.y, self.width, height)
        self.y += height + gap
        return place

    def rest(self) -> Place:
        """All that is left."""
        return Place(self.x, self.y, self.width, max(self.end - self.y, 1))


def _wide_finished(left: _Column, right: _Column, air: int, height: int) -> dict[str, Place] | None:
    samples = 4
    loss = height - _RESULT_ROWS - samples - 3 * air
    if loss < _LEAST_LOSS:
        return None
    places = {"result": left.take(_RESULT_ROWS, 2 * air), "plan": right.take(5, air), "use": right.take(6, air)}
    right.y = left.y
    places |= {"loss": left.take(loss, air), "saves": right.take(loss, air)}
    return {**places, "samples": left.rest(), "log": right.rest()}


def _wide_broken(
    left: _Column, right: _Column, air: int, height: int, trouble: int, *, has_evidence: bool
) -> dict[str, Place] | None:
    log = 7
    page = max(trouble, 7) + 2 * air
    loss = height - page - log - air
    if loss < _LEAST_LOSS:
        return None
    places = {"trouble": left.take(page, 0), "loss": left.take(loss, air), "log": left.rest()}
    if not has_evidence:  # the worker said why, or nothing is known: what it had at hand says more
        places |= {"gpu": right.take(_GPU, air), "data": right.take(_DATA, air)}
        return {**places, "saves": right.rest()}
    places |= {"memory": right.take(5, 2 * air), "evidence": right.take(7, 2 * air)}
    right_left = max(places["log"].y - air - right.y, 1)
    return {**places, "saves": right.take(right_left, air), "again": right.rest()}


# -- tabs --

_PAGES = {
    View.PREPARING: "prepare", View.FINISHED: "result",
    View.FAILED: "trouble", View.CRASHED: "trouble", View.UNHEARD: "trouble",
}  # fmt: skip
_BESIDE = {
    View.FINISHED: (("plan", 5), ("use", 6)),
    View.FAILED: (("gpu", _GPU), ("data", _DATA)),
    View.UNHEARD: (("gpu", _GPU), ("data", _DATA)),
    View.CRASHED: (("memory", 5), ("evidence", 7)),
}


def _tabbed(body: Body) -> Layout:
    """The page of the state (at 100 columns with two panels beside it), the strip, the chosen panel."""
    page = _PAGES.get(body.view, "loss")
    width = body.inner if body.width < MID_COLUMNS else body.inner - _SIDE - _GUTTER
    panel_rows = _TALL_PANEL if body.air else _SHORT_PANEL
    tabs_y = body.height - 1 - panel_rows - 1
    places: dict[str, Place] = {}
    if page == "trouble":
        tabs_y = _place_trouble(places, body, width, tabs_y)
    else:
        if page == "result" and not body.air:
            tabs_y = max(tabs_y, body.top + _RESULT_ROWS + 1)
        _place_page(places, body, page, width, tabs_y)
    if body.width >= MID_COLUMNS:
        _place_beside(places, body, width, tabs_y)
    tabs = tuple(name for name in TABS if name not in places)
    tab = body.tab if body.tab in tabs else tabs[0]
    places["tabs"] = Place(body.margin, tabs_y, body.inner, 1)
    places[tab] = Place(body.margin, tabs_y + 1, body.inner, body.height - 1 - tabs_y - 1)
    return Layout(places, tabs)


def _place_page(places: dict[str, Place], body: Body, page: str, width: int, tabs_y: int) -> None:
    """The page down to the strip; under a page that ends early, the loss."""
    height = tabs_y - body.air - body.top
    rest = height - _RESULT_ROWS - body.air
    if page == "result" and rest >= _LEAST_LOSS:
        places["loss"] = Place(body.margin, body.top + _RESULT_ROWS + body.air, width, rest)
        height = _RESULT_ROWS
    places[page] = Place(body.margin, body.top, width, height)


def _place_trouble(places: dict[str, Place], body: Body, width: int, tabs_y: int) -> int:
    """The page as long as it is, the loss up to its end, then the strip; returns the strip's row."""
    if not body.air:
        tabs_y = body.height - 4  # two lines of the log are enough here
    needed = min(body.trouble, tabs_y - body.top)
    places["trouble"] = Place(body.margin, body.top, width, needed)
    loss_y = body.top + needed + 1
    if tabs_y - body.air - loss_y >= _LEAST_LOSS - 1:
        places["loss"] = Place(body.margin, loss_y, width, tabs_y - body.air - loss_y)
    else:
        tabs_y = min(body.top + needed + 1, tabs_y)
    return tabs_y


def _place_beside(places: dict[str, Place], body: Body, width: int, tabs_y: int) -> None:
    column = _Column(body.margin + width + _GUTTER, body.top, _SIDE, tabs_y)
    for name, rows in _BESIDE.get(body.view, (("speed", _SPEED), ("gpu", _GPU))):
        if column.y + rows <= tabs_y:
            places[name] = column.take(rows, body.air)
