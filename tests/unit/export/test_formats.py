import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from peft import LoraConfig
from safetensors import safe_open
from torch import Tensor

from engine.contract.errors import DiskError, ModelError
from engine.export.adapter_file import read_adapter
from engine.export.formats import export_universal
from engine.export.verify import compare_outputs, verify_universal
from engine.model.adapters import LoraSpec, adapter_state, known_modules
from tests.unit.export.small import EVERYWHERE, WITH_CONVS, small_config, small_sample, trained_model

MODULES = known_modules(small_config())
PLAIN = LoraSpec(rank=4, alpha=8, target_modules=EVERYWHERE)
ODD = "transformer_blocks.1.attn.to_q"
SPECS = {
    "plain": PLAIN,
    "scale 1": replace(PLAIN, alpha=4),
    "rslora": replace(PLAIN, use_rslora=True),
    "fork": replace(PLAIN, alpha=1, use_rslora=True),
    "odd scale": replace(PLAIN, rank=3, alpha=7.7),
    "mixed": replace(PLAIN, rank_pattern={ODD: 2}, alpha_pattern={ODD: 5.0}),
    "convs": replace(PLAIN, target_modules=WITH_CONVS),
}
ERRORS = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}


def exported(folder: Path, spec: LoraSpec, dtype: torch.dtype = torch.bfloat16) -> tuple[Path, dict[str, Tensor]]:
    state = adapter_state(trained_model(spec))
    path = export_universal(state, spec, folder / "NAME", dtype=dtype, base_model="base", global_step=7)
    return path, state


@pytest.mark.parametrize("dtype", list(ERRORS))
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_export_does_at_strength_one_what_was_trained(tmp_path: Path, spec: LoraSpec, dtype: torch.dtype) -> None:
    path, state = exported(tmp_path, spec, dtype)
    assert path == tmp_path / "NAME" / "pytorch_lora_weights.safetensors"
    report = verify_universal(path, state, spec, MODULES)
    assert report.ok, report.problems
    assert report.num_modules == len(state) // 2 and report.max_relative_error <= ERRORS[dtype]
    model = trained_model(spec)
    again = read_adapter(path, MODULES)
    assert {tensor.dtype for tensor in again.tensors.values()} == {dtype}
    assert set(again.scales.values()) == {1.0} and not again.unmatched
    sample = small_sample(model.config)
    before = sample.predict(model)
    comparison = compare_outputs(model, again, x_t=sample.x_t, t=sample.t, inputs=sample.inputs)
    assert comparison.ok and comparison.effect > 0.01, comparison
    assert torch.equal(sample.predict(model), before), "the trained adapter must be back in place"


def test_fold_is_exact_where_the_scale_is_a_power_of_two(tmp_path: Path) -> None:
    path, state = exported(tmp_path, PLAIN, torch.float32)
    again = read_adapter(path, MODULES).tensors
    for key, value in state.items():
        assert torch.equal(again[key], value * 2 if "lora_B" in key else value), key


def test_header_says_that_no_scale_is_left(tmp_path: Path) -> None:
    spec = SPECS["mixed"]
    path, _ = exported(tmp_path, spec)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    config = LoraConfig(**json.loads(header["lora_adapter_metadata"]))
    assert (config.r, config.lora_alpha, config.use_rslora, config.lora_dropout) == (4, 4, False, 0.0)
    assert config.rank_pattern == config.alpha_pattern == {ODD: 2}
    assert {key: header[key] for key in header if key != "lora_adapter_metadata"} == {
        "format": "pt",
        "acestep_tui.format": "universal",
        "acestep_tui.folded_scale": "2",
        "acestep_tui.train_alpha": "8",
        "acestep_tui.train_rslora": "false",
        "base_model": "base",
        "global_step": "7",
    }


def test_what_a_dtype_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    state = dict(adapter_state(trained_model(PLAIN)))
    key = f"{ODD}.lora_B.weight"
    for value, words in ((40_000.0, "does not fit fp16"), (1e-9, "vanish in fp16")):
        broken = state | {key: torch.full_like(state[key], value)}
        with pytest.raises(ModelError, match=words) as error:
            export_universal(broken, PLAIN, tmp_path, dtype=torch.float16, base_model="b", global_step=1)
        assert ODD in error.value.message and "bf16" in error.value.hint
        assert list(tmp_path.iterdir()) == []
        export_universal(broken, PLAIN, tmp_path / "bf16", base_model="b", global_step=1)
        (tmp_path / "bf16" / "pytorch_lora_weights.safetensors").unlink()
        (tmp_path / "bf16").rmdir()


def test_a_full_disk_leaves_the_older_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, state = exported(tmp_path, PLAIN)
    before = path.read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("engine.contract.files.os.fsync", fail)
    with pytest.raises(DiskError, match="writing the export failed"):
        export_universal(state, SPECS["rslora"], tmp_path / "NAME", base_model="b", global_step=1)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def rewritten(path: Path, change: dict[str, Tensor | None], metadata: dict[str, str] | None = None) -> Path:
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = {**safetensors.torch.load_file(path), **change}
    kept = {key: value.contiguous() for key, value in tensors.items() if value is not None}
    safetensors.torch.save_file(kept, path, metadata=header | (metadata or {}))
    return path


def scaled(state: dict[str, Tensor], factor: float) -> dict[str, Tensor | None]:
    return {key: value * factor for key, value in state.items() if "lora_B" in key}


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1.0, "the scale is missing"),
        (16.0, "the scale is in it twice"),
        (2.0, "alpha / rank was used for alpha / sqrt"),
        (8.0, "alpha / sqrt(rank) was used for alpha / rank"),
    ],
)
def test_usual_mistakes_of_scale_are_named(tmp_path: Path, factor: float, words: str) -> None:
    # alpha 8, rank 4: 2 plain, 4 with rsLoRA; the factors are what each mistake would write instead.
    spec = replace(PLAIN, alpha=16) if factor == 8.0 else SPECS["rslora"]
    path, state = exported(tmp_path, spec, torch.float32)
    report = verify_universal(rewritten(path, scaled(state, factor)), state, spec, MODULES)
    assert not report.ok and report.max_relative_error > 0.4
    assert any(words in problem for problem in report.problems), report.problems


def test_a_lost_scale_is_heard(tmp_path: Path) -> None:
    spec = SPECS["rslora"]
    path, state = exported(tmp_path, spec)
    rewritten(path, scaled(state, 1.0))
    model = trained_model(spec)
    sample = small_sample(model.config)
    adapter = read_adapter(path, MODULES)
    comparison = compare_outputs(model, adapter, x_t=sample.x_t, t=sample.t, inputs=sample.inputs)
    assert not comparison.ok and comparison.max_relative_error > 0.05 * comparison.effect


def test_one_wrong_module_is_found_and_named(tmp_path: Path) -> None:
    path, state = exported(tmp_path, PLAIN)
    key = f"{ODD}.lora_A.weight"
    report = verify_universal(rewritten(path, {key: state[key] * 1.05}), state, PLAIN, MODULES)
    assert not report.ok and report.problems == (f"1 of 19 modules do something else than trained: {ODD}",)


@pytest.mark.parametrize(
    ("change", "metadata", "words"),
    [
        ({f"{ODD}.lora_A.weight": None}, {}, "1 tensors missing"),
        ({f"{ODD}.alpha": torch.tensor(4.0)}, {}, "would not know"),
        ({f"transformer.{ODD}.lora_A.weight": torch.zeros(4, 32)}, {}, "would not know"),
        ({"speaker_embedder.lora_A.weight": torch.zeros(4, 12)}, {}, "1 tensors too many"),
        ({f"{ODD}.lora_A.weight": torch.zeros(4, 32, 1)}, {}, "1 tensors of another shape"),
        ({f"{ODD}.lora_A.weight": torch.full((4, 32), float("inf"))}, {}, "not finite"),
        ({}, {"lora_adapter_metadata": "{"}, "cannot be read"),
        (
            {},
            {
                "lora_adapter_metadata": json.dumps(
                    {"r": 4, "lora_alpha": 8, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}
                )
            },
            "asks for a scale although it is folded in",
        ),
        (
            {},
            {
                "lora_adapter_metadata": json.dumps(
                    {"r": 5, "lora_alpha": 5, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}
                )
            },
            "other ranks",
        ),
    ],
)
def test_broken_exports_are_found(
    tmp_path: Path, change: dict[str, Tensor | None], metadata: dict[str, str], words: str
) -> None:
    path, state = exported(tmp_path, PLAIN)
    report = verify_universal(rewritten(path, change, metadata), state, PLAIN, MODULES)
    assert not report.ok and any(words in problem for problem in report.problems), report.problems


def test_an_untrained_adapter_is_named(tmp_path: Path) -> None:
    state = adapter_state(trained_model(PLAIN))
    zero = {key: torch.zeros_like(value) if "lora_B" in key else value for key, value in state.items()}
    path = export_universal(zero, PLAIN, tmp_path, base_model="b", global_step=0)
    report = verify_universal(path, zero, PLAIN, MODULES)
    assert not report.ok and report.problems == ("untrained adapter: it changes nothing (every B is zero)",)


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    path, state = exported(tmp_path, PLAIN)
    path.write_bytes(path.read_bytes()[:-50])
    report = verify_universal(path, state, PLAIN, MODULES)
    assert not report.ok and report.problems[0].startswith("cannot be read")
