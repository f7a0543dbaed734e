"""What an ACE-Step v1 model is: its configuration and the arithmetic of its clock (spec sections 1, 6; no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from engine.contract.errors import ModelError

SAMPLE_RATE = 48_000
"""Hz of the audio that enters and leaves the engine."""

CODEC_RATE = 44_100
"""Hz inside the audio codec."""

FRAME_SAMPLES = 4_096
"""Samples at `CODEC_RATE` in one latent frame: 8 mel frames of 512 samples; 92.88 ms."""

LATENT_SHIFT = -1.9091
"""Subtracted from the encoder's output (spec 6.2)."""

LATENT_SCALE = 0.1786
"""Factor of the shifted encoder output (spec 6.2)."""


def encoded_frames(num_samples: int, *, sample_rate: int = SAMPLE_RATE) -> int:
    """Frames of the latent tensor that a clip encodes to, the zero padding of the last one included: 60 s give 646."""
    codec_samples = -(-num_samples * CODEC_RATE // sample_rate)
    return -(-codec_samples // FRAME_SAMPLES)


def whole_frames(num_samples: int, *, sample_rate: int = SAMPLE_RATE) -> int:
    """Frames of a clip that are filled with audio to their end: the length that masks count (spec 6.2)."""
    return num_samples * CODEC_RATE // (sample_rate * FRAME_SAMPLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class LyricEncoderConfig:
    """Sizes of the lyric encoder (spec section 3); the defaults are those of the released model."""

    input_size: int = 1024
    """Width of the lyric token embedding; always the transformer's ``lyric_hidden_size``."""

    output_size: int = 1024
    """Model width of the encoder."""

    attention_heads: int = 16
    """Heads of the relative attention."""

    linear_units: int = 4096
    """Hidden width of the feed-forward."""

    num_blocks: int = 6
    """Number of layers."""

    def __post_init__(self) -> None:
        if self.output_size % self.attention_heads:
            raise ModelError(
                f"lyric_encoder.output_size {self.output_size} is not a multiple of"
                f" lyric_encoder.attention_heads {self.attention_heads}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """The keys of ``ace_step_transformer/config.json`` with upstream's names and defaults (spec section 1).

    The defaults differ from the released 3.5B model on purpose: they are what an absent key means.
    """

    in_channels: int = 8
    """Latent channels; the patch embedding takes 8 whatever stands here (spec 2.1)."""

    out_channels: int = 8
    """Channels of the predicted velocity."""

    num_layers: int = 28
    """Number of transformer blocks."""

    attention_head_dim: int = 64
    """Width of one head, even."""

    num_attention_heads: int = 24
    """Heads of self and cross attention."""

    mlp_ratio: float = 4.0
    """Feed-forward width over inner width."""

    max_position: int = 32_768
    """Length of upstream's first position table; ours grows, so this limits nothing."""

    rope_theta: float = 1_000_000.0
    """Base of the rotary frequencies."""

    speaker_embedding_dim: int = 512
    """Width of the speaker vector."""

    text_embedding_dim: int = 768
    """Width of the text encoder's states."""

    ssl_encoder_depths: tuple[int, ...] = (9, 9)
    """Index of the block (0-based) whose output each projector reads."""

    ssl_names: tuple[str, ...] = ("mert", "m-hubert")
    """Names of the self-supervised features, one per projector."""

    ssl_latent_dims: tuple[int, ...] = (1024, 768)
    """Widths of the self-supervised features."""

    patch_size: tuple[int, int] = (16, 1)
    """Latent rows and frames per token; the rows are the whole latent height, the frames always 1."""

    max_height: int = 16
    """Unused by the model; kept so that the file survives a round trip."""

    max_width: int = 4096
    """Unused by the model; kept so that the file survives a round trip."""

    lyric_encoder_vocab_size: int = 6681
    """Rows of the lyric embedding table."""

    lyric_hidden_size: int = 1024
    """Width of the lyric embedding table."""

    lyric_encoder: LyricEncoderConfig = field(default_factory=LyricEncoderConfig)
    """Sizes of the lyric encoder; an extension of ours that only small test checkpoints write."""

    def __post_init__(self) -> None:
        if self.attention_head_dim % 2:
            raise ModelError(f"attention_head_dim {self.attention_head_dim} is odd: rotary positions need pairs")
        if self.patch_size[1] != 1:
            raise ModelError(f"patch_size {list(self.patch_size)}: only patches of one frame are known")
        if not len(self.ssl_names) == len(self.ssl_latent_dims) == len(self.ssl_encoder_depths):
            raise ModelError("ssl_names, ssl_latent_dims and ssl_encoder_depths differ in length")

    @property
    def inner_dim(self) -> int:
        """Width of the residual stream: heads x head width (the file's own value is ignored, spec section 1)."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def feed_forward_dim(self) -> int:
        """Width between the gate and the last projection of the feed-forward (spec 2.8)."""
        return int(self.inner_dim * self.mlp_ratio)

    @property
    def latent_height(self) -> int:
        """Rows of the latent: one patch covers them all."""
        return self.patch_size[0]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TransformerConfig:
        """Read the content of a ``config.json``; unknown keys are left alone, absent ones take upstream's defaults.

        Raises:
            ModelError: A value has the wrong type, or the values contradict each other.
        """
        known: dict[str, Any] = {}
        for entry in fields(cls):
            if entry.name in values and entry.name != "lyric_encoder":
                known[entry.name] = _as_type(entry.name, str(entry.type), values[entry.name])
        lyric_values = values.get("lyric_encoder") or {}
        lyric_known = {
            entry.name: _as_type(f"lyric_encoder.{entry.name}", "int", lyric_values[entry.name])
            for entry in fields(LyricEncoderConfig)
            if entry.name in lyric_values
        }
        lyric_known["input_size"] = known.get("lyric_hidden_size", 1024)
        return cls(**known, lyric_encoder=LyricEncoderConfig(**lyric_known))

    def to_dict(self) -> dict[str, Any]:
        """The content of a ``config.json`` that `from_dict` reads back to an equal configuration."""
        values = asdict(self)
        values["inner_dim"] = self.inner_dim
        for key in ("ssl_encoder_depths", "ssl_names", "ssl_latent_dims", "patch_size"):
            values[key] = list(values[key])
        # Like upstream's own file: the input width is the table's width, said once.
        del values["lyric_encoder"]["input_size"]
        if self.lyric_encoder == LyricEncoderConfig(input_size=self.lyric_hidden_size):
            del values["lyric_encoder"]
        return values


def real_config() -> TransformerConfig:
    """The configuration of the released ACE-Step v1 3.5B (spec section 1)."""
    return TransformerConfig(
        num_layers=24,
        attention_head_dim=128,
        num_attention_heads=20,
        mlp_ratio=2.5,
        ssl_encoder_depths=(8, 8),
        max_width=32_768,
        lyric_encoder_vocab_size=6693,
    )


def _as_type(key: str, kind: str, value: Any) -> Any:
    """``value`` as the declared type of its field; a JSON list becomes a tuple."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "int" and number and value == int(value):
        return int(value)
    if kind == "float" and number:
        return float(value)
    if kind.startswith("tuple[") and isinstance(value, list | tuple):
        item = "str" if "str" in kind else "int"
        return tuple(_as_type(key, item, entry) for entry in value)
    if kind == "str" and isinstance(value, str):
        return value
    raise ModelError(f"config.json of the transformer: {key} is {value!r}, expected {kind}")
