"""Golden vectors of the audio codec: resampler, log-mel, vocoder, and the whole autoencoder both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.contract.model_files import DIFFUSERS_WEIGHTS
from engine.model import mel, resample, sinc
from engine.model.autoencoder import MusicCodec
from engine.model.card import CODEC_RATE, FRAME_SAMPLES, LATENT_SCALE, LATENT_SHIFT
from engine.model.vocoder import Vocoder, VocoderConfig, fold_weight_norm
from tests.numerics.golden_common import GOLDEN, assert_near, load, load_json, with_prefix

LATENTS = "out.latents_sr"
"""Before the sample rate in the name of latents that were not made from 48 kHz."""

NEAR_FLOOR = -7.0
"""Log-mel below which the rounding of the FFT is seen: the bands lie far under the loudest one of their frame."""

Recorder = Callable[[str, object], None]


def largest_error(record_property: Recorder, name: str, actual: Tensor, expected: Tensor) -> None:
    """Compare at the tolerance of the codec's files and note the largest difference in the test report."""
    assert actual.shape == expected.shape, name
    record_property(f"max_error {name}", f"{(actual - expected).abs().max():.1e}")
    assert_near(actual, expected, atol=1e-4, rtol=0, what=name)


def log_mel_of(described: dict[str, Any]) -> mel.LogMel:
    """The mel transform that ``log_mel.json`` describes; the rest of the vocoder plays no part in it."""
    hop_length = described["hop_length"]
    rates = {"upsample_rates": [hop_length], "upsample_kernel_sizes": [hop_length]}
    return mel.LogMel(VocoderConfig.from_dict(described | rates | {"sampling_rate": described["sample_rate"]}))


def write_codec(folder: Path) -> tuple[Path, Path]:
    """The two folders of a checkpoint that hold the tiny codec of the vectors."""
    weights, described = load("music_dcae_tiny.weights"), load_json("music_dcae_tiny.io")
    folders = folder / "music_dcae_f8c8", folder / "music_vocoder"
    for path, prefix in zip(folders, ("dcae", "vocoder"), strict=True):
        path.mkdir()
        (path / "config.json").write_text(json.dumps(described[f"{prefix}_config"]), encoding="utf-8")
        save_file(with_prefix(weights, f"{prefix}."), path / DIFFUSERS_WEIGHTS)
    return folders


@pytest.fixture
def codec(tmp_path: Path) -> MusicCodec:
    return MusicCodec.from_folders(*write_codec(tmp_path), dtype=torch.float32, device="cpu")


@pytest.fixture
def codec_vectors() -> dict[str, Tensor]:
    return load("music_dcae_tiny.io")


def test_resample(record_property: Recorder) -> None:
    vectors, described = load("resample"), load_json("resample")
    assert described["lowpass_filter_width"] == sinc.LOWPASS_FILTER_WIDTH
    assert described["rolloff"] == sinc.ROLLOFF
    for rates, expected in with_prefix(vectors, "out.").items():
        from_rate, to_rate = map(int, rates.split("_"))
        actual = resample.resample(vectors["in"], from_rate, to_rate)
        largest_error(record_property, f"resample {rates}", actual, expected)


def test_log_mel(record_property: Recorder) -> None:
    vectors, described = load("log_mel"), load_json("log_mel")
    assert not described["center"]
    assert described["mel_scale"] == described["norm"] == "slaney"
    assert (described["min_mel"], described["max_mel"]) == (mel.MIN_MEL, mel.MAX_MEL)
    log_mel = log_mel_of(described)
    largest_error(record_property, "window", log_mel.window, vectors["const.window"])
    largest_error(record_property, "filter bank", log_mel.filter_bank, vectors["const.mel_fb"])
    for suffix in ("", "_odd"):
        actual, expected = log_mel(vectors[f"in.wav{suffix}"]), vectors[f"out.logmel{suffix}"]
        record_property(f"max_error logmel{suffix}", f"{(actual - expected).abs().max():.1e}")
        assert_near(actual, expected, atol=1e-3, rtol=0, what=f"logmel{suffix}")
        loud = expected > NEAR_FLOOR
        assert loud.any()
        assert_near(actual[loud], expected[loud], atol=1e-4, rtol=0, what=f"logmel{suffix} away from the floor")
    normalised = mel.normalise(log_mel(vectors["in.wav"]))
    # The same values seven times smaller.
    assert_near(normalised, vectors["out.normalized"], atol=1e-3 / 7, rtol=0, what="normalised")
    assert_near(mel.denormalise(normalised), vectors["out.logmel"], atol=1e-3, rtol=0, what="normalised and back")


def test_linear_spectrogram() -> None:
    vectors, described = load("log_mel"), load_json("log_mel")
    log_mel = log_mel_of(described)
    log_mel.filter_bank = torch.eye(described["n_fft"] // 2 + 1)
    expected = vectors["out.loglinear_frames_0_3"]
    actual = log_mel(vectors["in.wav"])[..., : expected.shape[-1]]
    # Not in logarithms: a single bin far below the loudest one of its frame is nothing but rounding.
    assert_near(actual.exp(), expected.exp(), atol=1e-4, rtol=1e-5, what="linear magnitudes")


def test_vocoder_tiny(record_property: Recorder) -> None:
    vectors, described = load("vocoder_tiny"), load_json("vocoder_tiny")
    vocoder = Vocoder(VocoderConfig.from_dict(described["config"])).eval()
    vocoder.load_state_dict(fold_weight_norm(with_prefix(vectors, "w.")))
    with torch.no_grad():
        largest_error(record_property, "backbone", vocoder.backbone(vectors["in.mel"]), vectors["mid.backbone"])
        largest_error(record_property, "waveform", vocoder(vectors["in.mel"]), vectors["out.wav"])


def test_codec_constants() -> None:
    described = load_json("music_dcae_tiny.io")
    assert (described["scale_factor"], described["shift_factor"]) == (LATENT_SCALE, LATENT_SHIFT)


def test_codec_encode(record_property: Recorder, codec: MusicCodec, codec_vectors: dict[str, Tensor]) -> None:
    audio, lengths = codec_vectors["in.audio_48k"], codec_vectors["in.lengths"]
    resampled = resample.resample(audio, 48_000, CODEC_RATE)
    largest_error(record_property, "resampled", resampled, codec_vectors["mid.resampled_44k"])
    padded = torch.nn.functional.pad(resampled, (0, -resampled.shape[-1] % FRAME_SAMPLES))
    log_mel = codec.log_mel(padded)
    assert_near(log_mel, codec_vectors["mid.logmel"], atol=1e-3, rtol=0, what="log-mel")

    latents, latent_lengths = codec.encode(audio, lengths=lengths)

    assert latents.dtype == torch.float32
    assert torch.equal(latent_lengths, codec_vectors["out.latent_lengths"])
    raw = latents / LATENT_SCALE + LATENT_SHIFT
    largest_error(record_property, "encoder output", raw, codec_vectors["mid.encoder_raw"])
    largest_error(record_property, "latents", latents, codec_vectors["out.latents"])


def test_codec_encode_at_other_rates(
    record_property: Recorder, codec: MusicCodec, codec_vectors: dict[str, Tensor]
) -> None:
    rates = [int(name.removeprefix(LATENTS)) for name in codec_vectors if name.startswith(LATENTS)]
    assert rates
    for rate in rates:
        error = smallest_error(codec, codec_vectors, rate)
        record_property(f"max_error latents from {rate} Hz", f"{error:.1e}")
        assert error < 1e-4, rate


def smallest_error(codec: MusicCodec, vectors: dict[str, Tensor], rate: int) -> float:
    """The largest difference at the input length that fits best: the file does not say how much was taken."""
    expected, frames = vectors[f"{LATENTS}{rate}"], vectors[f"out.latent_lengths_sr{rate}"]
    audio = vectors["in.audio_48k"][: len(expected)]
    errors: dict[int, float] = {}

    def error_at(num_samples: int) -> float:
        if num_samples not in errors:
            latents, found = codec.encode(audio[..., :num_samples], sample_rate=rate)
            fits = latents.shape == expected.shape and torch.equal(found, frames)
            errors[num_samples] = float((latents - expected).abs().max()) if fits else float("inf")
        return errors[num_samples]

    per_frame = FRAME_SAMPLES * rate / CODEC_RATE
    first, last = int((expected.shape[-1] - 1) * per_frame), min(int(expected.shape[-1] * per_frame), audio.shape[-1])
    best = min([*range(first - first % 100, last, 100), last], key=error_at)
    # Not a round number of samples: the error grows with the distance, so closer and closer around the best one.
    for step in (25, 5, 1):
        if error_at(best) >= 1e-4:
            best = min(range(max(best - 5 * step, 1), min(best + 5 * step, last) + 1, step), key=error_at)
    return error_at(best)


def test_codec_decode(record_property: Recorder, codec: MusicCodec, codec_vectors: dict[str, Tensor]) -> None:
    expected_mel = codec_vectors["mid.decoded_mel_normalized"]
    latents = codec_vectors["out.latents"][: len(expected_mel)]
    largest_error(record_property, "decoded mel", codec.decode_mel(latents), expected_mel)
    wave = codec.decode(latents[:1], sample_rate=CODEC_RATE)[0]
    largest_error(record_property, "wave 44.1 kHz", wave, codec_vectors["out.wav_44k"])
    expected = codec_vectors["out.wav_48k_trimmed"]
    wave = codec.decode(latents[:1], lengths=[expected.shape[-1]])[0]
    largest_error(record_property, "wave 48 kHz", wave, expected)


def test_codec_decode_overlapped(
    record_property: Recorder, codec: MusicCodec, codec_vectors: dict[str, Tensor]
) -> None:
    expected = codec_vectors["out.wav_48k_overlap_decode"]
    wave = codec.decode(codec_vectors["out.latents"][:1], overlapped=True)[0]
    largest_error(record_property, "overlapped wave", wave, expected)


def test_codec_loads_all_weights_of_the_vectors(codec: MusicCodec) -> None:
    stored = load("music_dcae_tiny.weights")
    folded = fold_weight_norm(with_prefix(stored, "vocoder."))
    assert codec.vocoder is not None
    assert sorted(codec.vocoder.state_dict()) == sorted(folded)
    assert sorted(codec.dcae.state_dict()) == sorted(with_prefix(stored, "dcae."))
    assert (GOLDEN / "music_dcae_tiny.io.json").is_file()
