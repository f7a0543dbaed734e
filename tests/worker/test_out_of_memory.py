"""Memory that runs out: the run steps down and goes on from where it was; at the end both settings are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.run_dir import ADAPTER_FILE, RunDir
from engine.model import lyric_encoder
from engine.train import prepare, rungs, undo
from engine.train import run as run_module
from engine.train import step as step_module
from engine.train import trainer as trainer_module
from engine.train.first_step import prove_step
from engine.train.validate import ClipMaker, HeldOutLoss
from tests.worker.conftest import Workshop, events

OUT = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"
BAND = 1e-5
"""Relative: a split micro-batch adds the same numbers in another order."""


def fail(
    monkeypatch, where: Any, name: str, *, calls: range, error: type[BaseException] = torch.OutOfMemoryError
) -> list:
    """Let the calls ``calls`` of a function (counted from 0) run out of memory; the list counts all calls."""
    real: Callable[..., Any] = getattr(where, name)
    made: list[int] = []

    def failing(*args: Any, **kwargs: Any) -> Any:
        made.append(1)
        if len(made) - 1 in calls:
            raise error(OUT)
        return real(*args, **kwargs)

    monkeypatch.setattr(where, name, failing)
    return made


def rungs_of(run_dir: RunDir) -> list[tuple[str, str]]:
    return [(event["phase"], event["rung"]) for event in events(run_dir, "memory_stepped_down")]


def losses(run_dir: RunDir) -> list[float]:
    return [event["loss"] for event in events(run_dir, "step")]


def warnings(run_dir: RunDir, code: str) -> list[str]:
    return [event["message"] for event in events(run_dir, "warning") if event["code"] == code]


def adapter(run_dir: RunDir) -> dict[str, torch.Tensor]:
    return load_file(run_dir.path / ADAPTER_FILE)


def assert_same(first: RunDir, second: RunDir) -> None:
    """Losses and weights, bit for bit."""
    assert losses(first) == losses(second)
    one, other = adapter(first), adapter(second)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


SETTINGS: dict[str, Any] = {"train_batch_size": 2, "gradient_checkpointing": False, "max_train_steps": 4}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, checkpoint, songs, cache) -> Callable[..., RunDir]:
    """Runs without a fault, made once each."""
    made: dict[str, RunDir] = {}

    def run(**settings: Any) -> RunDir:
        name = json.dumps(settings, sort_keys=True)
        if name not in made:
            shop = Workshop(tmp_path_factory.mktemp("undisturbed"), checkpoint, songs, cache)
            made[name] = shop.run_dir(**settings)
            assert shop.train(made[name]) == 0
        return made[name]

    return run


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_a_step_is_taken_again_in_smaller_pieces(workshop: Workshop, undisturbed, monkeypatch, error):
    monkeypatch.setattr(lyric_encoder, "DROPOUT", 0.0)  # smaller pieces draw other masks
    settings = SETTINGS | {"optimizer": "torch-sgd", "learning_rate": 1e-2}
    whole = undisturbed(**settings, seed=7)
    fail(monkeypatch, step_module, "clip_gradients", calls=range(2, 3), error=error)
    run_dir = workshop.run_dir(**settings, seed=7)
    assert workshop.train(run_dir) == 0
    assert [event["step"] for event in events(run_dir, "step")] == [1, 2, 3, 4]
    assert losses(run_dir)[:2] == losses(whole)[:2]
    assert losses(run_dir) == pytest.approx(losses(whole), rel=BAND)
    (event,) = events(run_dir, "memory_stepped_down")
    assert (event["phase"], event["step"], event["rung"]) == ("train", 2, "smaller_micro_batch")
    assert event["changes"] == {"train_batch_size": [2, 1], "gradient_accumulation_steps": [1, 2]}
    assert event["why"].startswith("CUDA out of memory") and event["needed_bytes"] == 2 * 2**30
    (message,) = warnings(run_dir, "memory_ran_out")
    assert "at step 3" in message and "1 at a time instead of 2: same batch" in message and "Nothing is lost" in message


def test_recomputing_and_a_second_try_change_no_bit(workshop: Workshop, undisturbed, monkeypatch):
    settings = SETTINGS | {"train_batch_size": 1, "lora_dropout": 0.1}
    whole = undisturbed(**settings)
    # In the middle of the step: what was drawn for its dropout is drawn again, its gradients do not count twice.
    fail(monkeypatch, step_module, "clip_gradients", calls=range(1, 3))
    run_dir = workshop.run_dir(**settings)
    assert workshop.train(run_dir) == 0
    assert rungs_of(run_dir) == [("train", "recompute_selective"), ("train", "recompute_full")]
    assert_same(run_dir, whole)


@pytest.mark.parametrize("call", [0, 2])
def test_memory_that_runs_out_while_weights_move_leaves_none_half_moved(
    workshop: Workshop, undisturbed, monkeypatch, call: int
):
    settings = SETTINGS | {"train_batch_size": 1}
    whole, real, calls = undisturbed(**settings), torch.optim.AdamW.step, []

    def step(optimizer: torch.optim.AdamW, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) - 1 == call:
            real(optimizer)  # all of them moved, and their memory is there
            raise torch.OutOfMemoryError(OUT)
        return real(optimizer, *args, **kwargs)

    run_dir = workshop.run_dir(**settings, checkpointing_steps=2)
    monkeypatch.setattr(trainer_module.Trainer, "__post_init__", _stepping_with(step))
    if call == 0:  # the first move of a start: a copy of the weights was taken
        assert workshop.train(run_dir) == 0
        assert rungs_of(run_dir) == [("train", "recompute_selective")]
        assert_same(run_dir, whole)
    else:  # later ones: weights that nobody can move back are never trained on
        assert workshop.train(run_dir) == 3
        assert "Step 2 is saved" in events(run_dir, "run_ended")[-1]["hint"]


def _stepping_with(step: Callable[..., Any]) -> Callable[[Any], None]:
    real = trainer_module.Trainer.__post_init__

    def made(trainer: trainer_module.Trainer) -> None:
        real(trainer)
        optimizer = trainer.state.optimizer
        optimizer.step = lambda *args, **kwargs: step(optimizer, *args, **kwargs)  # type: ignore[method-assign]

    return made


@pytest.fixture
def as_on_a_card(monkeypatch) -> None:
    """The rungs of a card, on the processor."""
    real = rungs.Situation

    def situation(**known: Any) -> rungs.Situation:
        return real(**{**known, "device_kind": "cuda"})

    monkeypatch.setattr("engine.train.oom.Situation", situation)


def test_every_rung_is_taken_in_turn_and_kept_for_the_next_start(
    workshop: Workshop, undisturbed, monkeypatch, as_on_a_card
):
    settings = SETTINGS | {"train_batch_size": 1, "gradient_checkpointing": True, "checkpointing_steps": 2}
    whole = undisturbed(**settings)
    counted = fail(monkeypatch, step_module, "clip_gradients", calls=range(1, 3))
    run_dir = workshop.run_dir(**settings, validation_step_interval=0)
    trained = fail(monkeypatch, trainer_module, "rollout_facts", calls=range(2, 3), error=KeyboardInterrupt)
    assert workshop.train(run_dir) == 130
    assert len(counted) == 5 and len(trained) == 3
    assert rungs_of(run_dir) == [("train", "activation_offload"), ("train", "block_swap")]
    monkeypatch.undo()
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "run_started")[-1]["resumed_step"] == 2
    (kept,) = warnings(run_dir, "memory_relief_kept")
    assert "activation_offload true" in kept and "musubi_blocks_to_swap 1" in kept and "memory.json" in kept
    one, other = adapter(run_dir), adapter(whole)
    assert all(torch.equal(one[name], other[name]) for name in other)
    # Settings that change are the user's own way of seeing to it.
    config = json.loads(run_dir.config_json.read_text(encoding="utf-8"))
    run_dir.config_json.write_text(json.dumps(config | {"train_batch_size": 2, "max_train_steps": 5}), encoding="utf-8")
    assert workshop.train(run_dir) == 0
    assert "train_batch_size changed since" in warnings(run_dir, "memory_relief_forgotten")[0]


class Recorder:
    """In the place of CUDA graphs: asked for each micro-batch that may be recorded, it records none."""

    is_capturing = False

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.cleared = 0

    def key_of(self, batch: Any) -> tuple[object, ...]:
        return (batch.bucket,)

    def get(self, key: object) -> None:
        return None

    def is_due(self, key: object) -> bool:
        self.asked.append(1)
        return False

    def clear(self) -> None:
        self.cleared += 1


def test_what_waits_in_main_memory_is_no_part_of_a_recorded_step(
    workshop: Workshop, undisturbed, monkeypatch, as_on_a_card
):
    settings = SETTINGS | {"train_batch_size": 1, "gradient_checkpointing": True}
    whole, recorder, real = undisturbed(**settings), Recorder(), trainer_module.Trainer.__post_init__

    def made(trainer: trainer_module.Trainer) -> None:
        real(trainer)
        trainer.speed.graphs = recorder  # type: ignore[assignment]

    monkeypatch.setattr(trainer_module.Trainer, "__post_init__", made)
    fail(monkeypatch, step_module, "clip_gradients", calls=range(2, 4))
    run_dir = workshop.run_dir(**settings)
    assert workshop.train(run_dir) == 0
    assert rungs_of(run_dir) == [("train", "activation_offload"), ("train", "block_swap")]
    assert len(recorder.asked) == 3 and recorder.cleared >= 2, "two steps, and the third until it ran out"
    assert_same(run_dir, whole)


@pytest.mark.parametrize("allowed", [False, True])
def test_fewer_digits_only_with_consent_and_exit_3_at_the_end(workshop: Workshop, monkeypatch, as_on_a_card, allowed):
    settings = SETTINGS | {"checkpointing_steps": 2, "oom_allow_quantisation": allowed}
    fail(monkeypatch, step_module, "clip_gradients", calls=range(2, 99))
    run_dir = workshop.run_dir(**settings)
    assert workshop.train(run_dir) == 3
    free = ["smaller_micro_batch", "recompute_selective", "recompute_full", "activation_offload", "block_swap"]
    taken = [rung for _, rung in rungs_of(run_dir)]
    digits = ["quantise_int8", "quantise_int4"] if allowed else []
    assert list(dict.fromkeys(taken)) == [*free, *digits]
    end = events(run_dir, "run_ended")[-1]
    assert (end["outcome"], end["exit_code"]) == ("failed", 3)
    assert "memory ran out: CUDA out of memory" in end["error"]
    parts = ("train_batch_size (now 2)", "gradient_checkpointing true (now true)", "Step 2 is saved", "Tried: smaller")
    for part in parts:
        assert part in end["hint"], part
    assert ("oom_allow_quantisation true (now false)" in end["hint"]) is not allowed
    assert [folder.name for folder in run_dir.whole_checkpoints()] == ["checkpoint-2"]
    # Once there is memory again, the same run goes on from there.
    monkeypatch.undo()
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "run_started")[-1]["resumed_step"] == 2


def test_a_model_in_memory_is_stored_with_fewer_digits_and_trains_on(
    workshop: Workshop, undisturbed, monkeypatch, as_on_a_card
):
    settings = SETTINGS | {"train_batch_size": 1, "gradient_checkpointing": True, "activation_offload": True}
    settings |= {"musubi_blocks_to_swap": 2, "oom_allow_quantisation": True, "max_train_steps": 3}
    whole = undisturbed(**settings)
    fail(monkeypatch, step_module, "clip_gradients", calls=range(1, 2))
    run_dir = workshop.run_dir(**settings)
    assert workshop.train(run_dir) == 0
    assert rungs_of(run_dir) == [("train", "quantise_int8")]
    assert "results differ a little" in warnings(run_dir, "memory_ran_out")[0]
    assert losses(run_dir)[0] == losses(whole)[0] and losses(run_dir)[1:] == pytest.approx(losses(whole)[1:], rel=0.05)
    assert losses(run_dir) != losses(whole)


def test_songs_are_prepared_in_smaller_batches_then_on_the_processor(workshop: Workshop, monkeypatch, as_on_a_card):
    seen = []
    real = prepare.encoder_loaders
    made = fail(monkeypatch, prepare, "build_cache", calls=range(2))

    def loaders(config: Any, family: Any, device: torch.device) -> Any:
        seen.append((config.vae_batch_size, config.offload_during_startup))
        return real(config, family, device)

    monkeypatch.setattr(prepare, "encoder_loaders", loaders)
    run_dir = workshop.run_dir(vae_batch_size=2, max_train_steps=1)
    assert workshop.train(run_dir) == 0
    assert len(made) == 3 and seen[:3] == [(2, False), (1, False), (1, True)]
    assert rungs_of(run_dir) == [("cache", "smaller_encoder_batch"), ("cache", "prepare_on_processor")]
    assert "while songs were prepared" in warnings(run_dir, "memory_ran_out")[0]


@pytest.mark.parametrize("recomputes", [True, False])
def test_a_model_that_does_not_fit_is_loaded_again_then_with_blocks_aside(
    workshop: Workshop, undisturbed, monkeypatch, as_on_a_card, recomputes: bool
):
    whole = undisturbed(max_train_steps=2)
    fail(monkeypatch, run_module, "build_model", calls=range(2))
    run_dir = workshop.run_dir(max_train_steps=2, gradient_checkpointing=recomputes)
    assert workshop.train(run_dir) == 0
    assert rungs_of(run_dir) == [("load", "freed"), ("load", "block_swap")]
    # Blocks that wait want their inner results computed again; that is turned on with them, and said.
    changes = events(run_dir, "memory_stepped_down")[-1]["changes"]
    assert changes.get("gradient_checkpointing") == (None if recomputes else [False, True])
    assert ("computed again" in warnings(run_dir, "memory_ran_out")[-1]) != recomputes
    assert_same(run_dir, whole)


def test_what_is_heard_and_measured_never_ends_a_training(workshop: Workshop, undisturbed, monkeypatch, as_on_a_card):
    common = {"max_train_steps": 2, "validation_split": 0.2, "train_batch_size": 1}
    whole = undisturbed(**common)
    fail(monkeypatch, HeldOutLoss, "measure", calls=range(99))
    clips = fail(monkeypatch, ClipMaker, "_make_one", calls=range(2))
    settings = common | {
        "validation_prompt": "calm piano",
        "validation_step_interval": 2,
        "validation_on_startup": False,
    }
    settings |= {"validation_audio_duration": 1.0, "validation_num_inference_steps": 1, "checkpointing_steps": 1}
    run_dir = workshop.run_dir(**settings)
    assert workshop.train(run_dir) == 0
    assert losses(run_dir) == losses(whole)
    told = warnings(run_dir, "held_out_failed")
    assert told and "Training goes on" in told[0]
    assert ("validate", "decode_in_blocks") in rungs_of(run_dir) and ("validate", "decode_on_processor") in rungs_of(
        run_dir
    )
    assert len(clips) == 3 and len(events(run_dir, "sample_saved")) == 1
    assert "held-out loss was not measured" in events(run_dir, "proofs")[-1]["notes"]["works"]


def test_a_save_and_the_end_are_tried_again(workshop: Workshop, undisturbed, monkeypatch):
    whole = undisturbed(max_train_steps=2)
    fail(monkeypatch, trainer_module, "write_checkpoint", calls=range(2))
    fail(monkeypatch, run_module, "finish_lora", calls=range(1))
    run_dir = workshop.run_dir(max_train_steps=2)
    assert workshop.train(run_dir) == 0
    assert rungs_of(run_dir) == [("save", "freed"), ("save", "freed"), ("finish", "freed")]
    assert_same(run_dir, whole)


def test_the_end_goes_on_with_blocks_aside(workshop: Workshop, undisturbed, monkeypatch, as_on_a_card):
    settings = {"max_train_steps": 2, "gradient_checkpointing": False}
    whole = undisturbed(**settings)
    fail(monkeypatch, run_module, "finish_lora", calls=range(2))
    run_dir = workshop.run_dir(**settings)
    assert workshop.train(run_dir) == 0
    assert rungs_of(run_dir) == [("finish", "freed"), ("finish", "block_swap")]
    assert_same(run_dir, whole)


def test_a_measured_step_leaves_no_trace_in_the_training(workshop: Workshop, undisturbed, monkeypatch):
    settings = {"max_train_steps": 3, "lora_dropout": 0.1, "use_ema": True, "scheduled_sampling_max_step_offset": 3}
    settings |= {"scheduled_sampling_probability": 0.5, "checkpointing_steps": 2, "optimizer": "prodigy"}
    whole = undisturbed(**settings)
    real = trainer_module.Trainer.begin

    def begin(trainer: trainer_module.Trainer) -> None:
        prove_step(trainer, trainer.stream.longest(trainer.state.step))
        real(trainer)

    monkeypatch.setattr(trainer_module.Trainer, "begin", begin)
    fail(monkeypatch, step_module, "clip_gradients", calls=range(0))
    run_dir = workshop.run_dir(**settings)
    trained = fail(monkeypatch, trainer_module, "rollout_facts", calls=range(2, 3), error=KeyboardInterrupt)
    assert workshop.train(run_dir) == 130 and len(trained) == 3
    assert workshop.train(run_dir) == 0  # going on, it is measured again: now with an optimizer that remembers
    first, second = events(run_dir, "memory_measured")
    assert first["bucket"] == second["bucket"] == "3s" and first["batch_size"] == 2
    assert first["peak_bytes"] > 10**7 and first["step_s"] > 0
    by_step = {event["step"]: event["loss"] for event in events(run_dir, "step")}
    assert [by_step[step] for step in sorted(by_step)] == losses(whole)
    one, other = adapter(run_dir), adapter(whole)
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_measured_step_that_does_not_fit_starts_the_ladder_before_training(workshop: Workshop, monkeypatch):
    real = trainer_module.Trainer.begin

    def begin(trainer: trainer_module.Trainer) -> None:
        prove_step(trainer, trainer.stream.longest(trainer.state.step))
        real(trainer)

    monkeypatch.setattr(trainer_module.Trainer, "begin", begin)
    monkeypatch.setattr(undo.HostCopy, "has_room", staticmethod(lambda state: False))
    fail(monkeypatch, step_module, "clip_gradients", calls=range(1))
    run_dir = workshop.run_dir(max_train_steps=1)
    assert workshop.train(run_dir) == 0
    assert rungs_of(run_dir) == [("warmup", "smaller_micro_batch")]
    kinds = [event["kind"] for event in events(run_dir, "memory_stepped_down", "memory_measured", "step")]
    assert kinds == ["memory_stepped_down", "memory_measured", "step"]
    assert "in the measured step, before training began" in warnings(run_dir, "memory_ran_out")[0]
