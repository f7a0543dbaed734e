"""How the app looks and behaves for this user: declared once, kept as JSON under XDG, saved as it is changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acestep_tui import format as fmt
from acestep_tui.paths import APP
from engine.contract.errors import UserError
from engine.contract.files import write_json


@dataclass(frozen=True, slots=True)
class UiSetting:
    """One setting of the app.

    Attributes:
        key: Its name in the file.
        section: The group it is shown in.
        label: What it is called.
        default: Its value when nothing is set.
        help: One line beside it.
        choices: (value, word) pairs; empty = free text or a number.
        minimum, maximum: Range of a number.
    """

    key: str
    section: str
    label: str
    default: Any
    help: str
    choices: tuple[tuple[Any, str], ...] = ()
    minimum: int | None = None
    maximum: int | None = None

    def word(self, value: Any) -> str:
        """A value as it is shown."""
        return next((word for choice, word in self.choices if choice == value), str(value))

    def parse(self, value: Any) -> Any:
        """The value if it is one of this setting's.

        Raises:
            ValueError: With a sentence that says what is accepted.
        """
        if self.choices:
            for choice, word in self.choices:
                if value in (choice, word):
                    return choice
            raise ValueError(f"one of: {', '.join(word for _, word in self.choices)}")
        if isinstance(self.default, int):
            return self._number(value)
        if not isinstance(value, str) or not value.strip():
            raise ValueError("a text")
        return value.strip()

    def _number(self, value: Any) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = (self.minimum or 0) - 1
        if (self.minimum is not None and number < self.minimum) or (self.maximum is not None and number > self.maximum):
            raise ValueError(f"a number from {self.minimum} to {self.maximum}")
        return number


UI_SETTINGS: tuple[UiSetting, ...] = (
    UiSetting(
        "theme", "Look", "Theme", "studio-dark", "dark, light, contrast, colour-safe, yours",
        (("studio-dark", "Studio dark"), ("studio-light", "Studio light"), ("studio-contrast", "High contrast"),
         ("studio-safe", "Colour-safe"), ("ansi-dark", "Terminal, dark"), ("ansi-light", "Terminal, light")),
    ),
    UiSetting(
        "density", "Look", "Density", "comfortable", "compact removes the empty lines",
        (("comfortable", "comfortable"), ("compact", "compact")),
    ),
    UiSetting(
        "motion", "Look", "Motion", "auto", "spinners and fades; off saves traffic",
        (("auto", "off over SSH"), ("on", "on"), ("off", "off")),
    ),
    UiSetting(
        "glyphs", "Look", "Glyphs", "auto", "ASCII if you see boxes, not ✓ ● ▲",
        (("auto", "Unicode"), ("ascii", "ASCII")),
    ),
    UiSetting(
        "redraw", "Monitor", "Redraw", 2, "1 or less for slow connections",
        ((2, "2 times a second"), (1, "once a second"), (0, "every 5 seconds")),
    ),
    UiSetting(
        "clock", "Monitor", "Time", "24", "12 h or 24 h, in this computer’s zone", (("24", "24 h"), ("12", "12 h")),
    ),
    UiSetting(
        "memory_unit", "Monitor", "Memory", "GB", "1 GB = 1,024 MB, as cards count", (("GB", "GB"), ("GiB", "GiB")),
    ),
    UiSetting(
        "player", "Sound", "Player", "auto", "mpv, ffplay, aplay, afplay: what is here",
        (("auto", "find one"), ("mpv", "mpv"), ("ffplay", "ffplay"), ("aplay", "aplay"), ("afplay", "afplay")),
    ),
    UiSetting(
        "listen_port", "Sound", "Listen port", 8377, "clips in your browser: a later version",
        minimum=1024, maximum=65535,
    ),
    UiSetting("runs_folder", "Runs", "Runs folder", "~/acestep/runs", "new runs go here; old ones stay"),
    UiSetting(
        "notify", "Runs", "Tell me", "bell", "bell, notice, or nothing",
        (("bell", "bell at the end"), ("notice", "notice at the end"), ("nothing", "nothing")),
    ),
)  # fmt: skip
UI_SETTINGS_BY_KEY = {setting.key: setting for setting in UI_SETTINGS}


def settings_path() -> Path:
    """``$XDG_CONFIG_HOME/acestep-tui/settings.json``."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".config"
    return root / APP / "settings.json"


@dataclass
class Settings:
    """The user's values; what is not set has its default.

    Attributes:
        values: Only what differs from the defaults.
        keys: Command id to the key the user gave it.
        problem: Why the file could not be read or written, for a toast; empty when all is well.
        unsaved: Why what you chose is not in the file, in a few words; empty while it is.
        other: What a newer version wrote and this one does not know: kept as it is.
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    unsaved: str = ""
    other: dict[str, Any] = field(default_factory=dict)
    on_change: Callable[[str], None] | None = None

    def __getitem__(self, key: str) -> Any:
        return self.values.get(key, UI_SETTINGS_BY_KEY[key].default)

    def set(self, key: str, value: Any) -> None:
        """Change a setting and save at once; the default is forgotten rather than written.

        Raises:
            ValueError: Not a value of this setting.
        """
        setting = UI_SETTINGS_BY_KEY[key]
        self.values[key] = setting.parse(value)
        if self.values[key] == setting.default:
            del self.values[key]
        self._changed(key)

    def reset(self, key: str) -> None:
        """Back to the default."""
        self.values.pop(key, None)
        self._changed(key)

    def set_key(self, command_id: str, key: str | None) -> None:
        """Give a command another key; None brings its own back."""
        self.keys.pop(command_id, None)
        if key is not None:
            self.keys[command_id] = key
        self._changed("keys")

    def _changed(self, key: str) -> None:
        self.save()
        if self.on_change is not None:
            self.on_change(key)

    def save(self) -> None:
        """Write the file; a failure is remembered in `problem` and costs nothing else."""
        content: Mapping[str, Any] = {**self.other, **self.values, **({"keys": self.keys} if self.keys else {})}
        try:
            write_json(self.path, content, action="saving the settings")
            self.problem = self.unsaved = ""
        except (UserError, OSError) as error:
            reason = (
                error.message if isinstance(error, UserError) else f"{error.filename or self.path}: {error.strerror}"
            )
            self.problem = f"The settings could not be saved: {reason}"
            self.unsaved = fmt.few_words(error)


def load_settings(path: Path | None = None) -> Settings:
    """Read the user's settings; values that are not ours any more fall back to their default and are said."""
    settings = Settings(path or settings_path())
    try:
        content = json.loads(settings.path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return settings
    except (OSError, ValueError) as error:
        settings.problem = f"{settings.path} cannot be read ({_why(error)}): the defaults are used"
        return settings
    if not isinstance(content, dict):
        settings.problem = f"{settings.path} is not an object: the defaults are used"
        return settings
    for key, value in content.items():
        if key == "keys" and isinstance(value, dict):
            settings.keys = {str(command): str(new) for command, new in value.items()}
        elif key in UI_SETTINGS_BY_KEY:
            try:
                settings.values[key] = UI_SETTINGS_BY_KEY[key].parse(value)
            except ValueError as error:
                settings.problem = f"{settings.path}: {key} is not {error}: the default is used"
        else:
            settings.other[key] = value
    return settings


def _why(error: OSError | ValueError) -> str:
    """Why a file cannot be read, in words: no error number, no parser's counting of characters."""
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno} is not JSON"
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
