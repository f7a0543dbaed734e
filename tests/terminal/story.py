"""The story every terminal must be able to live through: set up the demo, watch, lose the line, come back, stop, go on.

Told twice: by pytest on a terminal in memory (test_first_run.py), by `make tmux-test` on a real tmux (check_tmux.py).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from acestep_tui.runs.liveness import is_locked
from engine.contract.run_dir import RunDir

# So few steps that nothing is compiled for them.
NUM_STEPS, LEARNING_RATE, EVERY = 300, "0.002", "160"
_LEARNT_STEP = 150
_SHORT_S, _LONG_S = 30.0, 120.0


class Shown(Protocol):
    """A terminal with the program on it."""

    def press(self, *keys: str) -> None:
        """Type keys."""

    def wait_for(self, *wanted: str, timeout_s: float = ...) -> str:
        """Wait until these texts stand on the screen; returns it."""

    def wait_until(self, reached: Callable[[str], bool], what: str, *, timeout_s: float = ...) -> str:
        """Wait until the screen satisfies a condition; returns it."""


def clean_environment(home: Path) -> dict[str, str]:
    """A login of somebody who has never used the program, without a network."""
    kept = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "SSL_CERT_FILE", "OPENBLAS_CORETYPE")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONUTF8": "1",
    }


def set_up_the_demo(shown: Shown, *, num_steps: int = NUM_STEPS) -> None:
    """From the first greeting through the six pages to the monitor, with the tiny model and the made-up songs."""
    shown.wait_for("Teach ACE-Step your songs.", "What next?")
    shown.press("1")
    shown.wait_for("What will train?", "Processor only", timeout_s=_SHORT_S)
    shown.press("ctrl+n")
    shown.wait_for("Which model?")
    shown.press("ctrl+u", "demo:tiny-model")
    shown.wait_for("demo:tiny-model")
    shown.press("ctrl+n")
    shown.wait_for("Your songs", "step 3 of 6")
    shown.press("demo:songs")
    shown.wait_for("12 songs", "1 no lyrics", "1 unreadable", "11_broken.mp3 is left out", timeout_s=_SHORT_S)
    shown.press("ctrl+n")
    shown.wait_for("What should it learn?")
    shown.press("ctrl+n")
    shown.wait_for("How long, and how will you hear it?")
    shown.press("ctrl+u", str(num_steps))
    shown.wait_for(f"{num_steps:,}")
    # So few steps of so small a model want to be large ones.
    shown.press("enter", "enter", "ctrl+u", LEARNING_RATE)
    shown.wait_for(LEARNING_RATE, "● yours")
    # Test clips of half a minute take longer than the steps between them.
    shown.press("tab", "tab", "ctrl+u", EVERY)
    shown.wait_for(f" {EVERY}", "steps: a clip")
    shown.press("ctrl+n")
    shown.wait_for("Ready to start", "acestep-tui --run demo.json", timeout_s=_SHORT_S)
    shown.press("ctrl+n")
    shown.wait_for("● training", timeout_s=_LONG_S)


def smoothed_of(text: str) -> tuple[int, float] | None:
    """Step and smoothed loss as the zoomed chart says them; None while it says none."""
    found = re.search(r"step ([\d,]+).*smoothed (\d\.\d{4})", text)
    return (int(found[1].replace(",", "")), float(found[2])) if found else None


def watch_it_learn(shown: Shown) -> None:
    """The loss falls: the smoothed numbers of the zoomed chart say so, then the arrow beside the loss."""
    shown.press("z")
    seen: dict[int, float] = {}

    def has_far_to_look_back(text: str) -> bool:
        found = smoothed_of(text)
        if found is not None:
            seen[found[0]] = found[1]
        return found is not None and found[0] >= _LEARNT_STEP

    shown.wait_until(has_far_to_look_back, f"step {_LEARNT_STEP} on the zoomed chart", timeout_s=_LONG_S)
    assert seen[max(seen)] < 0.8 * max(seen.values()), f"the smoothed loss does not fall: {seen}"
    shown.press("escape")
    shown.wait_until(lambda text: "↓" in "\n".join(text.splitlines()[:4]), "a falling loss", timeout_s=_LONG_S)


def the_run(home: Path) -> RunDir:
    """The one run of this home."""
    (folder,) = (home / "acestep" / "runs").iterdir()
    return RunDir(folder)


def step_of(text: str) -> int:
    """The step that the monitor shows."""
    found = re.search(r"([\d,]+) of [\d,]+", text)
    return int(found[1].replace(",", "")) if found else 0


def is_alive(run: RunDir) -> bool:
    """Whether a worker holds the run."""
    return bool(is_locked(run.lock))


def stop_it(shown: Shown) -> None:
    """Through the dialog: save and stop."""
    shown.press("x")
    shown.wait_for("Stop ", "Keep training", "Save and stop")
    shown.press("s")
    shown.wait_for("■ stopped", timeout_s=_LONG_S)


def go_on_to_the_end(shown: Shown) -> None:
    """Resume from the stopped page, to the finished one."""
    shown.press("r")
    shown.wait_for("Your LoRA is ready", timeout_s=4 * _LONG_S)


def wait_until(reached: Callable[[], bool], what: str, *, timeout_s: float = _SHORT_S) -> None:
    """Wait for something beside the screen.

    Raises:
        AssertionError: It did not come.
    """
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        time.sleep(0.05)


@dataclass(frozen=True)
class Telling:
    """How a terminal is opened and lost: the two that tell the story differ only in this."""

    open: Callable[[Sequence[str]], Shown]
    lose: Callable[[Shown], None]


def tell(home: Path, telling: Telling) -> None:
    """The whole story.

    Raises:
        AssertionError: Anything went another way.
    """
    first = telling.open([])
    set_up_the_demo(first)
    watch_it_learn(first)
    run = the_run(home)
    telling.lose(first)
    assert is_alive(run), "the worker went with the terminal"

    second = telling.open(["attach"])
    shown = second.wait_for("● training", timeout_s=_LONG_S)
    reached = step_of(shown)
    second.wait_until(lambda text: step_of(text) > reached, "more steps after coming back", timeout_s=_LONG_S)
    stop_it(second)
    wait_until(lambda: not is_alive(run), "the worker to end")
    saved = run.whole_checkpoints()
    assert saved, "nothing was saved"
    go_on_to_the_end(second)
    assert (run.export / "pytorch_lora_weights.safetensors").exists()
