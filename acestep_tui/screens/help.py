"""Help: the keys of the screen one came from, the words, the shell commands; `tab` lists the keys of all screens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from acestep_tui.commands import COMMANDS, Command, bindings, of_scope
from acestep_tui.glossary import MORE_WORDS, SHELL, WORDS
from acestep_tui.screens.base import HouseScreen
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, fit, join, text, title, wrap
from acestep_tui.widgets.rows import Rows

_KEY_WIDTH = 5
_WORD_WIDTH = 16
# On the right: what acts on the chart or on the log, beside what acts on the run.
_RIGHT_NAMES = (
    *("read_left", "zoom_in", "follow", "toggle_log", "cycle_smoothing", "next_curve"),
    *("warnings_only", "filter"),
)
# Keys of a zoomed page that belong to the screen all the same.
_ALSO = {"monitor": ("zoom",)}
# Said once on the page of all screens: second halves of a pair, and what every screen has.
_LEFT_OUT_NAMES = {
    *("back", "read_right", "pan_left", "pan_right", "zoom_out", "show_all", "toggle_dots"),
}
_SCOPE_NAMES = {
    "app": "Everywhere", "rows": "Lists", "home": "Home", "wizard": "Setting up a run", "field": "Fields of the set-up",
    "download": "The model", "songs": "The table of songs",
    "song": "One song", "monitor": "Monitor", "zoom": "Zoomed chart", "samples": "Samples", "saves": "Save points",
    "log": "The whole log",
    "runs": "Runs", "compare": "Compare", "settings": "Settings", "help": "Help", "doctor": "This computer",
    "browse": "Choosing a folder",
}  # fmt: skip
_KEYS_TOGETHER = {"zoom_in": "+ −", "panel(1)": "1–7", "zoom": "z  ↵"}


class HelpScreen(HouseScreen):
    """Help for one screen.

    Args:
        about: The screen one came from.
    """

    CSS_PATH = Path(__file__).with_name("help.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("help")
    scopes = ("help",)
    help_title = "Help"

    def __init__(self, about: HouseScreen) -> None:
        super().__init__()
        self._about = about
        self._commands = enabled_commands(about)
        self._shows_all = False
        self._wanted = ""
        self._lines: list[Content] = []

    def compose_body(self) -> Iterable[Widget]:
        """One scrolling page."""
        yield Rows(self._draw, shows_cursor=False, id="page")
        yield _ShellLine()
        yield FilterBar("Find a word or a key")

    def on_mount(self) -> None:
        """Show the page."""
        self.show_header(("Help", BOLD), (self._about.help_title, MUTED) if not self._shows_all else "")
        self.query_one("#page", Rows).focus()

    def on_resize(self, event: object) -> None:
        """Another width is another page."""
        super().on_resize(event)  # type: ignore[arg-type]
        self._fill()

    def _fill(self) -> None:
        page = self.query_one("#page", Rows)
        width = self.size.width
        margin = 1 if width < 100 else 3
        inner = width - 2 * margin
        is_short = self.size.height < 32
        self.query_one(_ShellLine).display = is_short
        if self._shows_all:
            found = all_keys_lines(inner, self._wanted)
        else:
            found = page_lines(self._commands, inner, wanted=self._wanted)
        self._lines = [line.pad_left(margin) for line in found]
        self._lines = [Content(""), *self._lines] if width >= 100 else self._lines
        page.top = 0
        page.set_rows(len(self._lines), cursor=0)

    def _draw(self, index: int, width: int, is_selected: bool) -> Content:
        del is_selected
        return fit(self._lines[index], width)

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        """Only what holds the text."""
        self._wanted = message.text.casefold()
        self._fill()

    def action_find(self) -> None:
        """Open the field."""
        self.query_one(FilterBar).open()

    def action_all_screens(self) -> None:
        """The keys of all screens, or back to those of one."""
        self._shows_all = not self._shows_all
        self.show_header(("Help", BOLD), ("All screens" if self._shows_all else self._about.help_title, MUTED))
        self._fill()

    def action_back(self) -> None:
        """Back to where one came from."""
        self.app.pop_screen()


def enabled_commands(screen: HouseScreen) -> list[Command]:
    """The commands of a screen's scopes that help lists: those that could act in its present state."""
    found, seen = [], set()
    scopes = dict.fromkeys((*screen.scopes, *(also for scope in screen.scopes for also in _ALSO.get(scope, ()))))
    for scope in scopes:
        for command in of_scope(scope):
            if command.name == "copy" and scope != screen.scopes[0]:
                continue
            name = command.name.partition("(")[0]
            is_second = name in _LEFT_OUT_NAMES or (name == "panel" and command.name != "panel(1)")
            if command.sentence in seen or is_second:
                continue
            is_possible = scope != screen.scopes[0] or screen.check_action(name, ()) is not False
            if is_possible:
                seen.add(command.sentence)
                found.append(command)
    return found


class _ShellLine(Lines):
    """On a low terminal the shell commands stand in one line that does not scroll away."""

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one line."""
        del height
        words = [command.removeprefix("acestep-tui ").partition(" |")[0] for command, _ in SHELL[1:3]]
        return [fit(join((f" From any shell: {SHELL[0][0]}  ·  {'  ·  '.join(words)}  ·  stop", MUTED)), width)]


def page_lines(commands: Sequence[Command], width: int, *, wanted: str = "") -> list[Content]:
    """The page: keys in two columns, words, shell commands.

    Args:
        commands: Those of the screen.
        width: In cells.
        wanted: Only lines with this text (case folded).
    """
    lines = [title(width, "Keys on this screen", is_focused=True), *key_lines(commands, width, wanted), Content("")]
    words = [row for row in WORDS if wanted in " ".join(row).casefold()]
    if words:
        lines += [title(width, "Words"), *word_lines(words, width), Content("")]
    shell = [row for row in SHELL if wanted in " ".join(row).casefold()]
    if shell:
        lines.append(title(width, "From any shell"))
        lines += [join((command.ljust(48), BOLD), (meaning, MUTED)) for command, meaning in shell]
    return lines


def key_lines(commands: Sequence[Command], width: int, wanted: str = "") -> list[Content]:
    """Keys in two columns: what acts on the run at the left, on chart and log at the right; else in halves."""
    commands = [command for command in commands if wanted in f"{command.key_shown} {command.sentence}".casefold()]
    right = [command for command in commands if command.name in _RIGHT_NAMES and command.scope in ("monitor", "zoom")]
    right.sort(key=lambda command: _RIGHT_NAMES.index(command.name))
    left = [command for command in commands if command not in right]
    left.sort(key=lambda command: command.name == "copy")  # copying comes last
    if not right:
        half = (len(commands) + 1) // 2
        left, right = list(commands[:half]), list(commands[half:])
    column = width // 2
    rows = []
    for index in range(max(len(left), len(right))):
        cells = [_key(side[index], column) if index < len(side) else fit("", column) for side in (left, right)]
        rows.append(cells[0] + cells[1])
    return rows


def _key(command: Command, width: int) -> Content:
    key = _KEYS_TOGETHER.get(command.name, command.key_shown)
    key = "↑↓" if command.name == "previous" else key
    return fit(join((key.rjust(_KEY_WIDTH), f"bold {ACCENT}"), "  ", command.sentence), width)


def all_keys_lines(width: int, wanted: str = "") -> list[Content]:
    """The keys of all screens, by screen."""
    lines: list[Content] = []
    for scope, name in _SCOPE_NAMES.items():
        commands = [
            command
            for command in COMMANDS
            if command.scope == scope and wanted in f"{name} {command.key_shown} {command.sentence}".casefold()
        ]
        if commands:
            lines += [title(width, name), *key_lines(commands, width), text("")]
    words = [row for row in (*WORDS, *MORE_WORDS) if wanted in " ".join(row).casefold()]
    if words:
        lines += [title(width, "Words"), *word_lines(words, width)]
    return lines


def word_lines(words: Sequence[tuple[str, str]], width: int) -> list[Content]:
    """Words with their meaning, over several lines where it is long."""
    lines: list[Content] = []
    for word, meaning in words:
        lines += wrap(join((word.ljust(_WORD_WIDTH), BOLD), (meaning, MUTED)), width, indent=_WORD_WIDTH)
    return lines
