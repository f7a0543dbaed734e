"""What viewers and signals ask of the worker, read between steps."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field
from types import FrameType

from engine.contract import control
from engine.contract.events import CommandDone
from engine.contract.run_dir import RunDir
from engine.telemetry.emitter import Emitter


@dataclass
class Requests:
    """What is wanted now. Flags stay up until the trainer takes them down. `abort` is a stop that saves nothing."""

    stop: bool = False
    abort: bool = False
    stop_after_save: bool = False
    paused: bool = False
    save: bool = False
    sample: bool = False
    answers: dict[str, list[control.Command]] = field(default_factory=dict)


class Inbox:
    """Collects control files and signals; answers each command with `command_done` once it was acted on."""

    def __init__(self, run_dir: RunDir, emitter: Emitter) -> None:
        self._run_dir = run_dir
        self._emitter = emitter
        self._signalled = threading.Event()
        self._lock = threading.Lock()
        self.requests = Requests()

    def install_signals(self) -> None:
        """SIGTERM and SIGINT mean "finish the step, save, stop"; SIGHUP (a lost terminal) means nothing."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signalled.set()

    def poll(self) -> Requests:
        """Read new commands and signals into `requests` and return it."""
        with self._lock:  # a song that waits for space on the disk asks from a loader's thread
            if self._signalled.is_set():
                self.requests.stop = True
            for command in control.pending(self._run_dir.control):
                self._take(command)
        return self.requests

    def stop_requested(self) -> bool:
        """Whether to stop as soon as the work at hand is safe; polled inside long preparations."""
        return self.poll().stop

    def answer(self, kind: str, *, ok: bool = True, message: str = "") -> None:
        """Say that the commands of one kind were carried out (or why not) and forget them."""
        for command in self.requests.answers.pop(kind, []):
            self._emitter.emit(CommandDone(command=command.kind, id=command.id, ok=ok, message=message))

    def _take(self, command: control.Command) -> None:
        command.path.unlink(missing_ok=True)
        if command.kind not in control.COMMANDS:
            message = f"not a command; one of {', '.join(control.COMMANDS)}"
            self._emitter.emit(CommandDone(command=command.kind, id=command.id, ok=False, message=message))
            return
        self.requests.answers.setdefault(command.kind, []).append(command)
        if command.kind in ("pause", "resume"):
            self.requests.paused = command.kind == "pause"
            self.answer(command.kind)
        elif command.kind == "save":
            self.requests.save = True
        elif command.kind == "sample":
            self.requests.sample = True
        elif command.kind == "stop_after_save":
            self.requests.stop_after_save = True
            self.answer(command.kind)
        else:
            # Once someone wants it saved, it is: of two wishes the one that loses nothing wins.
            was_wanted_saved = self.requests.stop and not self.requests.abort
            self.requests.abort = command.kind == "abort" and not was_wanted_saved
            self.requests.stop = True
