"""The monitor beside its mock-ups: same rows, same columns, same words; what differs has its reason here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui import facts
from tests.tui.harness import SIZES, screen_text
from tests.tui.mockup import compare
from tests.tui.monitor_app import loaded, monitor_app

LOG_COUNTS = "three warnings lie in the log: the song left out, the two without lyrics, and the clip that clips"
PLAN_IS_ABOUT = "a plan has no ± yet: it is an estimate (later issues calibrate it), so the word is “about”"
NO_PAUSE = "songs cannot be paused while they are prepared, so the key is not offered"
WORK = "the worker says what is ready of each song, not the pace of each encoder"
LAST_STEP = "the file holds the weights of the last step in this version, and the page says so"
NEWEST_FIRST = "the log is newest first in every state (screens.md, “Monitor”)"
KNOWN = "with the kernel's own words it is no guess, so “most likely” is gone"
NOT_WE = "“we” is not used (screens.md section 4)"
LATER_AGAIN = "--resume-forever comes with a later version: the place says so"
ALL_SONGS = "all 23 songs fit, so all are shown"
REAL_LOG = "the log has the worker's words and times"
STEP_SAVED = "step 1,240 is the last one reached, so that is the one being saved"
SAVING_FIRST = "the line of what is under way comes on top, all others move down"
MODAL = "behind a question the palette and help are not open, so their keys are not offered"

Press = Callable[[Pilot[Any]], Awaitable[None]]


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Awaitable[None]]:
    """Opens the monitor on a state, presses, and compares with a mock-up."""

    async def held(
        course: facts.Course,
        now: float,
        name: str,
        *,
        size: str,
        explained: dict[str, dict[int, str]],
        press: Press | None = None,
    ) -> None:
        app = monitor_app(monkeypatch, tmp_path, course.state, now)
        async with app.run_test(size=SIZES[size], notifications=True) as pilot:
            await loaded(pilot)
            if press is not None:
                await press(pilot)
            await pilot.pause()
            compare(screen_text(app), f"{name}-{size}", explained[size])

    return held


TRAINING = {"80x24": {}, "120x40": {18: PLAN_IS_ABOUT, 32: LOG_COUNTS}}


@pytest.mark.parametrize("size", SIZES)
async def test_training(hold, size):
    await hold(facts.training_course(), facts.TRAINING_NOW, "monitor", size=size, explained=TRAINING)


PREPARING = {
    "80x24": {18: WORK, 19: WORK, 20: WORK, 21: WORK, 24: NO_PAUSE},
    "120x40": {
        **dict.fromkeys((9, 10, 11, 12), WORK),
        **dict.fromkeys((25, 26, 27, 28, 29), ALL_SONGS),
        **dict.fromkeys((30, 31), f"{ALL_SONGS}; {REAL_LOG}"),
        **dict.fromkeys(range(32, 38), REAL_LOG),
        40: NO_PAUSE,
    },
}


@pytest.mark.parametrize("size", SIZES)
async def test_preparing(hold, size):
    await hold(facts.preparing_course(), facts.PREPARING_NOW, "monitor-prepare", size=size, explained=PREPARING)


FINISHED = {
    "80x24": {9: LAST_STEP, 10: LAST_STEP},
    "120x40": {
        6: "the last phase has its time like all others",
        11: LAST_STEP,
        12: f"{LAST_STEP}; the median of the made-up steps is 1.48 s",
        15: "one word shorter, so that it fits 37 columns without an end that is cut",
        18: "making songs here comes with a later version: the place says so",
        19: "making songs here comes with a later version: the place says so",
        21: "8 save points were written: one every 250 of 2,000 steps",
        34: LOG_COUNTS,
        35: REAL_LOG,
        36: REAL_LOG,
        37: REAL_LOG,
    },
}


@pytest.mark.parametrize("size", SIZES)
async def test_finished(hold, size):
    await hold(facts.finished_course(), facts.FINISHED_NOW, "monitor-finished", size=size, explained=FINISHED)


CRASHED = {
    "80x24": {
        8: KNOWN,
        9: KNOWN,
        17: "a chart of four rows has labels at its two ends",
        21: NEWEST_FIRST,
        22: NEWEST_FIRST,
    },
    "120x40": {
        10: KNOWN,
        11: f"{KNOWN}; sizes below 20 GB have one decimal",
        15: NOT_WE,
        20: "the mock-up's note to the builder, as a sentence to the reader",
        21: "the mock-up's note to the builder, as a sentence to the reader",
        31: "the panel is the run's log; the end of worker.log is on its page (7, then z)",
        32: f"{NEWEST_FIRST}; {LATER_AGAIN}",
        33: f"{NEWEST_FIRST}; {LATER_AGAIN}",
        34: LATER_AGAIN,
        35: f"{NEWEST_FIRST}; {LATER_AGAIN}",
        36: NEWEST_FIRST,
        37: "the panel goes on to the foot of the screen",
    },
}


@pytest.mark.parametrize("size", SIZES)
async def test_crashed(hold, size):
    await hold(facts.crashed_course(), facts.CRASHED_NOW, "monitor-crashed", size=size, explained=CRASHED)


STALLED = {
    "80x24": {18: STEP_SAVED},
    "120x40": {20: PLAN_IS_ABOUT, 34: LOG_COUNTS, 35: f"{STEP_SAVED}; {SAVING_FIRST}",
               **dict.fromkeys(range(36, 40), SAVING_FIRST)},
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
async def test_stalled(hold, size):
    await hold(facts.stalled_course(), facts.STALLED_NOW, "monitor-stalled", size=size, explained=STALLED)


OTHER_RATE = "at step 760 the made-up schedule stands at 7.5e-5; 4.1e-5 is its value at step 1,240"
ON_LINE = "where a dot lies on the reading line the dot is drawn, and the made-up dots lie in other rows"
ZOOMED = {"80x24": {23: OTHER_RATE}, "120x40": {20: ON_LINE, 25: ON_LINE, 30: OTHER_RATE}}


@pytest.mark.parametrize("size", SIZES)
async def test_loss_zoomed(hold, size):
    async def read_at_760(pilot: Pilot[Any]) -> None:
        await pilot.press("z")
        await pilot.pause()
        await pilot.pause()
        pilot.app.screen.page.chart.read_at(760)  # type: ignore[attr-defined]

    course = facts.training_course()
    await hold(course, facts.TRAINING_NOW, "loss-zoomed", size=size, explained=ZOOMED, press=read_at_760)


STOP = {"80x24": {24: MODAL}, "120x40": {18: PLAN_IS_ABOUT, 32: LOG_COUNTS, 40: MODAL}}


@pytest.mark.parametrize("size", SIZES)
async def test_stop(hold, size):
    async def press_x(pilot: Pilot[Any]) -> None:
        await pilot.press("x")

    course = facts.training_course()
    await hold(course, facts.TRAINING_NOW, "dialog-stop", size=size, explained=STOP, press=press_x)


FOLDED = "three notes at most (screens.md, “Dialogs”): the oldest of four is folded into a count"
TOASTS = {"80x24": {12: FOLDED}, "120x40": {18: PLAN_IS_ABOUT, 28: FOLDED}}


@pytest.mark.parametrize("size", SIZES)
async def test_toasts(hold, size):
    async def tell(pilot: Pilot[Any]) -> None:
        app = pilot.app
        app.toast("done", "Saved step 1,240. Checked, 390 MB.")  # type: ignore[attr-defined]
        app.toast(  # type: ignore[attr-defined]
            "warning",
            "GPU memory ran out at step 1,241.",
            "A third of the model now waits in main memory:",
            "same result, 1.9 s a step. Nothing is lost.",
        )
        app.toast(  # type: ignore[attr-defined]
            "error",
            "The sample could not be made.",
            "Disk full: 12 MB free in /home/mara.",
            "Training goes on. 7 shows the log.",
        )
        app.copy("x", "the path of the LoRA")  # type: ignore[attr-defined]
        for _ in range(4):
            await pilot.pause()

    course = facts.training_course()
    await hold(course, facts.TRAINING_NOW, "toasts", size=size, explained=TOASTS, press=tell)
