"""F1 in a field: what the setting is, what it accepts, what stands there by default."""

from __future__ import annotations

from acestep_tui.screens.base import HouseScreen
from acestep_tui.screens.dialog import Choice, Dialog
from acestep_tui.widgets.fields import Field
from acestep_tui.widgets.paint import BOLD, MUTED, Part, join, text
from acestep_tui.wizard import forms
from acestep_tui.wizard.setting_field import SettingField


def explain_field(screen: HouseScreen) -> bool:
    """Open the box for the field that has the focus; False where none has it."""
    field = screen.focused
    if not isinstance(field, Field):
        return False

    def answered(answer: str | None) -> None:
        if answer == "k":
            from acestep_tui.screens.help import HelpScreen

            screen.app.push_screen(HelpScreen(screen))

    screen.app.push_screen(field_help(field), answered)
    return True


def field_help(field: Field) -> Dialog:
    """The box for one field."""
    lines: list[Part] = []
    settings = field.explained() if isinstance(field, SettingField) else ()
    for setting in settings:
        if lines:
            lines.append("")
        lines.append(join((setting.help, "")))
        lines.append(join(("Accepted: ", MUTED), setting.accepted()))
        lines.append(join(("By default: ", MUTED), forms.show(setting, setting.default)))
        lines.append(join(("In a file: ", MUTED), (setting.key, BOLD)))
    return Dialog(field.label, lines or [text("")], [Choice("escape", "Close"), Choice("k", "Keys on this page")])
