"""What the monitor says in each state: numbers, banners, what happened, what is proved. Pure functions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from acestep_tui.panels.banner import banner_lines
from acestep_tui.panels.header import Ticker, header_right, moment, passed
from acestep_tui.panels.loss import legend, reading_line, small
from acestep_tui.panels.loss_page import ClipShare
from acestep_tui.panels.prepare_page import prepare_lines
from acestep_tui.panels.progress import TopStrip, bar_share, phase_row, strip_lines
from acestep_tui.panels.result_page import proof_lines, result_lines, taken_words, use_lines
from acestep_tui.panels.stats import lost_words, num_songs_ready, stats
from acestep_tui.panels.trouble_page import (
    advice,
    evidence_lines,
    happened,
    memory_lines,
    report,
    safe_words,
    trouble_lines,
)
from acestep_tui.panels.view import View, safe_step, view_of
from acestep_tui.runs.facts import CheckpointCheck, CrashFacts, FolderFacts, SilentFacts, WorkerFacts
from acestep_tui.runs.liveness import Life, Verdict
from acestep_tui.runs.state import RunState
from acestep_tui.screens.monitor_stop import about, left_words, stop_question
from acestep_tui.widgets.chart import Reading
from engine.contract import events
from engine.contract.run_dir import short_name
from tests.tui import facts
from tests.tui.facts import GB, MB
from tests.tui.harness import NOW

HOUR = 3600.0


def value(state: RunState, label: str, now: float = NOW) -> str:
    return {stat.label: stat.value.plain for stat in stats(state, now, is_wide=True)}[label]


def plain(lines) -> list[str]:
    return [line.plain.rstrip() for line in lines]


# -- time --


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0 s"), (0.4, "0 s"), (14.2, "14 s"), (59.4, "59 s"), (59.6, "1 min"), (74, "1 min 14 s"), (720, "12 min"),
     (3 * HOUR + 300, "3 h"), (47 * HOUR, "47 h"), (72 * HOUR, "3 days"), (-5, "0 s")],
)  # fmt: skip
def test_how_long_ago(seconds, said):
    assert passed(seconds) == said


def test_the_time_since_the_last_event_ticks_ever_slower():
    ticker = Ticker()
    assert [ticker.told(t) for t in (1, 2, 59, 60, 61, 69.9, 70, 75, 3, 4)] == [1, 2, 59, 60, 60, 60, 70, 70, 3, 4]


def test_a_moment_has_its_day_once_it_is_not_today():
    assert moment(NOW, NOW) == "14:21"
    assert moment(NOW + 12 * HOUR, NOW) == "Mon 02:21"
    assert moment(NOW - 24 * HOUR, NOW) == "Sat 14:21"
    assert moment(NOW - 10 * 24 * HOUR, NOW) == "12 Nov"
    assert moment(math.nan, NOW) == moment(1e300, NOW) == "–"


def test_a_proposed_name_is_said_without_its_date():
    assert short_name("2026-11-22_1349_night-ferry") == "night-ferry"
    assert short_name("2026-11-22_1349_") == "2026-11-22_1349_"
    assert short_name("night-ferry") == "night-ferry"


# -- numbers --


def test_nothing_is_known_before_the_first_event():
    state = RunState()
    assert [value(state, label) for label in ("Done", "Left", "Loss", "Held-out loss", "Speed", "GPU memory")] == [
        "–"
    ] * 6
    assert bar_share(state, NOW)[0] is None
    assert "○ scan   ○ prepare" in phase_row(state, NOW, 78, has_times=False).plain


def test_a_loss_that_is_no_number_is_said():
    course = facts.training_course()
    course.state.loss.append(1241, math.nan)
    assert value(course.state, "Loss").startswith("not a number")


def test_left_is_measured_before_it_is_told():
    course = facts.begun(NOW - 100)
    course.say(NOW - 90, events.PhaseStarted(phase="load"))
    assert value(course.state, "Left") == "57 min planned"
    course.say(NOW - 50, events.PhaseStarted(phase="train", total=2000))
    course.say(NOW, events.Step(step=1, total=2000, loss=0.5, lr=1e-4, step_s=1.0, eta_s=2000.0))
    assert value(course.state, "Left") == "measuring"
    for step in range(2, 21):
        course.say(NOW, events.Step(step=step, total=2000, loss=0.5, lr=1e-4, step_s=1.0, eta_s=2000.0))
    assert value(course.state, "Left") == "33 min ends 14:54"
    assert value(course.state, "Left", NOW + 600) == "23 min ends 14:54"
    course.say(NOW, events.Paused(paused=True, step=20))
    assert value(course.state, "Left", NOW + 240) == "paused 4 min"


def test_without_a_card_memory_is_the_computers():
    course = facts.begun(NOW)
    course.state.plan = replace(course.state.plan, vram_bytes=0)
    course.say(NOW, events.Hardware(ram_bytes=2 * GB, ram_total_bytes=64 * GB))
    assert value(course.state, "Memory") == "2.0 of 64.0 GB"


def test_columns_do_not_become_narrower_and_what_does_not_fit_goes():
    course = facts.training_course()
    found = stats(course.state, NOW, is_wide=True)
    whole = strip_lines(found, 116, is_wide=True)
    assert [line.cell_length for line in whole] == [116, 116]
    labels = strip_lines(found, 60, is_wide=False)[0].plain
    assert labels.split() == ["Done", "Left", "Loss"]
    kept = strip_lines(found[:4], 78, is_wide=False, least={"Left": 19})
    assert kept[0].plain.index("Loss") - kept[0].plain.index("Left") == 24
    strip = TopStrip()
    strip._state, strip._now = course.state, NOW
    before = strip.lines(90, 4)[0].plain
    course.state.loss.append(1241, math.nan)  # a wide word
    strip.lines(90, 4)
    course.state.loss.append(1242, 0.4)
    after = strip.lines(90, 4)[0].plain
    assert after.index("Speed") > before.index("Speed") and after.index("Left") == before.index("Left")


def test_done_counts_songs_with_all_their_parts():
    course = facts.begun(NOW)
    course.say(NOW, events.PhaseStarted(phase="cache", total=2))
    for file in ("a.flac", "b.flac"):
        course.say(NOW, events.CacheProgress(done=1, total=4, file=file, part="captions"))
    assert num_songs_ready(course.state)[0] == 0
    course.say(NOW, events.CacheProgress(done=3, total=4, file="a.flac", part="sound", audio_s=200.0, bytes=5 * MB))
    assert num_songs_ready(course.state) == (1, 23)
    rows = plain(prepare_lines(course.state, 78, 10))
    assert rows[0].startswith("✓ a.flac") and "sound ✓  captions ✓" in rows[0] and rows[0].endswith("5 MB")
    assert rows[1] == f"○ {'b.flac':<28}waiting" and rows[2] == "○ waiting"
    assert rows[-2].startswith("Sound and captions become numbers once")


# -- states --


def test_the_face_follows_the_events_then_the_watcher():
    course = facts.training_course()
    state = course.state
    assert view_of(state) is View.TRAINING
    state.verdict = Verdict(Life.CRASHED, last_t=NOW)
    assert view_of(state) is View.CRASHED
    # A verdict that is older than the events does not count.
    state.verdict = Verdict(Life.FINISHED, last_t=NOW)
    assert view_of(state) is View.TRAINING
    for outcome, view in (
        ("finished", View.FINISHED),
        ("stopped", View.STOPPED),
        ("failed", View.FAILED),
        ("?", View.FAILED),
    ):
        state.ended = events.RunEnded(outcome=outcome, exit_code=0)
        assert view_of(state) is view
    assert view_of(facts.preparing_course().state) is View.PREPARING


def test_safe_is_what_was_checked_then_what_lies_there_then_what_was_said():
    state = facts.training_course().state
    assert safe_step(state) == 1000
    damaged = CheckpointCheck(1000, facts.FOLDER, False, "does not match its checksum")
    state.crash = CrashFacts(checks=(damaged, CheckpointCheck(750, facts.FOLDER, True)), is_checked=True)
    assert safe_step(state) == 750
    state.crash = CrashFacts(checks=(damaged,), is_checked=True)
    assert safe_step(state) is None
    state.crash = None
    state.folder_facts = FolderFacts()
    assert safe_step(state) == 1000
    state.checkpoints.clear()
    assert safe_step(state) is None


def test_the_header_says_how_it_is():
    state = facts.training_course().state
    assert header_right(state, NOW, 1.0, is_readonly=False).plain == "● training   last event 1 s ago"
    assert header_right(state, NOW, 1.0, is_readonly=True).plain.startswith("read-only   ● training")
    state.reading_problem = "events.jsonl cannot be read: Permission denied"
    assert header_right(state, NOW, 1.0, is_readonly=False).plain.startswith("✗ cannot be read")
    state.folder_facts = FolderFacts(is_gone=True)
    assert header_right(state, NOW, 1.0, is_readonly=True).plain == "read-only   ✗ folder is gone"


# -- banners --


def silent(**known) -> list[str]:
    state = facts.training_course().state
    state.verdict = known.pop("verdict", Verdict(Life.RUNNING, is_locked=True, last_t=NOW))
    state.silent = SilentFacts(since_t=NOW, **known)
    return plain(banner_lines(state, 78, 74.0))


def test_silence_says_what_is_known_and_one_suspicion():
    assert silent(was_doing="saving step 1,250", usual_s=3.0, probe_s=9.0) == [
        "◌ No news for 1 min 14 s. The process is alive; it was saving step 1,250.",
        "  Saving took 3 s before. The disk is slow now: 9 s to write 1 MB.",
    ]
    assert silent(was_doing="training step 1,241", probe_s=0.01, gpu_percent=1.0)[1] == (
        "  A step took 1.48 s before. The card was idle at the last reading."
    )
    assert silent(is_probe_stuck=True, probe_s=15.0)[1] == "  The disk does not answer: 1 MB is still not written."
    elsewhere = silent(verdict=Verdict(Life.RUNNING, by_lock=False, host="node17", last_t=NOW), probe_s=0.01)
    assert elsewhere == [
        "◌ No news for 1 min 14 s.",
        "  Whether the process is alive cannot be seen from here.",
    ]


def test_a_stopped_run_says_where_it_goes_on():
    course = facts.training_course()
    course.say(NOW, events.RunEnded(outcome="stopped", exit_code=130))
    state = course.state
    assert plain(banner_lines(state, 78, None)) == [
        "■ Stopped at step 1,240. r goes on from step 1,000, which is saved."
    ]
    state.folder_facts = FolderFacts()
    state.checkpoints[-1] = replace(state.checkpoints[-1], step=1240)
    assert plain(banner_lines(state, 78, None)) == ["■ Stopped at step 1,240; it is saved. r goes on from there."]
    state.checkpoints.clear()
    assert plain(banner_lines(state, 78, None)) == ["■ Stopped at step 1,240; nothing is saved. r begins again."]


def test_what_is_worst_is_said_first():
    state = facts.training_course().state
    assert banner_lines(state, 78, 1.0) == []
    state.folder_facts = replace(state.folder_facts, disk_free_bytes=800 * MB)
    assert plain(banner_lines(state, 78, 1.0)) == [
        "▲ 0.8 GB left on this disk. The next save needs 0.4 GB. Older save points are",
        "  not removed without your word: 6, then d.",
    ]
    state.reading_problem = "events.jsonl cannot be read: Permission denied"
    assert plain(banner_lines(state, 78, 1.0))[0] == "✗ Events.jsonl cannot be read: Permission denied."
    state.folder_facts = FolderFacts(is_gone=True)
    assert plain(banner_lines(state, 78, 1.0))[0].startswith("✗ The run folder is gone")


# -- the end --


def test_a_proof_that_could_not_run_is_no_proof():
    state = facts.finished_course().state
    notes = {"works": "0.5000 with the LoRA, 0.4000 without", "is_yours": "no musical features"}
    state.proofs = events.Proofs(works=False, loads=True, resumes=None, is_yours=None, notes=notes)
    assert plain(proof_lines(state, 78)) == [
        "✗ It works        0.5000 with the LoRA, 0.4000 without: do not use this file",
        "✓ It loads        read back: every part matches",
        "– It is yours     not measured: no musical features",
        "– It can go on    not measured",
    ]
    state.proofs = replace(state.proofs, works=True)
    assert plain(proof_lines(state, 78))[0].endswith("held-out loss 0.5000 with the LoRA, 0.4000 without")
    state.proofs = None
    assert all(row.startswith("–") and "not measured" in row for row in plain(proof_lines(state, 78)))


def test_the_step_that_was_taken_is_said_with_its_reason():
    state = facts.finished_course().state
    assert taken_words(state) == (
        "step 2,000, the last one. Held-out loss was lowest at step 1,750; that save point is kept too."
    )
    state.folder_facts = FolderFacts()
    assert taken_words(state).endswith("it was not saved.")
    state.heldout = [point for point in state.heldout if point.step not in (1500, 1750)]
    assert taken_words(state) == "step 2,000, the last one: its held-out loss is the lowest."
    state.heldout = []
    assert taken_words(state).endswith("No song was kept aside, so no step can be called the best.")


def test_a_long_path_moves_up_and_a_missing_file_is_said():
    state = facts.finished_course().state
    state.exported = replace(state.exported, path="export/night-ferry/pytorch_lora_weights.safetensors")
    rows = plain(result_lines(state, 78, has_key=True))
    assert rows[0].endswith("_night-ferry/export/night-ferry/")
    assert rows[1].split("  ")[4:6] == ["pytorch_lora_weights.safetensors", "125 MB"] and rows[1].endswith(
        "y copy path"
    )
    assert all(len(row) <= 78 for row in rows)
    state.exported, state.folder_facts = None, FolderFacts()
    assert plain(result_lines(state, 78, has_key=True))[0] == "file    – nothing was written"


def test_a_whole_model_is_used_as_a_model():
    state = facts.finished_course().state
    state.exported = replace(state.exported, format="checkpoint", path="export/night-ferry")
    assert plain(use_lines(state, 37))[0] == "ACE-Step  give the folder as model"
    assert not any("ComfyUI" in row for row in plain(use_lines(state, 37)))


def crashed(**known) -> RunState:
    state = facts.training_course().state
    state.verdict = Verdict(Life.CRASHED, last_t=NOW)
    state.crash = CrashFacts(died_t=NOW, **known)
    return state


def test_only_what_is_known_of_a_crash_is_said():
    tail = ("Traceback …", "RuntimeError: something broke inside")
    assert happened(crashed(exit_code=1, log_tail=tail), NOW) == [
        "The training process ended by itself with code 1, without a goodbye.",
        "The last line of worker.log: RuntimeError: something broke inside",
    ]
    assert happened(crashed(signal=15, ram_used_bytes=62 * GB, ram_total_bytes=64 * GB), NOW) == [
        "The training process was ended from outside, by signal 15.",
        "At its last reading 62 of 64 GB of the computer's memory were taken.",
    ]
    assert happened(crashed(has_restarted=True), NOW) == ["The computer was started again while training ran."]
    assert happened(crashed(), NOW) == ["The training process is gone, without a goodbye.", "worker.log is empty."]
    unknown = crashed()
    unknown.crash = None
    assert happened(unknown, NOW)[1] == "Looking for the reason …"
    assert plain(evidence_lines(crashed(), 60, NOW))[0] == "The kernel log cannot be read here."
    assert plain(evidence_lines(crashed(is_kernel_log_readable=True), 60, NOW))[0] == (
        "The kernel log does not name this process."
    )
    assert plain(memory_lines(crashed(), 37)) == ["– not read before the end"]


def test_silence_alone_is_not_told_as_an_end():
    state = crashed()
    state.verdict = Verdict(Life.UNHEARD, last_t=NOW, host="node17", by_lock=False)
    state.worker = WorkerFacts(host="node17", is_here=False)
    state.last_t = NOW - 240
    assert happened(state, NOW) == [
        "No news for 4 min; whether it still trains cannot be seen from here.",
        "It was started on node17.",
    ]
    assert advice(state).startswith("look on node17 whether it trains; if it has ended, press r there: it goes on at ")
    assert trouble_lines(state, 80, NOW)[0].plain.startswith("◌ No news for 4 min")
    assert report(state, NOW).splitlines()[0].endswith(": silent at step 1,240 of 2,000")
    assert view_of(state) is View.UNHEARD
    state.worker = WorkerFacts(host="node17", is_here=True)
    assert happened(state, NOW)[1] == "This disk does not tell whether its process lives."
    assert advice(state).startswith("see that its process has ended, then type acestep-tui --run ")
    state.worker = WorkerFacts(pid=48213, host="node17", is_here=True)
    assert advice(state).startswith("see that process 48213 has ended, then type acestep-tui --run ")
    state.verdict = Verdict(Life.CRASHED, last_t=NOW, host="node17", by_lock=False)
    state.crash = CrashFacts(died_t=NOW, exit_code=1)
    assert "ended by itself with code 1" in happened(state, NOW)[0], "a code that was left is a fact"


def test_what_is_safe_names_what_is_damaged():
    good, bad = CheckpointCheck(750, facts.FOLDER, True), CheckpointCheck(1000, facts.FOLDER, False, "torn")
    assert safe_words(crashed(checks=(bad, good), is_checked=True, checked_t=NOW), NOW + 1) == (
        "step 750, checked just now, all files complete; step 1,000 is damaged"
    )
    assert safe_words(crashed(checks=(good,)), NOW) == "step 750, its files are being compared …"
    assert safe_words(crashed(checks=(bad,), is_checked=True), NOW) == (
        "nothing that can be gone on from; step 1,000 is damaged"
    )
    assert advice(crashed(checks=(good,), is_checked=True)) == "press r: it goes on at 750"
    assert advice(crashed(checks=(bad,), is_checked=True)) == "press r: it begins again"


def test_a_failure_is_said_in_the_workers_words():
    course = facts.training_course()
    course.say(NOW, events.RunEnded(outcome="failed", exit_code=3, error="this does not fit 6 GB", hint="Set rank 8."))
    assert happened(course.state, NOW) == ["This does not fit 6 GB."]
    assert advice(course.state) == "Set rank 8."
    assert lost_words(course.state) == "240 steps, 5 min 55 s"


# -- stopping --


def test_the_note_about_a_stop_says_where_it_goes_on():
    course = facts.training_course()
    course.state.take_news()
    course.say(NOW, events.RunEnded(outcome="stopped", exit_code=130))
    (news,) = course.state.take_news()
    assert (news.title, news.detail) == ("Stopped at step 1,240.", "r goes on from step 1,000.")


def test_what_stopping_costs():
    words, choices = stop_question(facts.training_course().state, NOW)
    assert words[0] == "Training is at step 1,240 of 2,000; 21 minutes are left."
    assert [(choice.key, choice.label, choice.cost) for choice in choices] == [
        ("escape", "Keep training", ""),
        ("s", "Save and stop", "3 s, loses nothing"),
        ("n", "Stop now", "loses 240 steps, 6 min"),
    ]
    course = facts.training_course()
    course.say(NOW, events.Paused(paused=True, step=1240))
    words, choices = stop_question(course.state, NOW)
    assert words[0] == "Training is at step 1,240 of 2,000." and choices[0].label == "Stay paused"


@pytest.mark.parametrize(
    ("seconds", "left", "lost"),
    [(20, "less than a minute is", "20 s"), (65, "1 minute is", "1 min 5 s"), (355, "6 minutes are", "6 min"),
     (3900, "1 h 05 min are", "1 h 05 min")],
)  # fmt: skip
def test_times_in_sentences(seconds, left, lost):
    assert left_words(seconds) == left
    assert about(seconds) == lost


# -- the chart's words --


def test_the_legend_names_what_is_drawn():
    assert legend(True, True, True).plain == "┈ each step  ━ smoothed  ◆ held-out"
    assert legend(True, False, False).plain == "━ smoothed"
    assert legend(False, True, False).plain == "━ each step"


def test_a_reading_is_shorter_where_it_would_be_cut():
    reading = Reading(1240, 0.4128, 0.3987, 0.4391, 1000)
    assert (
        reading_line(reading, 78).plain
        == "▾ step 1,240   ┈ this 0.4128   ━ smoothed 0.3987   ◆ held-out 0.4391 (1,000)"
    )
    narrow = reading_line(reading, 58).plain
    assert "held-out" not in narrow, "what has no room is left out as a whole"
    assert len(narrow) <= 58
    assert reading_line(Reading(3, math.nan), 78).plain == "▾ step 3   ┈ this step not a number   ━ smoothed –"
    assert reading_line(None).plain == "the curve begins with the first step"


@pytest.mark.parametrize(
    ("number", "said"),
    [(None, "–"), (4.1e-5, "4.1e-5"), (0.24, "0.24"), (0.0, "0.00"), (math.inf, "not a number"), (12, "12.00")],
)
def test_small_numbers(number, said):
    assert small(number) == said


def test_the_share_of_clipped_steps_counts_on():
    state, share = facts.training_course().state, ClipShare()
    assert round(share.of(state), 2) == 0.06
    state.grad_norm.append(1241, 9.0)
    before = share._counted
    share.of(state)
    assert share._counted == before + 1
    state.grad_norm.cut_back(10)  # a run that went back
    assert share.of(state) == 0.1
    state.config = {}
    assert ClipShare().of(state) is None
