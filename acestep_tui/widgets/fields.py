"""The fields of the set-up: label, value and sign in one row, the reason (or what is wrong) under it.

A `Field` is one widget that draws itself to the cell; where its value comes from is the subclass's business
(`acestep_tui.wizard.setting_field` reads a setting's declaration).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Offset, Size
from textual.message import Message

from acestep_tui.commands import bindings
from acestep_tui.widgets.choice_list import ChoiceList, Option
from acestep_tui.widgets.field_lines import RUN_WIDTH, Frame, hint, row, typed, under
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import BOLD, ERROR, MUTED, Part, join, text
from acestep_tui.widgets.text_line import TextLine

# "editor": a text of several lines, opened in a box.
Kind = Literal["list", "number", "text", "path", "editor"]
_SIGNS: dict[Kind, str] = {"list": "▾", "number": "±", "text": "", "path": "…", "editor": "…"}
_TYPED: tuple[Kind, ...] = ("number", "text", "path")


class Field(Lines, can_focus=True):
    """One value that can be changed.

    Args:
        label: What stands at its left.
        kind: A list to choose from, a number (the arrow keys step), a text, or a path.
        frame: Where things stand; by default a run of 26 cells, and one to the right end for texts and paths.
        after: What follows the run on its row.
        is_open: Whether it can be changed; a setting of a later version is shown muted.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("field")
    DEFAULT_CSS = """
    Field { height: auto; }
    """

    @dataclass
    class Changed(Message):
        """Its value is another one."""

        field: Field

    @dataclass
    class Finished(Message):
        """Enter: on to the next field."""

        field: Field

    def __init__(
        self,
        label: str,
        kind: Kind,
        *,
        frame: Frame | None = None,
        after: Part = "",
        is_open: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        super().__init__(id=id)
        self.label, self.kind = label, kind
        self.frame = frame or Frame(run_width=RUN_WIDTH if kind in ("list", "number") else 0)
        self.after = after
        self.is_open = is_open
        self.can_focus = is_open
        self.error = ""
        self._line = TextLine()
        self._has_list = False

    # -- what a subclass gives --

    def value_text(self) -> str:
        """The value as it is shown; empty when there is none."""
        return ""

    def placeholder(self) -> str:
        """What stands there, muted, while nothing does."""
        return ""

    def reason(self) -> Part:
        """What stands under it while nothing is wrong."""
        return ""

    def is_yours(self) -> bool:
        """Whether the value differs from the recommended one."""
        return False

    def options(self) -> Sequence[Option]:
        """The list to choose from."""
        return ()

    def current(self) -> Any:
        """The value of the chosen option."""
        return None

    def choose(self, value: Any) -> None:
        """Take an option."""

    def take(self, typed: str) -> str:
        """Take a typed text; returns why not, or an empty text. An empty one brings the recommendation back."""
        del typed
        return ""

    def step(self, direction: int) -> None:
        """Take the next value up or down."""

    def restore(self) -> None:
        """Bring the recommendation back."""

    def edit(self) -> None:
        """Open the box of a text of several lines."""

    # -- state --

    @property
    def is_typed(self) -> bool:
        """Whether it is typed into."""
        return self.kind in _TYPED

    @property
    def typed(self) -> str:
        """The text as typed so far."""
        return self._line.value

    @property
    def is_focused(self) -> bool:
        """Whether it, or its list, has the focus."""
        return self.has_focus or self.has_focus_within

    def show(self) -> None:
        """Draw again: its value, its reason, or what it depends on changed. What is being typed stays."""
        if not self.error and (not self.has_focus or self._line.is_fresh):
            self._load()
        self.redraw()
        if self.size.height and self.size.height != self._needed_height(self.size.width):
            self.refresh(layout=True)

    def _load(self) -> None:
        if self.is_typed:
            self._line.load(self.value_text(), is_fresh=self.has_focus and self.kind == "number")

    def changed(self) -> None:
        """Say that the value is another one."""
        self.post_message(self.Changed(self))

    # -- drawing --

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The row, and what stands under it."""
        del height
        beneath = under(self.frame, self._said(), width)
        # The open list hangs there; what is moved to the left would show beside it.
        return [self._row(width), *([text("")] * len(beneath) if self._has_list else beneath)]

    def _row(self, width: int) -> Content:
        sign = _SIGNS[self.kind] if self.is_open else ""
        return row(
            self.frame,
            width,
            label=self.label,
            value=self._value(self.frame.value_in(width, sign)),
            sign=sign,
            is_focused=self.is_focused,
            is_open=self.is_open,
            after=self.after,
            is_yours=self.is_yours() and not self.error,
        )

    def _value(self, room: int) -> Content:
        style = BOLD if self.is_open else MUTED
        if not self.is_typed:
            return text(self.value_text(), style)
        shown = self._line.value if self.has_focus or self.error else self.value_text()
        if not shown:
            return hint(self.placeholder(), has_cursor=self.has_focus)
        return text(shown, style) if not self.has_focus or self._line.is_fresh else typed(self._line, room)

    def _said(self) -> Part:
        if self.error:
            return join(("✗ ", ERROR), (self.error, ERROR))
        if self.has_focus and self.is_typed and not self._line.value and self.placeholder():
            return join((f"⌫ brings {self.placeholder()} back.", MUTED))
        return self.reason()

    def _needed_height(self, width: int) -> int:
        return 1 + len(under(self.frame, self._said(), width))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Two rows; more where the reason does not fit into one."""
        del container, viewport
        return self._needed_height(width)

    # -- the keyboard --

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Letters go into a field that is typed into."""
        del key
        return self.is_typed and character is not None and character.isprintable()

    def watch_has_focus(self, has_focus: bool) -> None:
        """The value is ready to be typed over; on leaving, what was typed is shown as it was understood."""
        super().watch_has_focus(has_focus)
        if not self.error:
            self._load()
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        """Editing."""
        if not self.is_typed:
            return
        before = self._line.value
        if event.key == "backspace" and not before:
            self._bring_back()
        elif event.is_printable and event.character:
            self._line.insert(event.character)
        elif not self._line.key(event.key):
            return
        event.stop()
        event.prevent_default()
        if self._line.value != before and not (event.key == "backspace" and not before):
            self._take_typed()
        self._place_cursor()
        self.show()

    def on_paste(self, event: events.Paste) -> None:
        """Pasting is typing."""
        if self.is_typed:
            event.stop()
            self._line.insert(event.text.strip())
            self._take_typed()
            self.show()

    def _take_typed(self) -> None:
        self.error = self.take(self._line.value)
        self.changed()

    def _bring_back(self) -> None:
        self.error = ""
        self.restore()
        self._load()
        self.changed()

    def put(self, value: str) -> None:
        """Type this text in place of the old one (a completion, a picked folder)."""
        self._line.load(value)
        self._take_typed()
        self.show()

    def action_enter(self) -> None:
        """Open the list or the box, else go on."""
        if not self.is_typed:
            self.action_open()
        else:
            self.post_message(self.Finished(self))

    def action_open(self) -> None:
        """Open the list, or the box."""
        if self.kind == "editor":
            self.edit()
        options = list(self.options())
        if self.kind != "list" or not options or self._has_list:
            return
        chosen = ChoiceList(options, self.current(), covered=self.size.width - self.frame.mark_at)
        # Below its field; Textual moves it into the screen where it would not fit.
        chosen.styles.offset = (self.frame.mark_at, 1)
        self.mount(chosen)
        self._has_list = True
        self.redraw()

    def action_up(self) -> None:
        """A number goes up, a list opens, from a text to the field above."""
        self._arrow(1)

    def action_down(self) -> None:
        """A number goes down, a list opens, from a text to the field below."""
        self._arrow(-1)

    def _arrow(self, direction: int) -> None:
        if self.kind == "number":
            self.error = ""
            self.step(direction)
            self._load()
            self.changed()
            self.show()
        elif self.kind == "list":
            self.action_open()
        elif direction > 0:
            self.screen.focus_previous()
        else:
            self.screen.focus_next()

    def action_cycle(self, direction: int) -> None:
        """The option before or after, without opening the list."""
        values = [option.value for option in self.options() if not option.is_later]
        if self.kind == "list" and values:
            place = values.index(self.current()) if self.current() in values else 0
            self._chosen(values[(place + direction) % len(values)])

    def action_restore(self) -> None:
        """Bring the recommendation back into a list."""
        self._bring_back()
        self.show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that edit a text belong to it."""
        del parameters
        if action in ("open", "restore"):
            return not self.is_typed
        return self.kind == "list" if action == "cycle" else True

    def _chosen(self, value: Any) -> None:
        self.error = ""
        self.choose(value)
        self.changed()
        self.show()

    def on_choice_list_chosen(self, message: ChoiceList.Chosen) -> None:
        """An option of the list."""
        message.stop()
        self.close_list()
        self._chosen(message.value)
        self.post_message(self.Finished(self))

    def on_choice_list_closed(self, message: ChoiceList.Closed) -> None:
        """Escape, or a click elsewhere."""
        message.stop()
        self.close_list(keeps_focus=message.by_key)

    def close_list(self, *, keeps_focus: bool = True) -> None:
        """Put the list away."""
        for shown in self.query(ChoiceList):
            shown.remove()
        self._has_list = False
        if keeps_focus:
            self.screen.set_focus(self)  # at once: who goes on from here comes after it
        self.redraw()

    # -- the mouse --

    def on_click(self, event: events.Click) -> None:
        """Open the list, or put the cursor there; on ``±`` up."""
        if not self.is_open:
            return
        end = self.frame.run_at + self.frame.run_width
        if event.y:
            return
        if not self.is_typed:
            self.action_open()
        elif self.kind == "number" and end - 3 <= event.x < end:
            self.action_up()
        elif event.x >= self.frame.value_at:
            self._line.place_at(int(event.x) - self.frame.value_at)
            self.redraw()

    def _place_cursor(self) -> None:
        """The terminal's own cursor follows, for input methods that draw beside it."""
        visible, place = self._line.view(self.frame.value_in(self.size.width, _SIGNS[self.kind]))
        at = Offset(self.frame.value_at + cell_len(visible[:place]), 0)
        self.app.cursor_position = self.content_region.offset + at
