"""The list that opens under a field: move, choose with Enter, a space or a click, leave with Escape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message

from acestep_tui.commands import bindings
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, fit, join
from acestep_tui.widgets.rows import Rows

_LEAST_WIDTH, _MOST_ROWS = 27, 10
_LATER = "a later version"


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a list; ``is_later``: known, but not in this version."""

    value: Any
    word: str
    is_later: bool = False


class ChoiceList(Rows):
    """The open list of a field.

    Args:
        options: The values.
        current: The chosen one.
        covered: Cells that it hides; beyond its own width they are blank, so that nothing beneath reads on in its rows.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("list")
    DEFAULT_CSS = """
    ChoiceList { overlay: screen; constrain: none inside; background: $background; }
    """

    @dataclass
    class Chosen(Message):
        """An option."""

        value: Any

    @dataclass
    class Closed(Message):
        """Nothing was chosen."""

        by_key: bool

    def __init__(self, options: Sequence[Option], current: Any, covered: int = 0) -> None:
        super().__init__(self._row, len(options), wraps=True)
        self.options = list(options)
        values = [option.value for option in options]
        self.cursor = values.index(current) if current in values else 0
        widest = max(cell_len(option.word) + (len(_LATER) + 2 if option.is_later else 0) for option in options)
        self.own_width = max(_LEAST_WIDTH, widest + 4)
        self.styles.width = max(self.own_width, covered)
        self.styles.height = min(len(options), _MOST_ROWS)

    def on_mount(self) -> None:
        """Take the keys."""
        self.focus(scroll_visible=False)

    def _row(self, index: int, width: int, is_selected: bool) -> Content:
        option = self.options[index]
        mark = ("❯", f"{BOLD} {ACCENT}") if is_selected else " "
        later = (f"  {_LATER}", MUTED) if option.is_later else ""
        style = MUTED if option.is_later else BOLD if is_selected else ""
        row = fit(join(mark, " ", (option.word, style), later), min(width, self.own_width))
        return row.stylize("on $block-cursor-background" if is_selected else "on $panel")

    def action_choose(self) -> None:
        """Take the selected option."""
        option = self.options[self.cursor]
        if option.is_later:
            self.app.bell()
        else:
            self.post_message(self.Chosen(option.value))

    def action_close(self) -> None:
        """Leave the value as it is."""
        self.post_message(self.Closed(by_key=True))

    def on_click(self, event: events.Click) -> None:
        """A click in the list is none on the field it hangs on; one beside it closes it."""
        event.stop()
        if event.x >= self.own_width:
            event.prevent_default()
            self.post_message(self.Closed(by_key=True))

    def on_blur(self) -> None:
        """A click elsewhere closes it."""
        self.post_message(self.Closed(by_key=False))

    def on_key(self, event: events.Key) -> None:
        """A letter goes to the next option that begins with it."""
        if event.character and event.character.isalnum() and event.key not in ("j", "k"):
            places = [*range(self.cursor + 1, len(self.options)), *range(self.cursor + 1)]
            for place in places:
                if self.options[place].word.casefold().startswith(event.character.casefold()):
                    event.stop()
                    self.move_to(place)
                    return
