import copy

import pytest
import torch
from torch import Tensor

from engine.model.transformer import AceStepTransformer, ConditionInputs
from engine.objective.loss import LossTerms, compute_loss
from engine.objective.timesteps import sigma_table
from tests.unit.export.small import small_config, small_model, small_sample


def arguments(*, batch_size: int = 4, frames: int = 9) -> dict[str, object]:
    sample = small_sample(small_config(), batch_size=batch_size, frames=frames)
    generator = torch.Generator().manual_seed(2)
    return {
        "x_0": sample.x_t,
        "noise": torch.randn(sample.x_t.shape, generator=generator),
        "timestep_index": torch.tensor([10, 400, 700, 990])[:batch_size],
        "sigmas": sigma_table(3.0),
        "inputs": sample.inputs,
        "frame_mask": torch.ones(batch_size, frames),
        "ssl_targets": {
            "mert": [torch.randn(11, 6, generator=generator) for _ in range(batch_size)],
            "m-hubert": [torch.randn(8, 5, generator=generator) for _ in range(batch_size)],
        },
        "ssl_weight": 0.5,
    }


def loss_of(model: AceStepTransformer, **values: object) -> LossTerms:
    return compute_loss(model, **values)  # type: ignore[arg-type]


def row(inputs: ConditionInputs, i: int) -> ConditionInputs:
    speaker = inputs.speaker
    return ConditionInputs(
        inputs.text_states[i : i + 1],
        inputs.text_mask[i : i + 1],
        inputs.lyric_ids[i : i + 1],
        inputs.lyric_mask[i : i + 1],
        None if speaker is None else speaker[i : i + 1],
    )


def one_sample(values: dict[str, object], i: int) -> dict[str, object]:
    part: dict[str, object] = {}
    for key, value in values.items():
        if key == "inputs":
            part[key] = row(value, i)  # type: ignore[arg-type]
        elif key == "ssl_targets":
            part[key] = {name: [targets[i]] for name, targets in value.items()}  # type: ignore[attr-defined]
        elif isinstance(value, Tensor) and key != "sigmas":
            part[key] = value[i : i + 1]
        else:
            part[key] = value
    return part


def test_total_is_denoising_plus_the_weighted_mean_of_the_projections() -> None:
    terms = loss_of(small_model(), **arguments())
    expected = terms.denoising + 0.5 * (terms.ssl["mert"] + terms.ssl["m-hubert"]) / 2
    torch.testing.assert_close(terms.total, expected)
    torch.testing.assert_close(terms.per_sample.mean(), terms.denoising)
    assert not terms.denoising.requires_grad and not terms.per_sample.requires_grad


@pytest.mark.parametrize("change", [{"ssl_weight": 0.0}, {"ssl_targets": None}, {"ssl_targets": {}}])
def test_without_weight_or_features_the_projectors_are_not_needed(change: dict[str, object]) -> None:
    model = small_model()
    model.projectors = None
    terms = loss_of(model, **(arguments() | change))
    assert terms.ssl == {} and torch.equal(terms.total, terms.denoising)


def test_one_batch_of_four_is_four_batches_of_one() -> None:
    values = arguments()
    together, accumulated = small_model(), small_model()
    loss_of(together, **values).total.backward()
    for i in range(4):
        (loss_of(accumulated, **one_sample(values, i)).total / 4).backward()
    one, other = (torch.cat([p.grad.flatten() for p in m.parameters()]) for m in (together, accumulated))
    assert (one - other).norm() <= 1e-6 * one.norm()


def test_padding_forms_agree_without_padding_and_only_then() -> None:
    values = arguments()
    valid = loss_of(small_model(), **values).total
    torch.testing.assert_close(valid, loss_of(small_model(), **values, padding="upstream").total, rtol=1e-6, atol=0)
    values["frame_mask"] = torch.ones(4, 9)
    values["frame_mask"][0, 5:] = 0  # type: ignore[index]
    padded = [loss_of(small_model(), **values, padding=form).total for form in ("valid", "upstream")]
    assert not torch.isclose(padded[0], padded[1])


@pytest.mark.parametrize("name", ["x_0", "noise"])
def test_a_broken_latent_is_named_by_its_sample(name: str) -> None:
    values = arguments()
    broken = values[name].clone()  # type: ignore[attr-defined]
    broken[2, 0, 0, 0] = float("nan")
    terms = loss_of(small_model(), **(values | {name: broken}))
    assert torch.isfinite(terms.per_sample).tolist() == [True, True, False, True]


def test_nothing_waits_for_the_device() -> None:
    # Tensors on meta have no values: whatever reads one back to the host raises.
    values = arguments()
    meta = copy.deepcopy(values)
    inputs: ConditionInputs = values["inputs"]  # type: ignore[assignment]
    for key, value in values.items():
        if isinstance(value, Tensor):
            meta[key] = value.to("meta")
    assert inputs.speaker is not None
    meta["inputs"] = ConditionInputs(
        inputs.text_states.to("meta"),
        inputs.text_mask.to("meta"),
        inputs.lyric_ids.to("meta"),
        inputs.lyric_mask.to("meta"),
        inputs.speaker.to("meta"),
    )
    terms = loss_of(small_model().to("meta"), **meta)
    terms.total.backward()
    assert terms.total.is_meta
