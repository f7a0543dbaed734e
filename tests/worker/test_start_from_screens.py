"""Starting, resuming and training longer as the screens do it: in this process, with a scripted worker."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from acestep_tui.runs import control, registry
from acestep_tui.runs.start import StartedRun, start_again, start_run, train_longer
from engine.contract.errors import ConfigError
from tests.worker.front_end import FAKE_WORKER, Place, is_alive, place, wait_for

__all__ = ["place"]

WORKER = (sys.executable, str(FAKE_WORKER))


@pytest.fixture(autouse=True)
def environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(place.state))
    monkeypatch.setenv("HOME", str(place.state / "home"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.chdir(place.cwd)


@pytest.fixture
def started(place: Place) -> Iterator[list[StartedRun]]:
    found: list[StartedRun] = []
    yield found
    for run in found:
        if run.worker is not None and run.worker.poll() is None:
            run.worker.kill()
            run.worker.wait()


def script(monkeypatch: pytest.MonkeyPatch, **fake: object) -> None:
    monkeypatch.setenv("FAKE_WORKER", json.dumps(fake))


def finished(run: StartedRun) -> int:
    assert run.worker is not None
    return run.worker.wait(timeout=20)


def origins(place: Place) -> dict[str, object]:
    found: dict[str, object] = json.loads(place.run.origins_json.read_text())
    return found


def config(place: Place) -> dict[str, object]:
    found: dict[str, object] = json.loads(place.run.config_json.read_text())
    return found


def test_start_from_a_preset_remembers_how_and_what_for(
    place: Place, started: list[StartedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch)
    started.append(start_run(place.cwd / "demo.json", facts={"goal": "voice"}, worker_command=WORKER))
    run = started[0]
    assert run.run == place.run
    assert run.run.worker_json.exists(), "the worker holds the folder when the screen goes on"
    assert origins(place)["goal"] == "voice"
    assert origins(place)["command"] == ["acestep-tui", "--run", str(place.cwd / "demo.json")]
    assert os.getsid(run.worker.pid) == run.worker.pid  # type: ignore[union-attr]
    assert registry.known_runs() == [place.run]
    assert finished(run) == 0


def test_starting_twice_joins_and_another_configuration_is_refused(
    place: Place, started: list[StartedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, steps=400)
    started.append(start_run("demo.json", worker_command=WORKER))
    again = start_run("demo.json", worker_command=WORKER)
    assert (again.is_joined, again.worker) == (True, None)
    with pytest.raises(ConfigError, match="learning_rate"):
        start_run("demo.json", ["--learning_rate=0.5"], worker_command=WORKER)
    with pytest.raises(ConfigError, match="is training already"):
        start_again(place.run, worker_command=WORKER)
    assert place.kinds().count("run_started") == 1


def test_resume_changes_nothing_but_goes_on(
    place: Place, started: list[StartedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, steps=400)
    started.append(start_run("demo.json", facts={"goal": "voice"}, worker_command=WORKER))
    place.wait_for_step(2)
    control.send(place.run, "stop_now")
    assert finished(started[0]) == 130
    before = (place.run.config_json.read_bytes(), place.run.origins_json.read_bytes())
    control.send(place.run, "stop_now")  # nobody took it
    (saved,) = place.run.whole_checkpoints()
    step = int(saved.name.split("-")[1])
    script(monkeypatch, steps=step + 2)
    monkeypatch.chdir("/")  # a screen may be opened anywhere
    started.append(start_again(place.run, worker_command=WORKER))
    assert finished(started[1]) == 0
    assert (place.run.config_json.read_bytes(), place.run.origins_json.read_bytes()) == before
    assert json.loads(place.run.worker_json.read_text())["cwd"] == str(place.cwd)
    resumed = [record.data["resumed_step"] for record in place.records() if record.kind == "run_started"]
    assert resumed == [None, step]


def test_training_longer_keeps_what_was_known(
    place: Place, started: list[StartedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, steps=6)
    started.append(start_run("demo.json", facts={"goal": "voice"}, worker_command=WORKER))
    assert finished(started[0]) == 0
    with pytest.raises(ConfigError, match="has 6 steps already"):
        train_longer(place.run, 6, worker_command=WORKER)
    script(monkeypatch, steps=9)
    started.append(train_longer(place.run, 9, worker_command=WORKER))
    assert started[1].notes == ("▲ changed since the last start: max_train_steps: 6 → 9",)
    assert finished(started[1]) == 0
    assert config(place)["max_train_steps"] == 9
    told = origins(place)
    assert told["goal"] == "voice"
    assert told["command"] == ["acestep-tui", "--run", str(place.run.config_json)]
    assert told["cwd"] == str(place.cwd)
    found = told["origins"]
    assert isinstance(found, dict)
    assert (found["max_train_steps"], found["mixed_precision"], found["lora_rank"]) == ("flag", "file", "default")
    script(monkeypatch, steps=9)
    started.append(start_run(place.run.config_json, worker_command=WORKER))
    assert started[2].notes == (), "the same command goes on without a word about changes"
    assert finished(started[2]) == 0
    assert origins(place)["goal"] == "voice"


def test_a_folder_that_was_moved_goes_on_where_it_is(
    place: Place, started: list[StartedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, steps=6)
    started.append(start_run("demo.json", worker_command=WORKER))
    assert finished(started[0]) == 0
    moved = type(place.run)(place.run.path.rename(place.cwd / "moved"))
    started.append(start_again(moved, worker_command=WORKER))
    assert finished(started[1]) == 0
    assert json.loads(moved.config_json.read_text())["output_dir"] == str(moved.path)
    assert not place.run.path.exists()


def test_resume_from_a_named_save_point_goes_on_from_the_newest(
    place: Place, started: list[StartedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, steps=6)
    started.append(start_run("demo.json", worker_command=WORKER))
    assert finished(started[0]) == 0
    changed = {**config(place), "resume_from_checkpoint": "checkpoint-6"}
    place.run.config_json.write_text(json.dumps(changed))
    started.append(start_again(place.run, worker_command=WORKER))
    assert finished(started[1]) == 0
    assert config(place)["resume_from_checkpoint"] == "latest"


def test_what_cannot_go_on_says_why(place: Place, monkeypatch: pytest.MonkeyPatch, started: list[StartedRun]) -> None:
    script(monkeypatch, steps=6)
    with pytest.raises(ConfigError, match=r"no config\.json"):
        start_again(place.run, worker_command=WORKER)
    started.append(start_run("demo.json", worker_command=WORKER))
    assert finished(started[0]) == 0
    with pytest.raises(ConfigError, match="lora_rank"):
        start_again(place.run, {"lora_rank": 3}, worker_command=WORKER)
    told = {**origins(place), "cwd": str(place.cwd / "gone")}
    place.run.origins_json.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match="not there any more"):
        start_again(place.run, worker_command=WORKER)


def test_worker_that_dies_at_its_start_does_not_hold_the_screen(
    place: Place, started: list[StartedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, die_at_start="No module named torch")
    started.append(start_run("demo.json", worker_command=WORKER))
    assert finished(started[0]) == 1
    assert "No module named torch" in place.run.worker_log.read_text()


def test_worker_outlives_a_hangup(place: Place, started: list[StartedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, steps=8)
    started.append(start_run("demo.json", worker_command=WORKER))
    pid = place.worker_pid()
    os.kill(pid, signal.SIGHUP)
    assert is_alive(pid)
    wait_for(lambda: "run_ended" in place.kinds(), "the worker's own end")


def test_command_line_is_what_was_typed(
    place: Place, started: list[StartedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch)
    typed: Sequence[str] = ["acestep-tui", "--run", "night-ferry.json"]
    started.append(start_run("demo.json", ["--seed=7"], typed=typed, yes=True, worker_command=WORKER))
    assert finished(started[0]) == 0
    assert origins(place)["command"] == typed
    assert config(place)["seed"] == 7
    assert json.loads(place.run.worker_json.read_text())["argv"][-1] == "--yes"
