"""The download as the set-up sees it: begun in one app that dies, found and followed to its end by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acestep_tui.screens.wizard import WizardScreen
from acestep_tui.wizard.download import DownloadTask, Order, Seen
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.look import WizardFacts
from acestep_tui.wizard.steps.model_parts import DownloadRow
from engine.contract.errors import DiskError
from engine.hardware.machine import Machine
from engine.hardware.models import model_status
from engine.planning.sizes import demo_sizes, read_sizes
from tests.tui.harness import house_app, screen_text, until
from tests.worker.conftest import events
from tests.worker.fetch_desk import ROOT, hub
from tests.worker.front_end import wait_for
from tests.worker.loopback_hub import NAME, LoopbackHub

__all__ = ["hub"]

WEIGHTS = "ace_step_transformer/diffusion_pytorch_model.safetensors"

# An app of its own process: it opens the model's page of a draft, downloads, and waits to be killed.
APP = """
import asyncio, sys
from pathlib import Path
from tests.worker.test_download_front import model_app, wizard_of
async def main():
    app = model_app(Path(sys.argv[1]), Path(sys.argv[2]))
    async with app.run_test(size=(80, 24)) as pilot:
        while not (any(wizard_of(app)) and wizard_of(app)[0].facts.model is not None):
            await pilot.pause(0.02)
        await pilot.press("enter")
        await pilot.pause(600)
asyncio.run(main())
"""


@pytest.fixture
def place(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache and a state folder of this test's; every download that was begun there is ended with it."""
    for key, value in hub.environment(tmp_path / "hf").items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield tmp_path
    task = DownloadTask(order_of(tmp_path))
    if task.look().is_running:
        task.stop()
        wait_for(lambda: not task.look().is_running, "the download has ended")


def order_of(place: Path) -> Order:
    return Order(NAME, None, place / "models" / "hub")


def model_app(place: Path, settings: Path) -> Any:
    """The app, opened at the model's page of a draft that asks for the hub's model."""
    draft = Draft(step="model", hub_folder=str(place / "models"))
    draft.visited = ["hardware", "model"]
    draft.set("pretrained_model_name_or_path", NAME)
    settings.mkdir(exist_ok=True)
    app = house_app(settings)

    def open_wizard() -> None:
        screen = WizardScreen(draft, path=settings / "draft.json")
        screen.look = lambda folder: Machine(num_cores=2, folder=folder)
        app.go_to(screen)

    app.open_home = open_wizard  # type: ignore[method-assign]
    return app


def wizard_of(app: Any) -> list[WizardScreen]:
    return [one for one in app.screen_stack if isinstance(one, WizardScreen)]


async def opened(pilot: Any, app: Any, reached: Callable[[WizardFacts], bool] = lambda facts: True) -> WizardScreen:
    await until(pilot, lambda: bool(wizard_of(app)))
    screen = wizard_of(app)[0]
    await until(pilot, lambda: screen.facts.model is not None and reached(screen.facts))
    await pilot.pause()
    return screen


def page(app: Any) -> str:
    return "\n".join(screen_text(app))


def is_under_way(task: DownloadTask) -> bool:
    seen = task.look()
    return seen.is_running and seen.progress is not None and seen.progress.done_bytes > 2_000_000


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
async def test_the_app_dies_the_download_goes_on_and_the_next_app_shows_its_end(
    place: Path, hub: LoopbackHub, number: signal.Signals
) -> None:
    hub.bytes_per_s = 2e6
    task = DownloadTask(order_of(place))
    first = subprocess.Popen(
        [sys.executable, "-c", APP, str(place), str(place / "first")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: is_under_way(task), "the download is under way", seconds=40)
    finally:
        os.killpg(first.pid, number)
        first.wait(timeout=20)
    (started,) = events(task.run, "run_started")
    assert os.getsid(int(started["pid"])) == started["pid"], "it has a session of its own"

    app = model_app(place, place / "second")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, lambda facts: facts.is_downloading)
        assert "◐ downloading" in page(app) and " %" in page(app)
        assert "No internet here?" in page(app)
        here = screen.facts.model.bytes
        await until(pilot, lambda: screen.facts.model.bytes > here)
        # A slow test would only wait: from here the line is fast.
        hub.bytes_per_s = None
        await until(pilot, lambda: screen.facts.model.is_whole, timeout_s=60)
        assert not screen.facts.is_downloading and screen.facts.download_bytes == 0
        assert "✓ complete" in page(app) and screen.facts.sizes is not None
    assert len(events(task.run, "run_started")) == 1 and hub.starts(WEIGHTS) == [0]
    assert task.look().state == "finished"


async def test_stopped_on_the_page_and_begun_again_it_goes_on_where_it_was(place: Path, hub: LoopbackHub) -> None:
    hub.bytes_per_s = 5e5
    app = model_app(place, place / "app")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        assert screen.facts.download_bytes is None and "▸ Download   ↵" in page(app)
        await pilot.press("enter")
        await until(pilot, lambda: screen.facts.is_downloading and screen.facts.model.bytes > 700_000, timeout_s=40)
        screen.query_one(DownloadRow).focus()
        await pilot.press("x")
        await until(pilot, lambda: "It was stopped." in page(app), timeout_s=40)
        assert "▸ Download the other" in page(app) and not screen.facts.is_downloading
        assert screen.facts.model.bytes > 700_000
        hub.bytes_per_s = None
        await pilot.press("enter")
        await until(pilot, lambda: screen.facts.model.is_whole, timeout_s=60)
    assert hub.starts(WEIGHTS)[0] == 0 and hub.starts(WEIGHTS)[1] > 0


async def test_killed_itself_it_is_offered_again(place: Path, hub: LoopbackHub) -> None:
    hub.bytes_per_s = 2e6
    task = DownloadTask(order_of(place))
    task.start()
    wait_for(lambda: is_under_way(task), "the download is under way", seconds=40)
    os.kill(int(events(task.run, "run_started")[0]["pid"]), signal.SIGKILL)
    wait_for(lambda: not task.look().is_running, "it is gone")
    assert task.look().state in ("cut_off", "failed")
    assert DownloadTask(order_of(place)).look().state == "cut_off"
    app = model_app(place, place / "app")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: "It was cut off." in page(app))
        assert screen.facts.model.bytes > 1_500_000 and " here" in page(app)
        hub.bytes_per_s = None
        await pilot.press("enter")
        await until(pilot, lambda: screen.facts.model.is_whole, timeout_s=60)
    first, second = hub.starts(WEIGHTS)
    assert first == 0 and second > 1_000_000


async def test_a_model_that_the_hub_does_not_give(place: Path, hub: LoopbackHub) -> None:
    hub.gated = True
    app = model_app(place, place / "app")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: "is gated: the hub wants its terms accepted" in page(app), timeout_s=40)
        # Everything can be read at once, at the smallest whole size.
        await until(pilot, lambda: "it holds the four folders above." in " ".join(page(app).split()))
        said = " ".join(page(app).split())
        assert "tokenizer_config.json, special_tokens_map.json" in said and "HF_TOKEN" in said
        assert screen.step.max_scroll_y == 0
        assert not screen.facts.is_downloading and "▸ Download" in said
        hub.gated = False
        await pilot.press("enter")
        await until(pilot, lambda: screen.facts.model.is_whole, timeout_s=60)


def test_what_a_task_says_of_itself(place: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    task = DownloadTask(order_of(place))
    assert task.look() == Seen() and task.look().seconds_left is None
    hub.bytes_per_s = 2e6
    task.start()
    # Begun twice, by whomever, it runs once.
    assert task.look().is_running
    task.start()
    wait_for(lambda: is_under_way(task), "the download is under way", seconds=40)
    other = DownloadTask(order_of(place))
    other.start()
    assert other.look().is_running
    hub.bytes_per_s = None
    wait_for(lambda: other.look().state == "finished", "it is here", seconds=60)
    wait_for(lambda: task.look().state == "finished", "its starter knows too")
    assert len(events(task.run, "run_started")) == 1
    assert model_status(NAME, cache_dir=place / "models" / "hub").is_whole


def test_a_program_that_does_not_even_begin(place: Path) -> None:
    task = DownloadTask(order_of(place), command=[sys.executable, "-c", "import sys; sys.exit('no such engine')"])
    task.start()
    seen = wait_for(lambda: (found := task.look()).state != "running" and found, "it has ended")
    assert seen.state == "failed" and seen.message == "no such engine" and "worker.log" in seen.hint
    silent = DownloadTask(Order("other/model"), command=[sys.executable, "-c", "raise SystemExit(7)"])
    silent.start()
    seen = wait_for(lambda: (found := silent.look()).state != "running" and found, "it has ended")
    assert seen.message == "the download ended with code 7"


def test_a_state_folder_that_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = place / "blocked"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    with pytest.raises(DiskError):
        DownloadTask(order_of(place)).start()


PROGRESS = """{"seq": 2, "t": 3.0, "kind": "download_progress", "model": "x", "done_bytes": 5, "total_bytes": 10,
 "bytes_per_s": 2.5, "parts": {}}""".replace("\n", "")


def test_torn_and_unknown_lines_of_a_task(place: Path) -> None:
    task = DownloadTask(order_of(place))
    task.run.path.mkdir(parents=True)
    lines = [
        '{"seq": 0, "t": 1.0, "kind": "run_started"}',
        '{"seq": 1, "t": 2.0, "kind": "unheard_of"}',
        "not json",
        PROGRESS,
        '{"seq": 3, "t": 4.0, "kind": "warning", "code": "x", "message": "dropped"}',
        '{"seq": 4, "t": 5.0, "kind": "download_prog',
    ]
    task.run.events_jsonl.write_text("\n".join(lines))
    seen = task.look()
    assert seen.state == "cut_off" and seen.progress is not None and seen.progress.done_bytes == 5
    assert seen.message == "dropped" and seen.seconds_left == 2.0


def test_where_locks_do_not_work_the_last_word_decides(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from acestep_tui.wizard import download

    monkeypatch.setattr(download, "is_locked", lambda lock: None)
    task = DownloadTask(order_of(place))
    task.run.path.mkdir(parents=True)
    line = '{{"seq": 0, "t": {t}, "kind": "warning", "code": "x", "message": "y"}}\n'
    task.run.events_jsonl.write_text(line.format(t=time.time() - 5))
    assert task.look().state == "running"
    task.run.events_jsonl.write_text(line.format(t=time.time() - 5000))
    assert DownloadTask(order_of(place)).look().state == "cut_off"


def test_the_demo_is_planned_with_the_sizes_that_it_will_have(checkpoint: Path) -> None:
    written, told = read_sizes(checkpoint), demo_sizes()
    for name in (
        "num_parameters",
        "num_unused",
        "num_projectors",
        "num_blocks",
        "inner_dim",
        "num_codec",
        "num_codec_encoder",
        "num_codec_decoder",
        "num_block",
        "num_quantisable",
    ):
        assert getattr(told, name) == getattr(written, name), name
    assert told.num_text_encoder == written.num_text_encoder and told.linears.items() <= written.linears.items()
