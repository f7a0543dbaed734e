"""The sampling loop: calls, batches, masks, modes and generators."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.model.card import LyricEncoderConfig
from engine.model.transformer import AceStepTransformer, ConditionInputs, Conditions
from engine.sampling import sampler
from engine.sampling.erg import blunt_blocks, blunt_lyrics, erg_supported
from engine.sampling.sampler import SamplingSettings, _Branches, sample_latents
from tests.unit.model.small import SMALL, small_inputs, small_latent, small_transformer

PLAIN = SamplingSettings(num_steps=6).without_erg()

DEEP = replace(
    SMALL,
    num_layers=20,
    lyric_encoder=LyricEncoderConfig(input_size=16, output_size=16, attention_heads=2, linear_units=24, num_blocks=6),
)


@pytest.fixture(scope="module")
def model() -> AceStepTransformer:
    return small_transformer()


@pytest.fixture(scope="module")
def deep_model() -> AceStepTransformer:
    """A model with as many layers as ERG names."""
    return small_transformer(DEEP)


def sample(model: AceStepTransformer, settings: SamplingSettings = PLAIN, **options: object) -> Tensor:
    return sample_latents(model, small_inputs(), noise=small_latent(), settings=settings, **options)


class Calls:
    """Counts calls of a model and the size of their batches."""

    def __init__(self, model: AceStepTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[int] = []
        forward = model.forward

        def counted(x_t: Tensor, t: Tensor, conditions: Conditions, **options: object) -> object:
            self.batches.append(len(x_t))
            return forward(x_t, t, conditions, **options)

        monkeypatch.setattr(model, "forward", counted)


def test_only_the_middle_calls_the_model_twice(model: AceStepTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(model, monkeypatch)
    sample(model)
    assert calls.batches == [2, 4, 4, 4, 2, 2]


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_without_guidance_there_is_one_call_a_step(
    model: AceStepTransformer, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    calls = Calls(model, monkeypatch)
    sample(model, replace(PLAIN, guidance_scale=scale, use_erg_diffusion=True))
    assert calls.batches == [2] * 6


class OneByOne:
    """A `NetworkCall` as several calls, each of its own conditions, in blocks blunted for all or for none."""

    def __init__(
        self, model: AceStepTransformer, branches: Sequence[Conditions], *, is_blunted: Sequence[bool], **_: object
    ):
        self.model, self.branches = model, list(zip(branches, is_blunted, strict=True))

    def __call__(self, x_t: Tensor, timestep: float) -> list[Tensor]:
        t = torch.full((len(x_t),), timestep)
        velocities = []
        for conditions, blunted in self.branches:
            with blunt_blocks(self.model) if blunted else contextlib.nullcontext():
                velocities.append(self.model(x_t, t, conditions).velocity)
        return velocities


GUIDED = [
    PLAIN,
    replace(PLAIN, cfg_type="cfg"),
    replace(PLAIN, guidance_scale_text=5.0, guidance_scale_lyric=1.5),
    replace(PLAIN, use_erg_diffusion=True),
    SamplingSettings(num_steps=6, guidance_scale_text=5.0, guidance_scale_lyric=1.5),
]


@pytest.mark.parametrize("settings", GUIDED)
def test_long_lyrics_are_encoded_branch_by_branch(
    deep_model: AceStepTransformer, monkeypatch: pytest.MonkeyPatch, settings: SamplingSettings
) -> None:
    together = sample(deep_model, settings)
    monkeypatch.setattr(sampler, "_TOGETHER", 0)
    assert torch.allclose(sample(deep_model, settings), together, atol=1e-4)


@pytest.mark.parametrize("settings", GUIDED)
def test_one_batch_is_separate_calls(
    deep_model: AceStepTransformer, monkeypatch: pytest.MonkeyPatch, settings: SamplingSettings
) -> None:
    counted = Calls(deep_model, monkeypatch)
    together = sample(deep_model, settings)
    each = 6 if settings.is_double else 4
    assert counted.batches == [2, each, each, each, 2, 2]
    monkeypatch.setattr(sampler, "NetworkCall", OneByOne)
    assert torch.allclose(sample(deep_model, settings), together, atol=1e-4)
    assert set(counted.batches[6:]) == {2}


def test_samples_do_not_depend_on_each_other_without_omega(model: AceStepTransformer) -> None:
    settings = replace(PLAIN, omega_scale=0.0)
    both = sample(model, settings)
    inputs, noise = small_inputs(), small_latent()
    first = ConditionInputs(*(getattr(inputs, name)[:1] for name in ConditionInputs.__dataclass_fields__))
    alone = sample_latents(model, first, noise=noise[:1], settings=settings)
    assert torch.allclose(both[:1], alone, atol=1e-4)


def test_conditions_matter(model: AceStepTransformer) -> None:
    other = replace(small_inputs(), text_states=small_inputs().text_states.flip(-1))
    changed = sample_latents(model, other, noise=small_latent(), settings=PLAIN)
    assert not torch.allclose(changed, sample(model), atol=1e-3)


def test_the_null_branch_may_drop_the_lyric_mask(model: AceStepTransformer) -> None:
    dropped = sample(model, replace(PLAIN, keep_null_lyric_mask=False))
    assert not torch.allclose(dropped, sample(model), atol=1e-4)


def test_every_module_keeps_its_mode(model: AceStepTransformer) -> None:
    expected = sample(model)
    model.train()
    model.transformer_blocks[1].eval()
    before = [module.training for module in model.modules()]
    try:
        assert torch.equal(sample(model), expected), "dropout is off while sampling"
        assert [module.training for module in model.modules()] == before
    finally:
        model.eval()


def test_global_generators_and_gradients_are_left_alone(model: AceStepTransformer) -> None:
    state = torch.get_rng_state()
    latents = sample(model, replace(PLAIN, scheduler_type="pingpong"), generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert not latents.requires_grad
    assert torch.is_grad_enabled()


def test_training_goes_on_after_sampling(model: AceStepTransformer) -> None:
    longer = small_latent(num_frames=12)
    sample_latents(model, small_inputs(), noise=longer, settings=PLAIN)
    conditions = model.encode_conditions(small_inputs())
    velocity = model(longer, torch.full((2,), 500.0), conditions).velocity
    velocity.square().mean().backward()  # tables made under inference_mode would refuse
    model.zero_grad()


def test_pingpong_repeats_with_its_generator(model: AceStepTransformer) -> None:
    settings = replace(PLAIN, scheduler_type="pingpong")
    runs = [sample(model, settings, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    with pytest.raises(ValueError, match="generator"):
        sample(model, settings)


@pytest.mark.parametrize(("scheduler", "num_calls"), [("euler", 6), ("heun", 11)])
def test_progress_counts_calls(model: AceStepTransformer, scheduler: str, num_calls: int) -> None:
    told: list[tuple[int, int]] = []
    sample(model, replace(PLAIN, scheduler_type=scheduler), on_step=lambda *counts: told.append(counts))
    assert told == [(index + 1, num_calls) for index in range(num_calls)]


def test_erg_is_refused_by_small_models(model: AceStepTransformer, deep_model: AceStepTransformer) -> None:
    assert not erg_supported(model)
    assert erg_supported(deep_model)
    with pytest.raises(ValueError, match="ERG"):
        sample(model, SamplingSettings(num_steps=6))
    assert not SamplingSettings().without_erg().uses_erg
    assert not SamplingSettings().without_erg().wants_erg_text


def test_each_part_of_erg_changes_the_result(deep_model: AceStepTransformer) -> None:
    text = small_inputs().text_states * 0.5
    variants = {
        "none": sample(deep_model),
        "lyric": sample(deep_model, replace(PLAIN, use_erg_lyric=True)),
        "lyric with text": sample(deep_model, replace(PLAIN, use_erg_lyric=True, use_erg_tag=True), erg_text=text),
        "diffusion": sample(deep_model, replace(PLAIN, use_erg_diffusion=True)),
    }
    for name, latents in variants.items():
        assert torch.isfinite(latents).all(), name
        others = [other for key, other in variants.items() if key != name]
        assert all(not torch.allclose(latents, other, atol=1e-4) for other in others), name
    assert torch.equal(sample(deep_model), variants["none"]), "the hooks are gone after a run"


def test_erg_text_counts_only_with_erg_for_lyrics(deep_model: AceStepTransformer) -> None:
    text = small_inputs().text_states * 0.5
    assert torch.equal(sample(deep_model, erg_text=text), sample(deep_model))
    without_text = replace(PLAIN, use_erg_lyric=True)
    assert torch.equal(sample(deep_model, without_text, erg_text=text), sample(deep_model, without_text))


def test_each_part_of_erg_asks_only_for_its_own_layers() -> None:
    lyrics = small_transformer(replace(DEEP, num_layers=SMALL.num_layers))
    blocks = small_transformer(replace(DEEP, lyric_encoder=SMALL.lyric_encoder))
    assert torch.isfinite(sample(lyrics, replace(PLAIN, use_erg_lyric=True))).all()
    assert torch.isfinite(sample(blocks, replace(PLAIN, use_erg_diffusion=True))).all()
    for model, part in ((lyrics, "use_erg_diffusion"), (blocks, "use_erg_lyric")):
        with pytest.raises(ValueError, match="ERG"):
            sample(model, replace(PLAIN, **{part: True}))


def test_with_erg_the_text_alone_is_heard_with_blunted_lyrics(deep_model: AceStepTransformer) -> None:
    settings = replace(PLAIN, guidance_scale_text=5.0, guidance_scale_lyric=1.5, use_erg_lyric=True)
    inputs = replace(small_inputs(), speaker=None)
    with blunt_lyrics(deep_model):
        expected = deep_model.encode_conditions(inputs)
    actual = _Branches.encode(deep_model, small_inputs(), settings, None).only_text
    assert actual is not None
    assert torch.equal(actual.tokens, expected.tokens)


def test_latents_follow_the_height_of_the_model() -> None:
    low = replace(SMALL, patch_size=(8, 1), rope_theta=20_000.0, mlp_ratio=2.0)
    latents = sample_latents(
        small_transformer(low),
        small_inputs(low),
        noise=small_latent(low),
        settings=replace(PLAIN, scheduler_type="heun"),
    )
    assert latents.shape == (2, 8, 8, 9)
    assert torch.isfinite(latents).all()


def test_latents_are_float32_whatever_the_model_computes_in() -> None:
    half = small_transformer().bfloat16()
    full = small_transformer()
    settings = replace(PLAIN, guidance_scale=1.0)
    half_latents, latents = sample(half, settings), sample(full, settings)
    assert half_latents.dtype == torch.float32
    assert (half_latents - latents).abs().max() < 0.2 * latents.abs().max()
