"""The monitor while steps are compiled, and where they are not: how long, what came of it, why not."""

from __future__ import annotations

import pytest

from acestep_tui.panels.header import tiny_line
from acestep_tui.panels.progress import bar_share, phase_row
from acestep_tui.panels.stats import stats
from acestep_tui.panels.throughput import page
from acestep_tui.runs.liveness import Life, Verdict
from engine.contract import events
from tests.tui import facts
from tests.tui.harness import NOW, SIZES, screen_text, until
from tests.tui.monitor_app import loaded, tell

WHY = "the compiler failed: no working triton"
DONE = events.StepsCompiled(is_compiled=True, has_graphs=True, took_s=25.0, num_shapes=2, num_lengths=3)


def speed_page(state) -> list[str]:
    return [line.plain.rstrip() for line in page(state, 78, 30, NOW)]


def test_what_is_left_counts_compiling_in():
    course = facts.compiling_course()
    left = {stat.label: stat.value.plain for stat in stats(course.state, NOW, is_wide=True)}["Left"]
    # Planned: 55 s to load, 2,945 s of steps, 420 s of clips; and 46 s to compile.
    assert left == "58 min planned"
    course.say(NOW, DONE)
    left = {stat.label: stat.value.plain for stat in stats(course.state, NOW, is_wide=True)}["Left"]
    assert left == "57 min planned"


def test_the_bar_is_that_of_compiling_and_never_full_before_its_end():
    state = facts.compiling_course().state
    assert bar_share(state, NOW)[0] == pytest.approx(14 / 60)
    assert bar_share(state, NOW + 500)[0] == 0.99
    state.verdict = Verdict(Life.UNHEARD, last_t=NOW - 1)
    assert bar_share(state, NOW + 500)[0] == pytest.approx(13 / 60), "what it did since its last word is not known"


def test_the_phase_says_how_far_it_is_where_there_is_room():
    state = facts.compiling_course().state
    row = phase_row(state, NOW + 100, 78, has_times=False).plain.rstrip()
    assert row == "✓ scan   ✓ prepare   ✓ load   ● compile 114 of about 60 s   ○ train   ○ finish"
    assert phase_row(state, NOW, 58, has_times=False).plain.rstrip() == (
        "✓ scan  ✓ prepare  ✓ load  ● compile  ○ train  ○ finish"
    )
    assert tiny_line(state, NOW).plain == "◐ compiling 14 of about 60 s"


@pytest.mark.parametrize("size", SIZES)
async def test_header_phases_and_speed_say_that_it_compiles(opened, size):
    app = opened(facts.compiling_course(), facts.COMPILING_NOW)
    async with app.run_test(size=SIZES[size]) as pilot:
        screen = await loaded(pilot)
        rows = screen_text(app)
        assert "◐ compiling   last event 1 s ago" in rows[0]
        assert sum("● compile 14 of about 60 s" in row for row in rows) == 1
        assert any("Compiling     14 of about 60 s" in row for row in rows)
        assert any("Left          46 s" in row for row in rows)
        assert any("Lengths       3, one after another" in row for row in rows)
        await tell(pilot, screen, DONE, t=NOW)
        await until(pilot, lambda: "◐ warming up" in screen_text(app)[0])
        assert not any("Compiling" in row for row in screen_text(app))
        assert screen.state.log.newest(1)[0].text == "steps compiled in 25 s: 2 shapes so far, CUDA graphs"


@pytest.mark.parametrize("size", SIZES)
async def test_the_reason_is_in_the_log_and_on_the_page_of_the_speed(opened, size):
    app = opened(facts.eager_course(WHY))
    async with app.run_test(size=SIZES[size]) as pilot:
        await loaded(pilot)
        await pilot.press("7")
        await until(pilot, lambda: any(f"steps are not compiled: {WHY}" in row for row in screen_text(app)))
        await pilot.press("2", "z")
        await until(pilot, lambda: any(row.strip().startswith(f"Why not       {WHY}") for row in screen_text(app)))


def test_the_page_of_the_speed_tells_what_was_compiled():
    course = facts.compiling_course()
    course.say(NOW, DONE)
    rows = speed_page(course.state)
    assert rows[rows.index("Compiled      yes, in 25 s") + 1 :][:2] == [
        "Shapes        2 shapes so far, 3 lengths of pieces", "CUDA graphs   yes"
    ]  # fmt: skip
    half = events.StepsCompiled(
        is_compiled=True, has_graphs=False, took_s=9.0, num_shapes=4, num_lengths=12, is_dynamic=True,
        reasons=("CUDA graphs need an NVIDIA card",),
    )  # fmt: skip
    course.say(NOW, half)
    rows = speed_page(course.state)
    assert "Shapes        any length, 12 lengths of pieces" in rows and "CUDA graphs   no" in rows
    assert "Why not       CUDA graphs need an NVIDIA card" in rows
    assert not any(row.startswith("Compiled") for row in speed_page(facts.training_course().state)), "nobody said"
