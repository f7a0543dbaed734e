from __future__ import annotations

from pathlib import Path

from acestep_tui.runs.quick import read_end
from acestep_tui.runs.state import RunState
from engine.contract import events
from tests.unit.runs.build import T0, lines, started, step

BEAT = events.Heartbeat(phase="train")
HARDWARE = events.Hardware(vram_used_bytes=1, gpu_name="x" * 200)


def end_of(path: Path, *items: events.Event) -> RunState:
    path.write_text(lines(*items), encoding="utf-8")
    return read_end(path)[0]


def training(num_steps: int) -> list[events.Event]:
    return [started(), events.PhaseStarted(phase="train"), *(step(number) for number in range(1, num_steps + 1))]


def test_short_file_is_read_whole(tmp_path: Path) -> None:
    state = end_of(tmp_path / "e", *training(5))
    assert (state.phase, state.step_now, state.num_starts, state.num_missing) == ("train", 5, 1, 0)


def test_long_file_is_known_from_its_end(tmp_path: Path) -> None:
    state = end_of(tmp_path / "e", *training(5000))
    assert (state.phase, state.step_now, state.steps_total, state.num_starts) == ("train", 5000, 2000, 0)
    assert len(state.loss) < 1000
    assert state.num_missing == 0


def test_pause_of_an_hour_is_found_behind_its_heartbeats(tmp_path: Path) -> None:
    beats = [BEAT, HARDWARE] * 360
    state = end_of(tmp_path / "e", *training(3000), events.Paused(paused=True, step=3000), *beats)
    assert (state.phase, state.paused, state.step_now) == ("train", True, 3000)


def test_span_belongs_to_the_training_around_it(tmp_path: Path) -> None:
    clips = [events.SampleProgress(name="v", done=done, total=60) for done in range(2000)]
    state = end_of(tmp_path / "e", *training(3000), events.PhaseStarted(phase="validate", total=1), *clips)
    assert (state.phase, state.span) == ("train", "validate")
    state = end_of(tmp_path / "e", *training(3000), *clips, events.PhaseEnded(phase="validate", seconds=1.0))
    assert (state.phase, state.span) == ("train", "")


def test_preparing_of_many_songs_is_preparing(tmp_path: Path) -> None:
    progress = [events.CacheProgress(done=done, total=9000, file=f"{done}.flac") for done in range(9000)]
    state = end_of(tmp_path / "e", started(), events.PhaseStarted(phase="cache"), *progress)
    assert (state.phase, state.phase_done, state.phase_total) == ("cache", 8999, 9000)


def test_end_and_new_start_are_what_counts(tmp_path: Path) -> None:
    ended = events.RunEnded(outcome="finished", exit_code=0, steps=3000)
    state = end_of(tmp_path / "e", *training(3000), ended)
    assert state.ended == ended
    state = end_of(tmp_path / "e", *training(3000), ended, started(3000))
    assert state.ended is None
    assert state.phase == ""


def test_only_heartbeats_for_longer_than_is_read(tmp_path: Path) -> None:
    state = end_of(tmp_path / "e", *training(10), *[BEAT, HARDWARE] * 12_000)
    assert state.phase == "train"
    assert state.last_t == T0 + 12 + 24_000 - 1


def test_tail_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_text(lines(*training(3000)) + lines(step(3001), first_seq=3002)[:50], encoding="utf-8")
    state, tail = read_end(path)
    assert state.step_now == 3000
    with path.open("a", encoding="utf-8") as file:
        file.write(lines(step(3001), first_seq=3002)[50:])
    assert [line.record.seq for line in tail.poll()] == [3002]
    assert read_end(tmp_path / "nothing")[0].last_t is None
