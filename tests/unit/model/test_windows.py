"""Work in windows and in overlapping blocks gives what one call gives."""

import pytest
import torch
from torch import nn

from engine.model.overlap import overlapped_mel, overlapped_wave
from engine.model.windows import in_windows


@pytest.mark.parametrize("length", [1, 15, 16, 17, 31, 32, 33, 100])
def test_windows_of_an_upsampling_network(length: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(2, 3, 5, padding=2), nn.ConvTranspose1d(3, 1, 8, 4, padding=2))
    sequence = torch.randn(1, 2, length)
    whole = network(sequence)
    parts = in_windows(network, sequence, window=16, context=5, up=4)
    assert parts.shape == whole.shape
    assert torch.allclose(parts, whole, atol=1e-6)


@pytest.mark.parametrize("num_frames", [1, 8, 9, 20])
def test_windows_of_a_downsampling_network(num_frames: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(1, 3, 3, padding=1), nn.Conv1d(3, 2, 3, 2, padding=1))
    sequence = torch.randn(1, 1, 2 * num_frames)
    parts = in_windows(network, sequence, window=8, context=4, down=2)
    assert torch.allclose(parts, network(sequence), atol=1e-6)


def test_windows_with_too_little_context_show() -> None:
    network = nn.Conv1d(1, 1, 9, padding=4)
    sequence = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(in_windows(network, sequence, window=16, context=2), network(sequence), atol=1e-4)


@pytest.mark.parametrize("num_frames", [1, 256, 512, 513, 768, 769, 1500])
def test_overlapped_mel_of_a_local_decoder_is_its_mel(num_frames: int) -> None:
    latents = torch.arange(num_frames, dtype=torch.float32).expand(1, 2, 1, -1)
    calls = []

    def decode(part: torch.Tensor) -> torch.Tensor:
        calls.append(part.shape[-1])
        return part.repeat_interleave(8, dim=-1)

    assert torch.equal(overlapped_mel(decode, latents, factor=8), latents.repeat_interleave(8, dim=-1))
    assert max(calls) <= 512


@pytest.mark.parametrize("num_frames", [1, 511, 512, 513, 1022, 1023, 2000])
def test_overlapped_wave_of_a_local_vocoder_is_its_wave(num_frames: int) -> None:
    mel = torch.arange(1, num_frames + 1, dtype=torch.float32).expand(2, 1, -1)

    def vocode(part: torch.Tensor) -> torch.Tensor:
        assert part.shape[-1] == 512
        return part[:, 0].repeat_interleave(512, dim=-1)

    wave = overlapped_wave(vocode, mel)
    assert torch.allclose(wave[:, : num_frames * 512], vocode_all(mel))
    assert not wave[:, num_frames * 512 :].any(), "what follows is the sound of the filling"


def vocode_all(mel: torch.Tensor) -> torch.Tensor:
    return mel[:, 0].repeat_interleave(512, dim=-1)
