"""Runs: the list against its mock-ups, every key, what asks before it acts, what cannot be read."""

from __future__ import annotations

import dataclasses
import json
import platform
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from acestep_tui.app import AceStepApp
from acestep_tui.runs import summary as summary_module
from acestep_tui.screens import runs as runs_module
from acestep_tui.screens.compare import CompareScreen
from acestep_tui.screens.dialog import Dialog
from acestep_tui.screens.home import HomeScreen
from acestep_tui.screens.runs import RunsScreen
from acestep_tui.screens.runs_doing import Cost
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.rows import Rows
from acestep_tui.wizard import draft_files
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.draft_files import save_draft, snapshot
from engine.contract import control
from engine.contract.errors import ConfigError
from engine.contract.run_dir import RunDir
from tests.tui import recorded, runs_facts
from tests.tui.harness import NOW, house_app, screen_text, until
from tests.tui.mockup import compare

HEADS = "each head stands above its column; the mock-up has them up to three cells further right"
AXIS = "the axis is fitted to the curve of the made-up run"
FOOTER = "only keys that do something with the selected run: a run that trains can be stopped, not resumed or deleted"


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock-ups' runs and draft."""
    monkeypatch.setattr(runs_facts.FakeRunList, "found", runs_facts.runs(), raising=False)
    monkeypatch.setattr(runs_module, "RunList", runs_facts.FakeRunList)
    monkeypatch.setattr(runs_module, "RunWatcher", runs_facts.FakeWatcher)
    monkeypatch.setattr(draft_files, "list_drafts", runs_facts.drafts)


async def opened(app: AceStepApp, pilot: Pilot[Any]) -> RunsScreen:
    """Runs, once the list is there and the selected run is read."""
    app.open_runs()
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.is_listed)
    screen = app.screen
    assert isinstance(screen, RunsScreen)
    await previewed(screen, pilot)
    return screen


async def previewed(screen: RunsScreen, pilot: Pilot[Any]) -> None:
    """Wait for the curve of the selected run."""
    run = screen.selected
    if run is not None and not run.is_draft:
        await until(pilot, lambda: screen._watched is not None and screen._watched.path == run.path)
    await pilot.pause()


async def select(screen: RunsScreen, pilot: Pilot[Any], name: str) -> None:
    """Move to a run by its name."""
    names = [run.name for run in screen.shown_runs]
    screen.query_one("#list", Rows).move_to(next(place for place, one in enumerate(names) if name in one))
    await previewed(screen, pilot)


def shown(app: AceStepApp) -> str:
    return "\n".join(screen_text(app))


@pytest.mark.parametrize(
    ("size", "explained"),
    [("80x24", {3: HEADS, 16: AXIS, 20: AXIS, 24: FOOTER}), ("120x40", {4: HEADS, 8: AXIS, 12: AXIS, 40: FOOTER})],
)
@pytest.mark.usefixtures("made_up")
async def test_the_screen_is_the_mockup(tmp_path: Path, size: str, explained: dict[int, str]) -> None:
    app = house_app(tmp_path)
    width, height = map(int, size.split("x"))
    async with app.run_test(size=(width, height)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("down", "down", "space", "down", "space", "up", "up", "up")
        await previewed(screen, pilot)
        compare(screen_text(app), f"runs-{size}", explained)


QUESTION = "a question takes all keys, so menu and help are not offered; the text cursor is the terminal's own block"


@pytest.mark.parametrize(
    ("size", "explained"),
    [
        ("80x24", {3: HEADS, 12: QUESTION, 16: AXIS, 20: AXIS, 24: QUESTION}),
        ("120x40", {4: HEADS, 8: AXIS, 12: AXIS, 20: QUESTION, 40: QUESTION}),
    ],
)
@pytest.mark.usefixtures("made_up")
async def test_the_question_before_deleting_is_the_mockup(tmp_path: Path, size: str, explained: dict[int, str]) -> None:
    app = house_app(tmp_path)
    width, height = map(int, size.split("x"))
    async with app.run_test(size=(width, height)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("down", "down", "space", "down", "space", "up", "up", "up")
        await previewed(screen, pilot)
        # The mock-up asks about a run while another one is selected.
        run = next(run for run in screen.runs if run.name == "lofi-tapes-r16")
        cost = Cost(round(1.3 * 2**30), num_saves=4, num_clips=6, has_export=False)
        screen.post_message(screen.Counted(run, cost))
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press(*"lofi-ta")
        await pilot.pause()
        compare(screen_text(app), f"dialog-delete-{size}", explained)


# -- real runs: the recordings of tests/tui/recordings --


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def three(home: Path) -> dict[str, RunDir]:
    """A finished, a crashed and a failed run."""
    names = ("finished", "crashed", "failed")
    return {name: recorded.recorded_run(home, name, host=platform.node()) for name in names}


async def test_real_runs_are_listed_with_what_they_need(tmp_path: Path, three: dict[str, RunDir]) -> None:
    app = house_app(tmp_path, clock=lambda: recorded.last_time(three["crashed"]) + 60)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(app, pilot)
        text = shown(app)
        for words in ("✓ finished", "✗ crashed", "✗ failed", "Good to know", "3 runs"):
            assert words in text
        await select(screen, pilot, "crashed")
        assert "r resumes" in shown(app)
        assert screen._watched is not None
        assert len(screen._watched.state.loss) > 10


async def test_enter_opens_the_monitor(tmp_path: Path, three: dict[str, RunDir], monkeypatch: Any) -> None:
    app = house_app(tmp_path)
    asked: list[tuple[Path, bool]] = []
    monkeypatch.setattr(app, "open_monitor", lambda run, *, is_readonly=False: asked.append((run.path, is_readonly)))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await select(screen, pilot, "finished")
        await pilot.press("enter")
        await pilot.pause()
        assert asked == [(three["finished"].path, False)]
        await pilot.click("#list", offset=(5, 0))
        await pilot.pause()
        assert len(asked) == 2


@pytest.mark.usefixtures("made_up")
async def test_the_filter_acts_while_typing(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        before = screen_text(app)
        await pilot.press("slash", *"lofi")
        assert [run.name for run in screen.shown_runs] == ["lofi-tapes", "lofi-tapes-r16"]
        assert "2 of 9 runs" in shown(app)
        assert "F1 Help" in shown(app)
        await pilot.press("enter")
        assert screen.query_one("#list").has_focus
        await pilot.press("escape")
        assert not screen.query_one(FilterBar).has_class("-open")
        assert len(screen.shown_runs) == 9
        await pilot.press("slash", *"finished")
        assert {run.status.word for run in screen.shown_runs} == {"finished"}
        await pilot.press("escape", "slash", *"new lang")
        assert [run.name for run in screen.shown_runs] == ["choir-voices"]
        await pilot.press("escape", "slash", *"gpu")
        assert screen.shown_runs == []
        # The field stands in the row of the message, so it is said once the field is left.
        await pilot.press("enter")
        assert before[1][:20] == screen_text(app)[1][:20]


@pytest.mark.usefixtures("made_up")
async def test_three_runs_can_be_marked_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = house_app(tmp_path)
    compared: list[list[str]] = []
    monkeypatch.setattr(app, "open_compare", lambda runs: compared.append([run.name for run in runs]))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        assert screen.check_action("compare", ()) is False
        await pilot.press("down", "space", "down")
        assert "1 marked: c compares it with the selected one" in shown(app)
        await pilot.press("c")
        assert compared.pop() == ["choir-voices", "lofi-tapes"]
        await pilot.press("space", "down", "space", "down", "space")
        assert len(screen.marked) == 3
        await until(pilot, lambda: "Three runs can be compared at once." in shown(app))
        await pilot.press("c")
        assert compared.pop() == ["choir-voices", "lofi-tapes", "lofi-tapes-r16"]
        await pilot.press("up", "space")
        assert len(screen.marked) == 2
        await select(screen, pilot, "kitchen-tapes")
        await pilot.press("space")
        assert len(screen.marked) == 2


async def test_compare_opens_and_comes_back(tmp_path: Path, three: dict[str, RunDir]) -> None:
    del three
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("space", "down", "space", "c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.compared is not None)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert len(screen.marked) == 2


async def test_r_resumes_only_what_can_go_on(
    tmp_path: Path, three: dict[str, RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    from acestep_tui.runs import start

    app = house_app(tmp_path)
    resumed: list[Path] = []
    watched: list[Path] = []

    def start_again(run: RunDir) -> start.StartedRun:
        if "failed" in run.name:
            raise ConfigError("its songs are gone", hint="Put them back.")
        resumed.append(run.path)
        return start.StartedRun(run)

    monkeypatch.setattr(start, "start_again", start_again)
    monkeypatch.setattr(app, "open_monitor", lambda run, *, is_readonly=False: watched.append(run.path))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await select(screen, pilot, "finished")
        assert screen.check_action("resume", ()) is False
        await select(screen, pilot, "failed")
        await pilot.press("r")
        await until(pilot, lambda: "Its songs are gone" in shown(app))
        assert "Put them back." in shown(app)
        await select(screen, pilot, "crashed")
        assert "r Resume" in shown(app)
        await pilot.press("r")
        await until(pilot, lambda: bool(watched))
    assert resumed == watched == [three["crashed"].path]


async def test_x_asks_and_sends(tmp_path: Path, home: Path) -> None:
    run = recorded.recorded_run(home, "finished", until=recorded.step(30), host=platform.node())
    app = house_app(tmp_path, clock=lambda: recorded.last_time(run) + 1)
    with recorded.alive(run):
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            screen = await opened(app, pilot)
            assert screen.selected is not None
            assert screen.selected.is_training
            assert "1 training" in shown(app)
            assert screen.check_action("delete", ()) is False
            await pilot.press("x")
            await until(pilot, lambda: isinstance(app.screen, Dialog))
            assert "Keep training" in shown(app)
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)
            assert list(control.pending(run.control)) == []
            await pilot.press("x")
            await until(pilot, lambda: isinstance(app.screen, Dialog))
            await pilot.press("s")
            await until(pilot, lambda: len(list(control.pending(run.control))) == 1)
            assert next(iter(control.pending(run.control))).kind == "stop_now"
            await until(pilot, lambda: "Asked" in shown(app))


async def test_deleting_wants_the_name(tmp_path: Path, three: dict[str, RunDir]) -> None:
    run = three["crashed"]
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await select(screen, pilot, "crashed")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        assert "go for good: 2 save points" in shown(app) or "go for good: 1 save point" in shown(app)
        await pilot.press(*"demo-crashed", "escape")
        await until(pilot, lambda: app.screen is screen)
        assert run.path.is_dir(), "the safe answer is safe whatever was typed"
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press(*"demo", "enter")
        await pilot.pause()
        assert isinstance(app.screen, Dialog), "half a name deletes nothing"
        assert run.path.is_dir()
        await pilot.press(*"-crashed", "enter")
        await until(pilot, lambda: not run.path.exists())
        await until(pilot, lambda: "Deleted demo-crashed" in shown(app))
        await until(pilot, lambda: all(one.name != "demo-crashed" for one in screen.runs))


async def test_what_is_not_the_runs_stays_and_what_lives_again_is_not_deleted(
    tmp_path: Path, three: dict[str, RunDir]
) -> None:
    run = three["failed"]
    (run.path / "my notes.txt").write_text("mine")
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await select(screen, pilot, "failed")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press(*"demo-failed", "enter")
        await until(pilot, lambda: "What is not the run’s stays in" in shown(app))
        assert [path.name for path in run.path.iterdir()] == ["my notes.txt"]
        await select(screen, pilot, "crashed")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        with recorded.alive(three["crashed"]):
            await pilot.press(*"demo-crashed", "enter")
            await until(pilot, lambda: "was not deleted" in shown(app))
    assert three["crashed"].events_jsonl.exists()


async def test_drafts_come_last_open_and_are_deleted_with_one_question(
    tmp_path: Path, three: dict[str, RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    del three
    draft = Draft(name="kitchen-tapes")
    draft.step = "dataset"
    path = save_draft(snapshot(draft))
    broken = path.with_name("broken.json")
    broken.write_text("{")
    app = house_app(tmp_path)
    wizards: list[Draft] = []
    monkeypatch.setattr(app, "open_wizard", lambda draft=None, path=None: wizards.append(draft))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        assert {run.name for run in screen.shown_runs[-2:]} == {"kitchen-tapes", "broken"}
        await select(screen, pilot, "kitchen-tapes")
        assert "step 3 of 6" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: bool(wizards))
        assert wizards[0].step == "dataset"
        await select(screen, pilot, "broken")
        assert "unreadable" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: "The draft could not be opened." in shown(app))
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press("d")
        await until(pilot, lambda: not broken.exists())
        await until(pilot, lambda: "Deleted the draft broken." in shown(app))
    assert path.exists()


async def test_rows_that_do_not_fit_are_told_of(tmp_path: Path, home: Path) -> None:
    for number in range(15):
        recorded.recorded_run(home, "crashed", name=f"run-{number:02}", host=platform.node())
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await until(pilot, lambda: " 1–9 of 15   ↓ more" in shown(app))
        await pilot.press("end")
        await until(pilot, lambda: " 7–15 of 15   ↑ more" in shown(app))
        await pilot.press("space", "up", *["up"] * 10)
        await until(pilot, lambda: "↑ more   ↓ more" in shown(app))
        row = next(row for row in screen_text(app) if "1 marked" in row)
        assert row.startswith(" ◆ 1 marked: c compares it with the selected one")
        assert row.endswith("of 15   ↑ more   ↓ more")
        await pilot.resize_terminal(80, 50)
        await until(pilot, lambda: screen.size.height == 50)
        await until(pilot, lambda: "more" not in shown(app))


async def test_the_other_keys(tmp_path: Path, three: dict[str, RunDir], monkeypatch: pytest.MonkeyPatch) -> None:
    app = house_app(tmp_path)
    new: list[bool] = []
    copied: list[str] = []
    monkeypatch.setattr(app, "open_wizard", lambda *_: new.append(True))
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("n")
        assert new == [True]
        await select(screen, pilot, "finished")
        await pilot.press("y")
        assert copied.pop() == str(three["finished"].path)
        await until(pilot, lambda: "Copied the path of the run folder." in shown(app))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        assert "come with a later version" in shown(app)
        await pilot.press("y")
        await until(pilot, lambda: bool(copied))
        assert copied.pop().endswith((".safetensors", "demo-finished"))
        await select(screen, pilot, "failed")
        assert screen.check_action("export", ()) is False
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_no_runs(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        assert "No runs yet. n sets one up, 2 on Home shows the demo." in shown(app)
        assert "0 runs" in shown(app)
        assert screen.selected is None
        assert "Open" not in screen_text(app)[-1]
        assert "Filter" not in screen_text(app)[-1]
        await pilot.press("down", "enter", "r", "d", "x", "space", "c", "y", "e", "slash")
        await pilot.pause()
        assert app.screen is screen


# -- what is odd --


async def test_news_come_while_it_is_seen(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "_REFRESH_S", 0.05)
    run = recorded.recorded_run(home, "finished", until=recorded.step(30), host=platform.node())
    whole = (recorded.RECORDINGS / "finished/events.jsonl").read_text(encoding="utf-8").splitlines()
    app = house_app(tmp_path, clock=lambda: recorded.last_time(run) + 1)
    with recorded.alive(run):
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            screen = await opened(app, pilot)
            assert "30 of 120" in shown(app)
            done = len(run.events_jsonl.read_text(encoding="utf-8").splitlines())
            with run.events_jsonl.open("a", encoding="utf-8") as file:
                file.write("\n".join(whole[done : done + 60]) + "\n")
            await until(pilot, lambda: screen.runs[0].step > 30)
            await until(pilot, lambda: screen._watched is not None and screen._watched.state.step_now > 30)
            assert "30 of 120" not in shown(app)


async def test_a_folder_that_vanishes_leaves_the_list(
    tmp_path: Path, three: dict[str, RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(runs_module, "_REFRESH_S", 0.05)
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await select(screen, pilot, "failed")
        await pilot.press("space")
        shutil.rmtree(three["failed"].path)
        await until(pilot, lambda: len(screen.runs) == 2)
        assert screen.marked == set()
        await previewed(screen, pilot)


async def test_another_computer_and_a_folder_of_somebody_else(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recorded.recorded_run(home, "finished", until=recorded.step(30), host="node17")
    monkeypatch.setattr(summary_module, "is_writable", lambda _: False)
    app = house_app(tmp_path, clock=lambda: recorded.last_time(run) + 20)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(app, pilot)
        assert "node17, read-only" in shown(app)
        assert screen.check_action("stop", ()) is False
        assert screen.check_action("resume", ()) is False


async def test_r_never_starts_a_second_worker_beside_one_elsewhere(tmp_path: Path, home: Path) -> None:
    recorded.recorded_run(home, "finished", until=recorded.step(30), host="node17")
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        assert "◌ silent" in shown(app)
        assert "on node17; ↵ shows what is known." in shown(app)
        assert "Resume" not in screen_text(app)[-1]
        await pilot.press("r")
        await until(pilot, lambda: "Look on node17 first." in shown(app))
        assert "Going on" not in shown(app)
        await until(pilot, lambda: not screen.is_beginning)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        assert "Whether it still trains on node17 cannot be seen" in shown(app)
        await pilot.press("escape", "enter")
        await until(pilot, lambda: "whether it still trains cannot be seen from here" in shown(app))
        assert "◌ silent" in screen_text(app)[0]
        assert "crashed" not in shown(app)
        assert "Resume" not in screen_text(app)[-1]
        app.clear_notifications()
        await pilot.press("r")
        await until(pilot, lambda: "It does not go on." in shown(app))
        assert "Look on node17 first." in shown(app)


async def test_damage_is_shown_and_damages_nothing_else(tmp_path: Path, three: dict[str, RunDir]) -> None:
    unreadable, torn = three["failed"], three["crashed"]
    unreadable.events_jsonl.unlink()
    unreadable.events_jsonl.mkdir()
    lines = torn.events_jsonl.read_text(encoding="utf-8").splitlines()
    place = next(index for index, line in enumerate(lines) if '"kind":"step"' in line)
    lines[place] = json.dumps({**json.loads(lines[place]), "loss": float("nan")})
    lines += ['{"v":1,"seq":9999,"t":1,"kind":"from_the_future"}', '{"torn']
    torn.events_jsonl.write_text("\n".join(lines), encoding="utf-8")
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await select(screen, pilot, "failed")
        assert "✗ unreadable" in shown(app)
        assert "cannot be read" in shown(app)
        await select(screen, pilot, "crashed")
        assert "✗ crashed" in shown(app)
        assert "✓ finished" in shown(app)


# -- sizes and looks --


@pytest.mark.usefixtures("made_up")
async def test_other_sizes_cut_nothing_that_matters(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        for width, height in ((60, 20), (100, 30), (80, 50), (160, 50), (120, 24), (40, 10)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            rows = screen_text(app)
            assert len(rows) == height
            assert any("❯ ● training" in row and "night-ferry" in row for row in rows), (width, height)
            assert any("All runs" in row for row in rows)
            assert "Open" in rows[-1]


@pytest.mark.usefixtures("made_up")
async def test_compact_leaves_no_empty_row_between(tmp_path: Path) -> None:
    app = house_app(tmp_path, density="compact")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(app, pilot)
        rows = screen_text(app)
        assert "All runs" in rows[1]
        under = next(place for place, row in enumerate(rows) if "kitchen-tapes" in row)
        assert "Good to know" in rows[under + 2]
        app.settings.set("density", "comfortable")
        await pilot.pause()
        assert "All runs" in screen_text(app)[2]


@pytest.mark.usefixtures("made_up")
async def test_ascii_and_the_tiny_line(tmp_path: Path) -> None:
    app = house_app(tmp_path, glyphs="ascii")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await opened(app, pilot)
        assert shown(app).isascii()
        assert "> * training" in shown(app)
        await pilot.resize_terminal(30, 6)
        await pilot.pause()
        assert "Runs" in shown(app)


@pytest.mark.usefixtures("made_up")
def test_a_row_of_a_long_name_keeps_its_columns() -> None:
    from acestep_tui.screens.runs_page import run_row

    run = dataclasses.replace(runs_facts.runs()[1], name="夜の港" * 9)
    row = run_row(run, 78, NOW, is_selected=False, is_marked=False)
    other = run_row(runs_facts.runs()[1], 78, NOW, is_selected=True, is_marked=True)
    assert row.cell_length == other.cell_length == 78
    assert "…" in row.plain
    assert row.plain.endswith(other.plain[-20:])
