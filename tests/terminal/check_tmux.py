"""The story of story.py under a real tmux, with two servers: `make tmux-test`. Fails where tmux is missing.

The first server's pane is hung up as a dropped SSH connection would (SIGHUP to its process), then the whole server is
ended; the second one attaches.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.terminal.story import Shown, Telling, clean_environment, tell
from tests.terminal.terminal import program

_NAMES = {
    "ctrl+n": "C-n", "ctrl+u": "C-u", "ctrl+p": "C-p", "escape": "Escape", "enter": "Enter", "tab": "Tab",
    "up": "Up", "down": "Down",
}  # fmt: skip


@dataclass
class TmuxTerminal:
    """The program in the only pane of a tmux server of its own, 80x24."""

    server: str
    home: Path

    def start(self, arguments: Sequence[str]) -> None:
        """Open the server with the program in it."""
        variables = [f"{name}={value}" for name, value in clean_environment(self.home).items() if name != "TERM"]
        command = shlex.join(["env", *variables, *program(*arguments)])
        self._tmux("new-session", "-d", "-x", "80", "-y", "24", "-c", str(self.home), command)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.server, "-f", "/dev/null", *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"tmux {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def text(self) -> str:
        """The screen."""
        return self._tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Type keys by name, or text as it is."""
        for key in keys:
            if key in _NAMES:
                self._tmux("send-keys", _NAMES[key])
            else:
                self._tmux("send-keys", "-l", key)
            time.sleep(0.1)

    def wait_for(self, *wanted: str, timeout_s: float = 60.0) -> str:
        """Wait until these texts stand on the screen."""
        return self.wait_until(lambda text: all(word in text for word in wanted), f"{wanted}", timeout_s=timeout_s)

    def wait_until(self, reached: Callable[[str], bool], what: str, *, timeout_s: float = 60.0) -> str:
        """Wait until the screen satisfies a condition."""
        deadline = time.monotonic() + timeout_s
        while True:
            text = self.text()
            if reached(text):
                return text
            if time.monotonic() > deadline:
                raise AssertionError(f"never on the screen: {what}\n{text}")
            time.sleep(0.1)

    def hang_up(self) -> None:
        """kill -HUP of what runs in the pane, then the end of the server."""
        pid = int(self._tmux("display-message", "-p", "#{pane_pid}"))
        os.kill(pid, signal.SIGHUP)
        self.end()

    def end(self) -> None:
        """End the server, if it still runs."""
        with contextlib.suppress(AssertionError):
            self._tmux("kill-server")


def main() -> int:
    """Tell the story; 0 when it went well."""
    if shutil.which("tmux") is None:
        print("tmux is missing: install it (apt-get install tmux); this check cannot be left out", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="acestep-tmux-") as name:
        home = Path(name) / "home"
        home.mkdir()
        opened: list[TmuxTerminal] = []

        def open_one(arguments: Sequence[str]) -> TmuxTerminal:
            terminal = TmuxTerminal(f"acestep-{os.getpid()}-{len(opened)}", home)
            opened.append(terminal)
            terminal.start(arguments)
            return terminal

        def lose(shown: Shown) -> None:
            assert isinstance(shown, TmuxTerminal)
            shown.hang_up()

        try:
            tell(home, Telling(open=open_one, lose=lose))
        finally:
            for terminal in opened:
                terminal.end()
            for card in home.glob("acestep/runs/*/worker.json"):
                with contextlib.suppress(ProcessLookupError, ValueError, KeyError):
                    os.kill(json.loads(card.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
    print("under tmux: set up, trained, hung up, attached from a second server, stopped, resumed to the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
