"""Estimates: what they must equal where arithmetic says so, and how they move where it only says the direction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.contract.config import Config
from engine.contract.events import Plan
from engine.planning.disk import audio_entry_bytes, estimate_disk, num_clips, num_kept_checkpoints
from engine.planning.facts import DataFacts, DeviceFacts
from engine.planning.memory_terms import memory_terms
from engine.planning.plan import make_plan
from engine.planning.sizes import published_sizes
from engine.planning.trained import num_trainable
from engine.planning.vram import estimate_memory

SIZES = published_sizes()
CARD = DeviceFacts("cuda", num_cores=16, total_bytes=24 << 30, disk_free_bytes=10**12)
SONGS = DataFacts(clip_s=(60.0,) * 20, bucket_s=(60.0,), num_captions=20, num_held_out=1)


def config(**values):
    return Config.from_dict({"max_train_steps": 1000, **values})


def plan(data=SONGS, device=CARD, start_step=0, **values):
    return make_plan(config(**values), data=data, sizes=SIZES, device=device, start_step=start_step)


def test_a_plan_is_exactly_the_fields_of_its_event():
    fields = plan()
    assert fields.keys() == {field.name for field in dataclasses.fields(Plan)}
    assert Plan(**fields).disk_free_bytes == 10**12


def test_a_minute_of_audio_is_as_large_as_its_file(tmp_path):
    path = tmp_path / "entry.safetensors"
    save_file(
        {"latents": np.zeros((8, 16, 646), dtype=np.float32), "latent_lengths": np.zeros(1, dtype=np.int64)}, path
    )
    assert audio_entry_bytes(60.0) == pytest.approx(path.stat().st_size, rel=0.05)
    assert audio_entry_bytes(60.0) <= 350_000


def test_disk_counts_only_what_is_not_there_yet():
    def cache(num_cached):
        data = dataclasses.replace(SONGS, num_cached=num_cached, num_captions=0)
        return estimate_disk(config(), data=data, sizes=SIZES, num_steps=10).cache_bytes

    assert cache(0) == 20 * audio_entry_bytes(60.0)
    assert cache(15) == 5 * audio_entry_bytes(60.0)
    assert cache(20) == 0


@pytest.mark.parametrize(
    ("values", "num_steps", "kept"),
    [
        ({"checkpointing_steps": 100}, 1000, 6),  # the newest five and the best
        ({"checkpointing_steps": 100}, 300, 3),
        ({"checkpointing_steps": 100, "checkpoints_total_limit": 0}, 1000, 10),
        ({"checkpointing_steps": 0}, 1000, 1),
        ({"checkpointing_steps": 2000}, 100, 1),
        ({"checkpointing_steps": 100, "checkpointing_rolling_steps": 10}, 300, 4),
    ],
)
def test_checkpoints_on_disk_at_the_end(values, num_steps, kept):
    assert num_kept_checkpoints(config(**values), num_steps) == kept


@pytest.mark.parametrize(
    ("values", "clips"),
    [
        ({}, 0),
        ({"validation_prompt": "x"}, 10),
        ({"validation_prompt": "x", "validation_on_startup": True}, 11),
        ({"validation_prompt": "x", "validation_step_interval": 0}, 0),
        ({"validation_prompt": "x", "validation_disable": True}, 0),
        ({"validation_prompt": "x", "use_ema": True}, 20),
        ({"validation_prompt": "x", "use_ema": True, "ema_validation": "ema_only"}, 10),
        ({"validation_prompt": "x", "ema_validation": "comparison"}, 10),
    ],
)
def test_clips_of_a_run(values, clips):
    assert num_clips(config(**values), 1000) == clips


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"train_batch_size": 8}, {"train_batch_size": 4}),
        ({"gradient_checkpointing": False}, {}),
        ({"mixed_precision": "no"}, {}),
        ({"lora_rank": 256}, {"lora_rank": 8}),
        ({"model_type": "full"}, {}),
        ({"model_type": "full"}, {"model_type": "full", "optimizer": "torch-sgd"}),
    ],
)
def test_what_needs_more_memory(more, less):
    def bytes_of(values):
        memory = estimate_memory(config(**values), data=SONGS, sizes=SIZES, kind="cuda")
        return memory.weights_bytes + memory.adapter_bytes + memory.optimizer_bytes + memory.activation_bytes

    assert bytes_of(more) > bytes_of(less)


@pytest.mark.parametrize(
    ("values", "on_card", "in_ram"),
    [
        ({}, 0, 0),
        ({"use_ema": True}, 0, 1),
        ({"use_ema": True, "ema_device": "accelerator"}, 1, 0),
        ({"use_ema": True, "ema_device": "accelerator", "ema_cpu_only": True}, 0, 1),
    ],
)
def test_the_average_of_the_weights_takes_a_float32_a_number_where_it_lies(values, on_card, in_ram):
    def memory_of(values):
        return estimate_memory(config(**values), data=SONGS, sizes=SIZES, kind="cuda")

    numbers = num_trainable(config(), SIZES)
    plain, averaged = memory_of({}), memory_of(values)
    assert averaged.adapter_bytes - plain.adapter_bytes == 4 * numbers * on_card
    assert plan(**values)["ram_bytes"] - plan()["ram_bytes"] == 4 * numbers * in_ram
    disk = [estimate_disk(config(**each), data=SONGS, sizes=SIZES, num_steps=1000) for each in ({}, values)]
    assert disk[1].checkpoint_bytes - disk[0].checkpoint_bytes == (8 * numbers if values else 0)


def test_scheduled_sampling_makes_a_run_as_much_longer_as_it_walks():
    walking = {"scheduled_sampling_max_step_offset": 60, "scheduled_sampling_probability": 0.5}
    plain, slower, without = (
        plan(**values)["seconds"] for values in ({}, walking, walking | {"scheduled_sampling_reflexflow": False})
    )
    # About 0.5 x 30 further forward passes, where a step has four (one of them to recompute): several times as long.
    assert 3 * plain < without < slower < 8 * plain


def test_memory_lies_where_the_device_has_it():
    assert plan(device=DeviceFacts("cpu", num_cores=2))["vram_bytes"] == 0
    on_card, on_mac = plan(), plan(device=DeviceFacts("mps", num_cores=8))
    assert on_mac["ram_bytes"] > on_mac["vram_bytes"] > 5_000_000_000
    assert on_card["ram_bytes"] < on_card["vram_bytes"]


def test_the_whole_model_fits_the_card_it_is_offered_for_and_lora_the_small_one():
    assert plan(model_type="full")["vram_bytes"] < 80e9
    assert plan(train_batch_size=1)["vram_bytes"] < 12e9


@pytest.mark.parametrize(
    ("values", "steps", "epochs"),
    [
        ({"max_train_steps": 100}, 100, 5.0),
        ({"max_train_steps": 100, "train_batch_size": 2}, 100, 10.0),
        ({"max_train_steps": 100, "train_batch_size": 3, "gradient_accumulation_steps": 2}, 100, 25.0),
        ({"max_train_steps": 0, "num_train_epochs": 3}, 60, 3.0),
    ],
)
def test_steps_and_epochs(values, steps, epochs):
    fields = plan(**values)
    assert (fields["num_steps"], fields["num_epochs"]) == (steps, epochs)


def test_time_grows_with_steps_and_shrinks_with_what_is_done():
    assert plan(max_train_steps=2000)["parts"]["train_s"] == pytest.approx(2 * plan()["parts"]["train_s"])
    assert plan(start_step=1000)["parts"]["train_s"] == 0
    assert plan(start_step=5000)["parts"]["train_s"] == 0
    done = dataclasses.replace(SONGS, num_cached=20, num_captions=0)
    assert plan(data=done)["parts"]["prepare_s"] == 0 < plan()["parts"]["prepare_s"]


def test_seconds_are_the_sum_of_their_parts():
    fields = plan(validation_prompt="x")
    parts = ("prepare_s", "load_s", "train_s", "validate_s")
    assert fields["seconds"] == pytest.approx(sum(fields["parts"][part] for part in parts), abs=0.3)


def test_an_empty_data_set_can_be_planned():
    empty = DataFacts(clip_s=(), bucket_s=(), num_captions=0)
    assert plan(data=empty)["num_steps"] == 1000


def test_clips_are_counted_for_every_prompt():
    clips = {"validation_prompt": "pop", "validation_step_interval": 100}
    assert num_clips(config(**clips), 1000) == 10
    assert num_clips(config(**clips, validation_on_startup=True), 1000) == 11
    assert num_clips(config(**clips, validation_on_startup=True, init_lora="x"), 1000) == 12
    library = {**clips, "validation_prompt_library": "audio"}
    assert num_clips(config(**library), 1000) == 140
    assert num_clips(config(**library, validation_disable_unconditional=True), 1000) == 130
    assert num_clips(config(validation_step_interval=100, user_prompt_library="gone.json"), 1000) == 10


def test_a_strict_limit_plans_whole_passes_alone():
    assert plan(max_train_steps=999)["num_steps"] == 999
    steps_a_pass = round(999 / plan(max_train_steps=999)["num_epochs"])
    assert plan(max_train_steps=999, strict_epoch_limit=True)["num_steps"] == 999 - 999 % steps_a_pass


def test_encoders_on_the_processor_take_nothing_of_the_card():
    assert plan()["parts"]["encoder_bytes"] > 0
    assert plan(offload_during_startup=True)["parts"]["encoder_bytes"] == 0


@pytest.mark.parametrize("key", ["vae_cache_disable", "vae_cache_ondemand", "text_cache_ondemand"])
def test_encoders_that_stay_beside_training_are_counted(key):
    data = DataFacts(clip_s=(60.0,) * 10, bucket_s=(60.0,), num_captions=10)
    plain, beside = (
        make_plan(Config.from_dict(values), data=data, sizes=published_sizes(), device=DeviceFacts(kind="cuda"))
        for values in ({}, {key: True})
    )
    encoders = plain["parts"]["encoder_bytes"]
    # With the allocator's slack on top.
    slack = 1 + memory_terms().slack_share
    assert beside["vram_bytes"] - plain["vram_bytes"] == pytest.approx(slack * encoders, rel=0.01)
    assert (beside["parts"]["cache_bytes"] < plain["parts"]["cache_bytes"] / 2) is (key == "vae_cache_disable")
