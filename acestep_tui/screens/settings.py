"""Settings: how the app looks and behaves, drawn from the settings' declaration, saved as they are changed."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from acestep_tui.app import LOOKS
from acestep_tui.commands import bindings
from acestep_tui.paths import shown
from acestep_tui.screens.base import HouseScreen
from acestep_tui.screens.keys_dialog import KeysDialog
from acestep_tui.screens.value_dialog import ValueDialog
from acestep_tui.settings import UI_SETTINGS, Settings, UiSetting, load_settings
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.page import AIR, Page, PageRow
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, WARNING, columns, fit, join, text, title

_LABEL_WIDTH, _VALUE_WIDTH = 14, 17
_KEYS = "Keys"


class SettingsScreen(HouseScreen):
    """The list of settings."""

    CSS_PATH = Path(__file__).with_name("settings.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("settings")
    scopes = ("settings",)
    help_title = "Settings"

    def __init__(self) -> None:
        super().__init__()
        self._wanted = ""

    def compose_body(self) -> Iterable[Widget]:
        """The list, and where it is kept."""
        yield Page(id="list")
        yield _PathLine(self.house.settings)
        yield FilterBar("Find a setting")

    def on_mount(self) -> None:
        """Show everything."""
        self.query_one("#list").focus()
        self._fill()

    def on_resize(self, event: events.Resize) -> None:
        """More height, more air."""
        super().on_resize(event)
        self._fill()

    def looks_changed(self) -> None:
        """More or less air."""
        self._fill()

    def _fill(self) -> None:
        is_compact = self.house.settings["density"] == "compact"
        air = 2 if self.size.height >= 32 and not is_compact else 0
        self.query_one("#list", Page).show(list(self._page_rows(air)))
        unsaved = self.house.settings.unsaved
        saved = text(f"not saved: {unsaved}", WARNING) if unsaved else text("saved as you change them", MUTED)
        self.show_header(("Settings", BOLD), right=saved)

    def _page_rows(self, air: int) -> Iterable[PageRow]:
        """Sections in their order, each with its settings that hold the wanted text."""
        is_first = True
        for section in (*dict.fromkeys(setting.section for setting in UI_SETTINGS), _KEYS):
            found = [target for target in _targets(section) if self._wanted in _searched(target)]
            if not found:
                continue
            if not is_first:
                yield from [AIR] * air
            yield PageRow(_title_row(section, is_first=is_first))
            yield from (PageRow(self._setting_row(target), target) for target in found)
            is_first = False

    def _setting_row(self, target: UiSetting | str) -> Callable[[int, bool], Content]:
        def draw(width: int, is_selected: bool) -> Content:
            margin = _margin(width)
            if isinstance(target, UiSetting):
                label, meaning = target.label, target.help
                value = target.word(self.house.settings[target.key])
            else:
                changed = len(self.house.settings.keys)
                label, value = "Change keys", f"{changed} changed" if changed else "as they are"
                meaning = "↵ on a key, then press the new one"
            room = max(width - 2 * margin - _LABEL_WIDTH - _VALUE_WIDTH - 6, 8)
            cells = columns(
                [
                    (label, BOLD if is_selected else ""),
                    (value, f"{BOLD} {ACCENT}" if is_selected else BOLD),
                    (meaning, MUTED),
                ],
                [_LABEL_WIDTH, _VALUE_WIDTH, room],
            )
            row = fit(join(("❯ " if is_selected else "  ", f"bold {ACCENT}"), cells), width - 2 * margin)
            return (row.stylize("on $block-cursor-background") if is_selected else row).pad_left(margin)

        return draw

    def on_rows_chosen(self) -> None:
        """Enter on a setting: the next choice, or a field."""
        target = self.query_one("#list", Page).selected
        if isinstance(target, UiSetting):
            self._change(target)
        elif target == _KEYS:
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

    def action_move(self) -> None:
        """Up belongs to the list."""
        self.query_one("#list", Page).action_up()

    def action_default(self) -> None:
        """Back to the default."""
        target = self.query_one("#list", Page).selected
        if isinstance(target, UiSetting):
            self.house.settings.reset(target.key)
        elif target == _KEYS:
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
        settings.values, settings.keys, settings.other = read.values, read.keys, read.other
        settings.problem, settings.unsaved = read.problem, ""
        if settings.problem:
            self.house.toast("warning", settings.problem)
        for key in LOOKS:
            self.house.apply_setting(key)
        self._fill()

    def action_back(self) -> None:
        """Back to where one came from."""
        self.app.pop_screen()


class _PathLine(Lines):
    """Where the settings are kept."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one line."""
        del height
        return [fit(join(" " * (1 if width < 100 else 3), (shown(self._settings.path), MUTED)), width)]


def _margin(width: int) -> int:
    return 1 if width < 100 else 3


def _title_row(section: str, *, is_first: bool) -> Callable[[int, bool], Content]:
    def draw(width: int, is_selected: bool) -> Content:
        del is_selected
        margin = _margin(width)
        return title(width - 2 * margin, section, is_focused=is_first).pad_left(margin)

    return draw


def _targets(section: str) -> list[UiSetting | str]:
    """What can be changed in a section."""
    return [_KEYS] if section == _KEYS else [setting for setting in UI_SETTINGS if setting.section == section]


def _searched(target: UiSetting | str) -> str:
    """The text that finding looks in."""
    if isinstance(target, UiSetting):
        return f"{target.section} {target.label} {target.help}".casefold()
    return "keys change keys"
