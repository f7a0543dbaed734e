"""The app: themes, keys that work everywhere, the way from screen to screen. Screens are imported when opened."""

from __future__ import annotations

import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.notifications import Notification
from textual.screen import Screen
from textual.widgets._toast import Toast

from acestep_tui import format as fmt
from acestep_tui.commands import bindings
from acestep_tui.escape_key import answer_escape_soon
from acestep_tui.failures import TellsFailures
from acestep_tui.keys_in_order import KeysInOrder
from acestep_tui.settings import Settings, load_settings
from acestep_tui.themes import DEFAULT_THEME, VARIABLE_DEFAULTS, house_themes
from acestep_tui.widgets import paint

if TYPE_CHECKING:
    from textual.command import Provider

    from acestep_tui.wizard.draft import Draft
    from engine.contract.run_dir import RunDir

# The settings that change what is on the screen at once.
LOOKS = ("theme", "motion", "glyphs", "density", "keys", "clock", "memory_unit")
# Those of them that only show once lines are made again.
_REDRAWN = ("glyphs", "density", "clock", "memory_unit")
_TOASTS_AT_ONCE = 3
# kind -> (glyph, Textual's severity, seconds; None = until a key)
_TOASTS = {
    "done": ("✓", "information", 4.0),
    "info": ("●", "information", 4.0),
    "warning": ("▲", "warning", 10.0),
    "error": ("✗", "error", None),
}
_FOR_EVER_S = 1e9


@dataclass(frozen=True, slots=True)
class Start:
    """What to open first: home, or the monitor of a run."""

    run: RunDir | None = None
    is_readonly: bool = False


def _palette_provider() -> type[Provider]:
    """The palette's commands; loaded when it is opened."""
    from acestep_tui.palette import HousePalette

    return HousePalette


class AceStepApp(TellsFailures, KeysInOrder):
    """acestep-tui on a screen. Returns the lines that the shell prints after it is closed.

    Args:
        start: What to open first.
        settings: The user's settings; read from disk when not given.
        clock: Tells the time (Unix seconds); tests stop it.
        host: What the header calls this computer.
    """

    TITLE = "acestep-tui"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar = {_palette_provider}
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(
        self,
        start: Start | None = None,
        *,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
        host: str | None = None,
    ) -> None:
        self.settings = settings if settings is not None else load_settings()
        self.clock = clock
        self.host = platform.node() if host is None else host
        self._start = start or Start()
        super().__init__()
        for theme in house_themes():
            self.register_theme(theme)
        self.settings.on_change = self._setting_changed
        self._lasting: list[Notification] = []
        self._folded: Notification | None = None
        self._num_folded = 0

    # -- looks --

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of ours that a built-in theme lacks."""
        return VARIABLE_DEFAULTS

    def on_mount(self) -> None:
        """Put the settings to work and open the first screen."""
        for key in LOOKS:
            self.apply_setting(key)
        if self._start.run is not None:
            self.open_monitor(self._start.run, is_readonly=self._start.is_readonly)
        else:
            self.open_home()
        if self.settings.problem:
            self.toast("warning", self.settings.problem)

    def apply_setting(self, key: str) -> None:
        """Make a changed setting visible at once."""
        if key == "theme":
            name = self.settings["theme"]
            self.theme = name if name in self.available_themes else DEFAULT_THEME
        elif key == "motion":
            self.animation_level = "full" if self.has_motion else "none"
        elif key == "glyphs":
            paint.use_ascii(self.settings["glyphs"] == "ascii" or not _draws_unicode())
            self.set_class(paint.is_ascii(), "-ascii")
        elif key in ("clock", "memory_unit"):
            fmt.use_wishes(
                has_12_hours=self.settings["clock"] == "12", has_binary_names=self.settings["memory_unit"] == "GiB"
            )
        elif key == "density":
            self.set_class(self.settings["density"] == "compact", "-compact")
        elif key == "keys":
            self.set_keymap(self.settings.keys)
        if key in _REDRAWN and self.is_running:
            self._redraw_screens()

    def _setting_changed(self, key: str) -> None:
        self.apply_setting(key)
        if self.settings.problem and self.is_running:
            self.toast("warning", self.settings.problem)

    def _redraw_screens(self) -> None:
        """What is drawn by hand is drawn again on every open screen."""
        from acestep_tui.screens.base import HouseScreen
        from acestep_tui.widgets.lines import Lines

        for screen in self.screen_stack:
            if isinstance(screen, HouseScreen) and screen.is_mounted:
                screen.looks_changed()
            for drawn in screen.query(Lines):
                drawn.redraw()

    @property
    def has_motion(self) -> bool:
        """Whether anything may move by itself (screens.md, "Motion")."""
        chosen = self.settings["motion"]
        if chosen != "auto":
            return bool(chosen == "on")
        return not any(os.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "NO_MOTION"))

    @property
    def redraw_s(self) -> float:
        """Seconds between two looks at a running training."""
        return {2: 0.5, 1: 1.0}.get(self.settings["redraw"], 5.0)

    # -- telling --

    def toast(self, kind: str, *lines: str) -> None:
        """A note at the lower right: ``done``, ``info``, ``warning`` or ``error`` (stays until a key)."""
        glyph, severity, seconds = _TOASTS[kind]
        message = paint.text(f"{glyph} {lines[0]}").plain + "".join(f"\n{paint.text(line).plain}" for line in lines[1:])
        notification = Notification(message, severity=severity, timeout=seconds or _FOR_EVER_S, markup=False)  # type: ignore[arg-type]
        self._fold_oldest()
        self._lasting.append(notification)
        self._notifications.add(notification)
        self._refresh_notifications()

    def tell_failure(self, words: str) -> None:
        """Say once what nobody expected: what is looked at every second may fail every second."""
        if not any(shown.severity == "error" and shown.message.endswith(f"\n{words}") for shown in self._notifications):
            self.toast("error", "This could not be done.", words)

    def _fold_oldest(self) -> None:
        """Make room for one more: at most three are whole, those before become one line that counts them."""
        self._lasting = [shown for shown in self._lasting if shown in self._notifications]
        if self._folded is not None and self._folded not in self._notifications:
            self._folded, self._num_folded = None, 0
        whole = [shown for shown in self._lasting if shown is not self._folded]
        for oldest in whole[: max(0, len(whole) - _TOASTS_AT_ONCE + 1)]:
            self._num_folded += 1
            if self._folded is None:
                self._folded = oldest
            else:
                self._unnotify(oldest, refresh=False)
        if self._folded is not None:
            where = " in 7" if "monitor" in getattr(self.screen, "scopes", ()) else ""
            self._folded.message = f"{self._num_folded} more{where}"
            for toast in self.screen.query(Toast):
                toast.refresh(layout=True)

    def on_key(self) -> None:
        """Errors stay until a key is pressed."""
        errors = [shown for shown in self._lasting if shown.severity == "error"]
        for shown in errors:
            self._unnotify(shown)
        self._lasting = [shown for shown in self._lasting if shown.severity != "error"]

    def copy(self, value: str, what: str) -> None:
        """Copy through the terminal (OSC 52), which works over SSH, and say so."""
        self.copy_to_clipboard(value)
        self.toast("info", f"Copied {what}.")

    # -- from screen to screen --

    def go_to(self, screen: Screen[object]) -> None:
        """Put a screen in the place of all others."""
        while len(self.screen_stack) > 2:
            self.pop_screen()
        if len(self.screen_stack) == 2:
            self.switch_screen(screen)
        else:
            self.push_screen(screen)

    def open_home(self) -> None:
        """Home."""
        from acestep_tui.screens.home import HomeScreen

        self.go_to(HomeScreen())

    def open_runs(self) -> None:
        """The list of runs."""
        from acestep_tui.screens.runs import RunsScreen

        self.go_to(RunsScreen())

    def open_monitor(self, run: RunDir, *, is_readonly: bool = False) -> None:
        """One run."""
        from acestep_tui.screens.monitor import MonitorScreen

        self.go_to(MonitorScreen(run, is_readonly=is_readonly))

    def open_wizard(self, draft: Draft | None = None, path: Path | None = None) -> None:
        """Set up a run: a new one, or a draft where it was left; ``path`` is the draft's file."""
        from acestep_tui.screens.wizard import WizardScreen

        self.go_to(WizardScreen(draft, path=path))

    def open_preset(self, path: Path) -> None:
        """Set up a run from a preset or a configuration, opened at the review."""
        from acestep_tui.screens.wizard import WizardScreen

        self.go_to(WizardScreen.from_preset(path))

    def open_compare(self, runs: Sequence[RunDir]) -> None:
        """Two or three runs beside each other; escape comes back."""
        from acestep_tui.screens.compare import CompareScreen

        self.push_screen(CompareScreen(runs))

    def open_doctor(self) -> None:
        """This computer in full; escape comes back."""
        from acestep_tui.screens.doctor import DoctorScreen

        self.push_screen(DoctorScreen())

    def action_open_home(self) -> None:
        """F2."""
        self.open_home()

    def action_open_runs(self) -> None:
        """F3."""
        self.open_runs()

    def action_open_newest(self) -> None:
        """F4: the run that was started last; its folder may lie on a slow disk, so it is looked for in a thread."""
        self.run_worker(self._find_newest, thread=True, exclusive=True, exit_on_error=False, group="newest")

    def _find_newest(self) -> None:
        from acestep_tui.runs.registry import known_runs

        self.call_from_thread(self._open_newest, known_runs()[:1])

    def _open_newest(self, runs: Sequence[RunDir]) -> None:
        if runs:
            self.open_monitor(runs[0])
        else:
            self.toast("info", "No runs yet. n on Home sets one up.")

    def action_open_settings(self) -> None:
        """F5."""
        from acestep_tui.screens.settings import SettingsScreen

        if not isinstance(self.screen, SettingsScreen):
            self.push_screen(SettingsScreen())

    def action_help(self) -> None:
        """F1: keys of this screen, words, shell commands."""
        from acestep_tui.screens.base import HouseScreen
        from acestep_tui.screens.help import HelpScreen

        screen = self.screen
        # In a field of the set-up F1 opens that field's own words.
        explain = getattr(screen, "explain", None)
        if explain is not None and explain():
            return
        if isinstance(screen, HouseScreen) and not isinstance(screen, HelpScreen):
            self.push_screen(HelpScreen(screen))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Help has no help."""
        from acestep_tui.screens.base import HouseScreen

        if action == "help":
            return isinstance(self.screen, HouseScreen) and bool(self.screen.scopes != ("help",))
        return super().check_action(action, parameters)

    def action_quit_app(self) -> None:
        """Close the app; what trains goes on, and the shell says how to come back."""
        self.leave()

    def leave(self) -> None:
        """Close the app with the words of whatever screen is open."""
        lines: list[str] = []
        for screen in reversed(self.screen_stack):
            farewell = getattr(screen, "farewell", None)
            if farewell is not None:
                lines = list(farewell())
                break
        self.exit(lines)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: every command that works here, by its sentence, and what belongs to no key."""
        from acestep_tui.palette import palette_commands

        yield from palette_commands(self, screen)


def _draws_unicode() -> bool:
    """Whether the terminal's encoding carries our symbols.

    Python speaks UTF-8 by itself under the C locale, so its own encoding does not tell whether that locale was wished.
    A computer that names no locale at all (a container) says nothing about the terminal: symbols are drawn.
    """
    import locale

    if sys.flags.utf8_mode and "PYTHONUTF8" not in os.environ:
        return (os.environ.get("LC_ALL") or os.environ.get("LANG") or "") not in ("C", "POSIX")
    return "utf" in (locale.getpreferredencoding(False) or "").lower()


def run_app(start: Start | None = None) -> int:
    """Open the app and, once it is closed, print what the shell should say; returns the exit code."""
    answer_escape_soon()
    # A long run makes a million small objects at once: looking through them after every 700 costs a tenth of the time.
    gc.set_threshold(50_000, 20, 20)
    app = AceStepApp(start)
    lines = app.run()
    for line in lines or ():
        print(line)
    return app.return_code or 0
