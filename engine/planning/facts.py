"""What a plan is made from: the device in a few numbers, and the songs as they will be trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DeviceKind = Literal["cuda", "mps", "cpu"]
LATENT_FRAME_S = 4096 / 44100
USUAL_TEXT_TOKENS, USUAL_LYRIC_TOKENS = 128, 512


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The device that trains. Unknown totals are None."""

    kind: DeviceKind
    num_cores: int = 1
    total_bytes: int | None = None
    disk_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The prepared data of a run.

    Attributes:
        clip_s: Seconds of each clip that is cached and trained, one entry a clip.
        bucket_s: Seconds of each bucket's tensors (the longest decides the memory).
        num_captions: Different captions that are encoded.
        num_held_out: Songs kept aside.
        num_cached: Clips that are prepared already.
        num_songs: Songs of one pass, those kept aside not counted, each as often as it counts; 0 = as many as clips.
        has_features: Whether musical features take part.
        feature_s: Seconds of the clips whose features are still to be made.
        num_text_tokens, num_lyric_tokens: Of the longest caption and lyrics; a usual song's where nobody counted.
    """

    clip_s: tuple[float, ...]
    bucket_s: tuple[float, ...]
    num_captions: int
    num_held_out: int = 0
    num_cached: int = 0
    num_songs: int = 0
    has_features: bool = False
    feature_s: float = 0.0
    num_text_tokens: int = USUAL_TEXT_TOKENS
    num_lyric_tokens: int = USUAL_LYRIC_TOKENS

    @property
    def num_trained(self) -> int:
        """Songs of one pass: of a song in pieces, one piece is drawn each time."""
        return self.num_songs or len(self.clip_s)

    @property
    def longest_s(self) -> float:
        """Seconds of the longest tensor."""
        return max((*self.bucket_s, *self.clip_s), default=0.0)


def num_latent_frames(seconds: float) -> float:
    """Latent frames of so many seconds (10.77 a second), not rounded."""
    return seconds / LATENT_FRAME_S
