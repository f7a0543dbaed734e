"""A scripted worker: a real process that keeps the worker's side of the run folder, without training anything.

``python fake_worker.py RUN_DIR [--yes]``; the environment variable FAKE_WORKER holds a JSON object: what it should do.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from engine.contract import control, event_lines, events
from engine.contract.files import write_json
from engine.contract.run_dir import GUARD_FILE, RunDir, checkpoint_step
from engine.hardware.host import boot_id

DEFAULTS: dict[str, Any] = {
    "steps": 6,
    "step_s": 0.05,
    "start_s": 0.0,  # before the lock is taken: importing
    "save_s": 0.0,
    "die_at_start": "",  # a word for the log, then exit 3 without any event
    "die_at_step": None,  # exit without run_ended
    "fail": None,  # [exit_code, error, hint] after the scan
    "host": platform.node(),
    "ignore_commands": False,
}


class FakeWorker:
    def __init__(self, run: RunDir, plan: dict[str, Any]) -> None:
        self.run = run
        self.plan = plan
        self.seq = 0
        if run.events_jsonl.exists():
            self.seq = len(run.events_jsonl.read_text(encoding="utf-8").splitlines())
        self.is_stopping = False
        self.saves_at_stop = True
        self.is_paused = False

    def emit(self, event: events.Event) -> None:
        with self.run.events_jsonl.open("a", encoding="utf-8") as file:
            file.write(event_lines.encode(event, seq=self.seq, t=time.time()))
        self.seq += 1

    def work(self) -> int:
        first = self.begin()
        if self.plan["fail"]:
            exit_code, error, hint = self.plan["fail"]
            self.emit(events.RunEnded(outcome="failed", exit_code=exit_code, error=error, hint=hint))
            return int(exit_code)
        total = self.plan["steps"]
        self.emit(events.PhaseStarted(phase="train", total=total))
        for step in range(first + 1, total + 1):
            time.sleep(self.plan["step_s"])
            if step == self.plan["die_at_step"]:
                print("RuntimeError: something broke inside", file=sys.stderr, flush=True)
                os._exit(1)
            self.emit(events.Step(step=step, total=total, loss=1.0 / step, lr=1e-5, step_s=0.71, eta_s=85.0))
            self.obey(step)
            if self.is_stopping:
                if self.saves_at_stop:
                    self.save(step)
                self.emit(events.RunEnded(outcome="stopped", exit_code=130, steps=step, seconds=1.0))
                return 130
        return self.finish(first, total)

    def begin(self) -> int:
        whole = self.run.whole_checkpoints()
        first = checkpoint_step(whole[-1]) if whole else 0
        run = self.run
        started = events.RunStarted(
            name=run.name,
            dir=str(run.path),
            version="0.1.0",
            pid=os.getpid(),
            host=platform.node(),
            device="cpu",
            resumed_step=first or None,
        )
        self.emit(started)
        self.emit(events.PhaseStarted(phase="scan", total=2))
        self.emit(
            events.FileProblem(
                severity="error",
                file="11_broken.mp3",
                code="unreadable",
                reason="left out: not audio (0 of 4096 bytes)",
            )
        )
        self.emit(
            events.PhaseEnded(phase="scan", done=2, total=2, seconds=0.21, summary="2 songs: 1 ready, 1 unreadable")
        )
        return first

    def obey(self, step: int) -> None:
        while not self.plan["ignore_commands"]:
            for command in control.pending(self.run.control):
                command.path.unlink()
                if command.kind in ("stop_now", "stop_after_save", "abort"):
                    self.is_stopping = True
                    self.saves_at_stop = command.kind != "abort"
                elif command.kind in ("pause", "resume"):
                    self.is_paused = command.kind == "pause"
                    self.emit(events.Paused(paused=self.is_paused, step=step))
                elif command.kind == "save":
                    self.save(step)
                self.emit(events.CommandDone(command=command.kind, id=command.id))
            if not self.is_paused or self.is_stopping:
                return
            time.sleep(0.02)

    def save(self, step: int) -> None:
        time.sleep(self.plan["save_s"])
        folder = self.run.checkpoint(step)
        folder.mkdir(exist_ok=True)
        (folder / GUARD_FILE).touch()
        self.emit(events.CheckpointSaved(step=step, path=folder.name, bytes=618224, verified=True))

    def finish(self, first: int, total: int) -> int:
        self.save(total)
        self.emit(events.PhaseEnded(phase="train", done=total, total=total, seconds=1.0))
        ended = events.RunEnded(
            outcome="finished",
            exit_code=0,
            steps=total - first,
            seconds=92.0,
            heldout_first=1.0214,
            heldout_last=0.6127,
        )
        self.emit(ended)
        return 0


def main() -> NoReturn:
    run = RunDir(Path(sys.argv[1]))
    plan = {**DEFAULTS, **json.loads(os.environ.get("FAKE_WORKER", "{}"))}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if plan["die_at_start"]:
        sys.exit(plan["die_at_start"])
    time.sleep(plan["start_s"])
    with run.lock.open("ab") as lock:
        deadline = time.monotonic() + 2.0
        while True:  # a viewer that looks whether the lock is held, holds it for a moment itself
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    sys.exit("another worker has this folder")
                time.sleep(0.02)
        facts = {"pid": os.getpid(), "pgid": os.getpgrp(), "host": plan["host"], "boot_id": boot_id()}
        write_json(run.worker_json, {**facts, "argv": sys.argv, "cwd": str(Path.cwd())})
        worker = FakeWorker(run, plan)

        def stop(number: int, frame: object) -> None:
            worker.is_stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        sys.exit(worker.work())


if __name__ == "__main__":
    main()
