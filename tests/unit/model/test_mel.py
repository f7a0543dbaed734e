"""The log-mel transform beyond the golden vectors: pieces, silence, precision."""

import math
from dataclasses import replace

import pytest
import torch

from engine.model import mel
from engine.model.vocoder import VocoderConfig


@pytest.fixture(scope="module")
def log_mel() -> mel.LogMel:
    return mel.LogMel(VocoderConfig())


def test_frames_in_pieces_are_the_frames_in_one_go(log_mel: mel.LogMel, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = torch.randn(2, 512 * 23 + 100, generator=torch.Generator().manual_seed(1))
    whole = log_mel(audio)
    monkeypatch.setattr(mel, "_FRAMES_PER_CALL", 5)
    assert whole.shape == (2, 128, 23)
    assert torch.allclose(log_mel(audio), whole, atol=1e-5)


def test_other_settings_give_a_frame_per_hop() -> None:
    config = VocoderConfig(hop_length=250, upsample_rates=(250,), n_fft=1024, win_length=1024, n_mels=40, f_max=8000)
    log_mel = mel.LogMel(replace(config, sampling_rate=16_000))
    shapes = {count: tuple(log_mel(torch.zeros(count)).shape) for count in (2499, 2500, 2501)}
    assert shapes == {2499: (40, 9), 2500: (40, 10), 2501: (40, 10)}
    odd = mel.LogMel(replace(config, win_length=1001))
    # An odd margin has its larger half at the end: (1001 - 250) samples are added, and 1024 are one transform.
    assert odd(torch.zeros(2500)).shape[-1] == (2500 + 751 - 1024) // 250 + 1


def test_silence_is_even_and_above_the_floor(log_mel: mel.LogMel) -> None:
    silence = log_mel(torch.zeros(1, 4096))
    assert torch.isfinite(silence).all()
    # Silence still has the magnitude sqrt(1e-6) in every bin: a band gives the sum of its weights times that.
    expected = torch.log((log_mel.filter_bank.sum(dim=0) * 1e-3).clamp(min=mel.MEL_FLOOR))
    assert torch.allclose(silence[0], expected[:, None].expand(-1, 8), atol=1e-5)


def test_a_tone_lands_in_its_band(log_mel: mel.LogMel) -> None:
    hz = 1000.0
    audio = torch.sin(2 * math.pi * hz * torch.arange(44_100) / 44_100)[None]
    loudest = log_mel(audio)[0].mean(dim=1).argmax()
    bin_weights = log_mel.filter_bank[round(hz * 2048 / 44_100)]
    assert bin_weights[loudest] == bin_weights.max()


def test_half_precision_audio_is_analysed_in_float32(log_mel: mel.LogMel) -> None:
    audio = torch.randn(1, 4096, generator=torch.Generator().manual_seed(2)).bfloat16()
    assert log_mel(audio).dtype == torch.float32
    assert torch.equal(log_mel(audio), log_mel(audio.float()))


def test_normalise_maps_the_range_to_one() -> None:
    ends = torch.tensor([mel.MIN_MEL, mel.MAX_MEL, -18.0])
    assert torch.allclose(mel.normalise(ends), torch.tensor([-1.0, 1.0, -2.0]))
    assert torch.allclose(mel.denormalise(mel.normalise(ends)), ends)
