"""What preparing songs and making test clips take on the device: text encoder, codec, models for musical features."""

from __future__ import annotations

import math

from engine.contract.config import Config
from engine.contract.feature_models import FEATURE_MODELS
from engine.planning.facts import DataFacts, DeviceKind
from engine.planning.sizes import ModelSizes, published_sizes

GB = 2**30
# Both models for musical features in fp32, and what 20 s or a minute keep of their first convolutions.
_FEATURE_MODELS_BYTES = sum(model.num_parameters for model in FEATURE_MODELS) * 4 + 1_200_000_000
_TEXT_BYTES = 150_000_000  # a caption of 256 tokens on its way through the encoder
# The codec in fp32, a second of music (counted by following the tensors of engine.model.autoencoder): what is wide
# works in windows of 24 s, what sees the whole clip is narrow.
_WINDOW_BYTES_PER_S, _WINDOW_S = 0.0258 * GB, 23.8
_CLIP_BYTES_PER_S = 0.00125 * GB
_HALF_SHARE = 0.7  # in 16 bits: its attention computes in fp32 all the same
_SOUND_BYTES_PER_S = 1_500_000  # the sound itself, resampled and as a mel
_TILE_S = 48.0  # ``vae_enable_tiling``: blocks of so many seconds
_GUIDED_CALLS = 2
_CALL_NUMBERS = 20.0  # numbers a frame and channel that one call without gradients keeps of a block


def codec_bytes(seconds: float, sizes: ModelSizes, *, bytes_per_number: int) -> int:
    """What encoding or decoding one clip takes besides the codec's weights."""
    # Weights grow with the square of a codec's width, what it keeps of a clip with the width alone.
    width = math.sqrt(sizes.num_codec / published_sizes().num_codec)
    widest = min(seconds, _WINDOW_S) * _WINDOW_BYTES_PER_S + seconds * _CLIP_BYTES_PER_S
    return int(width * widest * (1.0 if bytes_per_number == 4 else _HALF_SHARE) + seconds * _SOUND_BYTES_PER_S)


def prepare_bytes(config: Config, data: DataFacts, sizes: ModelSizes, kind: DeviceKind) -> int:
    """The largest of the passes of a preparation, which follow one another."""
    if config.offload_during_startup and kind != "cpu":
        return 0
    number = 4 if config.vae_dtype == "fp32" else 2
    codec = sizes.num_codec * number + codec_bytes(data.longest_s, sizes, bytes_per_number=number)
    text = sizes.num_text_encoder * (4 if config.mixed_precision == "no" else 2) + _TEXT_BYTES
    return max(codec, text, _FEATURE_MODELS_BYTES if data.has_features else 0)


def clip_bytes(config: Config, sizes: ModelSizes) -> int:
    """What a test clip takes besides the trained model: the codec in fp32, and the larger of sampling and decoding."""
    seconds = config.validation_audio_duration
    decoded = min(seconds, _TILE_S) if config.vae_enable_tiling else seconds
    frames = seconds * 44_100 / 4096 * _GUIDED_CALLS
    sampling = frames * sizes.inner_dim * _CALL_NUMBERS * (4 if config.mixed_precision == "no" else 2)
    return sizes.num_codec * 4 + int(max(sampling, codec_bytes(decoded, sizes, bytes_per_number=4)))
