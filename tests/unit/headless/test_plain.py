"""The piped form, line by line as printed in screens.md section 5."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from acestep_tui.headless.plain import Thinner, event_line
from engine.contract import event_lines, events

T = 1795356723.4  # 2026-11-22 14:12:03 UTC


def record(event: events.Event) -> event_lines.Record:
    return event_lines.decode(event_lines.encode(event, seq=0, t=T))


def line(event: events.Event) -> str:
    stamp, _, rest = event_line(record(event)).partition(" ")
    assert stamp == "2026-11-22T14:12:03Z"
    return rest


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            events.FileProblem(
                severity="warning", file="07_tide.flac", code="no_lyrics", reason="no lyrics: an instrumental"
            ),
            'file_problem severity=warning file="07_tide.flac" reason="no lyrics: an instrumental"',
        ),
        (
            events.Plan(
                vram_bytes=0, ram_bytes=429496730, disk_bytes=6291456, seconds=100.0, num_steps=120, num_epochs=1.0
            ),
            "plan vram_bytes=0 ram_bytes=429496730 disk_bytes=6291456 seconds=100 num_steps=120",
        ),
        (
            events.PhaseEnded(phase="cache", done=11, total=11, seconds=9.1),
            "phase_ended phase=cache done=11 total=11 seconds=9.1",
        ),
        (
            events.Step(step=1, total=120, loss=1.03881, lr=1e-5, step_s=0.7123, eta_s=84.9),
            "step step=1 total=120 loss=1.0388 lr=1.0e-05 step_s=0.712 eta_s=85",
        ),
        (
            events.CheckpointSaved(step=60, path="checkpoint-60", bytes=618224, verified=True),
            "checkpoint_saved step=60 path=checkpoint-60 bytes=618224 verified=true",
        ),
        (
            events.RunEnded(outcome="finished", exit_code=0, steps=120, heldout_first=1.0214, heldout_last=0.6127),
            "run_ended outcome=finished exit_code=0 steps=120 heldout_first=1.0214 heldout_last=0.6127",
        ),
        (
            events.RunEnded(outcome="failed", exit_code=4, error='no "caption"\nanywhere'),
            'run_ended outcome=failed exit_code=4 steps=0 error="no \\"caption\\"\\nanywhere"',
        ),
        (
            events.StepsCompiled(expected_s=60.0, num_lengths=3),
            "steps_compiled expected_s=60 num_lengths=3",
        ),
        (
            events.StepsCompiled(is_compiled=True, has_graphs=True, took_s=25.31, num_shapes=1, num_lengths=3),
            "steps_compiled is_compiled=true has_graphs=true num_shapes=1 num_lengths=3 took_s=25.3",
        ),
        (
            events.StepsCompiled(
                is_compiled=False, has_graphs=False, reasons=("capturing failed: a b", "no C compiler")
            ),
            'steps_compiled is_compiled=false has_graphs=false reasons="capturing failed: a b; no C compiler"',
        ),
        (
            events.Step(step=2, total=120, loss=math.nan, lr=2.53e-4, step_s=123.4),
            "step step=2 total=120 loss=nan lr=2.53e-04 step_s=123",
        ),
        (
            events.SampleSaved(step=1, name="a", path="validation/a b.wav", seconds=4.0, took_s=1.0),
            'sample_saved step=1 path="validation/a b.wav" seconds=4 verdict=ok',
        ),
    ],
)
def test_lines(event: events.Event, text: str) -> None:
    assert line(event) == text


def test_run_started_names_its_folder_as_a_user_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    event = events.RunStarted(
        name="demo", dir=str(tmp_path / "output/demo"), version="0.1.0", pid=1, host="x", device="cpu"
    )
    assert line(event) == "run_started name=demo dir=output/demo version=0.1.0 device=cpu"


def test_unknown_kinds_show_their_plain_fields() -> None:
    unknown = event_lines.decode(
        '{"v":9,"seq":5,"t":1795356723.4,"kind":"from_afar","n":3,"x":0.5,"nested":{},"none":null}'
    )
    assert event_line(unknown) == "2026-11-22T14:12:03Z from_afar n=3 x=0.5"


def test_every_line_is_one_line() -> None:
    warning = events.RunWarning(code="x", message="two\nlines and a \u2028 third")
    assert "\n" not in event_line(record(warning))


def test_chatter_is_left_out_and_progress_thinned() -> None:
    thinner = Thinner()
    assert not thinner.wants(record(events.Heartbeat()))
    assert not thinner.wants(record(events.Hardware()))
    assert thinner.wants(record(events.PhaseStarted(phase="cache", total=1000)))
    progress = [events.CacheProgress(done=done, total=1000, file="a") for done in range(1, 1001)]
    assert [event.done for event in progress if thinner.wants(record(event))] == list(range(100, 1001, 100))
    assert thinner.wants(record(events.PhaseStarted(phase="cache", total=10)))
    assert thinner.wants(record(events.CacheProgress(done=1, total=10, file="a"))), "a new phase counts anew"
