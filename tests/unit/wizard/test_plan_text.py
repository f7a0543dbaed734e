"""A plan in words: its parts add up as shown, whatever the numbers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_tui.wizard.plan_text import disk_block, memory_block, plan_line, time_block, verdict_text
from engine.planning.plan_view import Part, PlanView, Total, judged

GB, MB = 2**30, 2**20
KINDS = ("model", "adapter", "song", "spare")


def view(memory=None, disk=None, seconds=None, verdict="fits"):
    return PlanView(
        memory=memory or Total(),
        disk=disk or Total(),
        seconds=seconds or Total(),
        step_s=None,
        num_steps=2000,
        num_epochs=None,
        verdict=verdict,
    )


def memory_of(*amounts, free=None, batch=1, piece=240.0):
    parts = (
        Part("model", amounts[0], detail="int8"),
        Part("adapter", amounts[1], detail="lora"),
        Part("song", amounts[2], count=batch, detail=f"{piece:g}"),
        Part("spare", amounts[3]),
    )
    return Total(float(sum(amounts)), free, parts, judged(sum(amounts), free))


def test_the_mock_ups_plan_reads_as_drawn():
    memory = memory_of(2.7 * GB, 0.5 * GB, 2.4 * GB, 0.9 * GB, free=11.6 * GB)
    parts = (
        Part("cache", 1.3 * GB),
        Part("checkpoints", 2.3 * GB, count=6),
        Part("output", 0.2 * GB, detail="lora"),
    )
    disk = Total(3.8 * GB, 204 * GB, parts, "fits")
    times = (Part("cache", 180), Part("train", 3000, count=2000), Part("clips", 420, count=9))
    plan = view(memory, disk, Total(3600, None, times))
    block = memory_block(plan, "cuda")
    assert (block.title, block.amount, block.used, block.free) == (
        "GPU memory",
        "6.5 of 11.6 GB free",
        "6.5 GB",
        "11.6 GB",
    )
    assert block.parts == (
        ("model, int8", "2.7 GB"),
        ("LoRA and optimizer", "0.5 GB"),
        ("a 4 min song in flight", "2.4 GB"),
        ("driver and spare", "0.9 GB"),
    )
    assert disk_block(plan).parts == (
        ("prepared songs", "1.3 GB"),
        ("6 save points", "2.3 GB"),
        ("test clips and LoRA file", "0.2 GB"),
    )
    assert time_block(plan).amount == "about 1 h ± 15 %"
    assert time_block(plan).parts == (
        ("prepare songs", "3 min"),
        ("train 2,000 steps", "50 min"),
        ("9 rounds of test clips", "7 min"),
    )
    assert plan_line(plan, "cuda") == "GPU 6.5 of 11.6 GB   disk 3.8 of 204 GB   time about 1 h"
    assert verdict_text(plan) == "✓ fits"


def test_what_is_not_known_says_when_it_will_be():
    plan = view(memory_of(GB, GB, GB, GB, free=11.6 * GB), Total(free=204.0 * GB))
    assert plan_line(plan, "cuda") == "GPU 4.0 of 11.6 GB   disk after step 3   time after step 3"
    assert disk_block(plan).amount_or_when == "known after step 3"
    assert time_block(plan).share is None


@pytest.mark.parametrize(
    ("free", "text"), [(None, ""), (10 * GB, "✓ fits"), (4.2 * GB, "▲ tight"), (2.8 * GB, "✗ too big by 1.2 GB")]
)
def test_the_verdict_says_by_how_much(free, text):
    memory = memory_of(GB, GB, GB, GB, free=free)
    assert verdict_text(view(memory, verdict=memory.verdict)) == text


def test_a_processors_memory_is_main_memory():
    assert memory_block(view(memory_of(GB, 0, 0, 0)), "cpu").title == "Memory"
    assert memory_block(view(memory_of(GB, 0, 0, 0)), "cpu").amount == "1.0 GB"


@pytest.mark.parametrize(
    ("batch", "piece", "words"),
    [
        (1, 240.0, "a 4 min song in flight"),
        (1, 216.0, "a 3:36 song in flight"),
        (1, 45.0, "a 45 s song in flight"),
        (1, 480.0, "an 8 min song in flight"),
        (4, 60.0, "4 songs of 1 min in flight"),
    ],
)
def test_the_song_in_flight_has_its_length(batch, piece, words):
    block = memory_block(view(memory_of(GB, GB, GB, GB, batch=batch, piece=piece)), "cuda")
    assert words in dict(block.parts)


def shown_bytes(text):
    number, unit = re.fullmatch(r"([\d,.]+) (GB|MB|KB|bytes)", text).groups()
    return float(number.replace(",", "")) * {"GB": GB, "MB": MB, "KB": 2**10, "bytes": 1}[unit]


@given(
    amounts=st.lists(st.floats(0, 400 * GB), min_size=4, max_size=4).filter(lambda one: sum(one) > MB),
    free=st.one_of(st.none(), st.floats(0, 2**50)),
)
def test_parts_add_up_to_the_total_as_shown(amounts, free):
    block = memory_block(view(memory_of(*amounts, free=free)), "cuda")
    total = shown_bytes(block.used)
    unit = MB if block.used.endswith("MB") else GB / 10 if "." in block.used else GB
    in_unit = [shown_bytes(text) for _, text in block.parts]
    # What is too little for the total's unit is shown in its own, and weighs nothing.
    heavy = [one for one in in_unit if one >= 0.99 * unit]
    assert sum(heavy) == pytest.approx(
        total, abs=unit * 0.51 * len(in_unit) if len(heavy) < len(in_unit) else unit / 50
    )
    assert block.share is None or 0 <= block.share <= 1


@given(
    seconds=st.lists(st.floats(0, 10 * 86_400), min_size=3, max_size=3).filter(lambda one: sum(one) > 1),
)
def test_times_are_never_finer_than_they_are_known(seconds):
    parts = tuple(
        Part(kind, amount, count=3) for kind, amount in zip(("cache", "train", "clips"), seconds, strict=True)
    )
    block = time_block(view(seconds=Total(sum(seconds), None, parts)))
    assert block.short.startswith("about ")
    assert 1 <= len(block.parts) <= 3


def test_a_time_that_is_no_number_is_unknown():
    assert time_block(view(seconds=Total(float("nan")))).amount_or_when == "known after step 3"
