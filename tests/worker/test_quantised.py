"""A LoRA on a model stored with fewer digits, through the real worker (config-formats.md section 10, row 5)."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from engine.contract.run_dir import RunDir
from tests.worker.conftest import Workshop, events
from tests.worker.test_equalities import adapter, assert_bit_equal

SETTINGS = {
    "mixed_precision": "bf16",
    "lora_dropout": 0.1,
    "max_train_steps": 4,
    "checkpointing_steps": 2,
    "validation_split": 0.2,
    "validation_prompt": "a bell",
    "validation_step_interval": 4,
    "validation_num_inference_steps": 2,
    "validation_audio_duration": 2.0,
}


def losses(run_dir: RunDir) -> list[float]:
    return [event["loss"] for event in events(run_dir, "step")]


@pytest.fixture(scope="module")
def as_it_is(tmp_path_factory, checkpoint, songs, cache) -> RunDir:
    """The same run on the model as it is."""
    workshop = Workshop(tmp_path_factory.mktemp("plain"), checkpoint, songs, cache)
    run_dir = workshop.run_dir(**SETTINGS)
    assert workshop.train(run_dir) == 0
    return run_dir


@pytest.mark.parametrize(("precision", "band"), [("int8-quanto", 0.01), ("int4-quanto", 0.1)])
def test_row_5_a_lora_on_a_quantised_model_trains_resumes_and_exports(
    workshop: Workshop, as_it_is: RunDir, precision: str, band: float
):
    run_dir = workshop.run_dir(**SETTINGS, base_model_precision=precision)
    assert workshop.train(run_dir) == 0
    (loaded,), (plain,) = events(run_dir, "model_loaded"), events(as_it_is, "model_loaded")
    assert f" in {precision[:4]}, LoRA rank 4" in loaded["summary"]
    assert (loaded["num_parameters"], loaded["num_trainable"]) == (plain["num_parameters"], plain["num_trainable"])

    # Nearly the losses of the model as it is, and not the same ones.
    assert losses(run_dir) == pytest.approx(losses(as_it_is), rel=band)
    assert losses(run_dir) != losses(as_it_is)
    (clip,) = events(run_dir, "sample_saved")
    assert (run_dir.path / clip["path"]).stat().st_size > 100_000

    # The export is an ordinary LoRA, and does what the trained one did.
    (found,), (exact,) = events(run_dir, "adapter_exported"), events(as_it_is, "adapter_exported")
    assert found["verified"] and found["bytes"] == exact["bytes"]
    exports = [load_file(one.path / event["path"]) for one, event in ((run_dir, found), (as_it_is, exact))]
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in exports]
    assert shapes[0] == shapes[1]
    proofs = events(run_dir, "proofs")[-1]
    assert proofs["works"] and proofs["loads"] and proofs["resumes"]

    # The last checkpoint taken away, it goes on from the one before and ends where it had ended.
    uninterrupted = adapter(run_dir)
    (run_dir.checkpoint(4) / ".guard").unlink()
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "run_started")[-1]["resumed_step"] == 2
    assert losses(run_dir)[2:4] == losses(run_dir)[4:]
    assert_bit_equal(uninterrupted, adapter(run_dir))


def test_the_parts_that_are_not_quantised_may_stay_in_fp32_and_the_lyrics_embedder_trains(workshop: Workshop):
    settings = {
        "mixed_precision": "bf16",
        "base_model_precision": "int8-quanto",
        "base_model_default_dtype": "fp32",
        "quantize_via": "cpu",
        "text_encoder_1_precision": "int8-quanto",
        "lyrics_embedder_train": True,
        "max_train_steps": 1,
    }
    run_dir = workshop.run_dir(**settings)
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "model_loaded")[0]["dtype"] == "float32"
    assert events(run_dir, "adapter_exported")[0]["verified"]
    assert len(list(run_dir.checkpoint(1).glob("lyrics_embedder/*.safetensors"))) == 1


def test_text_states_of_another_precision_are_other_cache_entries(workshop: Workshop):
    from engine.model.family import AceStepV1
    from engine.model.load import resolve_checkpoint
    from engine.train.device import text_format
    from engine.train.run import read_config

    family = AceStepV1(resolve_checkpoint(workshop.checkpoint))
    ids = set()
    for precision in ("no_change", "int8-quanto", "int4-quanto"):
        config = read_config(workshop.run_dir(text_encoder_1_precision=precision))
        ids.add(family.text_encoder_id(dtype=text_format(config), max_length=config.tokenizer_max_length))
    assert len(ids) == 3
    assert text_format(read_config(workshop.run_dir())) == "no", "entries of earlier versions stay valid"
