"""Every key of the monitor, and what it does to the run."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acestep_tui.runs import registry, start
from acestep_tui.runs.facts import FolderFacts
from acestep_tui.runs.liveness import Life, Verdict
from acestep_tui.runs.watch import Update
from acestep_tui.screens.dialog import Dialog
from acestep_tui.screens.monitor import MonitorScreen
from acestep_tui.screens.value_dialog import ValueDialog
from engine.contract import events
from engine.contract.errors import ConfigError, DiskError
from engine.contract.run_dir import RunDir
from tests.tui import facts
from tests.tui.harness import NOW, screen_text, until
from tests.tui.monitor_app import FakeWatcher, loaded, monitor_app, tell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "night-ferry"
    found.mkdir()
    return found


def asked(folder: Path) -> list[str]:
    """Kinds of the commands that lie in the control folder, in order."""
    files = sorted((folder / "control").glob("*.json")) if (folder / "control").is_dir() else []
    return [json.loads(file.read_text())["kind"] for file in files]


def footer(app: Any) -> str:
    return screen_text(app)[-1]


def toasts(app: Any) -> list[str]:
    return [notification.message for notification in app._notifications]


def stopped_course() -> facts.Course:
    course = facts.training_course()
    course.say(NOW, events.RunEnded(outcome="stopped", exit_code=130, steps=1240, seconds=2000.0))
    course.state.verdict = Verdict(Life.STOPPED, last_t=NOW)
    return course


ASKED = {"p": ("pause", "asked to pause"), "s": ("save", "asked to save now"), "n": ("sample", "asked for a test clip")}


@pytest.mark.parametrize("key", ASKED)
async def test_a_command_is_in_the_log_at_once_and_a_note_when_it_is_done(monkeypatch, tmp_path, folder, key):
    kind, words = ASKED[key]
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        await pilot.press(key)
        await until(pilot, lambda: asked(folder) == [kind])
        await until(pilot, lambda: bool(screen.state.commands))
        await pilot.press("7")
        await until(pilot, lambda: any(words in row for row in screen_text(app)))
        (command,) = screen.state.commands.values()
        await tell(pilot, screen, events.CommandDone(command=kind, id=command.id), t=NOW)
        assert command.ok
        assert len(toasts(app)) == 1 and toasts(app)[0].startswith("✓ ")


async def test_paused_says_so_and_p_goes_on(monkeypatch, tmp_path, folder):
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW + 240, folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await tell(pilot, screen, events.Paused(paused=True, step=1240), t=NOW)
        await tell(pilot, screen, events.Heartbeat(phase="train"), t=NOW + 239)
        rows = screen_text(app)
        assert "‖ paused" in rows[0] and "paused 4 min" in rows[2]
        assert "p Go on" in rows[-1]
        await pilot.press("p")
        await until(pilot, lambda: asked(folder) == ["resume"])


async def test_no_answer_for_half_a_minute_is_said(monkeypatch, tmp_path, folder):
    now = [NOW]
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, lambda: now[0], folder=folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        await pilot.press("s", "7")
        await until(pilot, lambda: bool(screen.state.commands))
        now[0] += 31
        await tell(pilot, screen, events.Heartbeat(phase="train"), t=now[0])
        assert any("not done yet: it is in a long step" in row for row in screen_text(app))
        assert any("not done yet" in message for message in toasts(app))


async def test_a_command_that_cannot_be_written_is_said(monkeypatch, tmp_path, folder):
    def full(run, kind):
        raise DiskError("Sending a command failed: no space left", hint="Make room.")

    monkeypatch.setattr("acestep_tui.runs.control.send", full)
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await loaded(pilot)
        await pilot.press("s")
        await until(pilot, lambda: bool(toasts(app)))
        assert toasts(app)[0].splitlines() == [
            "✗ Could not ask: save now.", "Sending a command failed: no space left", "Make room.",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [(["escape"], []), (["enter"], []), (["s"], ["stop_now"]), (["n"], ["abort"]), (["down", "enter"], ["stop_now"])],
)
async def test_stopping_asks_and_the_safe_answer_keeps_it_going(monkeypatch, tmp_path, folder, keys, kinds):
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press(*keys)
        await until(pilot, lambda: isinstance(app.screen, MonitorScreen) and asked(folder) == kinds)


async def test_stopping_before_there_is_something_to_lose(monkeypatch, tmp_path, folder):
    app = monitor_app(monkeypatch, tmp_path, facts.preparing_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("p", "s", "n")  # nothing of this can be done yet
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.pause()
        words = "\n".join(screen_text(app))
        assert "9 of 23 songs are prepared, and stay so." in words
        assert "Stop now" not in words
        await pilot.press("s")
        await until(pilot, lambda: asked(folder) == ["stop_now"])


async def test_a_stop_that_comes_after_the_end_is_not_sent(monkeypatch, tmp_path, folder):
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await tell(pilot, screen, events.RunEnded(outcome="finished", exit_code=0, steps=2000, seconds=9.0), t=NOW)
        await pilot.press("s")
        await until(pilot, lambda: "● It has ended meanwhile." in toasts(app))
        assert asked(folder) == []


async def test_what_a_step_just_saved_loses_nothing(monkeypatch, tmp_path, folder):
    course = facts.training_course()
    course.say(NOW, events.CheckpointSaved(step=1240, path="checkpoint-1240", bytes=390 * 2**20, verified=True))
    course.state.folder_facts = FolderFacts()
    app = monitor_app(monkeypatch, tmp_path, course.state, NOW, folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        assert [choice.value for choice in app.screen.choices] == ["", "stop_now"]


# -- starting again --


@pytest.mark.parametrize("course", [stopped_course, facts.crashed_course])
async def test_r_goes_on(monkeypatch, tmp_path, folder, course):
    began: list[RunDir] = []

    def start_again(run: RunDir) -> Any:
        began.append(run)
        return SimpleNamespace(warnings=("Something to know.",))

    monkeypatch.setattr(start, "start_again", start_again)
    app = monitor_app(monkeypatch, tmp_path, course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        assert "r Resume" in footer(app)
        await pilot.press("r")
        await until(pilot, lambda: began == [RunDir(folder)] and not screen.is_starting)
        assert toasts(app) == ["● Going on at step 1,000 …", "▲ Something to know."]


async def test_what_keeps_it_from_going_on_is_said(monkeypatch, tmp_path, folder):
    def start_again(run: RunDir) -> Any:
        raise ConfigError("the songs are gone", hint="Put them back.")

    monkeypatch.setattr(start, "start_again", start_again)
    app = monitor_app(monkeypatch, tmp_path, stopped_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        await pilot.press("r")
        await until(pilot, lambda: len(toasts(app)) == 2)
        assert toasts(app)[1].splitlines() == ["✗ It does not go on.", "The songs are gone", "Put them back."]
        assert not screen.is_starting and "r Resume" in footer(app)


async def test_a_finished_run_trains_longer(monkeypatch, tmp_path, folder):
    wanted: list[int] = []

    def train_longer(run: RunDir, num_steps: int) -> Any:
        wanted.append(num_steps)
        return SimpleNamespace(warnings=())

    monkeypatch.setattr(start, "train_longer", train_longer)
    app = monitor_app(monkeypatch, tmp_path, facts.finished_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ValueDialog))
        await pilot.press(*["backspace"] * 4, *"1999", "enter")
        await pilot.pause()
        assert "✗ a number of steps above 2,000" in "\n".join(screen_text(app))
        await pilot.press(*["backspace"] * 4, *"3000", "enter")
        await until(pilot, lambda: wanted == [3000])


async def test_the_steps_proposed_are_taken_as_they_stand(monkeypatch, tmp_path, folder):
    wanted: list[int] = []

    def train_longer(run: RunDir, num_steps: int) -> Any:
        wanted.append(num_steps)
        return SimpleNamespace(warnings=())

    monkeypatch.setattr(start, "train_longer", train_longer)
    app = monitor_app(monkeypatch, tmp_path, facts.finished_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ValueDialog))
        await pilot.press("enter")
        await until(pilot, lambda: wanted == [2500])


# -- after the end --


async def test_export_says_what_comes_later_and_y_copies_the_path(monkeypatch, tmp_path):
    app = monitor_app(monkeypatch, tmp_path, facts.finished_course().state, NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.pause()
        assert "come with a later version" in "\n".join(screen_text(app))
        await pilot.press("y")
        path = str(facts.FOLDER / "export/night-ferry.safetensors")
        await until(pilot, lambda: app.clipboard == path)
        app.copy_to_clipboard("")
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard == path)


async def test_c_chooses_a_run_to_compare_with(monkeypatch, tmp_path, folder):
    other = RunDir(tmp_path / "2026-11-01_1200_lofi-tapes")
    other.path.mkdir()
    other.events_jsonl.write_text("")
    registry.remember(other)
    compared: list[list[RunDir]] = []
    app = monitor_app(monkeypatch, tmp_path, facts.finished_course().state, NOW, folder=folder)
    monkeypatch.setattr(app, "open_compare", compared.append)
    async with app.run_test(size=(120, 40)) as pilot:
        await loaded(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.pause()
        assert any("1    lofi-tapes" in row for row in screen_text(app))
        await pilot.press("1")
        await until(pilot, lambda: compared == [[RunDir(folder), other]])


async def test_c_without_another_run_says_so(monkeypatch, tmp_path, folder):
    app = monitor_app(monkeypatch, tmp_path, facts.finished_course().state, NOW, folder=folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await loaded(pilot)
        await pilot.press("c")
        await until(pilot, lambda: toasts(app) == ["● There is no other run to compare with yet."])


async def test_n_sets_up_a_new_run_after_the_end(monkeypatch, tmp_path, folder):
    opened: list[str] = []
    app = monitor_app(monkeypatch, tmp_path, facts.finished_course().state, NOW, folder=folder)
    monkeypatch.setattr(app, "open_wizard", lambda: opened.append("wizard"))
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("n")
        await until(pilot, lambda: opened == ["wizard"])


# -- leaving --


async def test_leaving_says_that_training_goes_on_and_how_to_come_back(monkeypatch, tmp_path, folder):
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("q")
        await until(pilot, lambda: app.return_value is not None)
    assert app.return_value == [
        "Training goes on: night-ferry, step 1,240 of 2,000, about 21 min left.",
        "Come back from any terminal:  acestep-tui attach night-ferry",
        "Stop it:  acestep-tui stop night-ferry",
    ]
    # The reading thread notes it as it ends, which may be a moment after the screen.
    for _ in range(200):
        if registry.last_seen(RunDir(folder)) is not None:
            break
        await asyncio.sleep(0.02)
    assert registry.last_seen(RunDir(folder)) == NOW


@pytest.mark.parametrize(
    ("course", "first"),
    [
        (facts.finished_course, "night-ferry is finished. Your LoRA: {}"),
        (stopped_course, "night-ferry stopped at step 1,240 of 2,000."),
        (facts.crashed_course, "night-ferry crashed at step 1,240 of 2,000."),
    ],
)
async def test_leaving_a_run_that_has_ended_says_how(monkeypatch, tmp_path, folder, course, first):
    app = monitor_app(monkeypatch, tmp_path, course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("q")
        await until(pilot, lambda: app.return_value is not None)
    path = "~/acestep/runs/2026-11-22_1349_night-ferry/export/night-ferry.safetensors"
    assert app.return_value[0] == first.format(path)
    assert app.return_value[1].endswith("acestep-tui attach night-ferry")


async def test_what_to_type_is_looked_up_by_the_reading_thread(monkeypatch, tmp_path):
    folder = tmp_path / "a" / "2026-11-22_1349_night-ferry"
    namesake = tmp_path / "b" / "night-ferry"
    for path in (folder, namesake):
        path.mkdir(parents=True)
        registry.remember(RunDir(path))
    looked_in: list[str] = []
    real = registry.known_runs

    def known_runs() -> list[RunDir]:
        looked_in.append(threading.current_thread().name)
        return real()

    monkeypatch.setattr(registry, "known_runs", known_runs)
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        words = {sentence: value for sentence, value, _ in screen.palette()}
        assert words["Copy attach command"] == f"acestep-tui attach {folder.name}", "the short name means the other one"
        await pilot.press("q")
        await until(pilot, lambda: app.return_value is not None)
    assert app.return_value[0].startswith("Training goes on: night-ferry, step 1,240")
    assert app.return_value[1:] == [
        f"Come back from any terminal:  acestep-tui attach {folder.name}",
        f"Stop it:  acestep-tui stop {folder.name}",
    ]
    assert looked_in
    assert threading.main_thread().name not in looked_in


async def test_nothing_is_offered_of_a_folder_that_is_gone(monkeypatch, tmp_path, folder):
    course = facts.finished_course()
    app = monitor_app(monkeypatch, tmp_path, course.state, NOW, folder=folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        assert "e Export" in footer(app)
        assert "5 Listen" in footer(app)
        FakeWatcher.found.append(Update(t=NOW, folder_facts=FolderFacts(is_gone=True, is_writable=False)))
        screen.look_now()
        await until(pilot, lambda: screen.state.is_gone)
        await pilot.pause()
        assert "Export" not in footer(app)
        assert "Listen" not in footer(app)
        await pilot.press("e")
        await pilot.pause()
        assert not [words for words in toasts(app) if "xport" in words]
        await pilot.press("5", "z")
        await until(pilot, lambda: screen.page is not None)
        await pilot.pause()
        assert "Play" not in footer(app)
        assert "Listen" not in footer(app)
        await pilot.press("q")
        await until(pilot, lambda: app.return_value is not None)
    assert app.return_value[0].startswith("The run folder is gone: ")


async def test_escape_goes_home(monkeypatch, tmp_path):
    opened: list[str] = []
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW)
    monkeypatch.setattr(app, "open_home", lambda: opened.append("home"))
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: opened == ["home"])


async def test_who_comes_back_is_told_how_long_they_were_away(monkeypatch, tmp_path, folder):
    registry.note_seen(RunDir(folder), NOW - 130 * 60)
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await loaded(pilot)
        assert toasts(app) == ["● Welcome back. You were away 2 h 10 min; training went on.\nNothing was lost."]


async def test_how_long_ago_a_run_ended_goes_on_being_true(monkeypatch, tmp_path, folder):
    now = [NOW + 5.0]
    app = monitor_app(monkeypatch, tmp_path, stopped_course().state, lambda: now[0], folder=folder)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        assert "■ stopped   5 s ago" in screen_text(app)[0] and "14:21 5 s ago" in screen_text(app)[2]
        now[0] = NOW + 7200
        screen.tick()
        await pilot.pause()
        assert "■ stopped   2 h ago" in screen_text(app)[0] and "14:21 2 h ago" in screen_text(app)[2]


async def test_a_question_is_not_covered_by_notes(monkeypatch, tmp_path, folder):
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await loaded(pilot)
        for number in range(4):
            app.toast("done", f"Note {number}.", "A second line.")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.pause()
        await pilot.pause()
        rows = "\n".join(screen_text(app))
        assert "loses 240 steps, 6 min" in rows


async def test_the_end_is_a_notice_where_that_was_asked_for(monkeypatch, tmp_path, folder):
    written: list[str] = []
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder, notify="notice")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        monkeypatch.setattr(app._driver, "write", written.append)
        await tell(pilot, screen, events.RunEnded(outcome="failed", exit_code=5, error="the disk is full"), t=NOW)
        assert written == ["\x1b]9;night-ferry: The disk is full.\x07"]


async def test_the_end_rings(monkeypatch, tmp_path, folder):
    rung: list[str] = []
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW, folder=folder)
    monkeypatch.setattr(app, "bell", lambda: rung.append("bell"))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        await tell(pilot, screen, events.RunEnded(outcome="finished", exit_code=0, steps=2000, seconds=3480.0), t=NOW)
        assert rung == ["bell"] and toasts(app) == ["✓ Finished in 58 min."]
        assert screen.focused_panel == "result"
