"""Musical features of a clip from MERT and mHuBERT, chunk by chunk (spec ace-step-v1.md 9.5, config-formats.md 5.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from engine.contract.feature_models import FRAME_SAMPLES, FeatureModel
from engine.model.card import SAMPLE_RATE
from engine.model.resample import resample
from engine.model.ssl_checkpoint import load_feature_model

if TYPE_CHECKING:
    from transformers import HubertModel

_VARIANCE_FLOOR = 1e-7
# Samples that go through a model at once: eight chunks of MERT, two of mHuBERT, about a gigabyte of activations. Chunks
# of one clip only, so that a clip's features are a function of the clip.
_BATCH_SAMPLES = 960_000


def normalised(samples: Tensor) -> Tensor:
    """(n,) to zero mean and unit (unbiased) variance over the whole clip, as both models were trained to hear it."""
    return (samples - samples.mean()) / torch.sqrt(samples.var(unbiased=samples.numel() > 1) + _VARIANCE_FLOOR)


def chunk_frames(num_samples: int, model: FeatureModel, *, full_chunk_frames: int | None = None) -> list[int]:
    """Frames kept of each chunk of a clip: ``ceil(samples / 320)``, never more than a full chunk gives.

    Args:
        num_samples: Of the clip at the model's own rate.
        model: Which one.
        full_chunk_frames: What a full chunk gives; as declared when None.
    """
    limit = full_chunk_frames or model.full_chunk_frames
    lengths = [min(model.chunk_samples, num_samples - begin) for begin in range(0, num_samples, model.chunk_samples)]
    return [min(math.ceil(length / FRAME_SAMPLES), limit) for length in lengths]


class FeatureEncoder:
    """One of the two models, in eval mode on its device.

    Args:
        model: Which one.
        module: Its network.
    """

    def __init__(self, model: FeatureModel, module: HubertModel) -> None:
        self.model = model
        self._module = module

    @torch.no_grad()
    def encode(self, mono: Tensor) -> Tensor:
        """The last hidden states of a clip.

        Args:
            mono: (n,) float32 at 48 kHz, n > 0.

        Returns:
            (frames, width) float32 on the CPU. A clip of 60 s has 4,488 frames of MERT, 2,998 of mHuBERT.
        """
        model = self.model
        samples = normalised(resample(mono.to(self._module.device), SAMPLE_RATE, model.sample_rate))
        num_samples = samples.numel()
        samples = functional.pad(samples, (0, -num_samples % model.chunk_samples))
        chunks = samples.view(-1, model.chunk_samples)
        at_once = max(1, _BATCH_SAMPLES // model.chunk_samples)
        hidden = torch.cat([self._module(batch).last_hidden_state.cpu() for batch in chunks.split(at_once)])
        kept = chunk_frames(num_samples, model, full_chunk_frames=hidden.shape[1])
        return torch.cat([states[:length] for states, length in zip(hidden, kept, strict=True)])


class FeatureEncoders:
    """All models that a checkpoint's projectors foretell.

    Args:
        encoders: One each.
    """

    def __init__(self, encoders: Sequence[FeatureEncoder]) -> None:
        self._encoders = tuple(encoders)

    def encode(self, audio: Tensor) -> dict[str, Tensor]:
        """Features as they stand in a cache entry.

        Args:
            audio: (channels, n) float32 at 48 kHz; the mean of its channels is heard.

        Returns:
            (frames, width) float16 on the CPU by the models' names (``mert``, ``mhubert``).
        """
        mono = audio.mean(dim=0)
        return {encoder.model.name: encoder.encode(mono).to(torch.float16) for encoder in self._encoders}


@dataclass(frozen=True, slots=True)
class FeatureSource:
    """Where one of the models stands.

    Attributes:
        model: Which one.
        folder: Holds config.json and weights.
        width: Numbers of a frame that the trained model foretells.
    """

    model: FeatureModel
    folder: Path
    width: int


def load_feature_encoders(
    sources: Sequence[FeatureSource], *, converted: Path, device: torch.device
) -> FeatureEncoders:
    """Load the models; about 1.6 GB in float32 for the published two.

    Args:
        sources: Where they are.
        converted: Folder for the safetensors form of a ``.bin``.
        device: Where they shall lie.

    Raises:
        ModelError: A file is missing, damaged or holds something else.
        DiskError: The safetensors form cannot be written.
    """
    return FeatureEncoders(
        [
            FeatureEncoder(
                source.model,
                load_feature_model(source.folder, source.model, width=source.width, converted=converted, device=device),
            )
            for source in sources
        ]
    )
