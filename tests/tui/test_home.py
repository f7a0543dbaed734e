"""Home: both faces against their mock-ups, every key and row, live news, first paint without waiting."""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from acestep_tui.app import AceStepApp
from acestep_tui.doctor import Check
from acestep_tui.runs import demo as demo_module
from acestep_tui.runs import start as start_module
from acestep_tui.screens import home as home_module
from acestep_tui.screens.home import HomeScreen
from acestep_tui.screens.home_page import HomeFacts
from acestep_tui.screens.open_preset import OpenPresetDialog
from acestep_tui.widgets.page import Page
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.draft_files import save_draft, snapshot
from engine.contract.errors import ConfigError
from engine.contract.run_dir import RunDir
from tests.tui import recorded, runs_facts
from tests.tui.harness import NOW, house_app, screen_text, until
from tests.tui.mockup import compare

CHECKS = (
    Check("ok", "Graphics card", "NVIDIA RTX 4070, 11.6 of 12.0 GB free", "good for a LoRA, songs up to 4 min"),
    Check("ok", "Memory", "64 GB, 51 GB free", "enough"),
    Check("ok", "Disk", "212 GB free in /home/mara", "enough"),
    Check("ok", "Audio", "flac wav mp3 m4a ogg opus wma aiff", "nothing to install"),
)
MODEL = Check("warning", "Model", "not on this computer yet", "8.2 GB to download")
IN_USE = (
    Check("ok", "Graphics card", "RTX 4070  6.6 of 12.0 GB used"),
    Check("ok", "Disk", "disk 201 GB free"),
)


def first_facts() -> HomeFacts:
    return HomeFacts(checks=CHECKS, model=MODEL, looked_at=NOW)


def facts() -> HomeFacts:
    here = Check("ok", "Model", "model here")
    return HomeFacts(runs=runs_facts.runs(), drafts=runs_facts.drafts(), checks=CHECKS, in_use=IN_USE, model=here)


async def opened(app: AceStepApp, pilot: Pilot[Any], facts: HomeFacts | None = None) -> HomeScreen:
    """Home, showing given facts; else what it finds."""
    screen = HomeScreen(facts)
    app.go_to(screen)
    await until(pilot, lambda: app.screen is screen and screen.is_mounted)
    await pilot.pause()
    return screen


def shown(app: AceStepApp) -> str:
    return "\n".join(screen_text(app))


GREETING = "the words of the table of wordings (screens.md section 4), at every width"
ONE_WORDING = "a run that needs something is told of in the same words as in Runs"
DRAFT = "with a draft there, 1 goes on with it (screens.md, Home); the mock-up shows the hint without one"
COUNTED = "six rows are shown: the draft is one of them, and counts among the nine"


@pytest.mark.parametrize(("size", "explained"), [("80x24", {}), ("120x40", {8: GREETING})])
async def test_the_first_page_is_the_mockup(tmp_path: Path, size: str, explained: dict[int, str]) -> None:
    app = house_app(tmp_path)
    width, height = map(int, size.split("x"))
    async with app.run_test(size=(width, height)) as pilot:
        await opened(app, pilot, first_facts())
        compare(screen_text(app), f"home-first-{size}", explained)


@pytest.mark.parametrize(
    ("size", "explained"),
    [("80x24", {12: ONE_WORDING, 15: DRAFT}), ("120x40", {8: COUNTED, 18: ONE_WORDING, 23: DRAFT})],
)
async def test_the_page_of_those_who_come_back_is_the_mockup(
    tmp_path: Path, size: str, explained: dict[int, str]
) -> None:
    app = house_app(tmp_path)
    width, height = map(int, size.split("x"))
    async with app.run_test(size=(width, height)) as pilot:
        await opened(app, pilot, facts())
        compare(screen_text(app), f"home-{size}", explained)


async def test_the_menu_answers_to_digits_arrows_and_mouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = house_app(tmp_path)
    done: list[str] = []
    monkeypatch.setattr(app, "open_wizard", lambda *_: done.append("wizard"))
    monkeypatch.setattr(app, "open_doctor", lambda: done.append("doctor"))
    monkeypatch.setattr(HomeScreen, "start_demo", lambda _self: done.append("demo"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, first_facts())
        page = screen.query_one(Page)
        assert page.selected == 1
        await pilot.press("1", "2", "4")
        assert done == ["wizard", "demo", "doctor"]
        await pilot.press("down", "enter", "end", "enter", "home", "enter")
        assert done[3:] == ["demo", "doctor", "wizard"]
        rows = screen_text(app)
        demo = next(place for place, row in enumerate(rows) if "Try the demo" in row)
        await pilot.click(offset=(12, demo))
        assert done[6:] == ["demo"]
        # A click on a key of the footer does what the key does.
        await pilot.click(offset=(rows[-1].index("↵ Choose"), 23))
        assert done[7:] == ["demo"]
        assert screen.check_action("new_run", ()) is False
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, OpenPresetDialog))


async def test_runs_open_and_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = house_app(tmp_path)
    watched: list[str] = []
    resumed: list[str] = []
    monkeypatch.setattr(app, "open_monitor", lambda run, *, is_readonly=False: watched.append(run.name))

    def start_again(run: RunDir) -> start_module.StartedRun:
        resumed.append(run.name)
        if run.name == "lofi-tapes-r16":
            raise ConfigError("its songs are gone", hint="Put them back.")
        return start_module.StartedRun(run, warnings=("Little disk is left.",))

    monkeypatch.setattr(start_module, "start_again", start_again)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot, facts())
        await pilot.press("enter")
        assert watched.pop() == "2026-11-22_1349_night-ferry"
        # Nothing to resume is selected: r means the run that the sentence is about.
        assert "r Resume" in screen_text(app)[-1]
        await pilot.press("r")
        await until(pilot, lambda: watched == ["choir-voices"])
        assert "Little disk is left." in shown(app)
        await pilot.press("down", "down", "down")
        await pilot.press("r")
        await until(pilot, lambda: "Its songs are gone" in shown(app))
        assert resumed == ["choir-voices", "lofi-tapes-r16"]
        assert screen.is_beginning is False


async def test_r_refuses_where_the_worker_may_live_elsewhere(tmp_path: Path) -> None:
    recorded.recorded_run(tmp_path / "home", "finished", until=recorded.step(30), host="node17")
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await until(pilot, lambda: "◌ silent" in shown(app))
        assert "on node17; ↵ shows what is known." in shown(app)
        assert "Resume" not in screen_text(app)[-1]
        await pilot.press("r")
        await until(pilot, lambda: "Look on node17 first." in shown(app))
        assert app.screen is screen


async def test_the_sentence_follows_the_cursor(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot, facts())
        screen.facts.runs[4:5] = [runs_facts.runs()[6]]  # the failed one, among the recent
        screen._fill()
        page = screen.query_one(Page)
        assert "choir-voices: the machine restarted" in shown(app)
        page.select(f"run:{runs_facts.RUNS / 'club-edits'}")
        screen._fill()
        await pilot.pause()
        # What does not fit in its row leaves its second half to the monitor, in words.
        assert "club-edits: the loss became NaN" in shown(app)
        assert "↵ shows what to do." in shown(app)


async def test_drafts_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = Draft(name="kitchen-tapes")
    draft.step = "dataset"
    save_draft(snapshot(draft))
    app = house_app(tmp_path)
    opened_drafts: list[Any] = []
    monkeypatch.setattr(app, "open_wizard", lambda draft=None, *_: opened_drafts.append(draft))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await until(pilot, lambda: "go on with kitchen-tapes, step 3" in shown(app))
        assert screen.query_one(Page).selected == f"draft:{screen.facts.drafts[0].path}"
        await pilot.press("enter")
        await until(pilot, lambda: len(opened_drafts) == 1)
        await pilot.press("1")
        await until(pilot, lambda: len(opened_drafts) == 2)
        assert [one.step for one in opened_drafts] == ["dataset", "dataset"]
        await pilot.press("n")
        assert opened_drafts[2] is None


async def test_real_runs_come_and_news_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "_LIST_REFRESH_S", 0.05)
    home = tmp_path / "home"
    run = recorded.recorded_run(home, "finished", until=recorded.step(30), host=platform.node())
    recorded.recorded_run(home, "crashed", host=platform.node())
    whole = (recorded.RECORDINGS / "finished/events.jsonl").read_text(encoding="utf-8").splitlines()
    app = house_app(tmp_path, clock=lambda: recorded.last_time(run) + 1)
    with recorded.alive(run):
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await opened(app, pilot)
            assert "Teach ACE-Step" not in shown(app), "who has runs is never shown the newcomers' page"
            await until(pilot, lambda: "One run is training: it needs nothing from you." in shown(app))
            assert screen.query_one(Page).selected == f"run:{run.path}"
            assert "30 of 120" in shown(app)
            assert "● 1 training" in screen_text(app)[0]
            have = len(run.events_jsonl.read_text(encoding="utf-8").splitlines())
            with run.events_jsonl.open("a", encoding="utf-8") as file:
                file.write("\n".join(whole[have : have + 40]) + "\n")
            await until(pilot, lambda: "30 of 120" not in shown(app))
            await until(pilot, lambda: "✓" in "".join(screen_text(app)[18:]))


async def test_the_first_paint_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from acestep_tui import look

    held = threading.Event()
    monkeypatch.setattr(look, "look_for_home", lambda _folder: held.wait(20) and ([*CHECKS], [*IN_USE], MODEL))
    app = house_app(tmp_path)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            await opened(app, pilot)
            assert "Teach ACE-Step your songs." in shown(app)
            assert "looking …" in shown(app)
            assert "Graphics card  –" in shown(app)
            await pilot.press("down")
            assert "❯ 2" in shown(app)
            held.set()
            await until(pilot, lambda: "looked just now" in shown(app))
            assert "11.6 of 12.0 GB free" in shown(app)
    finally:
        held.set()


async def test_q_closes_and_f2_comes_back(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("f3", "f2")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("q")
        await asyncio.sleep(0)
    assert app.return_value == []


async def test_sizes_looks_and_air(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, facts())
        for width, height in ((100, 30), (99, 30), (60, 20), (160, 50), (40, 10), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            rows = screen_text(app)
            assert all(len(row) <= width for row in rows)
            assert any("❯ ● training" in row for row in rows), (width, height)
        await pilot.press("end")
        await pilot.resize_terminal(60, 14)
        await pilot.pause()
        assert any("❯ 4" in row for row in screen_text(app)), "a low terminal scrolls to the cursor"
        await pilot.resize_terminal(30, 6)
        await pilot.pause()
        assert screen.has_class("-tiny")
        await pilot.resize_terminal(80, 24)
        app.settings.set("density", "compact")
        await pilot.pause()
        rows = screen_text(app)
        assert "Welcome back" in rows[1]
        assert "" not in rows[1:12]
        app.settings.set("density", "comfortable")
        app.settings.set("glyphs", "ascii")
        await pilot.pause()
        assert shown(app).isascii()
        assert "> 4" in shown(app)


def test_the_demo_gets_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(demo_module, "start_run", lambda _name, overrides, **_: started.append(overrides))
    runs = tmp_path / "runs"
    demo_module.begin_demo(runs)
    assert started.pop() == [f"--output_dir={runs / 'demo'}"]
    old = recorded.recorded_run(tmp_path / "home", "finished", host=platform.node())
    (runs / "demo").parent.mkdir(parents=True)
    old.path.rename(runs / "demo")
    demo_module.begin_demo(runs)
    assert started.pop() == [f"--output_dir={runs / 'demo-2'}"]
    live = recorded.recorded_run(tmp_path / "home", "stopped", until=recorded.step(5), host=platform.node())
    live.path.rename(runs / "demo-2")
    with recorded.alive(RunDir(runs / "demo-2")):
        demo_module.begin_demo(runs)
    assert started.pop() == [f"--output_dir={runs / 'demo-2'}"], "a demo that trains is joined"
