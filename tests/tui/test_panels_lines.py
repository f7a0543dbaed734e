"""Panels 2 to 7 as lines: at the cell where the mock-ups have them, and in states that no mock-up shows."""

from __future__ import annotations

import dataclasses
import math

import pytest
from rich.cells import cell_len

from acestep_tui.panels import checkpoints, data, gpu, log, samples, throughput
from acestep_tui.panels.checkpoints import SavesPanel
from acestep_tui.panels.log import LogPanel
from acestep_tui.panels.samples import SamplesPanel
from acestep_tui.runs.liveness import Life, Verdict
from acestep_tui.runs.state import RunState
from acestep_tui.widgets import paint
from acestep_tui.widgets.paint import title
from engine.contract import events
from tests.tui import facts
from tests.tui.mockup import mockup, words

NOW = facts.NOW
GB = 2**30


def region(name: str, first: int, last: int, *, left: int, width: int) -> list[str]:
    """Rows (from 1) of a mock-up, cut to the columns of one panel."""
    # A wide sign takes two cells: a blank that is taken away again stands for the second one.
    rows = ["".join(sign + "\0" * (cell_len(sign) - 1) for sign in row) for row in mockup(name)[first - 1 : last]]
    return [row.ljust(left + width)[left : left + width + 1].replace("\0", "").rstrip() for row in rows]


def panel(state: RunState, number: str, width: int, height: int, now: float) -> list[str]:
    """One panel with its title, as text."""
    heads = {
        "2": ("Speed", throughput.live(state)), "3": (gpu.name(state), gpu.live(state)),
        "4": ("Data", data.live(state)), "5": ("Samples", samples.live(state, width)),
        "6": ("Saves", checkpoints.live(state)), "7": ("Log", log.live(state)),
    }  # fmt: skip
    bodies = {
        "2": lambda: throughput.body(state, width, height, now), "3": lambda: gpu.body(state, width, height),
        "4": lambda: data.body(state, width, height), "5": lambda: samples.body(state, width, height, now),
        "6": lambda: checkpoints.body(state, width, height), "7": lambda: log.body(state, width, height),
    }  # fmt: skip
    name, live = heads[number]
    lines = [title(width, name, number=number, live=live), *bodies[number]()]
    assert all(line.cell_length <= width for line in lines), [line.plain for line in lines if line.cell_length > width]
    assert len(lines) <= height + 1
    return [line.plain.rstrip() for line in lines]


def body(state: RunState, number: str, width: int = 78, height: int = 5, now: float = NOW) -> list[str]:
    return panel(state, number, width, height, now)[1:]


# Mock-up, first and last row, left column and width; rows of it (from 0) that differ, each with its reason.
RIGHT, LEFT = {"left": 81, "width": 37}, {"left": 2, "width": 76}
NARROW = {"left": 1, "width": 78}
PLACES = [
    ("monitor-120x40", "2", (8, 13), RIGHT, {}),
    ("monitor-120x40", "3", (15, 21), RIGHT, {3: "the plan is an estimate without a stated error: planned about"}),
    ("monitor-120x40", "4", (23, 28), RIGHT, {}),
    ("monitor-120x40", "5", (25, 30), LEFT, {}),
    ("monitor-120x40", "6", (30, 34), RIGHT, {}),
    ("monitor-120x40", "7", (32, 37), LEFT, {0: "three warnings were told: lyrics, a damaged file, a clip that clips"}),
    ("monitor-80x24", "5", (18, 22), NARROW, {}),
    ("monitor-prepare-120x40", "2", (8, 12), RIGHT, dict.fromkeys(
        range(1, 5), "the events tell the pace of sound, and how many songs have captions and features")),
    ("monitor-prepare-120x40", "3", (15, 20), RIGHT, {}),
    ("monitor-prepare-120x40", "4", (23, 27), RIGHT, {3: "one cell too long for its panel in the mock-up"}),
    ("monitor-finished-120x40", "5", (34, 37), LEFT, {}),
    ("monitor-finished-120x40", "6", (21, 27), RIGHT, {0: "eight saves are told: one every 250 steps"}),
    ("monitor-finished-80x24", "5", (19, 21), NARROW, {}),
    ("monitor-crashed-120x40", "6", (24, 28), RIGHT, {}),
]  # fmt: skip
COURSES = {
    "monitor": (facts.training_course, facts.TRAINING_NOW),
    "monitor-prepare": (facts.preparing_course, facts.PREPARING_NOW),
    "monitor-finished": (facts.finished_course, facts.FINISHED_NOW),
    "monitor-crashed": (facts.crashed_course, facts.CRASHED_NOW),
}


@pytest.mark.parametrize(("name", "number", "rows", "place", "explained"), PLACES)
def test_a_panel_stands_where_the_mockup_has_it(name, number, rows, place, explained):
    first, last = rows
    make, now = COURSES[name.rsplit("-", 1)[0]]
    wanted = region(name, first, last, **place)
    has_title = place is not NARROW
    drawn = panel(make().state, number, place["width"], last - first + (0 if has_title else 1), now)
    drawn = (drawn if has_title else drawn[1:]) + [""] * len(wanted)
    found = {
        index: (mock, real)
        for index, (mock, real) in enumerate(zip(wanted, drawn, strict=False))
        if words(mock) != words(real)
    }
    assert set(found) - set(explained) == set(), found
    assert set(explained) - set(found) == set(), "as in the mock-up: take the explanation out"


@pytest.mark.parametrize("number", list("234567"))
@pytest.mark.parametrize("width", [37, 58, 78, 116])
def test_a_run_of_which_nothing_is_known_has_its_places(number, width):
    rows = panel(RunState(), number, width, 6, NOW)
    assert rows[0].startswith(number)
    assert len(rows) > 1
    assert not any("None" in row or " 0 " in row for row in rows)


@pytest.mark.parametrize("name", COURSES)
@pytest.mark.parametrize("number", list("234567"))
def test_everything_fits_at_every_width_and_in_ascii(name, number):
    make, now = COURSES[name]
    state = make().state
    paint.use_ascii(True)
    try:
        for width in (20, 37, 58, 76, 78, 96, 116):
            for row in panel(state, number, width, 5, now):
                assert all(ord(sign) < 128 or sign in "Å夜の港" for sign in row), row
    finally:
        paint.use_ascii(False)


# -- Speed --


def test_waiting_for_data_is_a_warning():
    state = facts.training_course().state
    slow = [dataclasses.replace(step, data_s=0.40) for step in state.recent]
    state.recent.clear()
    state.recent.extend(slow)
    assert throughput.live(state)[0] == "▲ waiting for data"
    rows = body(state, "2")
    assert rows[0].startswith("data      ━━━━")
    assert "▲ waiting for data: 22 % of a step" in rows[0]


def test_parts_that_were_not_measured_are_unknown():
    state = facts.training_course().state
    bare = [
        dataclasses.replace(step, forward_s=None, backward_s=None, optimizer_s=None, audio_s=0.0)
        for step in state.recent
    ]
    state.recent.clear()
    state.recent.extend(bare)
    rows = body(state, "2", width=37)
    assert rows[1].split() == ["forward", "–", "–"]
    assert rows[4].split()[-2:] == ["1.44", "s"]
    assert throughput.live(state) == ""


def test_the_speed_page_tells_how_long_each_part_took():
    state = facts.training_course().state
    rows = [row.plain.rstrip() for row in throughput.page(state, 78, 30, NOW)]
    assert any(row.startswith("prepare       2 min 41 s") and "23 of 23 songs" in row for row in rows)
    assert any(row.split() == ["finish", "–"] for row in rows)
    assert all(len(row) <= 78 for row in rows)


# -- GPU and computer --


def test_several_cards_have_a_row_each_with_the_plan():
    state = facts.training_course().state
    assert state.hardware is not None
    cards = tuple(
        {"name": "NVIDIA GeForce RTX 4090", "used_bytes": 12 * GB, "total_bytes": 24 * GB, "percent": 90.0 + index,
         "celsius": 60.0, "watts": 300.0}
        for index in range(3)
    )  # fmt: skip
    state.hardware = dataclasses.replace(state.hardware, gpus=cards)
    rows = panel(state, "3", 78, 5, NOW)
    assert rows[0].endswith("3 × RTX 4090")
    assert [row.split()[0] for row in rows[1:]] == ["0", "1", "2"]
    assert "12.0 of 24.0 GB" in rows[1] and "60 °C" in rows[1] and "300 W" in rows[1] and "│" in rows[1]
    assert "92 %" in rows[3]
    few = body(state, "3", width=37, height=2)
    assert few[1] == "… 2 more, z shows all"


def test_a_card_with_odd_facts_is_shown_as_far_as_they_go():
    state = facts.training_course().state
    assert state.hardware is not None
    cards = ({"name": None, "used_bytes": "much"}, {})
    state.hardware = dataclasses.replace(state.hardware, gpus=cards)
    assert [row.split()[-1] for row in body(state, "3", width=37)] == ["–", "–"]


def on_processor(state: RunState) -> RunState:
    assert state.started is not None
    state.started = dataclasses.replace(state.started, device="processor, 8 threads")
    state.hardware = events.Hardware(
        ram_total_bytes=64 * GB, ram_free_bytes=51 * GB, ram_bytes=2 * GB, cpu_percent=88.0, disk_free_bytes=204 * GB
    )
    state.ram_highest_bytes = 3 * GB
    return state


def test_without_a_card_the_panel_is_the_computer():
    rows = panel(on_processor(facts.training_course().state), "3", 37, 8, NOW)
    assert rows[0].startswith("3 Computer ─") and rows[0].endswith("processor, 8 threads")
    assert rows[1].split() == ["Main", "memory", "13.0", "of", "64.0", "GB"]
    assert rows[3] == "training 2.0, highest 3.0, plan 4.0"
    assert rows[4].split() == ["Processor", "88", "%"]
    assert rows[6].split()[:1] == ["Disk"] and rows[6].endswith("204 GB free")


def test_memory_above_the_plan_is_a_warning_and_the_page_names_all_numbers():
    state = facts.training_course().state
    state.vram_highest_bytes = 9 * GB
    line = gpu.body(state, 37, 6)[2]
    assert any("warning" in str(span.style) for span in line.spans)
    rows = [row.plain for row in gpu.page(state, 78, 30)]
    told = "\n".join(rows)
    for words_ in ("Reserved by training", "Highest of training", "Main memory", "Trains on", "48213"):
        assert words_ in told
    assert "6.9 GB" in told


# -- Data --


def test_several_songs_of_a_step_and_data_sets_are_counted():
    state = facts.training_course().state
    assert state.step is not None
    state.step = dataclasses.replace(state.step, files=("a/b one.flac", "two.flac", "three.flac"))
    state.config = {"data_backend_config": [
        {"id": "x", "instance_data_dir": "/m/one"}, {"id": "y"}, {"id": "text", "dataset_type": "text_embeds"},
    ]}  # fmt: skip
    assert data.live(state) == "2 data sets"
    assert "b one and 2 more" in "\n".join(body(state, "4"))
    state.config = {"data_backend_config": "config/choir/multidatabackend.json"}
    assert data.live(state) == "multidatabackend"


def test_the_data_page_names_every_problem_the_worst_first():
    state = facts.training_course().state
    rows = [row.plain.rstrip() for row in data.page(state, 78, 20)]
    place = next(index for index, row in enumerate(rows) if row.startswith("Songs with a problem   3"))
    assert rows[place + 1].startswith("✗ 13 Lighthouse demo.m4a  left out: damaged")
    assert rows[place + 2].startswith("▲ 04 Paper Lanterns.flac")
    assert [row.plain for row in data.page(state, 78, 9)][-1].startswith("… ")
    clean = RunState()
    assert any("No song has a problem" in row.plain for row in data.page(clean, 78, 20))


def test_left_out_songs_are_grouped_by_reason():
    problems = [
        events.FileProblem(severity="error", file=f"{index}", code=code, reason="x")
        for index, code in enumerate(("too_short", "unreadable", "too_short", "brand_new"))
    ]
    told = data.left_out(problems)
    assert paint.join(told).plain == "2 too short, 1 unreadable, 1 brand new"


def narrow_data(state: RunState) -> list[str]:
    """The panel as wide as one block."""
    return [row.plain.rstrip() for row in data.body(state, 37, 8)]


def test_songs_that_you_left_out_are_counted_too():
    state = facts.training_course().state
    assert state.data is not None
    state.data = dataclasses.replace(state.data, num_left_out=3, num_train=20)
    assert "Left out      1 unreadable, 2 by you" in narrow_data(state)
    state.problems = []
    assert "Left out      3 by you" in narrow_data(state)
    state.data = dataclasses.replace(state.data, num_left_out=0)
    assert "Left out      none" in narrow_data(state)


def test_while_preparing_those_you_left_out_do_not_count_as_usable():
    course = facts.preparing_course()
    data_ready = course.state.data
    assert data_ready is not None
    assert narrow_data(course.state)[0] == "Songs         23 of 24"
    course.state.data = dataclasses.replace(data_ready, num_left_out=data_ready.num_left_out + 1)
    assert narrow_data(course.state)[0] == "Songs         22 of 24"


def test_a_pass_that_is_not_a_number_is_unknown():
    state = facts.training_course().state
    assert state.step is not None
    state.step = dataclasses.replace(state.step, epoch=math.nan)
    assert body(state, "4")[0].startswith("Pass          –")


# -- Samples --


def clip(step: int, **values: object) -> events.SampleSaved:
    return dataclasses.replace(facts.clip(step), **values)


def test_before_the_first_clip_it_says_when_it_comes():
    course = facts.begun(NOW - 100)
    state = course.state
    assert body(state, "5") == ["First test clip at step 250."]
    course.say(NOW - 90, events.PhaseStarted(phase="train", total=2000))
    for step in range(1, 31):
        course.say(NOW - 60 + step, events.Step(step=step, total=2000, loss=0.5, lr=1e-4, step_s=1.5, eta_s=3000.0))
    assert body(state, "5", now=state.last_t or 0.0) == [
        "First test clip at step 250, in about 5 min 30 s. n makes one now."
    ]
    assert "5 min" in body(state, "5", now=(state.last_t or 0.0) + 25)[0]
    state.paused = True
    assert body(state, "5") == ["First test clip at step 250. n makes one now."]


def test_a_run_without_a_test_song_says_so():
    state = facts.begun(NOW).state
    state.config = {**state.config, "validation_prompt": None}
    assert body(state, "5") == ["No test clips: this run has no test song."]
    assert samples.next_step(state) is None


def test_a_clip_under_way_is_on_top():
    state = facts.training_course().state
    state.sampling = events.SampleProgress(name="validation", done=9, total=30)
    rows = body(state, "5")
    assert rows[0].startswith("◐  1,240  ━") and rows[0].endswith("9 of 30")
    assert rows[-1].split()[1] == "base"
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("verdict", "glyph", "word"),
    [("ok", "✓", "good level"), ("clips", "▲", "clips a little"), ("silent", "▲", "silent"),
     ("nonfinite", "✗", "not a number"), ("from the future", "▲", "from the future")],
)  # fmt: skip
def test_the_verdict_decides_glyph_and_word(verdict, glyph, word):
    row = samples.clip_row(clip(250, verdict=verdict), 78).plain
    assert row.startswith(f"{glyph}    250  ")
    assert row.rstrip().endswith(word)


def test_a_clip_without_levels_or_with_broken_ones_keeps_its_row():
    assert samples.clip_row(clip(250, envelope=()), 78).cell_length == 78
    odd = samples.clip_row(clip(250, envelope=(math.nan, 0.5, math.inf, -1.0)), 78)
    assert odd.cell_length == 78
    assert "0:30" in samples.clip_row(clip(250), 20).plain


def test_a_clip_that_was_made_again_counts_once_and_prompts_are_named():
    state = facts.training_course().state
    state.samples.append(clip(1000))
    assert [each.step for each in samples.newest_first(state)] == [1000, 750, 500, 250, 0]
    state.samples.append(clip(1000, name="ballad", path="validation/step_1000_ballad.wav"))
    assert any("ballad" in row for row in body(state, "5"))


# -- Saves --


def test_the_best_save_stays_in_sight_and_a_damaged_one_is_named():
    state = facts.finished_course().state
    rows = body(state, "6", height=2)
    assert "2,000" in rows[0] and "1,750" in rows[1] and "◆ best" in rows[1]
    state = facts.crashed_course().state
    assert state.crash is not None
    bad = dataclasses.replace(state.crash.checks[0], is_whole=False, problem="does not match")
    state.crash = dataclasses.replace(state.crash, checks=(bad,))
    assert body(state, "6")[0].startswith("✗  1,000")
    assert "✗ damaged" in body(state, "6", width=37)[0]


def test_before_the_first_save_it_says_when_it_comes():
    course = facts.begun(NOW)
    assert body(course.state, "6") == ["Nothing saved yet; every 250 steps."]
    course.say(NOW, events.PhaseStarted(phase="train", total=2000))
    assert body(course.state, "6") == ["First save at step 250. s saves now."]
    course.state.verdict = Verdict(Life.CRASHED)
    assert body(course.state, "6") == ["Nothing was saved."]


# -- Log --


def test_the_log_filters_by_text_and_by_warnings():
    state = facts.training_course().state
    rows = [row.plain.rstrip() for row in log.body(state, 78, 5, warnings_only=True)]
    assert rows and all("▲" in row or "✗" in row for row in rows)
    assert [row.plain.rstrip() for row in log.body(state, 78, 5, containing="gpu")] == [
        "Nothing matches “gpu”. esc clears."
    ]
    assert all("saved" in row.plain for row in log.body(state, 78, 9, containing="SAVED"))
    assert [row.plain.rstrip() for row in log.body(RunState(), 78, 5)] == ["No events yet."]


def test_what_cannot_be_read_is_counted_in_the_title():
    state = facts.training_course().state
    state.num_unknown, state.num_unreadable = 2, 1
    told = paint.join(log.live(state, warnings_only=True, containing="x")).plain
    assert told == "“x”  warnings only  ▲ 3 warnings  2 events of a newer version  1 line unreadable"


def test_times_follow_the_clock_of_the_settings():
    from acestep_tui import format as fmt

    state = facts.training_course().state
    fmt.use_wishes(has_12_hours=True)
    try:
        rows = [row.plain for row in log.body(state, 78, 2)]
    finally:
        fmt.use_wishes()
    assert rows[0].startswith(" 2:21:07 pm   step 1,240")


# -- what y copies --


def test_y_copies_what_a_panel_is_about():
    state = facts.training_course().state
    for made, value in (
        (SamplesPanel(), str(facts.FOLDER / "validation/step_1000_validation.wav")),
        (SavesPanel(), str(facts.FOLDER / "checkpoint-1000")),
        (LogPanel(), "14:21:07   step 1,240  loss 0.4128  1.48 s"),
    ):
        assert made.copied() is None
        made.state = state
        copied = made.copied()
        assert copied is not None and copied.value == value
