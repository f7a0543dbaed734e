"""Commands to a living worker, and signals."""

from __future__ import annotations

import os
import signal

import pytest

from engine.contract import control
from tests.worker.conftest import Workshop, events
from tests.worker.test_equalities import adapter, assert_bit_equal, wait_for

MANY = 100_000


@pytest.fixture
def alive(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=MANY, lora_dropout=0.1)
    worker = workshop.spawn(run_dir)
    wait_for(lambda: run_dir.events_jsonl.exists() and events(run_dir, "step"))
    yield run_dir, worker
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def done(run_dir):
    return [event["command"] for event in events(run_dir, "command_done")]


def test_save_pause_resume_and_stop(alive):
    run_dir, worker = alive
    control.send(run_dir.control, "save")
    wait_for(lambda: "save" in done(run_dir))
    (saved,) = events(run_dir, "checkpoint_saved")
    assert saved["reason"] == "request" and saved["verified"] and run_dir.path.joinpath(saved["path"]).is_dir()

    control.send(run_dir.control, "pause")
    wait_for(lambda: events(run_dir, "paused"))
    steps = len(events(run_dir, "step"))
    control.send(run_dir.control, "save")
    wait_for(lambda: done(run_dir).count("save") == 2)
    assert len(events(run_dir, "step")) == steps
    control.send(run_dir.control, "resume")
    wait_for(lambda: len(events(run_dir, "step")) > steps)

    control.send(run_dir.control, "stop_now")
    assert worker.wait(60) == 130
    ended = events(run_dir, "run_ended")[-1]
    assert (ended["outcome"], ended["exit_code"]) == ("stopped", 130)
    last = max(event["step"] for event in events(run_dir, "step"))
    assert run_dir.whole_checkpoints()[-1].name == f"checkpoint-{last}"
    assert "stop_now" in done(run_dir)


def test_abort_saves_nothing_and_says_what_is_safe(alive):
    run_dir, worker = alive
    control.send(run_dir.control, "save")
    wait_for(lambda: "save" in done(run_dir))
    (saved,) = events(run_dir, "checkpoint_saved")
    steps = len(events(run_dir, "step"))
    wait_for(lambda: len(events(run_dir, "step")) > steps + 1)
    control.send(run_dir.control, "abort")
    assert worker.wait(60) == 130
    ended = events(run_dir, "run_ended")[-1]
    assert ended["outcome"] == "stopped"
    assert ended["error"].endswith(f"without saving; step {saved['step']:,} is saved")
    assert [folder.name for folder in run_dir.whole_checkpoints()] == [saved["path"]]
    assert done(run_dir) == ["save", "abort"]


def test_a_second_worker_is_refused_sighup_does_nothing_and_sigterm_saves(alive, workshop: Workshop):
    run_dir, worker = alive
    assert workshop.train(run_dir) == 2
    os.kill(worker.pid, signal.SIGHUP)
    steps = len(events(run_dir, "step"))
    wait_for(lambda: len(events(run_dir, "step")) > steps + 2)
    assert worker.poll() is None
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(60) == 130
    assert run_dir.whole_checkpoints()


def test_stopped_and_resumed_equals_uninterrupted(workshop: Workshop, monkeypatch):
    from engine.train import trainer

    whole = workshop.run_dir("whole", max_train_steps=6, lora_dropout=0.1)
    assert workshop.train(whole) == 0
    stopped = workshop.run_dir("stopped", max_train_steps=6, lora_dropout=0.1)
    real = trainer.Trainer.report

    def stop_after_three(self, result, **words):
        real(self, result, **words)
        if self.state.step == 3:
            control.send(self.run_dir.control, "stop_now")

    monkeypatch.setattr(trainer.Trainer, "report", stop_after_three)
    assert workshop.train(stopped) == 130
    monkeypatch.undo()
    assert workshop.train(stopped) == 0
    assert_bit_equal(adapter(whole), adapter(stopped))
