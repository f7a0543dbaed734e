"""The monitor on terminals of every size, in ASCII, without colour, with and without motion."""

from __future__ import annotations

import pytest

from acestep_tui.panels.progress import phase_row
from engine.contract import events
from tests.tui import facts
from tests.tui.harness import NOW, screen_text, until
from tests.tui.monitor_app import loaded, tell


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 24), (120, 40), (60, 20)])
@pytest.mark.parametrize("name", ["training", "preparing", "finished", "crashed", "stalled"])
async def test_it_fits_every_size(opened, name, size):
    app = opened(getattr(facts, f"{name}_course")(), getattr(facts, f"{name.upper()}_NOW"))
    async with app.run_test(size=size) as pilot:
        screen = await loaded(pilot)
        rows = screen_text(app)
        assert len(rows) == size[1] and all(len(row) <= size[0] for row in rows)
        body = screen.query_one("#body")
        assert body.allow_vertical_scroll == (size[1] < 24)
        if size == (100, 30) and name == "training":
            assert any("2 Speed ─" in row for row in rows) and any("4 Data ─5 Samples" in row for row in rows)


@pytest.mark.parametrize("name", ["training", "preparing", "finished", "crashed", "stalled"])
async def test_a_narrow_terminal_cuts_no_word_of_the_numbers_and_phases(opened, name):
    app = opened(getattr(facts, f"{name}_course")(), getattr(facts, f"{name.upper()}_NOW"))
    async with app.run_test(size=(60, 20)) as pilot:
        screen = await loaded(pilot)
        labels, values, bar, phases = screen_text(app)[1:5]
        assert not any("…" in row for row in (labels, values, phases))
        assert phases.endswith((" finish", " finish 12 s")) and phases.startswith(" ✓ scan")
        assert len(bar) == 59 and max(len(labels), len(values)) <= 59
        assert not screen.query_one("#body").show_horizontal_scrollbar
        if name == "training":  # the speed has no room: it is left out as a whole
            assert labels.split() == ["Done", "Left", "Loss"]
            assert values.split("  ")[-1].strip() == "0.4128 ↓"


def test_phases_come_closer_before_anything_is_cut():
    state = facts.training_course().state
    whole = "✓ scan   ✓ prepare   ✓ load   ✓ warm up   ● train   ○ finish"
    assert phase_row(state, NOW, len(whole), has_times=False).plain == whole
    assert phase_row(state, NOW, 58, has_times=True).plain.rstrip() == whole.replace("   ", "  ")
    assert phase_row(state, NOW, 51, has_times=False).plain.rstrip() == whole.replace("   ", " ")


async def test_a_small_terminal_scrolls(opened):
    app = opened()
    async with app.run_test(size=(60, 20)) as pilot:
        await loaded(pilot)
        assert not any("base" in row for row in screen_text(app))
        await pilot.press("pagedown")
        await until(pilot, lambda: any("base" in row for row in screen_text(app)))


async def test_a_tiny_terminal_keeps_one_live_line(opened):
    app = opened()
    async with app.run_test(size=(38, 6)) as pilot:
        screen = await loaded(pilot)
        await until(pilot, lambda: "training 62 %" in screen_text(app)[0])
        assert screen_text(app)[0] == " ● training 62 %  21 min left  loss 0."
        await tell(pilot, screen, events.Step(step=1241, total=2000, loss=0.5, lr=1e-5, step_s=1.4, eta_s=600.0), t=NOW)
        await until(pilot, lambda: "10 min left" in screen_text(app)[0])


async def test_ascii_glyphs(opened):
    for name in ("training", "crashed", "finished", "preparing", "stalled"):
        app = opened(getattr(facts, f"{name}_course")(), getattr(facts, f"{name.upper()}_NOW"), glyphs="ascii")
        async with app.run_test(size=(120, 40)) as pilot:
            await loaded(pilot)
            names_aside = "\n".join(screen_text(app)).replace("Åland", "").replace("夜の港", "")
            assert names_aside.isascii(), sorted({sign for sign in names_aside if not sign.isascii()})


async def test_without_colour_glyphs_and_shapes_carry_everything(opened, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        rows = screen_text(app)
        assert "● training" in rows[0] and "1 Loss ━━━" in rows[5] and "● train" in rows[4]


async def test_what_is_under_way_turns_only_where_things_may_move(opened):
    app = opened(facts.preparing_course(), motion="on")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await until(pilot, lambda: "◓ preparing" in screen_text(app)[0] or "◑ preparing" in screen_text(app)[0])
        assert screen._turning is not None
    still = opened(facts.preparing_course())
    async with still.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        assert screen._turning is None and "◐ preparing" in screen_text(still)[0]
