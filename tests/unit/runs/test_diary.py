"""The log in words and what becomes a toast: the sentences of the mock-ups."""

from __future__ import annotations

import dataclasses
import math

from acestep_tui.runs.state import RunState
from engine.contract import events
from tests.unit.runs.build import T0, heldout, records, saved, started, step


def told(*items: events.Event | tuple[float, events.Event]) -> RunState:
    state = RunState()
    for record in records(*items):
        state.fold(record)
    return state


def log_of(state: RunState) -> list[str]:
    return [f"{entry.glyph} {entry.text}" for entry in state.log.oldest_first()]


def clip(number: int, verdict: str = "ok", seconds: float = 30.0) -> events.SampleSaved:
    path = f"validation/step_{number}_validation.wav"
    return events.SampleSaved(step=number, name="validation", path=path, seconds=seconds, took_s=9.0, verdict=verdict)


def test_the_mock_ups_log() -> None:
    state = told(
        events.PhaseStarted(phase="train", total=2000),
        heldout(750, 0.4452),
        heldout(1000, 0.4391),
        events.PhaseStarted(phase="validate", total=1),
        clip(1000),
        events.PhaseEnded(phase="validate", seconds=24.0),
        events.PhaseStarted(phase="save"),
        events.PhaseEnded(phase="save", seconds=3.0),
        saved(1000),
        step(1230, 0.4190),
        (20.0, step(1240, 0.4128)),
    )
    assert log_of(state) == [
        "✓ held-out loss 0.4452",
        "✓ held-out loss 0.4391, best so far",
        "✓ test clip step_1000_validation.wav, 30 s",
        "✓ saved step 1,000, checked, 390 MB",
        "  step 1,230  loss 0.4190  1.48 s",
        "  step 1,240  loss 0.4128  1.48 s",
    ]


def test_what_is_under_way_stands_until_it_is_done() -> None:
    state = told(events.PhaseStarted(phase="train"), step(1250), events.PhaseStarted(phase="save"))
    assert log_of(state)[-1] == "◐ saving step 1,250 …"
    assert state.doing() == "saving step 1,250"
    state = told(events.PhaseStarted(phase="train"), step(250), events.PhaseStarted(phase="validate", total=1))
    assert log_of(state)[-1] == "◐ test clip of step 250 …"


def test_scan_and_preparing() -> None:
    state = told(
        started(device="RTX 4070"),
        events.PhaseStarted(phase="scan", total=24),
        events.FileProblem(severity="warning", file="04.flac", code="no_lyrics", reason="no lyrics"),
        events.FileProblem(severity="warning", file="14.flac", code="no_lyrics", reason="no lyrics"),
        events.FileProblem(severity="error", file="13.m4a", code="unreadable", reason="left out: damaged"),
        events.PhaseEnded(phase="scan", seconds=1.0, summary="24 songs"),
        events.CacheProgress(done=1, total=3, file="07 Low Sun.flac", part="sound", audio_s=210.0),
        events.CacheProgress(done=2, total=3, file="07 Low Sun.flac", part="captions"),
        events.CacheProgress(done=3, total=3, file="08.flac", part="sound"),
    )
    assert log_of(state) == [
        "● started on RTX 4070",
        "✗ 13.m4a: left out: damaged",
        "▲ 2 songs have no lyrics",
        "✓ scan: 24 songs, 1 s",
        "✓ 07 Low Sun.flac",
        "✓ 08.flac",
    ]
    assert state.log.num_warnings == 2


def test_clips_by_their_verdict() -> None:
    state = told(clip(1, "clips"), clip(2, "silent"), clip(3, "nonfinite", 4.0), clip(4, "odd_word"))
    assert log_of(state) == [
        "▲ test clip step_1_validation.wav, 30 s: clips a little",
        "▲ test clip step_2_validation.wav, 30 s: silent",
        "✗ test clip step_3_validation.wav, 4.0 s: broken",
        "▲ test clip step_4_validation.wav, 30 s: odd_word",
    ]


def test_overfitting_a_loss_that_is_no_number_and_a_pause() -> None:
    state = told(
        *(heldout(number, loss) for number, loss in ((250, 0.5), (500, 0.4), (750, 0.41), (1000, 0.42), (1250, 0.43))),
        step(1251, math.nan),
        events.Paused(paused=True, step=1251),
        events.Paused(paused=False, step=1251),
    )
    assert log_of(state)[-4:] == [
        "▲ held-out loss was lowest at step 500 and rises since",
        "▲ step 1,251  the loss is not a number",
        "‖ paused at step 1,251",
        "● going on at step 1,251",
    ]
    assert state.is_overfitting


def test_the_loss_of_the_averaged_weights_stands_beside_it() -> None:
    state = told(
        events.PhaseStarted(phase="train"),
        events.ValidationLoss(step=50, loss=0.4312, num_songs=1, ema_loss=0.4298),
    )
    assert log_of(state) == ["✓ held-out loss 0.4312 (average of the weights: 0.4298)"]


def test_the_end_and_its_proofs() -> None:
    exported = events.AdapterExported(
        path="export/night-ferry/x.safetensors", format="universal", bytes=2**20, max_relative_error=0.0, verified=True
    )
    state = told(
        events.PhaseStarted(phase="train"),
        events.ValidationLoss(step=2000, loss=0.4312, num_songs=1, base_loss=0.6402),
        exported,
        dataclasses.replace(exported, path="export/night-ferry", format="checkpoint"),
        events.Proofs(works=True, loads=True, resumes=True),
        events.Proofs(works=False, loads=True),
        events.RunEnded(outcome="finished", exit_code=0, seconds=3480.0),
    )
    assert log_of(state) == [
        "✓ held-out loss 0.4312 with the LoRA, 0.6402 without",
        "✓ exported night-ferry",
        "✓ exported night-ferry",
        "✓ proofs passed: 3 of 3",
        "✗ proofs passed: 1 of 2",
        "✓ finished in 58 min",
    ]
    assert state.take_news()[-1].title == "Finished in 58 min."
    assert state.take_news() == []


def test_a_failure_and_a_stop_become_toasts() -> None:
    failed = events.RunEnded(outcome="failed", exit_code=5, error="disk full. 12 MB free in /home/mara\nmore")
    news = told(events.PhaseStarted(phase="load"), failed).take_news()
    assert (news[-1].glyph, news[-1].title, news[-1].detail) == ("✗", "Disk full.", "12 MB free in /home/mara more")
    stopped = told(step(40), events.RunEnded(outcome="stopped", exit_code=130)).take_news()
    assert stopped[-1].title == "Stopped at step 40."


def test_asked_commands_are_logged_at_once_and_answered_with_a_toast() -> None:
    state = told(step(1240))
    state.asked("7-save", "save", T0 + 10)
    assert log_of(state)[-1] == "  asked to save now"
    for record in records(saved(1240), events.CommandDone(command="save", id="7-save"), first_seq=1):
        state.fold(record)
    assert state.commands["7-save"].ok is True
    (news,) = state.take_news()
    assert (news.glyph, news.title) == ("✓", "Saved step 1,240. Checked, 390 MB.")


def test_command_without_an_answer_is_late_once() -> None:
    state = told(step(1))
    state.asked("7-sample", "sample", 1000.0)
    state.tick(1029.0)
    assert not state.commands["7-sample"].is_late
    state.tick(1030.0)
    state.tick(1090.0)
    assert [line for line in log_of(state) if "not done yet" in line] == [
        "  asked for a test clip, not done yet: it is in a long step"
    ]
    assert [news.title for news in state.take_news()] == ["Asked for a test clip: not done yet."]


def test_refused_command_says_why() -> None:
    refusal = events.CommandDone(command="sample", id="x", ok=False, message="disk full: 12 MB free in /home/mara")
    state = told(refusal)
    assert log_of(state) == ["✗ the sample could not be made: disk full: 12 MB free in /home/mara"]
    (news,) = state.take_news()
    assert (news.title, news.detail) == ("The sample could not be made.", "Disk full: 12 MB free in /home/mara.")


def test_warnings_are_toasts_of_two_sentences() -> None:
    warning = events.RunWarning(code="oom", message="GPU memory ran out at step 1,241. A third waits. Nothing is lost.")
    (news,) = told(warning).take_news()
    assert (news.title, news.detail) == ("GPU memory ran out at step 1,241.", "A third waits. Nothing is lost.")


def test_missing_events_and_a_clock_that_went_back_are_said() -> None:
    state = RunState()
    for record in [*records((100.0, step(1))), *records((100.5, step(2)), (10.0, step(3)), first_seq=4)]:
        state.fold(record)
    assert (state.num_missing, state.num_clock_jumps) == (3, 1)
    assert "▲ 3 events before this one cannot be read" in log_of(state)
    assert "▲ the clock was set back by 1 min 30 s" in log_of(state)
    assert state.last_t == T0 + 10.0
