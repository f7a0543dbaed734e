"""Whether this computer ends your programs when you log out, and the one command against it. Unknown is None."""

from __future__ import annotations

import configparser
import getpass
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 2.0
# Later files override earlier ones (logind.conf(5)).
_MAIN_FILES = ("usr/lib/systemd/logind.conf", "run/systemd/logind.conf", "etc/systemd/logind.conf")
_DROP_IN_FOLDERS = ("usr/lib/systemd/logind.conf.d", "run/systemd/logind.conf.d", "etc/systemd/logind.conf.d")
_TRUE = ("yes", "true", "1", "on", "y", "t")

Run = Callable[[Sequence[str]], "str | None"]


@dataclass(frozen=True, slots=True)
class LogOut:
    """What happens to programs at log-out.

    Attributes:
        kills: systemd ends what a session leaves behind (``KillUserProcesses=yes`` applies to this user).
        has_linger: The user's own service manager goes on without a session.
        user: Login name.
    """

    kills: bool | None = None
    has_linger: bool | None = None
    user: str = ""

    @property
    def ends_programs(self) -> bool | None:
        """Whether a run would end at log-out; False where `scope_prefix` keeps it."""
        return None if self.kills is None else self.kills and not self.has_linger

    @property
    def fix(self) -> str:
        """The command that keeps runs alive; empty where none is needed."""
        return f"loginctl enable-linger {self.user}" if self.ends_programs else ""

    @property
    def scope_prefix(self) -> tuple[str, ...]:
        """What a worker's command line must begin with to outlive the session.

        Lingering alone does not save what lies in the session's own scope; a scope of the user's manager does.
        """
        return ("systemd-run", "--user", "--scope", "--quiet", "--collect") if self.kills and self.has_linger else ()


def read_log_out(*, root: Path = Path("/"), run: Run | None = None, user: str | None = None) -> LogOut:
    """Ask systemd; everything unknown where there is none (macOS, containers).

    Args:
        root: Where the configuration lies; another one in tests.
        run: Runs a command and returns its output, or None.
        user: Login name.
    """
    if not (root / "run/systemd/system").is_dir():
        return LogOut()
    name = user if user is not None else _user()
    settings = _settings(root)
    kills = _asked(run or _run)
    if kills is None:
        written = settings.get("killuserprocesses")
        # What the program does without a word in its files differs from distribution to distribution.
        kills = written.lower() in _TRUE if written else None
    if kills and not _applies(settings, name):
        kills = False
    return LogOut(kills=kills, has_linger=_lingers(root, name, run or _run), user=name)


def _asked(run: Run) -> bool | None:
    """The value in force, from the service itself."""
    place = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
    answer = run(["busctl", "get-property", *place, "KillUserProcesses"])
    return {"b true": True, "b false": False}.get((answer or "").strip())


def _applies(settings: dict[str, str], user: str) -> bool:
    """Whether the rule reaches this user: root is spared unless the lists say otherwise."""
    only = settings.get("killonlyusers", "").split()
    return user not in settings.get("killexcludeusers", "root").split() and (not only or user in only)


def _lingers(root: Path, user: str, run: Run) -> bool | None:
    if (root / "var/lib/systemd/linger" / user).exists():
        return True
    answer = run(["loginctl", "show-user", user, "--property=Linger"])
    return {"Linger=yes": True, "Linger=no": False}.get((answer or "").strip())


def _settings(root: Path) -> dict[str, str]:
    """The options of logind.conf by lower-case name; unreadable files are passed over."""
    found: dict[str, str] = {}
    drop_ins = {path.name: path for folder in _DROP_IN_FOLDERS for path in sorted((root / folder).glob("*.conf"))}
    for path in (*(root / name for name in _MAIN_FILES), *(drop_ins[name] for name in sorted(drop_ins))):
        parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
        try:
            parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
        except (OSError, configparser.Error):
            continue
        if parser.has_section("Login"):
            found |= {key: value or "" for key, value in parser.items("Login")}
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _run(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(
            list(command), capture_output=True, text=True, timeout=_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
