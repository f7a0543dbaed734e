"""From noise to latents: calls of the model along a schedule, guided by what it says without conditions (spec 11)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from engine.model.transformer import AceStepTransformer, ConditionInputs, Conditions
from engine.sampling.erg import TAU, blunt_lyrics, erg_supported
from engine.sampling.guidance import (
    GuidanceType,
    Momentum,
    apg,
    cfg,
    cfg_star,
    decayed_scale,
    double_condition,
    guided_steps,
)
from engine.sampling.network import DEFAULT_CALLS, CallSettings, NetworkCall, compiled_blocks, kept_call
from engine.sampling.schedulers import SCHEDULERS, SchedulerType

_TOGETHER = 512
"""Lyric tokens up to which the branches of guidance are encoded together."""

OnStep = Callable[[int, int], None]
"""Told after every call: calls done, calls in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingSettings:
    """How a clip is sampled; names and defaults of the original (spec 11.2)."""

    num_steps: int = 60
    """Steps from noise to music."""

    guidance_scale: float = 15.0
    """How strictly the conditions are followed; 0 and 1 turn guidance off."""

    scheduler_type: SchedulerType = "euler"
    """Which solver."""

    cfg_type: GuidanceType = "apg"
    """Which kind of guidance."""

    omega_scale: float = 10.0
    """Stretches every step around its mean; 0 is the plain solver."""

    guidance_interval: float = 0.5
    """Share of the steps, in the middle, that are guided."""

    guidance_interval_decay: float = 0.0
    """How far the scale falls inside the interval: 0 not at all, 1 to `min_guidance_scale`."""

    min_guidance_scale: float = 3.0
    """Where a falling scale ends."""

    overlapped_decode: bool = False
    """Decode in cross-faded blocks as the original can, for less memory, instead of in windows that change nothing."""

    use_erg_tag: bool = True
    """The null text of `use_erg_lyric` is the prompt encoded with blunted queries instead of zeros."""

    use_erg_lyric: bool = True
    """The null branch hears the real lyrics through a blunted lyric encoder."""

    use_erg_diffusion: bool = True
    """The null branch runs through blunted transformer blocks."""

    guidance_scale_text: float = 0.0
    """Scale of the text alone; with `guidance_scale_lyric`, both above 1, instead of `guidance_scale`."""

    guidance_scale_lyric: float = 0.0
    """Scale of the lyrics alone."""

    calls: CallSettings = DEFAULT_CALLS
    """How the network is called; the result is the same up to rounding."""

    keep_null_lyric_mask: bool = True
    """The null branch keeps the mask of its zeroed lyrics, as the original's inference does (its trainer does not)."""

    @property
    def is_guided(self) -> bool:
        """Whether any step is guided."""
        return self.guidance_scale not in (0.0, 1.0)

    @property
    def is_double(self) -> bool:
        """Whether text and lyrics are guided by scales of their own."""
        return self.guidance_scale_text > 1 and self.guidance_scale_lyric > 1

    @property
    def uses_erg(self) -> bool:
        """Whether any part of ERG touches the model's layers."""
        return self.use_erg_lyric or self.use_erg_diffusion

    @property
    def wants_erg_text(self) -> bool:
        """Whether the prompt is needed a second time, encoded with blunted queries."""
        return self.use_erg_tag and self.use_erg_lyric and self.is_guided

    def without_erg(self) -> SamplingSettings:
        """The same with ERG off, for models with fewer layers than it names."""
        return replace(self, use_erg_tag=False, use_erg_lyric=False, use_erg_diffusion=False)


@torch.no_grad()  # not inference_mode: tables that the model keeps for training would become inference tensors
def sample_latents(
    model: AceStepTransformer,
    inputs: ConditionInputs,
    *,
    noise: Tensor,
    settings: SamplingSettings,
    generator: torch.Generator | None = None,
    erg_text: Tensor | None = None,
    on_step: OnStep | None = None,
    on_fallback: Callable[[str], None] = warnings.warn,
) -> Tensor:
    """Sample latents.

    Args:
        model: Left in the mode it came in; it is evaluated without dropout.
        inputs: Conditions of the batch, on the model's device.
        noise: ``(B, C, H, T)`` normal noise, on the model's device.
        settings: How.
        generator: Source of fresh noise for the pingpong scheduler; its device may be another.
        erg_text: The prompts encoded with blunted queries, like ``inputs.text_states``; zeros when None.
        on_step: Told the progress: on a CUDA card what was asked of it, which it may not have done yet.
        on_fallback: Told why something slower is done than could be expected.

    Returns:
        ``(B, C, H, T)`` float32.

    Raises:
        ValueError: ERG is asked of a model with too few layers, or noise is needed without a generator.
    """
    parts = {"lyric": settings.use_erg_lyric, "diffusion": settings.use_erg_diffusion}
    if settings.is_guided and not erg_supported(model, **parts):
        raise ValueError("ERG names layers that this model does not have; sample it with settings.without_erg()")
    scheduler = SCHEDULERS[settings.scheduler_type](settings.num_steps, omega=settings.omega_scale)
    if scheduler.needs_noise and generator is None:
        raise ValueError(f"the {settings.scheduler_type} scheduler needs a generator")
    timesteps = scheduler.timesteps.tolist()
    blocks = compiled_blocks(model) if settings.calls.is_compiled else nullcontext()
    with evaluated(model), blocks:
        branches = _Branches.encode(model, inputs, settings, erg_text)
        predict = _Predictor(model, branches, settings, num_calls=len(timesteps), on_fallback=on_fallback)
        x_t = noise.float()
        for index, timestep in enumerate(timesteps):
            velocity = predict(x_t, timestep, index)
            fresh = _fresh_noise(x_t, generator) if scheduler.needs_noise else None
            x_t = scheduler.step(velocity, index, x_t, noise=fresh)
            if on_step is not None:
                on_step(index + 1, len(timesteps))
    return x_t


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _fresh_noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    assert generator is not None
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like.device)


@dataclass(frozen=True, slots=True)
class _Branches:
    """The embedded conditions of a run, made once: all of them, none, and the text alone (for double guidance)."""

    cond: Conditions
    uncond: Conditions | None
    only_text: Conditions | None

    @classmethod
    def encode(
        cls, model: AceStepTransformer, inputs: ConditionInputs, settings: SamplingSettings, erg_text: Tensor | None
    ) -> _Branches:
        if not settings.is_guided:
            return cls(model.encode_conditions(inputs), None, None)
        no_text = torch.zeros_like(inputs.text_states)
        if settings.use_erg_lyric:
            null_text = erg_text if erg_text is not None and settings.use_erg_tag else no_text
            # The lyrics stay, blunted, where they are nothing without ERG: in the branch of the text alone as well.
            null = replace(inputs, speaker=None)
        else:
            null_text, null = no_text, replace(inputs, lyric_ids=torch.zeros_like(inputs.lyric_ids), speaker=None)
            if not settings.keep_null_lyric_mask:
                null = replace(null, lyric_mask=torch.zeros_like(inputs.lyric_mask))
        branches = [inputs, replace(null, text_states=null_text), *[null] * settings.is_double]
        cond, uncond, *only_text = _embedded(model, branches, is_blunted=settings.use_erg_lyric)
        return cls(cond, uncond, only_text[0] if only_text else None)


def _embedded(
    model: AceStepTransformer, branches: Sequence[ConditionInputs], *, is_blunted: bool
) -> Iterator[Conditions]:
    """The conditions of each; with ``is_blunted`` lyrics of all but the first are.

    In one call of the encoders, which a card is done with before the next is started; long lyrics, whose attention
    takes memory by their square, in one call each.
    """
    taus = [1.0] + [TAU if is_blunted else 1.0] * (len(branches) - 1)
    at_once = len(branches) if branches[0].lyric_ids.shape[1] <= _TOGETHER else 1
    for first in range(0, len(branches), at_once):
        chosen = slice(first, first + at_once)
        yield from _embedded_together(model, branches[chosen], taus[chosen])


def _embedded_together(
    model: AceStepTransformer, branches: Sequence[ConditionInputs], taus: Sequence[float]
) -> Iterator[Conditions]:
    """The conditions of each, whose lyrics' queries are multiplied by its tau."""
    batch, device = len(branches[0].text_mask), branches[0].text_mask.device
    width = model.config.speaker_embedding_dim
    speakers = None
    if any(branch.speaker is not None for branch in branches):
        nobody = torch.zeros(batch, width, device=device)
        speakers = torch.cat([nobody if branch.speaker is None else branch.speaker for branch in branches])
    together = ConditionInputs(
        text_states=torch.cat([branch.text_states for branch in branches]),
        text_mask=torch.cat([branch.text_mask for branch in branches]),
        lyric_ids=torch.cat([branch.lyric_ids for branch in branches]),
        lyric_mask=torch.cat([branch.lyric_mask for branch in branches]),
        speaker=speakers,
    )
    each = torch.tensor(taus, device=device).repeat_interleave(batch)[:, None, None]
    with blunt_lyrics(model, tau=each) if min(taus) < 1.0 else nullcontext():
        encoded = model.encode_conditions(together)
    return map(Conditions, encoded.tokens.split(batch), encoded.mask.split(batch))


class _Predictor:
    """The velocity of a step: that of one call, alone or with those without conditions, combined by guidance."""

    def __init__(
        self,
        model: AceStepTransformer,
        branches: _Branches,
        settings: SamplingSettings,
        *,
        num_calls: int,
        on_fallback: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.steps = guided_steps(settings.num_steps, settings.guidance_interval) if settings.is_guided else range(0)
        self.momentum = Momentum()
        make = partial(NetworkCall, model, settings=settings.calls, on_fallback=on_fallback)
        calls = partial(kept_call, model, branches.cond.tokens.device, make)
        self._alone = calls([branches.cond], is_blunted=[False], num_calls=num_calls - len(self.steps))
        self._guided_call: NetworkCall | None = None
        if branches.uncond is not None:
            only_text = [] if branches.only_text is None else [branches.only_text]
            together = [branches.cond, *only_text, branches.uncond]
            is_blunted = [False] * (len(together) - 1) + [settings.use_erg_diffusion]
            self._guided_call = calls(together, is_blunted=is_blunted, num_calls=len(self.steps))

    def __call__(self, x_t: Tensor, timestep: float, index: int) -> Tensor:
        if index not in self.steps or self._guided_call is None:
            return self._alone(x_t, timestep)[0]
        return self._guided(self._guided_call(x_t, timestep), index)

    def _guided(self, velocities: Sequence[Tensor], index: int) -> Tensor:
        settings, cond, uncond = self.settings, velocities[0], velocities[-1]
        if len(velocities) == 3:
            return double_condition(
                cond,
                uncond,
                velocities[1],
                text_scale=settings.guidance_scale_text,
                lyric_scale=settings.guidance_scale_lyric,
            )
        scale = decayed_scale(
            settings.guidance_scale,
            index,
            self.steps,
            decay=settings.guidance_interval_decay,
            minimum=settings.min_guidance_scale,
        )
        if settings.cfg_type == "apg":
            return apg(cond, uncond, scale, momentum=self.momentum)
        if settings.cfg_type == "cfg":
            return cfg(cond, uncond, scale)
        return cfg_star(cond, uncond, scale, index=index)
