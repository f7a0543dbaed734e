"""A clip, a training step and the clip again: whether the parts of a model work together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.batches.collate import Sample, collate
from engine.contract.config import Config
from engine.contract.errors import NonFiniteLossError
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.card import CODEC_RATE, whole_frames
from engine.model.family import AceStepV1
from engine.objective.timesteps import sigma_table
from engine.sampling.levels import measure_levels
from engine.train.setup import Built, build_model
from engine.train.step import precision_context, train_step
from engine.train.step_clock import StepClock
from engine.train.validate import evaluation
from engine.verify.outcome import Outcome
from engine.verify.sound import drum_loop

if TYPE_CHECKING:
    from engine.model.autoencoder import MusicCodec

PROMPT = "acoustic folk, warm female voice, fingerpicked guitar, slow, 80 bpm"
LYRICS = "[verse]\nWalking down an empty road tonight\nNeon lights are calling out my name"
SEED = 42

PLAUSIBLE_LOSS = (1e-3, 5.0)
"""Of one sample at a middling noise level: the released model foretells most of it, an untrained one is far above."""

CHANGED_SHARE = 1e-4
"""What an adapter must change of a clip at least: below it only rounding differs."""

_NOISE_LEVEL = 500  # the middle of the table of 1000


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is made.

    Attributes:
        clip_s: Seconds of the clip.
        num_steps: Denoising steps of it.
    """

    clip_s: float = 10.0
    num_steps: int = 30


@dataclass
class Rehearsal:
    """A model with a new adapter on it, and what it was heard to make.

    Args:
        family: Its files.
        codec: On ``device``, with both its parts.
        text_states: (tokens, width) of `PROMPT`.
        device: Where everything runs.
        effort: How much is made.
    """

    family: AceStepV1
    codec: MusicCodec
    text_states: Tensor
    device: torch.device
    effort: Effort = field(default_factory=Effort)

    def __post_init__(self) -> None:
        precision = "bf16" if self.device.type == "cuda" else "no"
        values = {
            "pretrained_model_name_or_path": str(self.family.checkpoint.root),
            "mixed_precision": precision,
            "seed": SEED,
            "lora_dropout": 0.0,
            "learning_rate": 1e-3,
            "lr_scheduler": "constant",
            "max_train_steps": 1,
            "validation_num_inference_steps": self.effort.num_steps,
        }
        self.config = Config.from_dict(values)
        self._tokenizer = LyricTokenizer()
        self._clip: NDArray[np.float32] | None = None
        self._built: Built | None = None

    @property
    def built(self) -> Built:
        """The model, loaded at the first use."""
        if self._built is None:
            self._built = build_model(self.config, self.family, max_steps=1, with_projectors=False, device=self.device)
        return self._built

    def check_clip(self) -> Outcome:
        """A clip of a prompt is neither silent, clipped nor non-finite."""
        self._clip = self._make_clip()
        levels = measure_levels(self._clip)
        values = {"peak": float(np.abs(self._clip).max()), "clipped_share": levels.clipped_share}
        words = f"{self.effort.clip_s:g} s of “{PROMPT.partition(',')[0]}, …”"
        if levels.verdict == "ok":
            return Outcome("passed", f"{words}: peak {values['peak']:.2f}, neither silent nor clipped", values)
        return Outcome("failed", f"{words} {levels.words}", values)

    def check_step(self, *, is_judged: bool) -> Outcome:
        """One training step on the drum loop has a finite loss, of a size that a trained model has."""
        try:
            result = train_step(
                self.built.state,
                [collate([self._sample()], bucket="drums")],
                family=self.family,
                config=self.config,
                sigmas=sigma_table(self.config.flow_schedule_shift).to(self.device),
                ssl_weight=0.0,
                device=self.device,
                clock=StepClock(self.device),
            )
        except NonFiniteLossError:
            return Outcome("failed", "the loss of a drum loop, or its gradient, is not a number")
        values = {"loss": result.loss, "grad_norm": result.grad_norm, "step_s": round(result.step_s, 3)}
        words = f"loss {result.loss:.4f}, gradient {result.grad_norm:.3g}"
        if not (math.isfinite(result.loss) and math.isfinite(result.grad_norm) and result.grad_norm > 0):
            return Outcome("failed", f"{words}: nothing can be learned from that", values)
        low, high = PLAUSIBLE_LOSS
        if low <= result.loss <= high:
            return Outcome("passed", words, values)
        unusual = f"{words}; a trained model gives {low:g} to {high:g}"
        return Outcome("failed" if is_judged else "noted", unusual, values)

    def check_adapter(self) -> Outcome:
        """The adapter that the step moved changes the clip."""
        before = self._make_clip() if self._clip is None else self._clip
        after = self._make_clip()
        if not np.isfinite(after).all():
            return Outcome("failed", "with the adapter the clip holds numbers that are not finite")
        share = float(np.linalg.norm(after - before) / max(float(np.linalg.norm(before)), 1e-12))
        values = {"changed_share": share}
        if not share > CHANGED_SHARE:
            return Outcome("failed", "the clip is the same with and without it", values)
        return Outcome("passed", f"one step of it changes the clip by {100 * share:.2g} %", values)

    def _make_clip(self) -> NDArray[np.float32]:
        model = self.built.model
        with evaluation(model), precision_context(self.config, self.device):
            return self.family.generate_clip(
                model,
                self.codec,
                self._tokenizer,
                prompt=PROMPT,
                text_states=self.text_states,
                lyrics=LYRICS,
                seconds=self.effort.clip_s,
                seed=SEED,
                settings=self.family.sampling_settings(self.config, model),
                device=self.device,
            )

    def _sample(self) -> Sample:
        wave = drum_loop()
        latents, _ = self.codec.encode(wave[None], sample_rate=CODEC_RATE)
        latents = latents[0, ..., : whole_frames(wave.shape[-1], sample_rate=CODEC_RATE)].float().cpu()
        tokens = self._tokenizer.encode(LYRICS)
        return Sample(
            latents=latents,
            noise=torch.randn(latents.shape, generator=torch.Generator("cpu").manual_seed(SEED)),
            timestep_index=_NOISE_LEVEL,
            text_states=self.text_states.cpu(),
            lyric_ids=torch.tensor(tokens.ids, dtype=torch.int64),
            lyric_mask=torch.tensor(tokens.mask, dtype=torch.int64),
            ssl={},
            file="a drum loop",
            position=0,
            audio_s=wave.shape[-1] / CODEC_RATE,
        )
