"""Looking for a folder: typing filters, Enter opens, one key takes what is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.worker import get_current_worker

from acestep_tui import format as fmt
from acestep_tui.commands import bindings
from acestep_tui.failures import TellsFailures
from acestep_tui.folder_list import FolderList, Inside, list_folder, look_inside, nearest_folder
from acestep_tui.paths import absolute, shown
from acestep_tui.widgets.frame import Footer
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.page import Page, PageRow, still
from acestep_tui.widgets.paint import ACCENT, BOLD, ERROR, MUTED, SUCCESS, Part, fit, join, spread, text

_SELECTED = "on $block-cursor-background"
# Counts are drawn at once for as many folders as one looks at.
_TOLD_AT_ONCE = 20
_MOST_FILES = 200
_UP, _HERE = "..", "."


@dataclass(frozen=True, slots=True)
class BrowseFacts:
    """What the box shows.

    Attributes:
        listed: The folder that is open; None while it is being listed for the first time.
        inside: By name, what its folders hold, as far as it was counted.
        wanted: The filter.
        for_model: A model's folder is looked for, not one of songs.
    """

    listed: FolderList | None = None
    inside: Mapping[str, Inside] = field(default_factory=dict)
    wanted: str = ""
    for_model: bool = False


def browse_rows(facts: BrowseFacts) -> list[PageRow]:
    """The rows: take this one, the one above, its folders, its audio files."""
    listed = facts.listed
    if listed is None:
        return [still(text("  looking …", MUTED))]
    wanted = facts.wanted.casefold()
    rows: list[PageRow] = []
    if not wanted:
        rows.append(_row("Take this folder", _here_words(facts), _HERE, sign=("✓", SUCCESS)))
        if listed.folder != listed.folder.parent:
            rows.append(_row("..", ("the folder above", MUTED), _UP))
    if listed.problem:
        rows.append(still(join(("  ✗ ", ERROR), f"It cannot be listed: {listed.problem.lower()}.")))
    found = [name for name in listed.folders if _is_wanted(name, wanted)]
    rows += [_row(f"{name}/", _inside_words(facts.inside.get(name), facts), name) for name in found]
    files = [name for name in listed.files if wanted in name.casefold()]
    rows += [still(text(f"    {name}", MUTED)) for name in files[:_MOST_FILES]]
    if len(files) > _MOST_FILES:
        rows.append(still(text(f"    and {fmt.count(len(files) - _MOST_FILES)} more", MUTED)))
    if wanted and not found and not files:
        rows.append(still(text(f"  Nothing here matches “{facts.wanted}”. esc clears.", MUTED)))
    return rows


def _is_wanted(name: str, wanted: str) -> bool:
    """Hidden folders only for a filter that begins as they do."""
    if name.startswith("."):
        return wanted.startswith(".") and name.casefold().startswith(wanted)
    return wanted in name.casefold()


def _row(name: str, right: Part, target: str, *, sign: Part = " ") -> PageRow:
    def draw(width: int, is_selected: bool) -> Content:
        mark = ("▌", ACCENT) if is_selected else " "
        left = join(mark, " ", sign, " ", (name, BOLD if is_selected else ""))
        row = fit(spread(left, join(right, " "), width), width)
        return row.stylize(_SELECTED) if is_selected else row

    return PageRow(draw, target)


def _here_words(facts: BrowseFacts) -> Part:
    listed = facts.listed
    if listed is None or listed.problem:
        return ""
    here = Inside(len(listed.files), len(listed.folders), "ace_step_transformer" in listed.folders)
    return _inside_words(here, facts)


def _inside_words(inside: Inside | None, facts: BrowseFacts) -> Part:
    """``24 audio files``, ``a model``, ``3 folders``; what cannot be opened is said."""
    if inside is None:
        return (fmt.UNKNOWN, MUTED)
    if inside.problem:
        return (inside.problem.lower(), MUTED)
    if inside.has_model and facts.for_model:
        return join(("✓", SUCCESS), " a model")
    more = "+" if inside.is_cut else ""
    if inside.num_audio and not facts.for_model:
        number = fmt.count(inside.num_audio)
        return f"{number}{more} audio file{'' if number == '1' and not more else 's'}"
    if inside.num_folders:
        return (f"{fmt.count(inside.num_folders)}{more} folder{'' if inside.num_folders == 1 else 's'}", MUTED)
    return ("no audio" if not facts.for_model else "", MUTED)


class _Head(Lines):
    """Where one is, and the filter."""

    DEFAULT_CSS = "_Head { height: 2; }"

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """Both rows."""
        del height
        dialog = self.screen
        if not isinstance(dialog, BrowseDialog):
            return []
        wanted = dialog.facts.wanted
        typed = join(("Filter  ", MUTED), (wanted, BOLD), ("▏", ACCENT), ("" if wanted else "type a name", MUTED))
        return [fit(_end_of(shown(dialog.folder), width), width), fit(typed, width)]


def _end_of(path: str, width: int) -> Content:
    """A long path keeps its end."""
    whole = text(path, BOLD)
    while whole.cell_length > width and len(path) > 1:
        path = path[1:]
        whole = text(f"…{path}", BOLD)
    return whole


class _List(Page):
    """The rows; what is typed goes into the filter."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Letters filter."""
        del key
        return character is not None and character.isprintable()


class BrowseDialog(TellsFailures, ModalScreen[Path]):
    """The box; returns the folder, or None when none was chosen.

    Args:
        start: Where to begin; the home folder when None.
        for_model: A model's folder is looked for, not one of songs.
    """

    CSS_PATH = Path(__file__).with_name("browse.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("browse")
    scopes = ("browse",)

    @dataclass
    class Listed(Message):
        """A folder was listed."""

        listed: FolderList

    @dataclass
    class Counted(Message):
        """More of its folders were looked into."""

        folder: Path
        inside: dict[str, Inside]

    def __init__(self, start: Path | None = None, *, for_model: bool = False) -> None:
        super().__init__(classes="-typing")
        self.folder = absolute(start) if start is not None else Path.home()
        self.facts = BrowseFacts(for_model=for_model)
        self._came_from = ""

    def compose(self) -> ComposeResult:
        """Where one is, the filter, the rows."""
        with Vertical() as box:
            box.border_title = Content("Choose a folder")
            yield _Head()
            yield _List()
        yield Footer()

    def on_mount(self) -> None:
        """Open the first folder."""
        self.query_one(_List).focus()
        self._show()
        self._open(self.folder)

    # -- looking --

    @work(thread=True, exclusive=True, exit_on_error=False, group="browse")
    def _open(self, folder: Path) -> None:
        worker = get_current_worker()
        listed = list_folder(nearest_folder(folder))
        self.post_message(self.Listed(listed))
        news: dict[str, Inside] = {}
        for name in listed.folders:
            if worker.is_cancelled:
                return
            news[name] = look_inside(listed.folder / name)
            if len(news) >= _TOLD_AT_ONCE:
                self.post_message(self.Counted(listed.folder, news))
                news = {}
        self.post_message(self.Counted(listed.folder, news))

    def on_browse_dialog_listed(self, message: Listed) -> None:
        """Show it; going up, the cursor stays on where one came from."""
        message.stop()
        self.folder = message.listed.folder
        self.facts = BrowseFacts(message.listed, for_model=self.facts.for_model)
        self._show()
        first = next((name for name in message.listed.folders if not name.startswith(".")), _HERE)
        self.query_one(_List).select(self._came_from or (_HERE if message.listed.files else first))
        self._came_from = ""

    def on_browse_dialog_counted(self, message: Counted) -> None:
        """Numbers at the right."""
        message.stop()
        if self.facts.listed is not None and message.folder == self.facts.listed.folder:
            self._set(inside={**self.facts.inside, **message.inside})

    def _set(self, *, inside: Mapping[str, Inside] | None = None, wanted: str | None = None) -> None:
        facts = self.facts
        self.facts = BrowseFacts(
            facts.listed,
            facts.inside if inside is None else inside,
            facts.wanted if wanted is None else wanted,
            facts.for_model,
        )
        self._show()

    def _show(self) -> None:
        self.query_one(_Head).redraw()
        self.query_one(_List).show(browse_rows(self.facts))

    # -- keys --

    def on_key(self, event: events.Key) -> None:
        """Typing filters; backspace takes back, then goes up."""
        wanted = self.facts.wanted
        if event.key == "backspace":
            event.stop()
            if wanted:
                self._set(wanted=wanted[:-1])
            else:
                self.action_parent()
        elif event.is_printable and event.character:
            event.stop()
            self._set(wanted=(wanted + event.character).lstrip())
            self._to_first()

    def on_paste(self, event: events.Paste) -> None:
        """A pasted path is opened, anything else filters."""
        event.stop()
        pasted = event.text.strip()
        if pasted.startswith(("/", "~")):
            self._open(absolute(pasted))
        elif pasted:
            self._set(wanted=self.facts.wanted + pasted.splitlines()[0])
            self._to_first()

    def _to_first(self) -> None:
        self.query_one(_List).move_to(0)

    def on_rows_chosen(self, message: Page.Chosen) -> None:
        """Enter or a click on a row."""
        message.stop()
        self.action_choose()

    def action_choose(self) -> None:
        """Open the selected folder, or take the one that is open."""
        target = self.query_one(_List).selected
        if target == _HERE:
            self.action_take()
        elif target == _UP:
            self.action_parent()
        elif isinstance(target, str):
            self._open(self.folder / target)

    def action_enter(self) -> None:
        """Open the selected folder."""
        if self.query_one(_List).selected != _HERE:
            self.action_choose()

    def action_parent(self) -> None:
        """To the folder above."""
        if self.folder != self.folder.parent:
            self._came_from = self.folder.name
            self._open(self.folder.parent)

    def action_take(self) -> None:
        """Take the folder that is open."""
        if self.facts.listed is not None:
            self.dismiss(self.folder)

    def action_close(self) -> None:
        """Clear the filter, else close without choosing."""
        if self.facts.wanted:
            self._set(wanted="")
        else:
            self.dismiss(None)
