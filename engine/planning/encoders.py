"""What preparing songs and making test clips take on the device: text encoder, codec, models for musical features."""

from __future__ import annotations

import math

from engine.contract.config import Config
from engine.contract.feature_models import FEATURE_MODELS
from engine.planning.codec_window import MEL_FRAME_S, USUAL_WINDOW, window_within
from engine.planning.facts import DataFacts, DeviceKind
from engine.planning.sizes import ModelSizes, published_sizes

GB = 2**30
# Both models for musical features in fp32, and what 20 s or a minute keep of their first convolutions.
_FEATURE_MODELS_BYTES = sum(model.num_parameters for model in FEATURE_MODELS) * 4 + 1_200_000_000
_TEXT_BYTES = 150_000_000  # a caption of 256 tokens on its way through the encoder
# The codec in fp32, a second of music (counted by following the tensors of engine.model.autoencoder): what is wide
# works in windows, what sees the whole clip is narrow.
_WINDOW_BYTES_PER_S = 0.0258 * GB
_CLIP_BYTES_PER_S = 0.00125 * GB
_HALF_SHARE = 0.7  # in 16 bits: its attention computes in fp32 all the same
_SOUND_BYTES_PER_S = 1_500_000  # the sound itself, resampled and as a mel
_TILE_S = 48.0  # ``vae_enable_tiling``: blocks of so many seconds
_GUIDED_CALLS = 2
_CALL_NUMBERS = 20.0  # numbers a frame and channel that one call without gradients keeps of a block


def codec_bytes(seconds: float, sizes: ModelSizes, *, bytes_per_number: int, window: int = USUAL_WINDOW) -> int:
    """What encoding or decoding one clip takes besides the codec's weights.

    Args:
        seconds: Of the clip.
        sizes: The model's.
        bytes_per_number: Of the codec's format.
        window: Mel frames that are worked on at once.
    """
    # Weights grow with the square of a codec's width, what it keeps of a clip with the width alone.
    width = math.sqrt(sizes.num_codec / published_sizes().num_codec)
    widest = min(seconds, window * MEL_FRAME_S) * _WINDOW_BYTES_PER_S + seconds * _CLIP_BYTES_PER_S
    return int(width * widest * (1.0 if bytes_per_number == 4 else _HALF_SHARE) + seconds * _SOUND_BYTES_PER_S)


def prepare_bytes(config: Config, data: DataFacts, sizes: ModelSizes, kind: DeviceKind) -> int:
    """The largest of the passes of a preparation, which follow one another."""
    if config.offload_during_startup and kind != "cpu":
        return 0
    number = 4 if config.vae_dtype == "fp32" else 2
    codec = sizes.num_codec_encoder * number + codec_bytes(data.longest_s, sizes, bytes_per_number=number)
    text = sizes.num_text_encoder * (4 if config.mixed_precision == "no" else 2) + _TEXT_BYTES
    return max(codec, text, _FEATURE_MODELS_BYTES if data.has_features else 0)


def clip_bytes(config: Config, sizes: ModelSizes, kind: DeviceKind, card_bytes: int | None = None) -> int:
    """What a test clip takes besides the trained model: the larger of sampling, and of decoding with the codec in fp32.

    Args:
        config: Length of the clip, and whether it is decoded in blocks.
        sizes: The model's.
        kind: What trains.
        card_bytes: All memory of the card: on a small one less of the clip is worked on at once.
    """
    seconds = config.validation_audio_duration
    decoded = min(seconds, _TILE_S) if config.vae_enable_tiling else seconds
    frames = seconds * 44_100 / 4096 * _GUIDED_CALLS
    sampling = frames * sizes.inner_dim * _CALL_NUMBERS * (4 if config.mixed_precision == "no" else 2)
    window = USUAL_WINDOW
    if card_bytes is not None:
        window = window_within(card_bytes, card_bytes, kind=kind)
    decoding = codec_bytes(decoded, sizes, bytes_per_number=4, window=window)
    decoder, vocoder = sizes.num_codec_decoder * 4, sizes.num_vocoder * 4
    if kind == "cuda" and not config.keep_vae_loaded:  # they come one after the other, and not before there is work
        return max(int(sampling), max(decoder, vocoder) + decoding)
    return decoder + vocoder + max(int(sampling), decoding)


def kept_codec_bytes(config: Config, sizes: ModelSizes) -> int:
    """What the codec takes between test clips too (``keep_vae_loaded``)."""
    return (sizes.num_codec_decoder + sizes.num_vocoder) * 4 if config.keep_vae_loaded else 0
