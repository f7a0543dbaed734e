from __future__ import annotations

import dataclasses

from acestep_tui.panels import gpu
from acestep_tui.runs.state import RunState, fold_all
from engine.contract import event_lines, events
from engine.contract.memory_events import MemoryMeasured


def records(*items: events.Event) -> list[event_lines.Record]:
    return [event_lines.decode(event_lines.encode(item, seq=seq, t=100.0 + seq)) for seq, item in enumerate(items)]


def started(resumed_step: int | None = None) -> events.RunStarted:
    return events.RunStarted(
        name="demo", dir="/x/demo", version="0.1.0", pid=1, host="here", device="cpu", resumed_step=resumed_step
    )


def step(number: int, total: int = 10) -> events.Step:
    return events.Step(step=number, total=total, loss=1.0 / number, lr=1e-4, step_s=0.5, eta_s=5.0)


def heldout(number: int, loss: float) -> events.ValidationLoss:
    return events.ValidationLoss(step=number, loss=loss, num_songs=2)


def saved(number: int) -> events.CheckpointSaved:
    return events.CheckpointSaved(step=number, path=f"checkpoint-{number}", bytes=1, verified=True)


def test_a_run_from_beginning_to_end() -> None:
    problem = events.FileProblem(severity="error", file="a.mp3", code="unreadable", reason="left out")
    remark = events.FileProblem(severity="warning", file="b.mp3", code="no_lyrics", reason="no lyrics")
    end = events.RunEnded(outcome="finished", exit_code=0, steps=10)
    state = fold_all(
        records(
            started(),
            events.PhaseStarted(phase="scan", total=3),
            problem,
            remark,
            events.PhaseEnded(phase="scan", done=3, total=3, seconds=0.2),
            events.PhaseStarted(phase="train", total=10),
            heldout(0, 1.0),
            step(1),
            step(2),
            heldout(2, 0.5),
            saved(2),
            end,
        )
    )
    assert state.step_now == 2
    assert state.steps_total == 10
    assert state.left_out == [problem]
    assert state.problems == [problem, remark]
    assert state.num_files == 3
    assert (state.heldout_first, state.heldout_last) == (1.0, 0.5)
    assert state.ended == end
    assert state.phase == ""
    assert (state.last_seq, state.last_t) == (11, 111.0)


def test_spans_give_training_its_phase_back() -> None:
    state = RunState()
    for record in records(started(), events.PhaseStarted(phase="train", total=10), step(3)):
        state.fold(record)
    for record in records(events.PhaseStarted(phase="save"), events.SampleProgress(name="x", done=1, total=60)):
        state.fold(record)
        assert (state.phase, state.span) == ("train", "save")
        assert (state.phase_done, state.phase_total) == (3, 10)
    state.fold(records(events.PhaseEnded(phase="save", seconds=1.0))[0])
    assert (state.phase, state.span) == ("train", "")


def test_going_on_clears_what_is_reported_anew_and_keeps_what_was_reached() -> None:
    problem = events.FileProblem(severity="error", file="a.mp3", code="unreadable", reason="left out")
    crashed = records(
        started(), problem, heldout(0, 1.0), step(4), saved(4), heldout(4, 0.8), step(6), heldout(6, 0.7), saved(6)
    )
    state = fold_all(crashed)
    state.fold(records(started(resumed_step=4))[0])
    assert state.num_starts == 2
    assert state.problems == []
    assert state.step_now == 4, "steps 5 and 6 are taken again"
    assert [point.step for point in state.heldout] == [0, 4]
    assert [entry.step for entry in state.checkpoints] == [4]
    state.fold(records(heldout(4, 0.8))[0])
    assert [point.step for point in state.heldout] == [0, 4], "measured again at the same step"


def test_going_on_with_more_steps_shows_neither_the_old_total_nor_the_old_time_left() -> None:
    plan = events.Plan(vram_bytes=0, ram_bytes=1, disk_bytes=1, seconds=1.0, num_steps=2000, num_epochs=1)
    ended = events.RunEnded(outcome="finished", exit_code=0)
    state = fold_all(records(started(), step(10, total=10), ended, started(resumed_step=10)))
    assert state.step is not None and state.step.eta_s is None
    state.fold(records(plan)[0])
    assert (state.step_now, state.steps_total) == (10, 2000)


def test_a_start_from_nothing_forgets_the_measurements_of_the_one_before() -> None:
    state = fold_all(records(started(), heldout(0, 1.0), step(1), started(), heldout(0, 2.0)))
    assert [point.loss for point in state.heldout] == [2.0]
    assert state.step is None


def test_a_new_start_takes_back_the_end() -> None:
    state = fold_all(records(started(), events.RunEnded(outcome="stopped", exit_code=130), started(resumed_step=1)))
    assert state.ended is None


def test_unknown_kinds_are_counted_and_kept_as_news() -> None:
    state = fold_all([event_lines.decode('{"v":9,"seq":5,"t":7.5,"kind":"from_the_future","x":1}')])
    assert (state.num_unknown, state.last_seq, state.last_t) == (1, 5, 7.5)


def test_every_declared_kind_is_folded_without_error() -> None:
    values = {"int": 1, "float": 1.0, "str": "train", "bool": True}
    for kind, event_type in events.EVENT_TYPES.items():
        required = {
            entry.name: values[str(entry.type).split(" ")[0]]
            for entry in dataclasses.fields(event_type)
            if entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        }
        state = fold_all(records(event_type(**required)))
        assert state.num_unknown == 0, kind


def test_a_measured_step_takes_the_place_of_the_estimate_until_the_next_start():
    plan = events.Plan(vram_bytes=8 * 2**30, ram_bytes=1, disk_bytes=1, seconds=1.0, num_steps=9, num_epochs=1.0)
    measured = MemoryMeasured(peak_bytes=7 * 2**30, step_s=1.5, bucket="240s", batch_size=4)
    state = fold_all(records(started(), plan))
    assert state.planned_vram_bytes == 8 * 2**30
    state = fold_all(records(started(), plan, measured))
    assert state.planned_vram_bytes == 7 * 2**30
    reading = events.Hardware(vram_used_bytes=9 * 2**30, vram_total_bytes=12 * 2**30, gpu_name="RTX 4070")
    card = dataclasses.replace(started(), device="RTX 4070")
    before, after = (fold_all(records(card, plan, *more, reading)) for more in ((), (measured,)))
    assert "highest 9.0, planned about 8.0" in "\n".join(line.plain for line in gpu.body(before, 37, 9))
    assert "highest 9.0, measured 7.0" in "\n".join(line.plain for line in gpu.body(after, 37, 9))
    assert "Measured with one step" in "\n".join(line.plain for line in gpu.page(after, 78, 40))
    # What the card lost is more than torch had allocated, and is what a reading of the card is held against.
    lost = dataclasses.replace(measured, used_bytes=9 * 2**30)
    assert "highest 9.0, measured 9.0" in "\n".join(
        line.plain for line in gpu.body(fold_all(records(card, plan, lost, reading)), 37, 9)
    )
    assert fold_all(records(started(), plan, measured, started(), plan)).planned_vram_bytes == 8 * 2**30
