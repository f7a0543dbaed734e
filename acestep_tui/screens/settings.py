"""Settings: how the app looks and behaves, drawn from the settings' declaration, saved as they are changed."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from acestep_tui.commands import bindings
from acestep_tui.paths import shown
from acestep_tui.screens.base import HouseScreen
from acestep_tui.screens.keys_dialog import KeysDialog
from acestep_tui.screens.value_dialog import ValueDialog
from acestep_tui.settings import UI_SETTINGS, Settings, UiSetting, load_settings
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, columns, fit, join, text, title
from acestep_tui.widgets.rows import DrawRow, Rows

_LABEL_WIDTH, _VALUE_WIDTH = 14, 17
_KEYS = "keys"


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the page: a section's title, a setting, the keys, or air."""

    section: str = ""
    setting: UiSetting | None = None
    is_keys: bool = False

    @property
    def is_setting(self) -> bool:
        """Whether the cursor stops here."""
        return self.setting is not None or self.is_keys


class SettingsScreen(HouseScreen):
    """The list of settings."""

    CSS_PATH = Path(__file__).with_name("settings.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("settings")
    scopes = ("settings",)
    help_title = "Settings"

    def __init__(self) -> None:
        super().__init__()
        self._wanted = ""
        self._rows: list[_Row] = []

    def compose_body(self) -> Iterable[Widget]:
        """The list, and where it is kept."""
        yield _SettingRows(self._draw, id="list")
        yield _PathLine(self.house.settings)
        yield FilterBar("Find a setting")

    def on_mount(self) -> None:
        """Show everything."""
        self.show_header(("Settings", BOLD), right=text("saved as you change them", MUTED))
        self.query_one("#list").focus()

    def on_resize(self, event: events.Resize) -> None:
        """More height, more air."""
        super().on_resize(event)
        self._fill()

    def _fill(self) -> None:
        air = 2 if self.size.height >= 32 else 0
        self._rows = list(page_rows(self._wanted, air=air))
        rows = self.query_one("#list", _SettingRows)
        rows.stops = [index for index, row in enumerate(self._rows) if row.is_setting]
        cursor = rows.cursor if rows.cursor in rows.stops else (rows.stops or [0])[0]
        rows.set_rows(len(self._rows), cursor=cursor)

    def _draw(self, index: int, width: int, is_selected: bool) -> Content:
        row = self._rows[index]
        margin = 1 if width < 100 else 3
        inner = width - 2 * margin
        if not row.is_setting:
            line = title(inner, row.section, is_focused=index == 0) if row.section else Content("")
            return fit(line.pad_left(margin), width)
        if row.setting is None:
            changed = len(self.house.settings.keys)
            label, value = "Change keys", f"{changed} changed" if changed else "as they are"
            meaning = "↵ on a key, then press the new one"
        else:
            setting = row.setting
            label, meaning = setting.label, setting.help
            value = setting.word(self.house.settings[setting.key])
        style = BOLD if is_selected else ""
        cells = columns(
            [(label, style), (value, f"{BOLD} {ACCENT}" if is_selected else BOLD), (meaning, MUTED)],
            [_LABEL_WIDTH, _VALUE_WIDTH, max(inner - _LABEL_WIDTH - _VALUE_WIDTH - 6, 8)],
        )
        mark = ("❯ " if is_selected else "  ", f"bold {ACCENT}")
        return fit(join(" " * margin, mark, cells), width)

    @property
    def _selected(self) -> _Row | None:
        rows = self.query_one("#list", Rows)
        return self._rows[rows.cursor] if rows.cursor < len(self._rows) else None

    def on_rows_chosen(self) -> None:
        """Enter on a setting: the next choice, or a field."""
        row = self._selected
        if row is not None and row.setting is not None:
            self._change(row.setting)
        elif row is not None and row.is_keys:
            self.app.push_screen(KeysDialog(self.house.settings), lambda _: self._fill())

    def _change(self, setting: UiSetting) -> None:
        if setting.choices:
            values = [value for value, _ in setting.choices]
            place = values.index(self.house.settings[setting.key]) + 1
            self.house.settings.set(setting.key, values[place % len(values)])
            self._fill()
        else:
            value = str(self.house.settings[setting.key])
            dialog = ValueDialog(setting.label, value, setting.help, parse=setting.parse)
            self.app.push_screen(dialog, self._typed(setting))

    def _typed(self, setting: UiSetting) -> Callable[[str | None], None]:
        def take(value: str | None) -> None:
            if value is not None:
                self.house.settings.set(setting.key, value)
                self._fill()

        return take

    def action_default(self) -> None:
        """Back to the default."""
        row = self._selected
        if row is not None and row.setting is not None:
            self.house.settings.reset(row.setting.key)
        elif row is not None and row.is_keys:
            for command_id in list(self.house.settings.keys):
                self.house.settings.set_key(command_id, None)
        self._fill()

    def action_find(self) -> None:
        """Open the field."""
        self.query_one(FilterBar).open()

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        """Only settings with the text."""
        self._wanted = message.text.casefold()
        self._fill()

    def action_edit_file(self) -> None:
        """The file in $EDITOR; read again afterwards."""
        settings = self.house.settings
        settings.save()
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        try:
            with self.app.suspend():
                subprocess.run([*shlex.split(editor), str(settings.path)], check=False)
        except (OSError, ValueError) as error:
            self.house.toast("error", f"{editor} could not be started: {error}", "Set EDITOR to your editor.")
            return
        read = load_settings(settings.path)
        settings.values, settings.keys, settings.problem = read.values, read.keys, read.problem
        for key in ("theme", "motion", "glyphs", "density", "keys"):
            self.house.apply_setting(key)
        self._fill()

    def action_back(self) -> None:
        """Back to where one came from."""
        self.app.pop_screen()


class _SettingRows(Rows):
    """Rows of which only some can be selected."""

    def __init__(self, draw: DrawRow, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(draw, id=id)
        self.stops: list[int] = []

    def move_to(self, index: int) -> None:
        """To the nearest setting in the direction of the move."""
        if not self.stops:
            return
        if index >= self.cursor:
            target = next((stop for stop in self.stops if stop >= index), self.stops[-1])
        else:
            target = next((stop for stop in reversed(self.stops) if stop <= index), self.stops[0])
        super().move_to(target)


class _PathLine(Lines):
    """Where the settings are kept."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one line."""
        del height
        return [fit(join(" " * (1 if width < 100 else 3), (shown(self._settings.path), MUTED)), width)]


def page_rows(wanted: str, *, air: int) -> Iterable[_Row]:
    """The rows of the page: sections in their order, each with its settings that hold the wanted text."""
    is_first = True
    for section in dict.fromkeys(setting.section for setting in UI_SETTINGS):
        found = [
            setting
            for setting in UI_SETTINGS
            if setting.section == section and wanted in f"{section} {setting.label} {setting.help}".casefold()
        ]
        if found:
            yield from [] if is_first else [_Row()] * air
            yield _Row(section=section)
            yield from (_Row(setting=setting) for setting in found)
            is_first = False
    if wanted in "keys change keys":
        yield from [] if is_first else [_Row()] * air
        yield _Row(section="Keys")
        yield _Row(is_keys=True)
