"""The base of everything drawn here: a widget that is a list of lines and repaints only the lines that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget


class Lines(Widget):
    """A widget whose picture is `lines(width, height)`.

    Over SSH what costs is repainting, so `redraw` compares with what is shown and touches only rows that differ.
    """

    DEFAULT_CSS = """
    Lines { width: 1fr; height: 1fr; text-wrap: nowrap; text-overflow: clip; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._shown: list[Content] = []
        self._strips: dict[int, Strip] = {}
        self._drawn_size: tuple[int, int] = (0, 0)

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The picture as it should be now: at most ``height`` lines of at most ``width`` cells; by default empty."""
        del width, height
        return ()

    def redraw(self) -> None:
        """Draw again what has changed; call it whenever the data did."""
        width, height = self.size.width, self.size.height
        if not width or not height:
            return
        new = list(self.lines(width, height))[:height]
        old = self._shown if self._drawn_size == (width, height) else []
        self._shown, self._drawn_size = new, (width, height)
        changed = [
            row
            for row in range(max(len(new), len(old)))
            if row >= len(old) or row >= len(new) or not new[row].is_same(old[row])
        ]
        for row in changed:
            self._strips.pop(row, None)
        if changed:
            self.refresh(*(Region(0, row, width, 1) for row in changed))

    def on_resize(self) -> None:
        """Another size is another picture."""
        self._strips.clear()
        self.redraw()

    def notify_style_update(self) -> None:
        """A theme or a class changed: the colours of every line may be others."""
        super().notify_style_update()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        """One row of the picture."""
        width = self.size.width
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != width:
            style = self.visual_style
            content = self._shown[y] if y < len(self._shown) else Content("")
            strips = Visual.to_strips(self, content, width, 1, style, pad=True)
            strip = strips[0] if strips else Strip.blank(width, style.rich_style)
            strip = strip.adjust_cell_length(width, style.rich_style)
            self._strips[y] = strip
        return strip

    @property
    def plain_lines(self) -> list[str]:
        """What is shown, as text, for copying and for tests."""
        return [line.plain.rstrip() for line in self._shown]


class Drawn(Lines):
    """Lines that the owner draws.

    Args:
        draw: ``(width, height)`` to the lines.
    """

    def __init__(
        self,
        draw: Callable[[int, int], Sequence[Content]],
        *,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        super().__init__(id=id)
        self._draw = draw

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The picture as the owner draws it."""
        return self._draw(width, height)
