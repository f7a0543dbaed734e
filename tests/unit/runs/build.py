"""Events as a worker writes them, for the tests of this folder."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from engine.contract import event_lines, events
from engine.contract.run_dir import GUARD_FILE, RunDir
from engine.hardware.host import boot_id

T0 = 1_763_820_000.0


def started(resumed_step: int | None = None, **fields: object) -> events.RunStarted:
    values = {"name": "demo", "dir": "/x/demo", "version": "0.1.0", "pid": 48213, "host": "here", "device": "cpu"}
    return events.RunStarted(**{**values, "resumed_step": resumed_step, **fields})  # type: ignore[arg-type]


def step(number: int, loss: float = 0.5, **fields: object) -> events.Step:
    values = {"total": 2000, "lr": 1e-4, "grad_norm": 0.24, "step_s": 1.4, "data_s": 0.08, "audio_s": 230.0}
    return events.Step(step=number, loss=loss, **{**values, "eta_s": 100.0, **fields})  # type: ignore[arg-type]


def heldout(number: int, loss: float) -> events.ValidationLoss:
    return events.ValidationLoss(step=number, loss=loss, num_songs=1)


def saved(number: int, **fields: object) -> events.CheckpointSaved:
    values = {"path": f"checkpoint-{number}", "bytes": 390 * 2**20, "verified": True}
    return events.CheckpointSaved(step=number, **{**values, **fields})  # type: ignore[arg-type]


def lines(*items: events.Event | tuple[float, events.Event], first_seq: int = 0) -> str:
    """One line an event, a second apart; a pair gives its own second."""
    texts = []
    for place, item in enumerate(items):
        t, event = item if isinstance(item, tuple) else (float(first_seq + place), item)
        texts.append(event_lines.encode(event, seq=first_seq + place, t=T0 + t))
    return "".join(texts)


def records(*items: events.Event | tuple[float, events.Event], first_seq: int = 0) -> list[event_lines.Record]:
    return [event_lines.decode(line) for line in lines(*items, first_seq=first_seq).splitlines()]


def make_run(path: Path, text: str = "", **config: object) -> RunDir:
    """A run folder of a worker that is gone."""
    path.mkdir(parents=True, exist_ok=True)
    run = RunDir(path)
    run.events_jsonl.write_text(text, encoding="utf-8")
    run.config_json.write_text(json.dumps(config))
    run.origins_json.write_text(json.dumps({"cwd": str(path.parent)}))
    facts = {"pid": 48213, "host": platform.node(), "boot_id": boot_id(), "start_time": T0}
    run.worker_json.write_text(json.dumps(facts))
    run.lock.touch()
    return run


def make_checkpoint(run: RunDir, number: int, *, is_whole: bool = True) -> Path:
    folder = run.checkpoint(number)
    folder.mkdir()
    (folder / "training_state.json").write_text('{"step": 1}')
    if is_whole:
        (folder / GUARD_FILE).touch()
    return folder
