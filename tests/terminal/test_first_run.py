"""A newcomer on a real terminal (a pty, 80x24): set-up, training, a lost connection, back again, stop, go on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.terminal.story import Shown, Telling, clean_environment, tell
from tests.terminal.terminal import Terminal, program


class Desk:
    """A home, and the terminals opened there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.terminals: list[Terminal] = []

    def open(self, arguments: Sequence[str]) -> Terminal:
        """A new terminal with the program on it."""
        opened = Terminal(program(*arguments), cwd=self.home, environment=clean_environment(self.home))
        self.terminals.append(opened)
        return opened

    def lose(self, shown: Shown) -> None:
        """The connection drops: SIGHUP."""
        assert isinstance(shown, Terminal)
        shown.hang_up()

    def clear_up(self) -> None:
        """Terminals and workers end."""
        for opened in self.terminals:
            opened.close()
        for card in self.home.glob("acestep/runs/*/worker.json"):
            with contextlib.suppress(ProcessLookupError, ValueError, KeyError):
                os.kill(json.loads(card.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "home")
    desk.home.mkdir()
    yield desk
    desk.clear_up()


@pytest.mark.timeout(420)
def test_from_the_first_greeting_to_a_finished_lora_over_a_lost_connection(desk: Desk) -> None:
    tell(desk.home, Telling(open=desk.open, lose=desk.lose))


def test_a_draft_outlives_a_killed_terminal(desk: Desk) -> None:
    shown = desk.open([])
    shown.wait_for("What next?")
    shown.press("1")
    shown.wait_for("What will train?", "Processor only")
    shown.press("ctrl+n")
    shown.wait_for("Which model?")
    shown.press("ctrl+u", "demo:tiny-model", "ctrl+n")
    shown.wait_for("step 3 of 6")
    shown.press("demo:songs")
    shown.wait_for("12 songs", "draft saved")
    time.sleep(1.2)  # a change is on disk a second after it was made
    os.kill(shown.pid, signal.SIGKILL)
    shown.wait()

    again = desk.open([])
    again.wait_for("go on with demo, step 3")
    again.press("1")
    again.wait_for("step 3 of 6", "12 songs", "demo:songs")
    again.press("escape")
    again.wait_for("Which model?", "demo:tiny-model")
