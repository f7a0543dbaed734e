"""Open a preset or a SimpleTuner configuration: type its path, or choose one that is here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen

from acestep_tui.commands import Command, bindings
from acestep_tui.failures import TellsFailures
from acestep_tui.paths import absolute, shown
from acestep_tui.recent import recent_presets, remember_preset
from acestep_tui.widgets.field_lines import Frame
from acestep_tui.widgets.frame import Footer
from acestep_tui.widgets.lines import Drawn
from acestep_tui.widgets.page import AIR, Page, PageRow, still
from acestep_tui.widgets.paint import ACCENT, BOLD, ERROR, MUTED, Part, fit, join, text, wrap
from acestep_tui.widgets.path_field import PathField
from engine.contract.errors import UserError
from engine.contract.presets import shipped_presets

_NAME, _MOST_ROWS = 18, 12
_SELECTED = "on $block-cursor-background"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that can be opened: what it is called in the list, and what it says of itself."""

    path: Path
    name: str
    title: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to open, by where it comes from."""

    saved: tuple[Entry, ...] = ()
    configs: tuple[Entry, ...] = ()
    shipped: tuple[Entry, ...] = ()

    @property
    def groups(self) -> list[tuple[str, tuple[Entry, ...]]]:
        """Titles with their entries, only those that have some."""
        named = [
            ("Saved or opened lately", self.saved),
            ("Configurations in ./config", self.configs),
            ("Come with acestep-tui", self.shipped),
        ]
        return [group for group in named if group[1]]


def find(cwd: Path) -> Found:
    """Look for presets and configurations; for a thread."""
    lately = [_entry(path, path.stem) for path in recent_presets()]
    configs = [_entry(path, f"env={path.parent.name}") for path in sorted(cwd.glob("config/*/config.json"))]
    known = {entry.path for entry in configs}
    return Found(
        saved=tuple(entry for entry in lately if entry.path not in known),
        configs=tuple(configs),
        shipped=tuple(_entry(path, path.stem) for path in shipped_presets()),
    )


def _entry(path: Path, name: str) -> Entry:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        data = {}
    known = data if isinstance(data, dict) else {}
    title, description = (str(known.get(f"preset_{part}") or "") for part in ("title", "description"))
    return Entry(path, name, title, description or shown(path))


class _File(PathField):
    """The path; what is wrong with it stands under it."""

    def __init__(self) -> None:
        super().__init__("File", "path", frame=Frame(label_width=6, run_width=0))

    def value_text(self) -> str:
        """What was typed."""
        return self.typed

    def reason(self) -> Part:
        """What it could become, else what it may be."""
        return self.candidates() or join(("A path, env=NAME, or the name of a preset. tab completes.", MUTED))

    def take(self, typed: str) -> str:
        """Enter says whether it can be opened."""
        del typed
        return ""


class OpenPresetDialog(TellsFailures, ModalScreen[Path]):
    """The box; returns the file, or None when nothing is to be opened."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("dialog")
    scopes = ("dialog",)
    DEFAULT_CSS = """
    OpenPresetDialog { align: center middle; }
    OpenPresetDialog > Vertical {
        width: 78; max-width: 96%; height: auto; max-height: 92%; background: $surface; border: round $primary;
        border-title-style: bold; border-title-color: $foreground; padding: 1 1 0 1;
    }
    OpenPresetDialog Page { height: auto; max-height: 12; margin: 1 0; }
    OpenPresetDialog #said { height: 4; }
    """

    @dataclass
    class Looked(Message):
        """What there is to open."""

        found: Found

    @dataclass
    class Checked(Message):
        """A file that can be opened, or why it cannot."""

        path: Path
        problem: UserError | None = None

    def __init__(self) -> None:
        super().__init__()
        self.found = Found()
        self._problem: UserError | None = None

    def compose(self) -> ComposeResult:
        """Field, list, what the selected one says of itself."""
        with Vertical() as box:
            box.border_title = Content("Open a preset or config")
            yield _File()
            yield Page()
            yield Drawn(self._said, id="said")
        yield Footer()

    def on_mount(self) -> None:
        """Look for what there is."""
        self.query_one(Page).focus()
        self._look()

    @work(thread=True, exclusive=True, exit_on_error=False, group="presets")
    def _look(self) -> None:
        self.post_message(self.Looked(find(Path.cwd())))

    def on_open_preset_dialog_looked(self, message: Looked) -> None:
        """List it."""
        self.found = message.found
        rows: list[PageRow] = []
        for name, entries in self.found.groups:
            rows += [AIR] if rows else []
            rows.append(still(text(name, MUTED)))
            rows += [PageRow(_row(entry), entry.path) for entry in entries]
        page = self.query_one(Page)
        page.styles.height = min(len(rows), _MOST_ROWS)
        page.show(rows)
        self.query_one("#said", Drawn).redraw()

    def _entries(self) -> Sequence[Entry]:
        return [entry for _, entries in self.found.groups for entry in entries]

    def _said(self, width: int, height: int) -> list[Content]:
        if self._problem is not None:
            lines = [line for part in self._problem.message.splitlines() for line in wrap((part, ERROR), width)]
            hint = wrap((self._problem.hint, MUTED), width) if self._problem.hint else []
            return [*lines[: max(height - len(hint), 1)], *hint][:height]
        selected = self.query_one(Page).selected
        entry = next((entry for entry in self._entries() if entry.path == selected), None)
        return wrap((entry.description, MUTED), width)[:height] if entry is not None else []

    def on_rows_moved(self, message: Page.Moved) -> None:
        """What the selected one says of itself."""
        message.stop()
        self._tell(None)

    def on_field_changed(self) -> None:
        """Another path is typed: what was wrong with the last one does not matter any more."""
        self._tell(None)

    def _tell(self, problem: UserError | None) -> None:
        self._problem = problem
        self.query_one("#said", Drawn).redraw()

    def on_key(self, event: events.Key) -> None:
        """A letter typed on the list goes into the field."""
        field = self.query_one(_File)
        if event.is_printable and event.character and event.character != " " and not field.has_focus:
            event.stop()
            field.focus()
            field.put(event.character)

    def on_rows_chosen(self, message: Page.Chosen) -> None:
        """Enter or a click on one."""
        message.stop()
        selected = self.query_one(Page).selected
        if isinstance(selected, Path):
            self._check(str(selected))

    def on_field_finished(self) -> None:
        """Enter in the field."""
        typed = self.query_one(_File).typed.strip()
        if typed:
            self._check(typed)
        else:
            self._tell(UserError("No file is named.", hint="Type its path, or choose one from the list."))

    @work(thread=True, exclusive=True, exit_on_error=False, group="check")
    def _check(self, source: str) -> None:
        from acestep_tui.wizard.preset import open_preset
        from engine.contract.sources import find_source

        cwd = Path.cwd()
        try:
            path = absolute(find_source(source, cwd=cwd).path)
            open_preset(str(path), cwd=cwd)
        except UserError as error:
            self.post_message(self.Checked(Path(source), error))
        except OSError as error:
            self.post_message(self.Checked(Path(source), UserError(f"{source}: {error.strerror or error}")))
        else:
            if path not in shipped_presets():
                remember_preset(path)
            self.post_message(self.Checked(path))

    def on_open_preset_dialog_checked(self, message: Checked) -> None:
        """Open it, or say what is wrong."""
        if message.problem is None:
            self.dismiss(message.path)
        else:
            self._tell(message.problem)

    def action_choose(self) -> None:
        """Enter belongs to what has the focus."""
        if self.query_one(_File).has_focus:
            self.on_field_finished()
        else:
            self.query_one(Page).action_choose()

    def action_safe(self) -> None:
        """Escape opens nothing."""
        self.dismiss(None)

    def footer_word(self, command: Command) -> str:
        """What the keys mean here."""
        return {"safe": "Leave", "choose": "Open"}.get(command.name, command.word)


def _row(entry: Entry) -> Callable[[int, bool], Content]:
    def draw(width: int, is_selected: bool) -> Content:
        mark = ("❯ " if is_selected else "  ", f"bold {ACCENT}")
        name = (fit(entry.name, _NAME).plain, BOLD if is_selected else "")
        row = fit(join(mark, name, "  ", (entry.title or shown(entry.path), MUTED)), width)
        return row.stylize(_SELECTED) if is_selected else row

    return draw
