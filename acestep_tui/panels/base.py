"""A panel of the monitor: a title on its rule and lines under it, drawn from a run's state and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.content import Content
from textual.widget import Widget

from acestep_tui.runs.state import RunState
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import Part, title


class Copied(NamedTuple):
    """What `y` copies: the value, and what it is called in the note about it (``the path of the LoRA``)."""

    value: str
    what: str


class Panel(Lines, can_focus=True):
    """One panel. Subclasses give `number`, `name` and `body`; the screen hands the state in with `show`.

    Attributes:
        number: The key that goes to it; empty for pages that have none.
        name: What it is called; `heading` may tell another name from the state.
        state: The run as it was last shown; None before the first time.
        now: When that was, as Unix seconds.
        has_title: Whether the first row is the title; not under the tab strip, which names it.
        is_zoomed: Whether it has the whole body for itself.
    """

    number: ClassVar[str] = ""
    name: str = ""

    DEFAULT_CSS = """
    Panel { height: 1fr; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.state: RunState | None = None
        self.now = 0.0
        self.has_title = True
        self.is_zoomed = False

    # -- what a panel says --

    def heading(self, state: RunState) -> str:
        """Its name, where that depends on the state (``Computer`` instead of ``GPU``)."""
        del state
        return self.name

    def live(self, state: RunState, width: int, now: float) -> Part:
        """The one live number at the right end of its title; empty for none. `width` is the whole title's."""
        del state, width, now
        return ""

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """The lines under the title, at most ``height`` of at most ``width`` cells."""
        del state, width, height, now
        return ()

    def page(self) -> Page | None:
        """A new widget that takes the body when this panel is zoomed; None = the panel itself, just larger."""
        return None

    def copied(self) -> Copied | None:
        """What `y` copies while this panel has the focus; by default what it shows."""
        lines = self.plain_lines[1 if self.has_title else 0 :]
        return Copied("\n".join(lines), f"what {self.name} shows") if any(lines) else None

    # -- how it is drawn --

    def show(self, state: RunState, now: float) -> None:
        """Draw what has changed. Call it after every update of the state, and each second."""
        self.state, self.now = state, now
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """Title and body."""
        if self.state is None:
            return ()
        if not self.has_title:
            return self.body(self.state, width, height, self.now)
        head = title(
            width,
            self.heading(self.state),
            number=self.number,
            live=self.live(self.state, width, self.now),
            is_focused=self.has_focus,
        )
        return [head, *self.body(self.state, width, height - 1, self.now)]

    def watch_has_focus(self, value: bool) -> None:
        """The title's rule becomes heavy, or thin again."""
        super().watch_has_focus(value)
        self.redraw()


class Page(Widget):
    """What a zoomed panel shows instead of itself: the whole body, with keys of its own.

    The screen mounts it, hands the state in with `show`, and focuses it: a page that is not focusable itself says in
    `focus` which of its widgets is. It draws its own title row (`title(…, is_focused=True)`). `scopes` are the scopes
    of its keys in `acestep_tui.commands`; `esc` and the monitor's own keys work without being bound here.
    """

    scopes: ClassVar[tuple[str, ...]] = ()

    DEFAULT_CSS = """
    Page { width: 1fr; height: 1fr; }
    """

    def show(self, state: RunState, now: float) -> None:
        """Draw what has changed."""
        del state, now

    def copied(self) -> Copied | None:
        """What `y` copies; None = nothing."""
        return None
