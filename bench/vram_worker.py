"""The real worker in a process of its own, with a cap on what torch may take, its phases measured."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.step_profile import profiled
from bench.vram_device import GIB, PhaseMeter, ProcessMemory, cap
from engine.contract.config import resolve
from engine.contract.events import Event, PhaseEnded, PhaseStarted
from engine.contract.files import write_json
from engine.contract.run_dir import RunDir
from engine.telemetry.emitter import Emitter

_CONTEXT = ["fork"]
"""How children are made: a fork has everything imported already, and imports take longer than most phases."""

TOLD = ("warning", "memory_measured", "memory_stepped_down", "run_ended", "plan", "sample_saved", "phase_ended")


@dataclass(frozen=True)
class Work:
    """One run of the worker.

    Attributes:
        task: ``train`` or ``cache``.
        run_dir: A folder for it; emptied first.
        settings: As a user writes them into config.json.
        cap_bytes: Of the card, for all of the run; None = no cap.
        phase_rooms: By phase, how many bytes it may take beyond what torch holds when it begins.
    """

    task: str
    run_dir: Path
    settings: Mapping[str, Any]
    cap_bytes: float | None = None
    phase_rooms: Mapping[str, float] = field(default_factory=dict)


def run_apart(work: Work, *, patience_s: float = 150.0) -> dict[str, Any]:
    """Run the worker in a child of this process, which must not have touched the card, and read what it left behind.

    Returns:
        exit_code, seconds, phases (name → peaks), whole (peaks), events (of the kinds in `TOLD`), losses by step.
    """
    if work.run_dir.exists():
        shutil.rmtree(work.run_dir)
    work.run_dir.mkdir(parents=True)
    started = time.monotonic()
    child = multiprocessing.get_context(_CONTEXT[0]).Process(target=_run_here, args=(work,))
    child.start()
    child.join(patience_s)
    if child.is_alive():
        child.kill()
        child.join()
    result: dict[str, Any] = {"exit_code": child.exitcode, "seconds": round(time.monotonic() - started, 1)}
    peaks = work.run_dir / "peaks.json"
    result |= json.loads(peaks.read_text(encoding="utf-8")) if peaks.is_file() else {"phases": {}, "whole": {}}
    events = events_of(work.run_dir)
    result["events"] = [event for event in events if event["kind"] in TOLD]
    result["losses"] = {str(event["step"]): event["loss"] for event in events if event["kind"] == "step"}
    result["step_s"] = [event["step_s"] for event in events if event["kind"] == "step"]
    return result


def events_of(run_dir: Path) -> list[dict[str, Any]]:
    """Every whole line of a run's events."""
    path = RunDir(run_dir).events_jsonl
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


def in_child(function: Callable[[], None]) -> None:
    """Run something that touches the card in a child: afterwards this process can still fork off others.

    Raises:
        RuntimeError: It failed; its own words are on stderr.
    """
    child = multiprocessing.get_context(_CONTEXT[0]).Process(target=function)
    child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError(f"{function} ended with {child.exitcode}")


def choose_context() -> str:
    """``fork`` where a fork can still use the card, else ``spawn``: an imported library may have looked at it."""
    try:
        in_child(_touch_card)
    except RuntimeError:
        _CONTEXT[0] = "spawn"
    return _CONTEXT[0]


def _touch_card() -> None:
    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")


def _run_here(work: Work) -> None:
    """The child: cap, worker, peaks; ends with the worker's exit code."""
    from engine.__main__ import main as worker_main

    preset = work.run_dir / "preset.json"
    write_json(preset, {**work.settings, "output_dir": str(work.run_dir)})
    config = resolve(preset, [], cwd=work.run_dir).config
    write_json(RunDir(work.run_dir).config_json, config.to_dict())
    meter = PhaseMeter(ProcessMemory())
    cap(work.cap_bytes)
    with meter.watching(), Hearing(meter, work), profiled():
        code = worker_main([work.task, str(work.run_dir), "--yes"])
    whole = {**meter.whole.to_dict(), "cap_gib": None if work.cap_bytes is None else work.cap_bytes / GIB}
    phases = {name: peaks.to_dict() for name, peaks in meter.phases.items()}
    write_json(work.run_dir / "peaks.json", {"phases": phases, "whole": whole})
    raise SystemExit(int(code))


class Hearing:
    """Tells the meter of every phase event, and sets the phases' caps; a listener on every emitter made inside."""

    def __init__(self, meter: PhaseMeter, work: Work) -> None:
        self._meter, self._work = meter, work
        self._made: Callable[..., None] = Emitter.__init__

    def __enter__(self) -> None:
        made, hear = self._made, self._hear

        def make(emitter: Emitter, *arguments: Any, **named: Any) -> None:
            made(emitter, *arguments, **named)
            emitter.listen(hear)

        Emitter.__init__ = make  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        Emitter.__init__ = self._made  # type: ignore[method-assign]

    def _hear(self, event: Event) -> None:
        if isinstance(event, PhaseStarted):
            self._meter.enter(event.phase)
            if event.phase in self._work.phase_rooms:
                torch.cuda.empty_cache()
                cap(torch.cuda.memory_reserved() + self._work.phase_rooms[event.phase])
        elif isinstance(event, PhaseEnded):
            self._meter.leave(event.phase)
            if event.phase in self._work.phase_rooms:
                cap(self._work.cap_bytes)
