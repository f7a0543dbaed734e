"""A short list of which one is chosen, open on the page: ``◉ NVIDIA RTX 4070 … / ○ Processor only …``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message

from acestep_tui.commands import bindings
from acestep_tui.widgets.paint import ACCENT, MUTED, fit, is_ascii, join
from acestep_tui.widgets.rows import Rows

# Draws what follows the mark: (index, width, is_chosen).
DrawOption = Callable[[int, int, bool], Content]


class Radio(Rows):
    """Moving is choosing; at first none may be chosen.

    Args:
        draw: Draws an option beside its mark.
        values: What the options stand for.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("radio")
    DEFAULT_CSS = """
    Radio { height: auto; }
    """

    @dataclass
    class Picked(Message):
        """Another option is chosen."""

        radio: Radio
        value: Any

        @property
        def control(self) -> Radio:
            """The list."""
            return self.radio

    @dataclass
    class Finished(Message):
        """Enter: on to what follows."""

        radio: Radio

    def __init__(self, draw: DrawOption, values: Sequence[Any] = (), *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(self._option, len(values), id=id)
        self._draw_option = draw
        self.values = list(values)

    def show(self, values: Sequence[Any], chosen: Any) -> None:
        """Show these options, with this one chosen."""
        self.values = list(values)
        if self.styles.height is None or self.styles.height.value != len(self.values):
            self.styles.height = max(len(self.values), 1)
        if chosen in self.values:
            self.set_rows(len(self.values), cursor=self.values.index(chosen))
        else:
            # None of them: the first arrow key chooses one.
            self.num_rows, self.cursor = len(self.values), -1
            self.redraw()

    def _option(self, index: int, width: int, is_selected: bool) -> Content:
        mark = ("▌", ACCENT) if is_selected and self.has_focus else " "
        chosen, other = ("(x) ", "( ) ") if is_ascii() else ("◉ ", "○ ")
        sign = (chosen, ACCENT) if is_selected else (other, MUTED)
        room = max(width - 1 - len(chosen), 1)
        row = fit(join(mark, sign, self._draw_option(index, room, is_selected)), width)
        return row.stylize("on $block-cursor-background") if is_selected else row

    def watch_has_focus(self, has_focus: bool) -> None:
        """The mark shows where the keys go."""
        super().watch_has_focus(has_focus)
        self.redraw()

    def move_to(self, index: int) -> None:
        """Choose a row."""
        before = self.cursor
        super().move_to(index)
        if self.cursor != before:
            self.post_message(self.Picked(self, self.values[self.cursor]))

    def action_choose(self) -> None:
        """A click or a space on what is chosen already changes nothing."""

    def action_go_on(self) -> None:
        """Enter."""
        self.post_message(self.Finished(self))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls the page, it chooses nothing."""
        event.prevent_default()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls the page, it chooses nothing."""
        event.prevent_default()
