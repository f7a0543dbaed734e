"""What every start says first, and a stop in each of the phases: quick, exit 130, nothing half there."""

from __future__ import annotations

import json

from safetensors import safe_open
from safetensors.torch import load_file

from engine.contract import control
from engine.contract.run_dir import ADAPTER_FILE
from engine.model import family
from engine.train import finish, validate
from tests.worker.conftest import Workshop, events


def ended(run_dir):
    return events(run_dir, "run_ended")[-1]


def sending_stop(run_dir, real):
    """``real``, with a stop command sent before each call."""

    def call(*arguments, **words):
        control.send(run_dir.control, "stop_now")
        return real(*arguments, **words)

    return call


def test_stop_while_scanning(workshop: Workshop):
    run_dir = workshop.run_dir()
    control.send(run_dir.control, "stop_now")
    assert workshop.train(run_dir) == 130
    assert "scanning" in ended(run_dir)["error"]
    assert not events(run_dir, "cache_progress") and not run_dir.checkpoints()
    assert [event["command"] for event in events(run_dir, "command_done")] == ["stop_now"]


def test_stop_while_caching(workshop: Workshop, tmp_path, monkeypatch):
    from engine.cache import build

    run_dir = workshop.run_dir(cache_dir=str(tmp_path / "own-cache"))
    monkeypatch.setattr(build, "begin_encoding", sending_stop(run_dir, build.begin_encoding))
    assert workshop.train(run_dir) == 130
    assert "preparing" in ended(run_dir)["error"]
    assert len(list((tmp_path / "own-cache" / "audio").rglob("*.safetensors"))) == 1
    monkeypatch.undo()
    assert workshop.train(run_dir) == 0


def test_stop_while_measuring_before_the_first_step(workshop: Workshop, monkeypatch):
    run_dir = workshop.run_dir(validation_split=0.2)
    monkeypatch.setattr(validate.HeldOutLoss, "measure", sending_stop(run_dir, validate.HeldOutLoss.measure))
    assert workshop.train(run_dir) == 130
    assert not events(run_dir, "validation_loss") and not events(run_dir, "step") and not run_dir.checkpoints()
    assert "before the first step" in ended(run_dir)["error"]


def test_stop_while_a_clip_is_made_saves_the_step_and_drops_the_clip(workshop: Workshop, monkeypatch):
    run_dir = workshop.run_dir(validation_prompt="a bell", validation_step_interval=2, validation_split=0.2)
    monkeypatch.setattr(family, "generate_clip", sending_stop(run_dir, family.generate_clip))
    assert workshop.train(run_dir) == 130
    assert [event["path"] for event in events(run_dir, "checkpoint_saved")] == ["checkpoint-2"]
    assert not list(run_dir.validation.glob("*")) and not events(run_dir, "sample_saved")
    assert "clip_failed" not in [event["code"] for event in events(run_dir, "warning")]
    # Leaving does not wait for a measurement.
    assert [event["step"] for event in events(run_dir, "validation_loss")] == [0]
    # The last event says where the run stands, also when it did not finish.
    assert ended(run_dir)["steps"] == 2
    control.send(run_dir.control, "stop_now")
    assert workshop.train(run_dir) == 130
    assert "scanning" in ended(run_dir)["error"] and ended(run_dir)["steps"] == 2


def test_stop_while_measuring_for_a_save_still_saves(workshop: Workshop, monkeypatch):
    run_dir = workshop.run_dir(validation_split=0.2, checkpointing_steps=2)
    real = validate.HeldOutLoss.measure

    def stop_at_two(self, model, *, step, **words):
        if step == 2:
            control.send(run_dir.control, "stop_now")
        return real(self, model, step=step, **words)

    monkeypatch.setattr(validate.HeldOutLoss, "measure", stop_at_two)
    assert workshop.train(run_dir) == 130
    assert [event["path"] for event in events(run_dir, "checkpoint_saved")] == ["checkpoint-2"]
    assert load_file(run_dir.checkpoint(2) / "training_state.safetensors")
    assert [event["step"] for event in events(run_dir, "step")] == [1, 2]


def test_the_front_end_s_notices_are_said_again_at_every_start(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=1)
    notices = [{"code": "ignored_setting", "message": "webhook_config has no effect"}]
    run_dir.origins_json.write_text(json.dumps({"notices": notices}), encoding="utf-8")
    assert workshop.train(run_dir) == 0
    assert workshop.train(run_dir) == 0
    said = [event for event in events(run_dir, "warning") if event["code"] == "ignored_setting"]
    assert [event["message"] for event in said] == ["webhook_config has no effect"] * 2
    # What the scan found stands beside where each value came from, and what the front end wrote is kept.
    origins = json.loads(run_dir.origins_json.read_text(encoding="utf-8"))
    assert origins["notices"] == notices
    scanned = [event["summary"] for event in events(run_dir, "phase_ended") if event["phase"] == "scan"]
    assert origins["scan"]["summary"] == scanned[-1] and origins["scan"]["num_files"] > 0
    for file in (run_dir.checkpoint(1) / ADAPTER_FILE, run_dir.path / ADAPTER_FILE):
        with safe_open(file, "pt") as opened:
            assert opened.metadata()["target_preset"] == "attn_qkv+linear_qkv"
    kinds = [event["kind"] for event in events(run_dir)]
    assert kinds.index("run_started") == 0 and kinds.index("warning") < kinds.index("phase_started")


def test_a_damaged_frozen_configuration_is_said_after_the_start(workshop: Workshop):
    run_dir = workshop.run_dir()
    run_dir.config_json.write_text("{ half", encoding="utf-8")
    assert workshop.train(run_dir) == 2
    assert [event["kind"] for event in events(run_dir)] == ["run_started", "run_ended"]
    assert "config.json" in ended(run_dir)["error"] and ended(run_dir)["hint"]


def test_seq_has_no_gaps_and_every_start_begins_with_run_started(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=2, checkpointing_steps=1)
    control.send(run_dir.control, "stop_now")
    assert workshop.train(run_dir) == 130
    with run_dir.events_jsonl.open("ab") as file:
        file.write(b'{"v":1,"seq":99,"kind":"st')  # torn by a power cut
    assert workshop.train(run_dir) == 0
    assert [event["seq"] for event in events(run_dir)] == list(range(len(events(run_dir))))
    kinds = [event["kind"] for event in events(run_dir)]
    assert kinds[0] == "run_started" and kinds[kinds.index("run_ended") + 1] == "run_started"


def test_a_stop_while_the_end_measures_ends_as_stopped(workshop: Workshop, monkeypatch):
    run_dir = workshop.run_dir(max_train_steps=2)
    assert workshop.train(run_dir) == 0
    # Songs kept aside only now: the finished run has no held-out loss yet and measures it at its end.
    run_dir = workshop.run_dir(max_train_steps=2, validation_split=0.2)
    monkeypatch.setattr(finish, "_beats_its_base", sending_stop(run_dir, finish._beats_its_base))
    assert workshop.train(run_dir) == 130
    assert events(run_dir, "run_ended")[-1]["outcome"] == "stopped"
