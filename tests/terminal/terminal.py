"""A real terminal in memory: the program on a pty of its own, its screen read by pyte, keys typed into it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

KEYS = {
    "enter": "\r", "escape": "\x1b", "tab": "\t", "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D",
    "backspace": "\x7f", "f1": "\x1bOP", "f2": "\x1bOQ", "f3": "\x1bOR", "f4": "\x1bOS", "f5": "\x1b[15~",
    **{f"ctrl+{letter}": chr(ord(letter) - 96) for letter in "abcdefghijklmnopqrstuvwxyz"},
}  # fmt: skip


class Terminal:
    """One program on one terminal.

    Args:
        command: What to start.
        cwd, environment: Where and with what.
        columns, rows: Size of the terminal.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self.num_bytes = 0
        self._is_closing = False
        self.exit_status: int | None = None
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            with contextlib.suppress(OSError):
                os.chdir(cwd)
                os.execvpe(command[0], list(command), {**environment, "TERM": "xterm-256color"})
            os._exit(127)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the program has gone
            while not self._is_closing:
                if not select.select([self._master], [], [], 0.05)[0]:
                    continue
                if not (chunk := os.read(self._master, 65536)):
                    return
                with self._lock:
                    self.num_bytes += len(chunk)
                    self._stream.feed(chunk)

    def _close_master(self) -> None:
        """Close our end; not under the reader's hands: the next terminal may get the same number."""
        self._is_closing = True
        self._reader.join()
        with contextlib.suppress(OSError):
            os.close(self._master)

    def lines(self) -> list[str]:
        """The rows of the screen as they are now."""
        with self._lock:
            return [line.rstrip() for line in self.screen.display]

    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines())

    def write(self, key: str) -> None:
        """Type one key by name, or a text as it is."""
        os.write(self._master, KEYS.get(key, key).encode())

    def press(self, *keys: str) -> None:
        """Type keys one after the other."""
        for key in keys:
            self.write(key)
            # Two keys in one read would be one escape sequence.
            time.sleep(0.05)

    def wait_for(self, *wanted: str, timeout_s: float = 60.0) -> str:
        """Wait until all these texts stand on the screen; returns the screen.

        Raises:
            AssertionError: They never did; the screen is shown.
        """
        return self.wait_until(lambda text: all(word in text for word in wanted), f"{wanted}", timeout_s=timeout_s)

    def wait_until(self, reached: Callable[[str], bool], what: str, *, timeout_s: float = 60.0) -> str:
        """Wait until the screen satisfies a condition; returns it."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            text = self.text()
            if reached(text):
                return text
            time.sleep(0.05)
        raise AssertionError(f"never on the screen: {what}\n{self.text()}")

    def hang_up(self) -> None:
        """The connection is lost: the terminal goes away and the kernel sends SIGHUP."""
        self._close_master()
        self.wait()

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for the program's end; returns its exit code (negative: by a signal)."""
        deadline = time.monotonic() + timeout_s
        while self.exit_status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"did not end\n{self.text()}")
            else:
                time.sleep(0.05)
        return self.exit_status

    def close(self) -> None:
        """End whatever still runs."""
        if self.exit_status is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        if not self._is_closing:
            self._close_master()


def program(*arguments: str) -> list[str]:
    """The command line of acestep-tui itself."""
    return [sys.executable, "-m", "acestep_tui", *arguments]
