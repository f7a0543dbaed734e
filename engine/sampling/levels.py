"""What a clip looks and sounds like in numbers: its outline, whether it is silent, clips, or is no sound at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["ok", "silent", "clips", "nonfinite"]

NUM_PARTS = 64
"""Values of an outline: as many as fit in a line of a terminal, of any length of clip."""

SILENT_PEAK = 1e-3
"""Peak (-60 dB of full scale) under which a clip counts as silent."""

FULL_SCALE = 0.999
"""Level from which a sample counts as being at full scale."""

CLIPPED_SHARE = 1e-4
"""Share of samples at full scale above which a clip is said to clip: one in ten thousand, a few a second."""


@dataclass(frozen=True, slots=True)
class Levels:
    """A clip in numbers.

    Attributes:
        verdict: Plainly broken, or ok.
        envelope: Its loudest sample, 0…1, in each of `NUM_PARTS` equal parts.
        clipped_share: Share of its samples at full scale, before anything limits them.
    """

    verdict: Verdict
    envelope: tuple[float, ...]
    clipped_share: float

    @property
    def words(self) -> str:
        """The verdict as a predicate: "is silent"."""
        return {
            "ok": "has a good level",
            "silent": "is silent",
            "clips": f"clips: {100 * self.clipped_share:.2g} % of its samples are at full scale",
            "nonfinite": "holds numbers that are not finite",
        }[self.verdict]


def as_finite(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """The clip as it can be stored: what is not finite becomes silence or full scale, and nothing is beyond ±1."""
    return np.nan_to_num(audio, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1.0, 1.0)


def measure_levels(audio: NDArray[np.float32]) -> Levels:
    """Measure a clip as the model made it: ``(channels, samples)``, not limited yet."""
    level = np.abs(as_finite(audio))
    loudest = level.max(axis=0, initial=0.0)
    parts = np.array_split(loudest, NUM_PARTS)
    clipped_share = float((level >= FULL_SCALE).mean()) if level.size else 0.0
    verdict: Verdict = "ok"
    if not np.isfinite(audio).all():
        verdict = "nonfinite"
    elif loudest.max(initial=0.0) < SILENT_PEAK:
        verdict = "silent"
    elif clipped_share > CLIPPED_SHARE:
        verdict = "clips"
    envelope = tuple(round(float(part.max(initial=0.0)), 3) for part in parts)
    return Levels(verdict=verdict, envelope=envelope, clipped_share=round(clipped_share, 6))
