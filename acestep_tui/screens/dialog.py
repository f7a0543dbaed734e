"""The one box: a question with the safe answer first and selected, each answer with what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from acestep_tui.commands import bindings
from acestep_tui.widgets.frame import Footer
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, Part, columns, fit, join, text, wrap
from acestep_tui.widgets.rows import Rows

WIDTH = 62
_TEXT_WIDTH = WIDTH - 6


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer: its letter (``escape`` for the safe one), what it is called, what it costs."""

    key: str
    label: str
    cost: str = ""
    value: str = ""

    @property
    def answer(self) -> str:
        """What the dialog returns for it."""
        return self.value or self.key

    @property
    def key_shown(self) -> str:
        """The key as written."""
        return {"escape": "esc", "enter": "↵"}.get(self.key, self.key)


class _Text(Lines):
    DEFAULT_CSS = "_Text { height: auto; }"

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()
        self._wrapped = [line for part in parts for line in wrap(part, _TEXT_WIDTH)]

    def on_mount(self) -> None:
        self.styles.height = len(self._wrapped)

    def lines(self, width: int, height: int) -> Sequence[Content]:
        del width, height
        return [line.pad_left(2) for line in self._wrapped]


class Dialog(ModalScreen[str]):
    """A question; returns the answer of the chosen `Choice` (the safe one's on escape).

    Args:
        title: On the box's border.
        text: What it says, one part a paragraph line; wrapped.
        choices: The safe answer first.
        is_destructive: Whether the border warns.
        confirm: A word that must be typed before any but the safe answer can be chosen.
        confirm_label: What stands before the field it is typed into.
    """

    BINDINGS = bindings("dialog")
    scopes = ("dialog",)
    DEFAULT_CSS = """
    Dialog { align: center middle; layers: box keys; }
    Dialog Footer { layer: keys; }
    Dialog > Vertical {
        width: 62; height: auto; background: $surface; border: round $primary; border-title-style: bold;
        border-title-color: $foreground; padding: 1 0;
    }
    Dialog.-destructive > Vertical { border: round $error; }
    Dialog Horizontal { height: 1; padding: 0 2; }
    Dialog Horizontal Static { width: auto; margin: 0 1 0 0; }
    Dialog Input { height: 1; border: none; background: $panel; width: 1fr; padding: 0; }
    Dialog Input:focus { border: none; }
    Dialog Rows { height: auto; margin: 1 0 0 0; }
    Dialog Rows:focus { background: $surface; }
    """

    def __init__(
        self,
        title: str,
        text: Sequence[Part],
        choices: Sequence[Choice],
        *,
        is_destructive: bool = False,
        confirm: str = "",
        confirm_label: str = "",
    ) -> None:
        super().__init__(classes="-destructive" if is_destructive else None)
        self._title = title
        self._text = list(text)
        self.choices = list(choices)
        self._confirm = confirm
        self._confirm_label = confirm_label

    def compose(self) -> ComposeResult:
        """Text, the field if one must be typed, the answers."""
        with Vertical() as box:
            box.border_title = Content(self._title)
            yield _Text(self._text)
            if self._confirm:
                with Horizontal():
                    yield Static(text(self._confirm_label))
                    yield Input(compact=True)
            yield Rows(self._draw, len(self.choices))
        yield Footer()

    def on_mount(self) -> None:
        """The safe answer is selected."""
        rows = self.query_one(Rows)
        rows.styles.height = len(self.choices)
        (self.query_one(Input) if self._confirm else rows).focus()

    def _draw(self, index: int, width: int, is_selected: bool) -> Content:
        choice = self.choices[index]
        cost = choice.cost or ("when the name is typed" if self._confirm and index else "")
        style = "" if self._may_choose(index) else MUTED
        row = columns(
            [
                join(("❯" if is_selected else " ", f"bold {ACCENT}")),
                (choice.key_shown, f"bold {ACCENT}"),
                (choice.label, f"{BOLD} {style}".strip() if is_selected else style),
                (cost, MUTED),
            ],
            [1, 4, max(18, *(len(other.label) for other in self.choices)), 30],
            gap=1,
        )
        return fit(text(" ") + row, width)

    def _may_choose(self, index: int) -> bool:
        return not index or not self._confirm or self.query_one(Input).value.strip() == self._confirm

    def on_input_changed(self) -> None:
        """The answers wake up when the word is there."""
        self.query_one(Rows).redraw()

    def on_input_submitted(self) -> None:
        """Enter in the field is the first answer that is not the safe one, once the word is right."""
        self._answer(1)

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Enter or a click on an answer."""
        message.stop()
        self._answer(message.index)

    def on_key(self, event: events.Key) -> None:
        """The letter shown chooses its answer."""
        for index, choice in enumerate(self.choices):
            if event.key == choice.key and choice.key not in ("escape", "enter"):
                event.stop()
                self._answer(index)

    def action_choose(self) -> None:
        """Enter."""
        self._answer(self.query_one(Rows).cursor)

    def action_safe(self) -> None:
        """Escape: the safe answer."""
        self._answer(0)

    def _answer(self, index: int) -> None:
        if index < len(self.choices) and self._may_choose(index):
            self.dismiss(self.choices[index].answer)
        else:
            self.app.bell()

    def footer_word(self, command: object) -> str:
        """The footer names the safe answer beside its key."""
        name = getattr(command, "name", "")
        return self.choices[0].label if name == "safe" else str(getattr(command, "word", ""))
