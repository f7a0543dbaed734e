"""The fast forms of the codec: near float32, chosen by device and wish, replaced where their range ends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.cache.audio_latents import begin_encoding, finished_entries
from engine.model import autoencoder, codec_encode, codec_form
from engine.model.autoencoder import MusicCodec
from engine.model.card import FRAME_SAMPLES
from engine.model.codec_form import AS_LOADED, ON_TENSOR_CORES, CodecForm, best_form
from engine.model.load import Checkpoint, load_codec

CUDA = torch.device("cuda")
BAND = 1e-2
"""Relative error of latents, promised (docs/performance.md)."""


@pytest.fixture(scope="module")
def codec(tiny: Checkpoint) -> MusicCodec:
    return load_codec(tiny, dtype=torch.float32, device="cpu")


def sound(num_frames: float) -> Tensor:
    """Noise and a tone, (1, 2, n) at 44.1 kHz."""
    num_samples = int(num_frames * FRAME_SAMPLES)
    noise = torch.randn(1, 2, num_samples, generator=torch.Generator().manual_seed(3)) * 0.05
    return noise + 0.3 * torch.sin(torch.arange(num_samples) * 0.03)


def in_form(codec: MusicCodec, form: CodecForm, audio: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setattr(autoencoder, "best_form", lambda _dtype, _device: form)
    return codec.encode(audio, sample_rate=44_100, is_exact=False)[0]


def relative_error(latents: Tensor, exact: Tensor) -> float:
    return float((latents - exact).norm() / exact.norm())


@pytest.mark.parametrize("num_frames", [3.5, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_card_computes_is_within_the_band(codec, monkeypatch, dtype, num_frames) -> None:
    monkeypatch.setattr(autoencoder, "WINDOW_FRAMES", 64)
    audio = sound(num_frames)
    exact = codec.encode(audio, sample_rate=44_100)[0]
    latents = in_form(codec, ON_TENSOR_CORES[dtype], audio, monkeypatch)
    assert latents.dtype == torch.float32 and latents.shape == exact.shape
    assert not torch.equal(latents, exact)
    assert relative_error(latents, exact) < (BAND if dtype == torch.float32 else 3 * BAND)


def test_layout_and_fused_norms_alone_change_rounding_only(codec, monkeypatch) -> None:
    monkeypatch.setattr(autoencoder, "WINDOW_FRAMES", 64)
    audio = sound(40)
    exact = codec.encode(audio, sample_rate=44_100)[0]
    form = CodecForm(torch.float32, is_channels_last=True, is_fused=True)
    assert relative_error(in_form(codec, form, audio, monkeypatch), exact) < 1e-5


def test_a_form_leaves_the_codec_as_it_was(codec, monkeypatch) -> None:
    audio = sound(5)
    before = {name: tensor.clone() for name, tensor in codec.state_dict().items()}
    exact = codec.encode(audio, sample_rate=44_100)[0]
    in_form(codec, ON_TENSOR_CORES[torch.float32], audio, monkeypatch)
    assert torch.equal(codec.encode(audio, sample_rate=44_100)[0], exact)
    assert before.keys() == codec.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in codec.state_dict().items())


@pytest.mark.parametrize(
    ("dtype", "card", "expected"),
    [
        (torch.float32, ((9, 0), None, True), torch.float16),
        (torch.float16, ((7, 0), None, True), torch.float16),
        (torch.bfloat16, ((8, 0), None, False), torch.bfloat16),
        (torch.float32, ((9, 0), None, False), None),
        (torch.float32, ((6, 1), None, True), None),
        (torch.float32, ((9, 0), "6.2", True), None),
    ],
)
def test_the_form_follows_the_card_and_the_digits_asked_for(monkeypatch, dtype, card, expected) -> None:
    capability, hip, tf32 = card
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
    assert best_form(dtype, CUDA).dtype == expected
    for kind in ("cpu", "mps"):
        assert best_form(dtype, torch.device(kind)) == AS_LOADED


def test_a_sound_beyond_the_range_of_half_precision_is_encoded_as_the_codec_was_loaded(codec, monkeypatch) -> None:
    audio = sound(5)[0]
    exact = codec.encode(audio[None], sample_rate=44_100)[0][0]
    monkeypatch.setattr(autoencoder, "best_form", lambda _dtype, _device: ON_TENSOR_CORES[torch.float32])
    made = codec_encode.in_form

    def too_large(encoder, form):
        small = made(encoder, form)
        if form != AS_LOADED:
            with torch.no_grad():
                small.conv_in.weight *= 1e4
        return small

    codec._encoders.clear()
    monkeypatch.setattr(codec_encode, "in_form", too_large)
    latents = begin_encoding(codec, [audio])
    codec._encoders.pop(ON_TENSOR_CORES[torch.float32])
    assert not torch.isfinite(latents).all()
    [entry] = finished_entries(codec, [audio], latents, num_samples=audio.shape[1])
    assert torch.equal(entry.latents, exact)


@pytest.mark.parametrize(
    ("form", "band"),
    [
        (CodecForm(torch.float32, is_channels_last=True, is_fused=True), 1e-5),
        (ON_TENSOR_CORES[torch.float32], BAND),
    ],
)
@pytest.mark.parametrize("is_overlapped", [False, True])
def test_clips_decoded_in_a_form_are_near_too(codec, monkeypatch, form, band, is_overlapped) -> None:
    latents = torch.randn(2, 8, 16, 20, generator=torch.Generator().manual_seed(1))
    exact = codec.decode(latents, overlapped=is_overlapped, lengths=[80_000, 70_000])
    monkeypatch.setattr(autoencoder, "best_form", lambda _dtype, _device: form)
    monkeypatch.setattr(autoencoder, "window_frames", lambda _weight: 64)
    waves = codec.decode(latents, overlapped=is_overlapped, lengths=[80_000, 70_000], is_exact=False)
    for wave, expected in zip(waves, exact, strict=True):
        assert wave.dtype == torch.float32 and wave.shape == expected.shape
        assert not torch.equal(wave, expected)
        assert relative_error(wave, expected) < band


def test_a_clip_beyond_the_range_of_half_precision_is_decoded_as_the_codec_was_loaded(codec, monkeypatch) -> None:
    latents = torch.randn(1, 8, 16, 5, generator=torch.Generator().manual_seed(1))
    exact = codec.decode(latents)
    made = autoencoder.in_form
    monkeypatch.setattr(autoencoder, "best_form", lambda _dtype, _device: ON_TENSOR_CORES[torch.float32])

    def too_large(module, form):
        small = made(module, form)
        if form != AS_LOADED:
            with torch.no_grad():
                next(small.parameters()).fill_(torch.inf)
        return small

    codec._forms.clear()
    monkeypatch.setattr(autoencoder, "in_form", too_large)
    assert torch.equal(codec.decode(latents, is_exact=False)[0], exact[0])
    codec._forms.clear()


def test_every_convolution_over_time_has_a_flat_twin() -> None:
    x = torch.randn(2, 8, 50)
    kinds = [
        torch.nn.Conv1d(8, 6, 7, padding=3, groups=2),
        torch.nn.Conv1d(8, 6, 3, padding=6, dilation=6, stride=2),
        torch.nn.Conv1d(8, 6, 7, padding=3, padding_mode="replicate"),
        torch.nn.ConvTranspose1d(8, 4, 8, 4, padding=2),
    ]
    for conv in kinds:
        flat = codec_form.FlatConv(conv)
        torch.testing.assert_close(flat(codec_form.with_channels_last(x)), conv(x), atol=1e-5, rtol=1e-5)
