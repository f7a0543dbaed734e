"""The plan beside a draft: parts that add up, verdicts, what is unknown, and quickly enough for each key."""

from __future__ import annotations

import time

import pytest

from engine.contract.config import Config
from engine.planning.facts import DataFacts
from engine.planning.plan_view import judged, plan_for, worst
from engine.planning.sizes import published_sizes
from tests.unit.planning.machines import GB, mac, with_cards

SIZES = published_sizes()
CARD = with_cards(12)
SONGS = DataFacts(clip_s=(230.0,) * 23, bucket_s=(230.0,), num_captions=30, num_held_out=1, num_songs=22)


def plan(machine=CARD, data=SONGS, device=0, download_bytes=0, **values):
    config = Config.from_dict(
        {"max_train_steps": 2000, "lora_rank": 64, "validation_prompt": "x", "checkpointing_steps": 250, **values}
    )
    return plan_for(
        config,
        machine=machine,
        device=machine.devices()[device],
        sizes=SIZES,
        data=data,
        download_bytes=download_bytes,
    )


@pytest.mark.parametrize("data", [SONGS, None], ids=["songs", "no songs"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"model_type": "full"},
        {"gradient_checkpointing": False, "train_batch_size": 4},
        {"base_model_precision": "int8-quanto"},
        {"mixed_precision": "no"},
    ],
)
@pytest.mark.parametrize(("machine", "device"), [(CARD, 0), (CARD, 1), (mac(36), 0)], ids=["card", "cpu", "mac"])
def test_parts_add_up_to_their_totals(data, values, machine, device):
    found = plan(machine, data, device, 8 * GB, **values)
    assert sum(part.amount for part in found.memory.parts) == pytest.approx(found.memory.amount)
    assert all(part.amount >= 0 for part in found.memory.parts)
    for total in (found.disk, found.seconds):
        if total.amount is not None:
            assert sum(part.amount for part in total.parts) == pytest.approx(total.amount)


def test_before_the_songs_are_known_only_memory_and_the_download_are():
    found = plan(data=None, download_bytes=8 * GB)
    assert found.memory.amount == plan(data=DataFacts((240.0,), (240.0,), 1)).memory.amount
    assert (found.disk.amount, found.disk.verdict) == (8 * GB, None)
    assert plan(data=None).disk.amount is None
    assert (found.seconds.amount, found.step_s, found.num_epochs) == (None, None, None)
    assert found.verdict == "fits"


def test_the_longest_piece_counts_for_the_memory():
    def amount(**values):
        return plan(data=None, validation_disable=True, **values).memory.amount

    assert amount(audio_max_duration_seconds=60.0) < amount()
    assert amount(audio_max_duration_seconds=600.0) == amount()


def test_a_test_clip_counts_where_it_takes_more_than_a_step():
    shown = {
        part.kind: part.amount
        for part in plan(base_model_precision="int4-quanto", data=None, audio_max_duration_seconds=30.0).memory.parts
    }
    without = {part.kind: part.amount for part in plan(validation_disable=True).memory.parts}
    assert shown["clip"] > 0.3 * GB
    assert "clip" not in without


def test_a_plan_says_whether_such_steps_were_measured():
    def basis(**values):
        minute = DataFacts((60.0,) * 9, (60.0,), num_captions=9)
        return plan(data=minute, **values).basis

    assert basis() == "measured"
    assert basis(mixed_precision="no") == basis(lora_rank=1000) == basis(train_batch_size=100) == "computed"


@pytest.mark.parametrize(
    ("amount", "free", "verdict"),
    [(9.0, 10.0, "fits"), (9.1, 10.0, "tight"), (10.0, 10.0, "tight"), (10.1, 10.0, "too big"), (1.0, None, None)],
)
def test_the_verdict_wants_a_tenth_to_spare(amount, free, verdict):
    assert judged(amount, free) == verdict


def test_the_worst_verdict_counts():
    assert worst("fits", "too big", "tight") == "too big"
    assert worst(None, "fits") == "fits"
    assert worst(None, None) is None


def test_a_disk_that_is_too_small_is_the_verdict():
    found = plan(with_cards(12, disk_free_bytes=2 * GB))
    assert (found.memory.verdict, found.disk.verdict, found.verdict) == ("fits", "too big", "too big")
    assert found.disk.over == pytest.approx(found.disk.amount - 2 * GB)
    assert found.memory.over == 0


def test_passes_and_steps_are_counted_in_songs():
    assert plan().num_epochs == pytest.approx(2000 / 22)
    found = plan(max_train_steps=0, num_train_epochs=10)
    assert found.num_steps == 220
    assert plan(max_train_steps=0, num_train_epochs=10, train_batch_size=4).num_steps == 60


def test_a_plan_is_made_on_each_key():
    many = DataFacts(clip_s=tuple(100.0 + i / 10 for i in range(1000)), bucket_s=(100.0,), num_captions=1000)
    plan(data=many)
    begun = time.process_time()
    for _ in range(5):
        plan(data=many)
    assert (time.process_time() - begun) / 5 < 0.02
