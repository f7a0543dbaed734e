"""What a run says when nothing is left against a memory that ran out: what still helps, with the values of now."""

from __future__ import annotations

import pytest

from engine.contract.config import Config
from engine.contract.errors import OutOfMemoryError
from engine.contract.run_dir import RunDir
from engine.train.memory_advice import memory_advice, memory_error
from engine.train.worker import ending_of


def hint(*, micro_batch=None, device_kind="cuda", tried=(), saved_step=None, **values):
    error = memory_error(
        "CUDA out of memory",
        Config.from_dict(values),
        saved_step=saved_step,
        tried=tried,
        micro_batch=micro_batch,
        device_kind=device_kind,
    )
    assert error.exit_code == 3
    return error.hint


def test_both_settings_of_the_quickstart_are_named_with_their_values():
    said = hint(train_batch_size=4, gradient_checkpointing=False)
    assert said.startswith(
        "Use less of it: lower train_batch_size (now 4), or set gradient_checkpointing true (now false), or "
    )
    assert said.endswith("Nothing was saved yet.")
    assert "save nothing more" not in said


@pytest.mark.parametrize(
    ("values", "spent"),
    [
        ({"train_batch_size": 1}, "train_batch_size (now 1), gradient_checkpointing true (now true)"),
        (
            {"train_batch_size": 4, "micro_batch": 1},
            "train_batch_size (now 4), which is worked on one at a time, gradient_checkpointing true (now true)",
        ),
        ({"train_batch_size": 4, "micro_batch": 2}, "gradient_checkpointing true (now true)"),
    ],
)
def test_what_is_as_small_as_can_be_is_no_advice(values, spent):
    said = hint(gradient_checkpointing=True, saved_step=1200, tried=("smaller_micro_batch",), **values)
    assert said.startswith("Tried: smaller micro batch. Use less of it: ")
    assert said.endswith(f" These save nothing more: {spent}. Step 1,200 is saved: a start goes on from it.")
    assert ("lower train_batch_size" in said) == (values.get("micro_batch") == 2)


def test_a_part_that_is_kept_may_be_computed_again_too():
    said = hint(gradient_checkpointing=True, gradient_checkpointing_policy="selective")
    assert "set gradient_checkpointing_policy full (now selective)" in said


def test_shorter_pieces_are_not_to_leave_songs_out():
    assert "audio_max_duration_seconds (now no limit) with long_clip pieces" in hint()
    assert "audio_max_duration_seconds (now 60), or" in hint(audio_max_duration_seconds=60, long_clip="pieces")


@pytest.mark.parametrize(
    ("now", "next_one"), [("no_change", "int8-quanto"), ("int8-quanto", "int4-quanto"), ("int4-quanto", None)]
)
def test_the_next_smaller_precision_is_named_while_there_is_one(now, next_one):
    said = hint(base_model_precision=now)
    assert (f"base_model_precision {next_one} (now {now})" in said) == (next_one is not None)
    assert ("oom_allow_quantisation true (now false)" in said) == (next_one is not None)
    assert "base_model_precision" not in hint(model_type="full", base_model_precision="no_change")


def test_blocks_may_wait_beside_a_card_alone():
    assert "musubi_blocks_to_swap 12 (now 0)" in hint()
    others = hint(device_kind="mps"), hint(musubi_blocks_to_swap=18), hint(model_type="full")
    for said in (*others, hint(gradient_checkpointing=False), hint(gradient_checkpointing_policy="selective")):
        assert "musubi_blocks_to_swap" not in said


def test_an_error_without_words_is_named_by_its_kind(tmp_path):
    said = pytest.raises(OutOfMemoryError, match="memory ran out: MemoryError")
    with said, memory_advice(Config.from_dict({}), RunDir(tmp_path)):
        raise MemoryError
    ended = ending_of(MemoryError(), seconds=1.0)
    assert (ended.exit_code, ended.error) == (3, "memory ran out: MemoryError")
