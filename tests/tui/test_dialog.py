"""Dialogs and toasts: the safe answer first, letters, a typed name, the mouse; what is told, for how long, how many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from acestep_tui.app import AceStepApp
from acestep_tui.screens.dialog import Choice, Dialog
from acestep_tui.screens.home import HomeScreen
from acestep_tui.screens.home_page import HomeFacts
from acestep_tui.screens.value_dialog import ValueDialog
from acestep_tui.widgets.rows import Rows
from tests.tui.harness import house_app, screen_text, until

CHOICES = (
    Choice("escape", "Keep training"),
    Choice("s", "Save and stop", "3 s, loses nothing", value="stop_now"),
    Choice("n", "Stop now", "loses 240 steps, 6 min", value="abort"),
)


async def asked(app: AceStepApp, pilot: Pilot[Any], dialog: Any) -> list[Any]:
    """Push a dialog on Home; what it answers."""
    app.go_to(HomeScreen(HomeFacts()))
    await pilot.pause()
    answers: list[Any] = []
    app.push_screen(dialog, answers.append)
    await until(pilot, lambda: app.screen is dialog)
    await pilot.pause()
    return answers


def shown(app: AceStepApp) -> str:
    return "\n".join(screen_text(app))


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (["enter"], "escape"),
        (["escape"], "escape"),
        (["s"], "stop_now"),
        (["n"], "abort"),
        (["down", "enter"], "stop_now"),
        (["end", "enter"], "abort"),
        (["down", "down", "down", "enter"], "abort"),
        (["x", "z", "n"], "abort"),
    ],
)
async def test_answers(tmp_path: Path, keys: list[str], answer: str) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = Dialog("Stop night-ferry?", ["Training is at step 1,240.", "Stopping does."], CHOICES)
        answers = await asked(app, pilot, dialog)
        await pilot.press(*keys)
        await until(pilot, lambda: bool(answers))
    assert answers == [answer]


async def test_the_box(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        text = ["A sentence that is much too long for the one line that a box of sixty-two cells has.", ""]
        dialog = Dialog("Stop?", text, CHOICES, is_destructive=True)
        answers = await asked(app, pilot, dialog)
        rows = screen_text(app)
        top = next(place for place, row in enumerate(rows) if "╭─ Stop? ─" in row)
        bottom = next(place for place, row in enumerate(rows) if "╰" in row)
        assert rows[top].index("╭") == 9
        assert rows[top].index("╮") - rows[top].index("╭") == 61, "62 wide"
        assert abs(top - (22 - bottom)) <= 2, "in the middle"
        assert "❯ esc  Keep training" in shown(app)
        assert "loses 240 steps, 6 min" in shown(app)
        assert "esc Keep training" in rows[-1]
        assert dialog.has_class("-destructive")
        row = next(place for place, text in enumerate(rows) if "Stop now" in text)
        await pilot.click(offset=(20, row))
        await until(pilot, lambda: bool(answers))
        assert answers == ["abort"]


async def test_what_destroys_wants_its_name_typed(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        choices = [Choice("escape", "Keep it"), Choice("enter", "Delete")]
        dialog = Dialog("Delete?", ["1.3 GB go."], choices, confirm="lofi", confirm_label="Type the name:")
        answers = await asked(app, pilot, dialog)
        assert dialog.query_one(Input).has_focus
        assert "when the name is typed" in shown(app)
        await pilot.press("enter", *"lof", "enter")
        row = next(place for place, text in enumerate(screen_text(app)) if "↵    Delete" in text)
        await pilot.click(offset=(20, row))
        await pilot.pause()
        assert answers == []
        assert dialog.query_one(Rows).has_focus
        await pilot.press("end", "enter")
        assert answers == []
        await pilot.press("tab", "end", "i", "enter")
        await until(pilot, lambda: bool(answers))
        assert answers == ["enter"]


async def test_a_value_is_asked_until_it_is_one(tmp_path: Path) -> None:
    def parse(text: str) -> int:
        if not text.isdecimal():
            raise ValueError("a whole number")
        return int(text)

    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        answers = await asked(app, pilot, ValueDialog("Steps", "100", "How many in all?", parse=parse))
        assert "How many in all?" in shown(app)
        await pilot.press("x", "enter")
        await pilot.pause()
        assert "✗ a whole number" in shown(app)
        await pilot.press("backspace", *"1000", "enter")
        await until(pilot, lambda: bool(answers))
        assert answers == ["1000"]
        answers = await asked(app, pilot, ValueDialog("Steps", "100"))
        await pilot.press("escape")
        await until(pilot, lambda: bool(answers))
        assert answers == [None]


async def test_small_terminals_and_ascii(tmp_path: Path) -> None:
    app = house_app(tmp_path, glyphs="ascii")
    async with app.run_test(size=(80, 24)) as pilot:
        await asked(app, pilot, Dialog("Stop night-ferry?", ["Training is at step 1,240."], CHOICES))
        inside = [row[10:71] for row in screen_text(app) if "esc" in row or "Stop now" in row]
        assert all(row.isascii() for row in inside)
        for size in ((60, 20), (64, 12)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert "Keep training" in shown(app)
            assert "Stop now" in shown(app)


# -- toasts --


async def test_toasts_have_their_time_and_errors_wait_for_a_key(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.go_to(HomeScreen(HomeFacts()))
        await pilot.pause()
        app.toast("done", "Saved step 1,240.", "Checked, 390 MB.")
        app.toast("warning", "GPU memory ran out at step 1,241.")
        app.toast("error", "The sample could not be made.", "Disk full.")
        await until(pilot, lambda: "✗ The sample could not be made." in shown(app))
        text = shown(app)
        assert "▌ ✓ Saved step 1,240." in text
        assert "▌ Checked, 390 MB." in text
        assert "▌ ▲ GPU memory ran out" in text
        times = {note.severity: note.timeout for note in app._notifications}
        assert times["information"] == 4.0
        assert times["warning"] == 10.0
        assert times["error"] > 1e6
        await pilot.press("down")
        await until(pilot, lambda: "The sample could not be made." not in shown(app))
        assert "Saved step 1,240." in shown(app)


async def test_three_toasts_at_most_and_the_rest_is_counted(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.go_to(HomeScreen(HomeFacts()))
        await pilot.pause()
        for number in range(1, 6):
            app.toast("warning", f"Number {number}.")
        await until(pilot, lambda: "Number 5." in shown(app) and "2 more" in shown(app))
        text = shown(app)
        assert "Number 3." in text
        assert "Number 4." in text
        assert "Number 1." not in text
        assert "Number 2." not in text
        app.toast("warning", "Number 6.")
        await until(pilot, lambda: "3 more" in shown(app))


async def test_what_a_toast_says_is_never_markup(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.go_to(HomeScreen(HomeFacts()))
        await pilot.pause()
        app.toast("info", "A song called [bold]Rain[/] \x1b[31m and [/nothing.")
        await until(pilot, lambda: "[bold]Rain[/]" in shown(app))
        assert "[/nothing." in shown(app)
        assert "\x1b" not in shown(app)
