"""The fast forms of the codec's encoder: near float32, chosen by device and wish, replaced where their range ends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.cache.audio_latents import begin_encoding, finished_entries
from engine.model import autoencoder, codec_encode
from engine.model.autoencoder import MusicCodec
from engine.model.card import FRAME_SAMPLES
from engine.model.codec_encode import AS_LOADED, ON_TENSOR_CORES, EncoderForm, best_form
from engine.model.load import Checkpoint, load_codec

CUDA = torch.device("cuda")
BAND = 1e-2
"""Relative error of latents, promised (docs/performance.md)."""


@pytest.fixture(scope="module")
def codec(tiny: Checkpoint) -> MusicCodec:
    return load_codec(tiny, dtype=torch.float32, device="cpu", parts=("encoder",))


def sound(num_frames: float) -> Tensor:
    """Noise and a tone, (1, 2, n) at 44.1 kHz."""
    num_samples = int(num_frames * FRAME_SAMPLES)
    noise = torch.randn(1, 2, num_samples, generator=torch.Generator().manual_seed(3)) * 0.05
    return noise + 0.3 * torch.sin(torch.arange(num_samples) * 0.03)


def in_form(codec: MusicCodec, form: EncoderForm, audio: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
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
    form = EncoderForm(torch.float32, is_channels_last=True, has_fused_norms=True)
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
    made = codec_encode._in_form

    def too_large(encoder, form):
        small = made(encoder, form)
        with torch.no_grad():
            small.conv_in.weight *= 1e4
        return small

    codec._encoders.clear()
    monkeypatch.setattr(codec_encode, "_in_form", too_large)
    latents = begin_encoding(codec, [audio])
    codec._encoders.pop(ON_TENSOR_CORES[torch.float32])
    assert not torch.isfinite(latents).all()
    [entry] = finished_entries(codec, [audio], latents, num_samples=audio.shape[1])
    assert torch.equal(entry.latents, exact)
