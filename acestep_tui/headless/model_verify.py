"""`acestep-tui model verify`: the checks of a model as they are made, as a table or as one JSON object."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acestep_tui import format as fmt
from acestep_tui.headless import streams
from acestep_tui.headless.cache_care import put_json
from acestep_tui.headless.interrupts import Interrupts
from acestep_tui.headless.options import Options
from acestep_tui.paths import absolute, shown, state_dir
from acestep_tui.runs import control, launch
from acestep_tui.runs.liveness import is_locked
from acestep_tui.runs.tail import EventTail
from engine.contract.errors import ConfigError, ExitCode, ModelError
from engine.contract.events import ModelChecked, RunEnded, RunStarted
from engine.contract.files import write_json
from engine.contract.model_checks import CHECKS
from engine.contract.run_dir import RunDir

VERIFY_COMMAND: tuple[str, ...] = (*launch.WORKER_COMMAND[:-1], "verify-model")

_GLYPHS = {"passed": "✓", "noted": "▲", "failed": "✗", "skipped": "○"}
_NAME_WIDTH = max(map(len, CHECKS.values()))
_POLL_S = 0.1


def verify(name: str, options: Options, *, command: Sequence[str] = VERIFY_COMMAND, **effort: float) -> int:
    """Make every check of a model and show each as it is made. Nothing is downloaded or changed.

    Args:
        name: A folder or a hub id.
        options: ``json`` gives one object at the end, ``quiet`` only the last line.
        command: How the checking process is started.
        **effort: ``clip_s`` and ``num_steps`` of the clip, where they are to be others.

    Raises:
        ConfigError: The same model is being verified already.
        DiskError: The task's folder cannot be written.
    """
    task = _task_of(name)
    launch.make_writable(task.path)
    if is_locked(task.lock):
        raise ConfigError(f"{name} is being verified already", hint=f"Its words are in {shown(task.worker_log)}.")
    control.clear(task)
    model = str(absolute(name)) if Path(name).is_dir() else name
    write_json(task.config_json, {"model": model, "revision": None, **effort}, action="starting to verify")
    tail = EventTail(task.events_jsonl)
    tail.poll()  # what the last time said
    log_start_bytes = task.worker_log.stat().st_size if task.worker_log.exists() else 0
    with Interrupts() as interrupts:
        child = launch.start_worker(task, command=command)
        seen = _Seen(options)
        num_answered = 0
        while True:
            is_over = child.poll() is not None
            for line in tail.poll():
                seen.take(line.record.event)
            if is_over:
                break
            if interrupts.count > num_answered:
                num_answered = interrupts.count
                _stop(task, child, is_first=num_answered == 1)
            time.sleep(_POLL_S)
    seen.clear()
    if seen.ended is None:
        said = launch.log_tail(task, since_bytes=log_start_bytes)
        raise ModelError(
            f"the checks ended without a word, code {child.returncode}", hint="\n".join(said) or str(task.worker_log)
        )
    return seen.finish(name, seen.ended, log=task.worker_log)


def _stop(task: RunDir, child: subprocess.Popen[bytes], *, is_first: bool) -> None:
    if is_first:
        streams.say("Stopping after the check under way. Ctrl-C once more ends at once.")
        control.send(task, "stop_now")
    else:
        child.kill()


def _task_of(name: str) -> RunDir:
    """The folder of the task; the same for the same model."""
    whole = str(absolute(name)) if Path(name).is_dir() else name
    plain = re.sub(r"[^\w.-]+", "--", Path(whole).name if Path(name).is_dir() else whole).strip("-.")[:60] or "model"
    return RunDir(state_dir() / "verifications" / f"{plain}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}")


class _Seen:
    """What was heard of the checks so far, shown as it comes."""

    def __init__(self, options: Options) -> None:
        self.ended: RunEnded | None = None
        self._options = options
        self._checks: list[ModelChecked] = []
        self._device = ""
        self._is_drawn = False

    def take(self, event: object) -> None:
        """One event."""
        if isinstance(event, RunStarted):
            self._device = event.device
        elif isinstance(event, RunEnded):
            self.ended = event
        elif isinstance(event, ModelChecked):
            self.clear()
            if event.state == "running":
                self._draw(f"◐ {CHECKS.get(event.check, event.check)} …")
            else:
                self._checks.append(event)
                self._show(event)

    def clear(self) -> None:
        """Take the line of the check under way off the terminal."""
        if self._is_drawn:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
            self._is_drawn = False

    def _draw(self, text: str) -> None:
        if streams.is_screen() and not (self._options.json or self._options.quiet or self._options.plain):
            print(streams.fitted(text, sys.stderr), end="", file=sys.stderr, flush=True)
            self._is_drawn = True

    def _show(self, check: ModelChecked) -> None:
        if not (self._options.json or self._options.quiet):
            for row in check_rows(check):
                streams.put(row)

    def finish(self, name: str, ended: RunEnded, *, log: Path) -> int:
        """Say the result; gives the exit code."""
        if self._options.json:
            put_json(self._as_json(name, ended))
        elif ended.outcome == "finished":
            noted = sum(check.state == "noted" for check in self._checks)
            more = f"; {fmt.plural(noted, 'row')} with ▲ to read" if noted else ""
            streams.put(f"✓ {name} is right, in {fmt.duration(ended.seconds)} on {self._device}{more}")
        elif ended.outcome == "stopped":
            streams.say(f"■ {ended.error}")
        else:
            streams.say(f"✗ {ended.error}")
            streams.say(f"  {ended.hint}")
            if ended.exit_code == ExitCode.INTERNAL:
                streams.say(f"  its words are in {shown(log)}")
        return ended.exit_code

    def _as_json(self, name: str, ended: RunEnded) -> dict[str, Any]:
        return {
            "model": name,
            "ok": ended.outcome == "finished",
            "device": self._device,
            "seconds": ended.seconds,
            "error": ended.error,
            "checks": [
                {
                    "check": check.check,
                    "name": CHECKS.get(check.check, check.check),
                    "state": check.state,
                    "words": check.words,
                    "values": check.values,
                    "details": list(check.details),
                }
                for check in self._checks
            ],
        }


def check_rows(check: ModelChecked) -> list[str]:
    """A check as rows of the table: ``✓ names and shapes   874 tensors, …``."""
    from acestep_tui.headless.terminal import wrapped  # rich: 60 ms, only where a table is shown

    text = f"{_GLYPHS.get(check.state, '?')} {CHECKS.get(check.check, check.check):<{_NAME_WIDTH}}   {check.words}"
    return wrapped(text, shutil.get_terminal_size().columns, indent=_NAME_WIDTH + 5)
