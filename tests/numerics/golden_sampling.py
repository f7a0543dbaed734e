"""Golden vectors of sampling: schedules and their steps, guidance, whole sampling loops, ERG."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.model.transformer import AceStepTransformer, ConditionInputs
from engine.sampling import guidance
from engine.sampling.erg import blunt_blocks, blunt_lyrics
from engine.sampling.sampler import SamplingSettings, sample_latents
from engine.sampling.schedulers import SCHEDULERS, Scheduler, omega_factor, sigma_range
from tests.numerics.golden_common import assert_near, load, load_json, with_prefix
from tests.numerics.golden_transformer import tiny_transformer

Recorder = Callable[[str, object], None]

TABLE = re.compile(r"(?P<kind>\w+)\.(?:n(?P<num>\d+)|sigma_max_(?P<top>[\d.]+))\.sigmas")
CHAIN = re.compile(r"(?P<kind>\w+)\.omega(?P<omega>-?[\d.]+)\.sample0")
SAMPLER_CASES: dict[str, dict[str, Any]] = load_json("sampler")["cases"]

APG_VARIANT = re.compile(r"apg_(?:no_momentum|eta(?P<eta>-?[\d.]+)_thr(?P<threshold>[\d.]+))")
"""A variant without momentum, at the settings of the file or at those in its name."""

SUM = re.compile(r"(?:(?P<factor>[\d.]+)\*)?(?P<name>cond|uncond|\(cond\+uncond\))")
"""One term of the formula that stands for the text-only prediction, such as ``0.5*(cond+uncond)``."""


def near(record_property: Recorder, name: str, actual: Tensor, expected: Tensor, *, atol: float, rtol: float) -> None:
    """Compare, and note the largest difference in the test report."""
    record_property(f"max_error {name}", f"{(actual - expected).abs().max():.1e}")
    assert_near(actual, expected, atol=atol, rtol=rtol, what=name)


def test_scheduler_tables(record_property: Recorder) -> None:
    vectors = load("schedulers")
    tables = [match for match in map(TABLE.fullmatch, vectors) if match]
    assert {match["kind"] for match in tables} == set(SCHEDULERS)
    for match in tables:
        name = match[0].removesuffix(".sigmas")
        num_calls = len(vectors[f"{name}.timesteps"])
        # Heun calls the model twice on every step but one.
        num_steps = int(match["num"] or 0) or ((num_calls + 1) // 2 if match["kind"] == "heun" else num_calls)
        sigma_max = float(match["top"] or 1)
        scheduler = SCHEDULERS[match["kind"]](num_steps, sigma_max=sigma_max)
        near(record_property, name, scheduler.sigmas, vectors[match[0]], atol=1e-6, rtol=0)
        assert_near(scheduler.timesteps, vectors[f"{name}.timesteps"], atol=1e-3, rtol=0, what=name)
        if f"{name}.sigma_max_attr" in vectors:
            ends = torch.tensor(sigma_range(sigma_max=sigma_max))
            assert_near(ends, vectors[f"{name}.sigma_max_attr"], atol=1e-6, rtol=0, what=f"{name} ends")


def test_omega() -> None:
    for omega, factor in load_json("schedulers")["omega_rescaled"].items():
        assert omega_factor(float(omega)) == pytest.approx(factor, abs=1e-12)


def test_scheduler_chains(record_property: Recorder) -> None:
    vectors, described = load("schedulers"), load_json("schedulers")["steps_used"]
    chains = [match for match in map(CHAIN.fullmatch, vectors) if match]
    assert {match["kind"] for match in chains} == set(described) == set(SCHEDULERS)
    for match in chains:
        kind, name = match["kind"], match[0].removesuffix(".sample0")
        scheduler: Scheduler = SCHEDULERS[kind](described[kind]["n"], omega=float(match["omega"]))
        x_t = vectors[f"{name}.sample0"]
        for index in range(described[kind]["k"]):
            noise = vectors.get(f"{name}.noise{index}")
            x_t = scheduler.step(vectors[f"{name}.model_output{index}"], index, x_t, noise=noise)
            expected = vectors[f"{name}.sample{index + 1}"]
            near(record_property, f"{name}.sample{index + 1}", x_t, expected, atol=1e-5, rtol=1e-5)


def test_guidance(record_property: Recorder) -> None:
    vectors, described = load("guidance"), load_json("guidance")
    scale, double = described["guidance_scale"], described["double"]
    momentum = guidance.Momentum(described["momentum"])
    plain = {"eta": described["eta"], "norm_threshold": described["norm_threshold"]}
    num_steps = sum(name.endswith(".cond") for name in vectors)
    assert num_steps > 0
    for index in range(num_steps):
        step = with_prefix(vectors, f"step{index}.")
        cond, uncond = step.pop("cond"), step.pop("uncond")
        actual = {"apg": guidance.apg(cond, uncond, scale, momentum=momentum, **plain)}
        assert momentum.average is not None
        actual["momentum_after"] = momentum.average
        for name, match in ((name, APG_VARIANT.fullmatch(name)) for name in step):
            if match:
                changed = {"eta": match["eta"], "norm_threshold": match["threshold"]}
                changed = {key: float(value) for key, value in changed.items() if value is not None}
                actual[name] = guidance.apg(cond, uncond, scale, **plain | changed)
        actual["cfg"] = guidance.cfg(cond, uncond, scale)
        zero_steps = described["cfg_star"]["zero_steps"]
        actual["cfg_star"] = guidance.cfg_star(cond, uncond, scale, index=index, zero_steps=zero_steps)
        scales = {"text_scale": double["guidance_scale_text"], "lyric_scale": double["guidance_scale_lyric"]}
        only_text = weighted_sum(double["only_text"], cond, uncond)
        actual["double"] = guidance.double_condition(cond, uncond, only_text, **scales)
        assert set(actual) == set(step)
        for name, expected in step.items():
            near(record_property, f"step{index}.{name}", actual[name], expected, atol=1e-5, rtol=1e-5)


def weighted_sum(formula: str, cond: Tensor, uncond: Tensor) -> Tensor:
    """The value of a formula that `SUM` describes the terms of."""
    values = {"cond": cond, "uncond": uncond, "(cond+uncond)": cond + uncond}
    terms = list(SUM.finditer(formula.replace(" ", "")))
    assert "+".join(term[0] for term in terms) == formula.replace(" ", ""), formula
    return torch.stack([float(term["factor"] or 1) * values[term["name"]] for term in terms]).sum(dim=0)


@pytest.fixture(scope="module")
def sampler_model() -> AceStepTransformer:
    return tiny_transformer()


def sampler_inputs(vectors: dict[str, Tensor]) -> ConditionInputs:
    """The conditions of the sampling vectors."""
    return ConditionInputs(
        text_states=vectors["in.encoder_text_hidden_states"],
        text_mask=vectors["in.text_attention_mask"],
        lyric_ids=vectors["in.lyric_token_idx"],
        lyric_mask=vectors["in.lyric_mask"],
        speaker=vectors["in.speaker_embeds"],
    )


def test_every_sampler_case_has_its_vector() -> None:
    assert {f"out.{name}" for name in SAMPLER_CASES} == {name for name in load("sampler") if name.startswith("out.")}


@pytest.mark.parametrize("case", sorted(SAMPLER_CASES))
def test_sampler(record_property: Recorder, sampler_model: AceStepTransformer, case: str) -> None:
    vectors, values = load("sampler"), dict(SAMPLER_CASES[case])
    # Only a scheduler that draws fresh noise needs a seed, and only ERG a null text.
    generator = torch.Generator("cpu").manual_seed(int(values.pop("seed", 0)))
    settings = SamplingSettings(num_steps=values.pop("infer_steps"), **values)
    latents = sample_latents(
        sampler_model,
        sampler_inputs(vectors),
        noise=vectors["in.noise"],
        settings=settings,
        generator=generator,
        erg_text=vectors.get("in.encoder_text_hidden_states_null"),
    )
    expected = vectors[f"out.{case}"]
    near(record_property, case, latents, expected, atol=1e-3 * float(expected.abs().max()), rtol=0)


@torch.no_grad()
def test_erg(record_property: Recorder, sampler_model: AceStepTransformer) -> None:
    vectors, described = load("sampler"), load_json("sampler")["erg"]
    inputs, noise = sampler_inputs(vectors), vectors["in.noise"]
    with blunt_lyrics(sampler_model, layers=described["lyric_encoder_layers"], tau=described["tau"]):
        blunted = sampler_model.encode_conditions(inputs)
    expected = vectors["erg.encoder_hidden_states"]
    near(record_property, "erg conditions", blunted.tokens, expected, atol=1e-4, rtol=1e-4)
    t = torch.full((len(noise),), described["timestep"])
    with blunt_blocks(sampler_model, blocks=described["transformer_blocks"], tau=described["tau"]):
        velocity = sampler_model(noise, t, blunted).velocity
    near(record_property, "erg velocity", velocity, vectors["erg.decode"], atol=1e-4, rtol=1e-4)
    plain = sampler_model(noise, t, blunted).velocity
    assert (plain - vectors["erg.decode"]).abs().max() > 1e-3, "the hooks are gone after the block"
