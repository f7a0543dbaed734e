"""Every key once: bindings, footer, help page, command palette and the settings' key list all read this table.

Same key, same meaning everywhere (design: screens.md section 3). Each command has an id, so users can remap it.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class Command:
    """One thing a key does.

    Attributes:
        scope: Screen or widget it belongs to; ``app`` everywhere.
        name: The action's name: the method is ``action_NAME``.
        keys: Textual's key names, comma between alternatives.
        word: What the footer says; empty = not in the footer.
        sentence: What help and the palette say.
        wide: The footer's word from 120 columns on, where it is longer.
        shown: The key as written in footer and help, where Textual's form is not ours.
        shown_narrow: The key as the footer writes it below 120 columns, where one entry stands for two keys.
        is_narrow: Whether the footer shows it below 120 columns too.
        in_palette: Whether the palette offers it.
        is_priority: Acts before the focused field sees the key.
    """

    scope: str
    name: str
    keys: str
    word: str
    sentence: str
    wide: str = ""
    shown: str = ""
    shown_narrow: str = ""
    is_narrow: bool = True
    in_palette: bool = True
    is_priority: bool = False

    @property
    def id(self) -> str:
        """The name under which the key can be changed: ``monitor.pause``."""
        return f"{self.scope}.{self.name.replace('(', '.').replace(')', '').replace(chr(39), '')}"

    @property
    def key_shown(self) -> str:
        """The first key as people write it."""
        return self.shown or shown_key(self.keys.partition(",")[0])


_SHOWN = {
    "enter": "↵", "escape": "esc", "backspace": "⌫", "question_mark": "?", "slash": "/", "exclamation_mark": "!",
    "left": "←", "right": "→", "up": "↑", "down": "↓", "shift+left": "⇧←", "shift+right": "⇧→", "plus": "+",
    "minus": "−", "space": "space",
}  # fmt: skip


def shown_key(key: str) -> str:
    """A key as footer and help write it: ``ctrl+n`` is ``^n``, ``enter`` is ``↵``."""
    if key in _SHOWN:
        return _SHOWN[key]
    if key.startswith("ctrl+"):
        return f"^{key.removeprefix('ctrl+')}"
    return key.upper() if key.startswith("f") and key[1:].isdigit() else key


def _chart(scope: str) -> tuple[Command, ...]:
    return (
        Command(scope, "toggle_log", "l", "Log", "Log scale", wide="Log scale", is_narrow=False),
        Command(scope, "cycle_smoothing", "m", "", "Smoothing"),
        Command(scope, "toggle_dots", "o", "", "Single steps as dots, or not"),
        Command(scope, "next_curve", "v", "", "Next curve"),
        Command(scope, "follow", "f", "", "Follow the newest step"),
        Command(scope, "show_all", "0", "", "Show all steps"),
    )


COMMANDS: tuple[Command, ...] = (
    # -- everywhere --
    Command("app", "command_palette", "ctrl+p", "Menu", "All commands", in_palette=False, is_priority=True),
    Command("app", "help", "f1,question_mark", "Help", "Help for this screen", shown="?"),
    Command("app", "quit_app", "ctrl+q", "", "Quit; training goes on", is_priority=True),
    Command("app", "open_home", "f2", "", "Go to Home"),
    Command("app", "open_runs", "f3", "", "Go to Runs"),
    Command("app", "open_newest", "f4", "", "Go to the newest run"),
    Command("app", "open_settings", "f5", "", "Settings"),
    # -- lists --
    Command("rows", "up", "up,k", "", "One up", in_palette=False),
    Command("rows", "down", "down,j", "", "One down", in_palette=False),
    Command("rows", "page_up", "pageup", "", "One page up", in_palette=False),
    Command("rows", "page_down", "pagedown", "", "One page down", in_palette=False),
    Command("rows", "first", "home", "", "To the first", in_palette=False),
    Command("rows", "last", "end", "", "To the last", in_palette=False),
    Command("rows", "choose", "enter", "", "Open or choose", in_palette=False),
    # -- home --
    Command("home", "choose", "enter", "Open", "Open what is selected", in_palette=False),
    Command("home", "pick(1)", "1", "Pick", "Set up a training run", shown="1-4"),
    Command("home", "pick(2)", "2", "", "Try the demo"),
    Command("home", "pick(3)", "3", "", "Open a preset or config"),
    Command("home", "pick(4)", "4", "", "Check this computer"),
    Command("home", "new_run", "n", "New run", "Set up a new run"),
    Command("home", "resume", "r", "Resume", "Resume the selected run"),
    Command("home", "leave", "q", "Quit", "Quit", in_palette=False),
    # -- wizard --
    Command("wizard", "next", "ctrl+n", "Next", "Next step", is_priority=True),
    Command("wizard", "back", "escape", "Back", "One step back; nothing is lost", in_palette=False),
    Command("wizard", "browse", "ctrl+o", "Browse", "Browse for a folder", is_priority=True),
    Command("wizard", "rescan", "ctrl+r", "Rescan", "Scan or check again", is_narrow=False, is_priority=True),
    Command("wizard", "more", "ctrl+t", "More settings", "More settings of this step", is_priority=True),
    Command("wizard", "copy_command", "ctrl+y", "Copy command", "Copy the command for the shell", is_priority=True),
    Command("wizard", "save_preset", "ctrl+s", "Save preset", "Save this as a preset", is_priority=True),
    # -- fields of the set-up --
    Command("field", "enter", "enter", "", "Next field; opens a list", in_palette=False),
    Command("field", "open", "space", "", "Open the list", in_palette=False),
    Command("field", "up", "up", "", "A number up; opens a list", in_palette=False),
    Command("field", "down", "down", "", "A number down; opens a list", in_palette=False),
    Command("field", "cycle(-1)", "left", "", "The choice before", in_palette=False),
    Command("field", "cycle(1)", "right", "", "The choice after", in_palette=False),
    Command("field", "restore", "backspace", "", "Bring the recommended value back", in_palette=False),
    Command("list", "choose", "space", "", "Choose", in_palette=False),
    Command("list", "close", "escape", "Close", "Close the list", in_palette=False),
    Command("radio", "go_on", "enter", "", "On to the fields", in_palette=False),
    Command("review", "choose", "enter", "", "Go to the page of this row", in_palette=False),
    Command("review", "up", "up", "", "One row up", in_palette=False),
    Command("review", "down", "down", "", "One row down", in_palette=False),
    Command("editor", "keep", "ctrl+s", "Keep", "Keep the text", in_palette=False, is_priority=True),
    Command("editor", "drop", "escape", "Leave as it was", "Leave the text as it was", in_palette=False),
    # -- the download of a model --
    Command("download", "begin", "enter", "", "Download, or go on to the next page", in_palette=False),
    Command("download", "stop", "x", "Stop", "Stop the download; what arrived stays", in_palette=False),
    Command("download", "up", "up", "", "To the field above", in_palette=False),
    Command("download", "down", "down", "", "To what follows", in_palette=False),
    # -- looking for a folder --
    Command("browse", "choose", "enter", "Open", "Open the folder", in_palette=False),
    Command(
        "browse",
        "take",
        "ctrl+n",
        "Choose",
        "Choose the folder that is open",
        wide="Choose this folder",
        in_palette=False,
        is_priority=True,
    ),
    Command("browse", "parent", "left", "Up", "To the folder above", in_palette=False),
    Command("browse", "enter", "right", "", "Open the folder", in_palette=False),
    Command("browse", "close", "escape", "Close", "Close without choosing", in_palette=False),
    # -- the table of songs --
    Command("songs", "toggle_problems", "exclamation_mark", "Problems", "Problems first, or all by name"),
    Command("songs", "filter", "slash", "Filter", "Filter the table"),
    Command("songs", "choose", "enter", "Song", "What the model sees of this song", in_palette=False),
    Command("songs", "leave_out", "space", "Leave out", "Leave this song out, or take it back", is_narrow=False),
    Command("songs", "no_voice", "i", "No voice", "Mark this song as without voice", is_narrow=False),
    # -- one song --
    Command("song", "back", "escape", "Back", "Back to the table", in_palette=False),
    Command("song", "previous", "up,k", "Song", "The song before", wide="Other song", shown="↑↓", in_palette=False),
    Command("song", "next", "down,j", "", "The next song", in_palette=False),
    Command("song", "page_up", "pageup", "", "One page up in caption and lyrics", in_palette=False),
    Command("song", "page_down", "pagedown", "", "One page down in caption and lyrics", in_palette=False),
    Command("song", "leave_out", "space", "Leave out", "Leave this song out, or take it back"),
    Command("song", "no_voice", "i", "No voice", "Mark this song as without voice"),
    Command("song", "edit", "ctrl+g", "Edit", "Edit caption and lyrics in $EDITOR", wide="Edit in $EDITOR"),
    Command("song", "copy", "y", "Copy path", "Copy the song's path", is_narrow=False),
    # -- monitor --
    Command("monitor", "pause", "p", "Pause", "Pause and resume"),
    Command("monitor", "save", "s", "Save", "Save now", wide="Save now"),
    Command("monitor", "sample", "n", "Sample", "Sample now", wide="Sample now"),
    Command("monitor", "stop", "x", "Stop…", "Stop… (asks how)"),
    Command("monitor", "export", "e", "Export…", "Export…"),
    Command("monitor", "resume", "r", "Resume", "Resume the run"),
    Command("monitor", "panel(7)", "7", "Log", "Go to panel 7, Log", in_palette=False),
    Command("monitor", "panel(5)", "5", "Listen", "Go to panel 5, Samples", in_palette=False),
    Command("monitor", "train_longer", "r", "Train longer", "Train longer"),
    Command("monitor", "compare", "c", "Compare", "Compare with another run", is_narrow=False),
    Command("monitor", "new_run", "n", "New run", "Set up a new run"),
    Command("monitor", "panel(1)", "1", "Panels", "Go to a panel", shown="1-7", in_palette=False),
    *(
        Command("monitor", f"panel({number})", str(number), "", f"Go to panel {number}, {name}", in_palette=False)
        for number, name in ((2, "Speed"), (3, "GPU"), (4, "Data"), (6, "Saves"))
    ),
    Command("monitor", "zoom", "z,enter", "Zoom", "Zoom the panel"),
    *_chart("monitor"),
    Command("monitor", "warnings_only", "exclamation_mark", "", "Warnings only, in the log"),
    Command("monitor", "filter", "slash", "", "Filter the log"),
    Command("monitor", "copy", "y", "Copy", "Copy what is marked"),
    Command("monitor", "leave", "q", "Leave", "Leave, training goes on"),
    Command("monitor", "back", "escape", "", "Back to Home, or out of zoom", in_palette=False),
    # -- zoomed chart --
    Command("zoom", "back", "escape", "Back", "Out of zoom", in_palette=False),
    Command("zoom", "read_left", "left", "Read", "Read values on the chart", shown="←→", in_palette=False),
    Command("zoom", "read_right", "right", "", "Read the next step", in_palette=False),
    Command("zoom", "pan_left", "shift+left", "Pan", "Move the chart", shown="⇧←→", is_narrow=False, in_palette=False),
    Command("zoom", "pan_right", "shift+right", "", "Move the chart to later steps", in_palette=False),
    Command("zoom", "zoom_in", "plus,equals_sign", "Zoom", "Zoom the chart", shown="+-", in_palette=False),
    Command("zoom", "zoom_out", "minus", "", "Zoom out", in_palette=False),
    Command("zoom", "follow", "f", "Follow", "Follow the newest step"),
    Command("zoom", "show_all", "0", "All", "Show all steps", is_narrow=False),
    Command("zoom", "toggle_log", "l", "Log", "Log scale"),
    Command("zoom", "cycle_smoothing", "m", "Smooth", "Smoothing", is_narrow=False),
    Command("zoom", "toggle_dots", "o", "Dots", "Single steps as dots, or not", is_narrow=False),
    Command("zoom", "next_curve", "v", "Curve", "Next curve"),
    Command("zoom", "copy", "y", "Copy", "Copy the values", is_narrow=False),
    # -- samples --
    Command("samples", "back", "escape", "Back", "Out of the samples", in_palette=False),
    Command("samples", "play", "space", "Play", "Play or stop"),
    Command("samples", "flip", "t", "Flip", "Flip between A and B", wide="Flip A/B"),
    Command("samples", "earlier", "left", "", "5 seconds back", shown="←→", in_palette=False),
    Command("samples", "later", "right", "", "5 seconds on", in_palette=False),
    Command("samples", "mark_a", "a", "Mark", "Mark as A", wide="Mark A", shown_narrow="a b"),
    Command("samples", "mark_b", "b", "Mark", "Mark as B", wide="Mark B", is_narrow=False),
    Command("samples", "listen", "u", "Listen", "Listen on your own computer"),
    Command("samples", "copy", "y", "Copy", "Copy the path", is_narrow=False),
    Command("samples", "sample", "n", "Sample", "Sample now", wide="Sample now"),
    # -- save points --
    Command("saves", "back", "escape", "Back", "Out of the save points", in_palette=False),
    Command("saves", "export", "e", "Export…", "Export this save point…"),
    Command("saves", "keep", "space", "Keep", "Keep this save point for ever, or no more"),
    Command("saves", "verify", "v", "Verify", "Verify this save point"),
    Command("saves", "delete", "d", "Delete…", "Delete this save point…"),
    Command("saves", "copy", "y", "Copy", "Copy the folder of this save point"),
    # -- the whole log --
    Command("log", "back", "escape", "Back", "Out of the log", in_palette=False),
    Command("log", "warnings_only", "exclamation_mark", "Problems", "Warnings only, or all lines"),
    Command("log", "filter", "slash", "Filter", "Filter the log"),
    Command("log", "copy", "y", "Copy", "Copy the marked line"),
    # -- runs --
    Command("runs", "choose", "enter", "Open", "Open the selected run", in_palette=False),
    Command("runs", "filter", "slash", "Filter", "Filter by name, state or goal"),
    Command("runs", "mark", "space", "Mark", "Mark for comparing"),
    Command("runs", "compare", "c", "Compare", "Compare the marked runs", wide="Compare marked"),
    Command("runs", "resume", "r", "Resume", "Resume the selected run"),
    Command("runs", "stop", "x", "Stop…", "Stop the selected run…"),
    Command("runs", "export", "e", "Export…", "Export the selected run…", is_narrow=False),
    Command("runs", "delete", "d", "Delete…", "Delete the selected run…"),
    Command("runs", "new_run", "n", "New run", "Set up a new run"),
    Command("runs", "copy", "y", "", "Copy the folder"),
    Command("runs", "back", "escape", "", "Back", in_palette=False),
    # -- compare --
    Command("compare", "back", "escape", "Back", "Back to the runs", in_palette=False),
    Command("compare", "read_left", "left", "Read", "Read values", shown="←→", is_narrow=False, in_palette=False),
    Command("compare", "read_right", "right", "", "Read the next step", in_palette=False),
    Command("compare", "zoom_in", "plus,equals_sign", "Zoom", "Zoom in", shown="+-", is_narrow=False),
    Command("compare", "zoom_out", "minus", "", "Zoom out"),
    Command("compare", "show_all", "0", "", "Show all steps"),
    Command("compare", "toggle_log", "l", "Log", "Log scale", wide="Log scale"),
    Command("compare", "cycle_smoothing", "m", "Smooth", "Smoothing", wide="Smoothing"),
    Command("compare", "next_curve", "v", "Curve", "Next curve"),
    Command("compare", "copy", "y", "Copy", "Copy the table", wide="Copy table"),
    # -- settings --
    Command("settings", "move", "up", "Move", "Up and down", shown="↑↓", in_palette=False),
    Command("settings", "choose", "enter", "Change", "Change the setting", in_palette=False),
    Command("settings", "find", "slash", "Find", "Find a setting"),
    Command("settings", "default", "backspace", "Default", "Back to the default", is_narrow=False),
    Command("settings", "edit_file", "ctrl+g", "Edit file", "Edit the settings file", is_narrow=False),
    Command("settings", "back", "escape", "Back", "Back", in_palette=False),
    # -- help and the doctor --
    Command("help", "back", "escape", "Back", "Back", in_palette=False),
    Command("help", "find", "slash", "Find", "Find a word"),
    Command("help", "all_screens", "tab", "All screens", "Keys of all screens", in_palette=False),
    Command("doctor", "back", "escape", "Back", "Back", in_palette=False),
    Command("doctor", "again", "ctrl+r", "Look again", "Look again"),
    Command("doctor", "copy", "y", "Copy", "Copy the report"),
    # -- dialogs --
    Command("dialog", "choose", "enter", "Choose", "Choose", in_palette=False),
    Command("dialog", "safe", "escape", "", "The safe answer", in_palette=False),
)


def of_scope(scope: str) -> tuple[Command, ...]:
    """The commands of one screen or widget, in the footer's order."""
    return tuple(command for command in COMMANDS if command.scope == scope)


def by_id(command_id: str) -> Command | None:
    """The command of an id, or None."""
    return _BY_ID.get(command_id)


_BY_ID = {command.id: command for command in COMMANDS}


def bindings(*scopes: str) -> list[BindingType]:
    """Textual bindings of these scopes."""
    return [
        Binding(
            command.keys,
            command.name,
            command.word or command.sentence,
            id=command.id,
            key_display=command.key_shown,
            tooltip=command.sentence,
            show=bool(command.word),
            priority=command.is_priority,
            system=not command.in_palette,
        )
        for scope in scopes
        for command in of_scope(scope)
    ]
