"""What the monitor reads off a state beside the course of the run (`test_state`)."""

from __future__ import annotations

import math

import pytest

from acestep_tui.runs.state import MEASURING_STEPS, RunState, fold_all
from engine.contract import event_lines, events
from tests.unit.runs.build import T0, heldout, records, saved, started, step


def clip(number: int) -> events.SampleSaved:
    path = f"validation/step_{number}.wav"
    return events.SampleSaved(step=number, name="v", path=path, seconds=30.0, took_s=9.0)


def test_series_of_loss_rate_gradient_and_time_with_gaps() -> None:
    state = fold_all(records(step(1, 0.5), step(2, math.nan), step(3, 0.4, grad_norm=None)))
    assert state.loss.bad_steps == [2]
    assert state.loss.values[2] == 0.4
    assert state.grad_norm.bad_steps == [3]
    assert state.lr.last == 1e-4
    assert state.step_s.last == pytest.approx(1.48)


def test_time_left_is_measured_first_and_then_counted_down() -> None:
    steps = [step(number, eta_s=1260.0) for number in range(1, MEASURING_STEPS + 1)]
    state = fold_all(records(started(), *steps[:-1]))
    assert state.is_measuring
    assert state.eta_s(T0) is None
    state = fold_all(records(started(), *steps))
    assert not state.is_measuring
    assert state.step_t == T0 + MEASURING_STEPS
    assert state.eta_s(T0 + MEASURING_STEPS) == 1260.0
    assert state.eta_s(T0 + MEASURING_STEPS + 10) == 1250.0
    assert state.eta_s(T0 + MEASURING_STEPS + 9999) == 0.0
    state.paused = True
    assert state.eta_s(T0) is None


def test_a_new_start_measures_anew_and_cuts_the_series_back() -> None:
    first = [step(number, 0.5) for number in range(1, 31)]
    again = [started(20), step(21, 0.1)]
    before = [heldout(20, 0.4), saved(20), clip(20), heldout(30, 0.3), clip(30)]
    state = fold_all(records(started(), *first, *before, *again))
    assert state.is_measuring
    assert state.loss.steps.tolist() == list(range(1, 22))
    assert state.loss.last == 0.1
    assert [sample.step for sample in state.samples] == [20]
    assert state.num_starts == 2
    assert len(state.recent) == 1


def test_times_of_phases_and_of_the_run() -> None:
    said = [
        started(),
        events.PhaseStarted(phase="scan"),
        events.PhaseEnded(phase="scan", seconds=1.0),
        events.PhaseStarted(phase="train"),
        step(1),
    ]
    state = fold_all(records(*said))
    assert state.phase_s("scan", T0 + 99) == 1.0
    assert state.phase_s("train", T0 + 63) == 60.0
    assert state.phase_s("finish", T0 + 99) is None
    assert state.ran_s(T0 + 100) == 100.0
    failed = events.RunEnded(outcome="failed", exit_code=1)
    state = fold_all(records(*said, (33.0, failed), (1000.0, started()), (1007.0, step(1))))
    assert state.ran_s(T0 + 1010) == 33.0 + 10.0
    state = fold_all(records(*said, (33.0, failed)))
    assert (state.phase, state.ended_in) == ("", "train")
    assert state.phase_s("train", T0 + 9999) == 30.0, "it does not go on after the end"
    assert RunState().ran_s(1.0) is None


def test_how_long_a_save_usually_takes() -> None:
    spans = [
        part
        for seconds in (3.0, 50.0, 2.0)
        for part in (events.PhaseStarted(phase="save"), events.PhaseEnded(phase="save", seconds=seconds))
    ]
    state = fold_all(records(events.PhaseStarted(phase="train"), step(1), *spans, events.PhaseStarted(phase="save")))
    assert state.usual_s("save") == 3.0
    assert state.usual_s("validate") is None
    assert state.doing() == "saving step 1"


def test_highest_memory_of_this_start() -> None:
    readings = [
        events.Hardware(vram_used_bytes=used, vram_peak_bytes=peak, ram_bytes=ram)
        for used, peak, ram in ((5, 7, 3), (6, None, 9), (None, None, None))
    ]
    state = fold_all(records(started(), *readings))
    assert (state.vram_highest_bytes, state.ram_highest_bytes) == (7, 9)
    assert state.hardware == readings[-1]
    state.fold(records(started(1))[0])
    assert state.vram_highest_bytes is None


def test_prepared_songs_with_their_parts_and_pace() -> None:
    def progress(done: int, file: str, part: str, audio_s: float = 0.0) -> events.CacheProgress:
        return events.CacheProgress(done=done, total=8, file=file, part=part, audio_s=audio_s, bytes=10)

    state = fold_all(
        records(
            started(),
            events.PhaseStarted(phase="cache", total=8),
            (11.0, progress(1, "a.flac", "sound", 350.0)),
            (12.0, progress(2, "b.flac", "sound", 350.0)),
            (16.0, progress(3, "a.flac", "captions")),
            (21.0, progress(4, "a.flac", "features")),
        )
    )
    prepared = state.prepared
    assert list(prepared.songs) == ["a.flac", "b.flac"]
    assert prepared.songs["a.flac"].parts == {"sound", "captions", "features"}
    assert prepared.songs["a.flac"].bytes == 30
    assert (prepared.bytes, prepared.num_ready()) == (40, 2)
    assert prepared.pace() == pytest.approx(700.0 / 20.0)
    assert prepared.pace("features") is None
    assert prepared.eta_s(T0 + 21) == pytest.approx(10.0 / 3 * 4)
    assert prepared.eta_s(T0 + 24) == pytest.approx(10.0 / 3 * 4 - 3)
    assert (state.phase_done, state.phase_total) == (4, 8)
    assert RunState().prepared.pace() is None
    assert RunState().prepared.eta_s(0.0) is None


def test_preparing_as_older_versions_told_it() -> None:
    old = [
        events.CacheProgress(done=1, total=2, file="a.flac", audio_s=200.0),
        events.CacheProgress(done=2, total=2, file="a slow song, piano"),
    ]
    state = fold_all(records(started(), events.PhaseStarted(phase="cache"), *old))
    assert list(state.prepared.songs) == ["a.flac"], "a caption is no song"


def test_a_piece_or_a_song_left_out_is_no_part_of_a_row() -> None:
    told = [
        events.CacheProgress(done=0, total=3, file=""),
        events.CacheProgress(done=1, total=3, file="a.flac", audio_s=200.0),
        events.CacheProgress(done=2, total=3, file="b.flac", audio_s=200.0, part="sound", bytes=5),
    ]
    state = fold_all(records(started(), events.PhaseStarted(phase="cache"), *told))
    assert list(state.prepared.songs) == ["b.flac"]
    assert [entry.text for entry in state.log.newest(9) if entry.glyph == "✓"] == ["b.flac"]


def test_pace_split_and_best() -> None:
    state = fold_all(records(started(), *(step(number) for number in range(1, 60)), heldout(50, 0.4), heldout(55, 0.5)))
    assert state.pace_s == pytest.approx(1.48)
    assert len(state.recent) == 20
    assert state.split is not None and state.split.total_s == pytest.approx(1.48)
    assert state.best is not None and state.best.step == 50
    assert state.heldout_trend == "up"
    assert state.heldout_at(55) == 0.5
    assert state.heldout_at(1) is None
    assert RunState().pace_s is None


def test_paused_since_and_download() -> None:
    download = events.DownloadProgress(model="m", done_bytes=1, total_bytes=2)
    state = fold_all(records(started(), events.Paused(paused=True, step=1), download))
    assert (state.paused, state.paused_t) == (True, T0 + 1)
    assert state.download == download
    state.fold(records(events.Paused(paused=False, step=1))[0])
    assert (state.paused, state.paused_t) == (False, None)


def test_events_of_other_types_are_unknown_not_errors() -> None:
    broken = [
        '{"v":1,"seq":0,"t":1.0,"kind":"step","step":1,"total":2,"loss":"low","lr":1}',
        '{"v":1,"seq":1,"t":2.0,"kind":"step","step":1,"total":2,"loss":' + "9" * 400 + ',"lr":1}',
        '{"v":1,"seq":2,"t":3.0,"kind":"hardware","gpus":"many"}',
        '{"v":1,"seq":3,"t":4.0,"kind":"phase_started","phase":null}',
        '{"v":1,"seq":4,"t":5.0,"kind":"step","step":1,"total":2,"loss":null,"lr":1,"nonfinite":7}',
    ]
    state = fold_all(map(event_lines.decode, broken))
    assert state.num_unknown == len(broken)
    assert state.last_t == 5.0
    whole = event_lines.decode('{"v":1,"seq":5,"t":6.0,"kind":"step","step":1,"total":2,"loss":1,"lr":1,"files":["a"]}')
    assert whole.event == events.Step(step=1, total=2, loss=1.0, lr=1.0, files=("a",))
