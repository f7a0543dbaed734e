"""What a monitor must live through: damaged lines, numbers that are none, folders that vanish or are not ours."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from acestep_tui.app import Start
from acestep_tui.screens.monitor import MonitorScreen
from engine.contract import event_lines, events
from engine.contract.run_dir import RunDir
from engine.hardware.host import boot_id
from tests.tui.harness import house_app, screen_text, until
from tests.tui.monitor_app import loaded

# The real watcher looks at the real clock, so these runs live now: the moment of the test, not of the import.
STARTED = events.RunStarted(name="odd", dir="/odd", version="0.1.0", pid=1, host=platform.node(), device="cpu")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    found = RunDir(tmp_path / "odd")
    found.path.mkdir()
    found.lock.touch()
    card = {"pid": 1, "host": platform.node(), "boot_id": boot_id(), "start_t": time.time()}
    found.worker_json.write_text(json.dumps(card))
    return found


class Writer:
    """Writes the run's events, also such as no worker would write."""

    def __init__(self, run: RunDir) -> None:
        self.run, self.seq = run, 0

    def say(self, *said: events.Event, t: float | None = None) -> None:
        for event in said:
            self.raw(event_lines.encode(event, seq=self.seq, t=time.time() if t is None else t))
            self.seq += 1

    def raw(self, text: str | bytes) -> None:
        with self.run.events_jsonl.open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())


@contextlib.contextmanager
def held(run: RunDir) -> Iterator[None]:
    with run.lock.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def step(number: int, loss: float = 0.5, **more: Any) -> events.Step:
    return events.Step(step=number, total=100, loss=loss, lr=1e-4, step_s=0.5, grad_norm=0.2, **more)


def begun(run: RunDir, *more: events.Event) -> Writer:
    writer = Writer(run)
    writer.say(STARTED, events.PhaseStarted(phase="train", total=100), *more)
    return writer


def open_run(run: RunDir, tmp_path: Path, **start: Any) -> Any:
    return house_app(tmp_path, Start(run, **start), clock=time.time)


async def shows(pilot: Pilot[Any], words: str) -> None:
    await until(pilot, lambda: words in "\n".join(screen_text(pilot.app)))  # type: ignore[arg-type]


async def test_numbers_that_are_none_are_shown_as_such(run, tmp_path):
    writer = begun(run, *(step(number, 0.9 - number / 100) for number in range(1, 30)))
    with held(run):
        app = open_run(run, tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await loaded(pilot)
            writer.say(step(30, float("nan")), step(31, float("inf")), step(32, float("nan"), eta_s=float("nan")))
            await shows(pilot, "not a number")
            await pilot.pause()
            rows = screen_text(app)
            assert "✗" in rows[14]  # at the foot of the chart
            assert screen.state.loss.bad_steps == [30, 31, 32]
            writer.say(events.ValidationLoss(step=32, loss=float("nan"), num_songs=1), step(33, 0.4, eta_s=1e300))
            await shows(pilot, "33 of 100")
            await pilot.press("z", "left", "left", "escape")


async def test_damaged_lines_unknown_kinds_gaps_and_a_clock_that_jumps(run, tmp_path):
    writer = begun(run, step(1))
    writer.raw(b'{"v":1,"seq":99,"t":"yesterday","kind":"step"}\n\xff\xfe\x00 garbage\n[1,2]\n\n')
    strange: list[dict[str, Any]] = [
        {"v": 2, "seq": 3, "t": time.time(), "kind": "teleported", "to": "mars"},
        {"v": 1, "seq": 4, "t": time.time(), "kind": "step", "step": "two", "total": {}, "loss": []},
    ]
    for line in strange:
        writer.raw(json.dumps(line) + "\n")
    writer.seq = 9
    writer.say(step(7), t=time.time() - 3600)
    with held(run):
        app = open_run(run, tmp_path)
        async with app.run_test(size=(120, 40)) as pilot:
            screen = await loaded(pilot)
            await shows(pilot, "the clock was set back by 1 h")
            state = screen.state
            # Three lines are no events; one kind is not known, one known one has values of another type.
            assert (state.num_unreadable, state.num_unknown, state.num_clock_jumps) == (3, 2, 1)
            assert state.num_missing == 4 and state.step_now == 7
            await shows(pilot, "4 events before this one cannot be read")
            # Half a line is not yet a line.
            whole = event_lines.encode(step(8), seq=10, t=time.time())
            writer.raw(whole[:40])
            screen.look_now()
            await pilot.pause(0.2)
            assert state.step_now == 7 and state.num_unreadable == 3
            writer.raw(whole[40:])
            await shows(pilot, "8 of 100")


async def test_a_folder_that_vanishes_keeps_what_was_last_seen(run, tmp_path):
    begun(run, *(step(number) for number in range(1, 30)))
    opened: list[str] = []
    with held(run):
        app = open_run(run, tmp_path)
        app.open_home = lambda: opened.append("home")
        async with app.run_test(size=(80, 24)) as pilot:
            await loaded(pilot)
            shutil.rmtree(run.path)
            await shows(pilot, "✗ folder is gone")
            await shows(pilot, "✗ The run folder is gone")
            rows = screen_text(app)
            assert "29 of 100" in rows[2] and "✗ The run folder is gone" in rows[5]
            assert "p Pause" not in rows[-1] and "x Stop" not in rows[-1]
            await pilot.press("p", "escape")
            await until(pilot, lambda: opened == ["home"])


async def test_a_folder_of_another_user_can_be_looked_at(run, tmp_path, monkeypatch):
    monkeypatch.setattr("acestep_tui.runs.inspect.is_writable", lambda run: False)
    begun(run, step(1))
    with held(run):
        app = open_run(run, tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await loaded(pilot)
            await shows(pilot, "read-only   ● training")
            await pilot.press("p", "s", "n", "x")
            await pilot.pause()
            assert app.screen is screen and not run.control.exists()
            assert screen_text(app)[-1].split("  ")[:2] == [" z Zoom", "q Leave"]


async def test_attached_to_look_only(run, tmp_path):
    begun(run, step(1))
    with held(run):
        app = open_run(run, tmp_path, is_readonly=True)
        async with app.run_test(size=(80, 24)) as pilot:
            await loaded(pilot)
            await shows(pilot, "read-only   ● training")
            await pilot.press("s")
            await pilot.pause()
            assert not run.control.exists()


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b'{"v":1,"seq":0', b"\x00" * 5000])
async def test_a_folder_with_nothing_to_read(run, tmp_path, content):
    if content is not None:
        run.events_jsonl.write_bytes(content)
    with held(run):
        app = open_run(run, tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            await loaded(pilot)
            await shows(pilot, "◐ starting")
            writer = Writer(run)
            writer.raw("\n")
            writer.say(STARTED, events.PhaseStarted(phase="scan", total=3))
            await shows(pilot, "Looking at your songs")


async def test_a_run_that_was_set_aside_and_began_anew(run, tmp_path):
    begun(run, *(step(number) for number in range(1, 60)))
    with held(run):
        app = open_run(run, tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            await loaded(pilot)
            await shows(pilot, "59 of 100")
            run.events_jsonl.unlink()
            begun(run, step(1, 0.77))
            await shows(pilot, " 1 of 100")
            await shows(pilot, "0.7700")


async def test_a_crash_is_seen_and_so_is_its_resume(run, tmp_path):
    writer = begun(run, *(step(number) for number in range(1, 30)))
    folder = run.checkpoint(20)
    folder.mkdir()
    (folder / ".guard").touch()
    app = open_run(run, tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await shows(pilot, "✗ crashed")
        await shows(pilot, "press r: it goes on at 20")
        assert screen.focused_panel == "trouble"
        with held(run):
            writer.say(
                events.RunStarted(**{**_fields(STARTED), "resumed_step": 20}),
                events.PhaseStarted(phase="train", total=100),
                step(21, 0.31),
            )
            await shows(pilot, "● training")
            await shows(pilot, "21 of 100")
            assert screen.state.loss.last_step == 21
            await until(pilot, lambda: screen.focused_panel == "loss")


def _fields(event: events.Event) -> dict[str, Any]:
    return {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}


async def test_overfitting_and_a_full_disk_are_said_under_the_phases(run, tmp_path, monkeypatch):
    held_out = [(20, 0.40), (40, 0.41), (60, 0.42), (80, 0.43)]
    writer = begun(run, step(80), *(events.ValidationLoss(step=at, loss=loss, num_songs=1) for at, loss in held_out))
    folder = run.checkpoint(20)
    folder.mkdir()
    (folder / ".guard").touch()
    with held(run):
        app = open_run(run, tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            await loaded(pilot)
            await shows(pilot, "▲ Held-out loss was lowest at step 20 and rises since: the LoRA begins to")
            await shows(pilot, "step 20 is kept.")
            monkeypatch.setattr("acestep_tui.runs.inspect.disk_free_bytes", lambda path: 800 * 2**20, raising=False)
            writer.say(events.CheckpointSaved(step=80, path="checkpoint-80", bytes=400 * 2**20, verified=True))
            await shows(pilot, "▲ 0.8 GB left on this disk. The next save needs 0.4 GB.")


async def test_a_long_first_reading_says_how_far_it_is_and_can_be_left(run, tmp_path, monkeypatch):
    begun(run, step(1))

    def slow(self, on_progress, should_stop):
        on_progress(45, 100)
        while not should_stop():
            time.sleep(0.01)

    monkeypatch.setattr("acestep_tui.runs.watch.RunWatcher.load", slow)
    app = open_run(run, tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, MonitorScreen) and app.screen.is_mounted)
        await shows(pilot, "◐ reading 45 %")
        await pilot.press("p", "s", "z", "7", "escape", "q")
    assert app.return_value is not None
