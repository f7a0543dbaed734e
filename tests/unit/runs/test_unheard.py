"""A run whose worker nobody here can ask for: told as silence everywhere, and never given a second worker."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from acestep_tui.headless.attach import attach, status_lines
from acestep_tui.headless.control import command
from acestep_tui.headless.options import Options
from acestep_tui.headless.runs_table import as_json, look_at, table_lines
from acestep_tui.runs import launch, liveness, registry
from acestep_tui.runs.liveness import Life
from acestep_tui.runs.start import start_again, start_run
from acestep_tui.runs.summary import summarise
from acestep_tui.runs.watch import RunWatcher
from engine.contract import events
from engine.contract.errors import ConfigError
from engine.contract.run_dir import RunDir
from tests.unit.runs.build import T0, lines, make_checkpoint, make_run, started, step


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run of node17 that said its last word long ago."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    text = lines(started(), events.PhaseStarted(phase="train"), step(1240, 0.4128, eta_s=1358.0))
    run = make_run(tmp_path / "far", text, lora_rank=64)
    run.worker_json.write_text(json.dumps({"pid": 4242, "host": "node17"}))
    make_checkpoint(run, 1000)
    registry.remember(run)
    return run


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Starts of workers."""
    asked: list[Any] = []
    monkeypatch.setattr(launch, "start_worker", lambda *args, **more: asked.append(args))
    return asked


def test_lists_tell_silence(run: RunDir) -> None:
    summary = summarise(run, T0 + 402)
    assert (summary.life, summary.status[:2]) == (Life.UNHEARD, ("◌", "silent"))
    assert not summary.is_alive
    assert (summary.eta_s, summary.is_training) == (None, False)
    assert summary.good_to_know == "no news for 6 min 40 s on node17; ↵ shows what is known."


def test_the_table_and_attach_tell_silence(run: RunDir) -> None:
    row = look_at(run)
    _head, line = table_lines([row], now=T0 + 402)
    assert line.startswith("◌ silent")
    assert "7 min ago on node17" in line
    assert as_json(row)["state"] == "silent"
    shown = status_lines(row.state, run, row.verdict, now=T0 + 402)
    assert shown[0].startswith("◌ silent   far   step 1,240 of 2,000")
    assert "left" not in shown[0]
    assert attach("far", Options(once=True)) == 1
    assert attach("far", Options(plain=True)) == 1


def test_following_ends_with_what_is_known(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    attach("far", Options(plain=True))
    told = capsys.readouterr()
    assert "✗ Whether the worker still trains cannot be seen from here (last news " in told.out + told.err
    assert "gone" not in told.out + told.err


def test_a_command_is_not_promised(run: RunDir) -> None:
    with pytest.raises(ConfigError, match="Whether far still trains cannot be seen from here") as caught:
        command("pause", "far")
    assert "node17" in str(caught.value.hint)
    assert not run.control.exists() or not list(run.control.iterdir())


def test_no_second_worker_starts_in_its_folder(run: RunDir, no_worker: list[Any], tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    with pytest.raises(ConfigError) as again:
        start_again(run)
    assert again.value.message == "Whether far still trains on node17 cannot be seen from here"
    assert again.value.hint == f"Look on node17 first. If it has ended: acestep-tui --run {run.config_json}"
    with pytest.raises(ConfigError, match="still trains on node17"):
        start_run("demo", [f"--output_dir={run.path}"])
    assert no_worker == []


def test_where_the_disk_has_no_locks_its_own_computer_refuses_too(
    run: RunDir, no_worker: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "is_locked", lambda _: None)
    run.worker_json.write_text(json.dumps({"pid": 4242, "host": platform.node()}))
    with pytest.raises(ConfigError, match="Whether far still trains cannot be seen") as caught:
        start_again(run)
    assert str(caught.value.hint).startswith("See whether its process lives. If it has ended: acestep-tui ")
    assert no_worker == []


def test_a_watcher_says_it_once_and_checks_what_is_safe(run: RunDir) -> None:
    watcher = RunWatcher(run)
    state = watcher.load()
    for _ in range(3):
        state.apply(watcher.poll(state))
    assert state.verdict is not None
    assert state.verdict.life is Life.UNHEARD
    assert state.crash is not None
    assert [check.step for check in state.crash.checks] == [1000]
    told = [entry.text for entry in state.log.oldest_first() if "no further word" in entry.text]
    assert len(told) == 1
    assert told[0].startswith("no further word yet; last news ")
    assert not [news for news in state.take_news() if news.kind == "crashed"]


def test_our_own_child_that_ended_is_known_to_have_crashed(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "exit_code_of", lambda _: 1)
    state = RunWatcher(run).load()
    assert state.verdict is not None
    assert state.verdict.life is Life.CRASHED
