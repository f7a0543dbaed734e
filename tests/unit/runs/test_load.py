from __future__ import annotations

import dataclasses
import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_tui.runs.load import count_starts, load_state, read_state
from acestep_tui.runs.state import RunState
from acestep_tui.runs.tail import EventTail
from engine.contract import events
from engine.contract.run_dir import RunDir
from tests.unit.runs.build import T0, heldout, lines, saved, started, step

RECORDINGS = Path(__file__).parents[2] / "tui" / "recordings"


def one_by_one(path: Path) -> RunState:
    tail = EventTail(path)
    state = RunState()
    for line in tail.poll():
        state.fold(line.record)
    state.num_unreadable = tail.num_unreadable
    state.news.clear()
    return state


def plain(state: RunState) -> dict[str, object]:
    """All that a state holds, in a form that can be compared."""
    found = {entry.name: getattr(state, entry.name) for entry in dataclasses.fields(state)}
    for name in ("loss", "lr", "grad_norm", "step_s"):
        series = found[name]
        found[name] = (list(series.steps), str(list(series.values)), series.bad_steps)
    log = found.pop("log")
    return {**{name: str(value) for name, value in found.items()}, "log": [entry[:4] for entry in log.oldest_first()]}


def reading(used: int) -> events.Hardware:
    return events.Hardware(vram_used_bytes=used, vram_peak_bytes=used - 1, ram_bytes=used // 2, gpu_name='a "card"')


def history() -> list[events.Event]:
    """Two starts with everything in them that a long run has."""
    said: list[events.Event] = [
        started(),
        events.PhaseStarted(phase="train", total=2000),
        heldout(0, 0.9),
    ]
    for number in range(1, 120):
        said.append(step(number, 1 / number, files=('07 "Low" Sun.flac', "11 夜の港.flac"), bucket="3:52"))
        if number % 7 == 0:
            said += [events.Heartbeat(phase="train"), reading(1000 - number)]
        if number == 100:  # a very long step
            said += [events.Heartbeat(phase="train")] * 100
        if number % 40 == 0:
            said += [
                events.PhaseStarted(phase="save"), heldout(number, 1 / number), saved(number),
                events.PhaseEnded(phase="save", seconds=3.0),
            ]  # fmt: skip
    said += [started(80), events.PhaseStarted(phase="train", total=2000)]
    said += [step(number, forward_s=0.4, backward_s=0.8, optimizer_s=0.1) for number in range(81, 110)]
    said += [
        events.PhaseEnded(phase="train", seconds=9.0), events.PhaseStarted(phase="finish"), heldout(109, 0.1),
        events.PhaseEnded(phase="finish", seconds=1.0), events.RunEnded(outcome="finished", exit_code=0),
    ]  # fmt: skip
    return said


def test_loading_equals_folding_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(lines(*history()), encoding="utf-8")
    state, tail = load_state(path)
    assert plain(state) == plain(one_by_one(path))
    assert state.step_now == 109
    assert state.vram_highest_bytes is None, "the second start has no reading yet"
    assert tail.offset == path.stat().st_size


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*/events.jsonl")), ids=lambda path: path.parent.name)
def test_loading_a_real_run_equals_folding_it_one_by_one(path: Path) -> None:
    state, _ = load_state(path)
    assert plain(state) == plain(one_by_one(path))
    assert (state.num_unknown, state.num_unreadable, state.num_missing) == (0, 0, 0)
    assert len(state.loss) > 0


SPOILT_NUMBER = (
    '{"v":1,"seq":3,"t":1763820000.0,"kind":"step","step":5,"total":2000,"loss":-.-,"lr":1e-4,"grad_norm":null,'
    '"epoch":0.0,"step_s":1.4,"data_s":0.0,"audio_s":2.0,"eta_s":null,"ssl_loss":null,"bucket":""}'
)
ODD_LINES = (
    "",
    "   ",
    "not json",
    '{"v":1,"seq":',
    '{"v":1,"seq":7,"t":1.0}',
    '{"v":2,"seq":8,"t":1763820001.0,"kind":"from_the_future","x":[1]}',
    '{"v":1,"seq":3,"t":1763820000.0,"kind":"step","step":"five","total":2000,"loss":0.5,"lr":1e-4}',
    SPOILT_NUMBER,
    '{"v":1,"seq":3,"t":"soon","kind":"heartbeat"}',
    '{"v":1,"seq":3,"t":NaN,"kind":"heartbeat"}',
    '{"v":1,"seq":null,"t":3.0,"kind":"heartbeat"}',
    "[" * 5000,
    '{"v":1,"seq":4,"t":1763820000.0,"kind":"sample_saved","step":1,"name":3,"path":null}',
)


def odd(seed: int) -> str:
    """A history with damage: lines lost, doubled, exchanged, spoilt; a clock that jumps; losses that are no numbers."""
    draw = random.Random(seed)
    said: list[tuple[float, events.Event]] = []
    t = 0.0
    for event in history()[draw.randrange(9) * 15 :][: draw.randrange(20, 200)]:
        t = max(t + (draw.choice((0.0, 0.1, 1.5, 40.0, -90.0)) if draw.random() < 0.2 else 1.0), 0.0)
        is_bad = isinstance(event, events.Step) and draw.random() < 0.05
        loss = draw.choice((float("nan"), float("inf")))
        said.append((t, dataclasses.replace(event, loss=loss, grad_norm=None) if is_bad else event))
    found = lines(*said).splitlines()
    for _ in range(draw.randrange(6)):
        place = draw.randrange(len(found))
        match draw.randrange(4):
            case 0:
                del found[place]
            case 1:
                found.insert(place, found[place])
            case 2:
                found.insert(place, draw.choice(ODD_LINES))
            case 3:
                found[place] = found[place][: draw.randrange(len(found[place]) + 1)]
        if not found:
            return ""
    return "\n".join(found) + "\n"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_loading_a_damaged_file_equals_folding_it_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    path.write_text(odd(seed), encoding="utf-8")
    assert plain(load_state(path)[0]) == plain(one_by_one(path))


def test_every_odd_line_is_counted_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(lines(started(), step(1)) + "\n".join(ODD_LINES) + "\n", encoding="utf-8")
    state, _ = load_state(path)
    num_unknown = 3  # another kind, a step that is a word, a clip without a path
    assert state.num_unknown == num_unknown
    assert state.num_unreadable == len(ODD_LINES) - num_unknown - 2, "blank lines are nothing"
    assert state.step_now == 1


def test_progress_is_told_and_it_can_be_left(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(lines(*(step(number) for number in range(1, 12_000))), encoding="utf-8")
    size = path.stat().st_size
    told: list[tuple[int, int]] = []
    load_state(path, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (size, size)
    assert len(told) > 1
    state, tail = load_state(path, should_stop=lambda: True)
    assert 0 < tail.offset < size
    assert 0 < len(state.loss) < 11_999


def test_what_says_something_new_is_told_as_it_is_folded(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(lines(*history()), encoding="utf-8")
    told: list[tuple[str, int, int]] = []
    load_state(path, on_line=lambda line, state: told.append((line.record.kind, state.num_starts, state.step_now)))
    assert count_starts(path) == 2
    assert told[:3] == [("run_started", 1, 0), ("phase_started", 1, 0), ("validation_loss", 1, 0)]
    assert ("checkpoint_saved", 1, 80) in told
    assert told[-1] == ("run_ended", 2, 109)
    assert {"step", "heartbeat", "hardware"}.isdisjoint(kind for kind, _, _ in told)
    raws: list[str] = []
    load_state(path, on_line=lambda line, state: raws.append(line.raw))
    assert set(raws) <= set(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_an_empty_run_and_no_permission_is_none_in_a_list(tmp_path: Path) -> None:
    assert load_state(tmp_path / "events.jsonl")[0].last_t is None
    (tmp_path / "events.jsonl").mkdir()  # what cannot be read: root may read everything else
    with pytest.raises(OSError):
        load_state(tmp_path / "events.jsonl")
    assert read_state(RunDir(tmp_path)).last_t is None


def test_two_hundred_thousand_events_in_two_seconds(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    record = json.loads(lines(step(1, files=("07 Low Sun.flac",), forward_s=0.4, backward_s=0.8, optimizer_s=0.1)))
    with path.open("w", encoding="utf-8") as file:
        for seq in range(200_000):
            record |= {"seq": seq, "t": T0 + seq, "step": seq + 1, "loss": 0.4 + seq % 97 / 1000}
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
    began = time.process_time()
    state, _ = load_state(path)
    took_s = time.process_time() - began
    assert len(state.loss) == 200_000
    assert took_s < 4.0, "a second on an idle computer; the bound is for a busy one"
    assert len(state.log) < 2000
