"""Log-mel spectrogram as the codec of ACE-Step v1 expects it (spec 6.1); always in float32."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from engine.model.vocoder import VocoderConfig

MEL_FLOOR = 1e-5
"""Smallest mel magnitude: the logarithm of silence is ln(1e-5) = -11.5."""

MIN_MEL = -11.0
"""Log-mel value that is normalised to -1."""

MAX_MEL = 3.0
"""Log-mel value that is normalised to 1."""

# Frames transformed at once: the complex spectrum of four minutes of stereo would take 340 MB.
_FRAMES_PER_CALL = 4096


class LogMel:
    """Log-mel transform with the vocoder's settings.

    Not an ``nn.Module``: casting the codec to half precision must not reach the window and the filter bank.
    """

    def __init__(self, config: VocoderConfig) -> None:
        # transformers takes a second to import; only code that makes mels pays for it.
        from transformers.audio_utils import mel_filter_bank

        self.n_fft, self.hop_length = config.n_fft, config.hop_length
        self.window = torch.hann_window(config.win_length, periodic=True, dtype=torch.float32)
        bank = mel_filter_bank(
            num_frequency_bins=config.n_fft // 2 + 1,
            num_mel_filters=config.n_mels,
            min_frequency=config.f_min,
            max_frequency=config.f_max,
            sampling_rate=config.sampling_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        self.filter_bank = torch.from_numpy(bank).to(torch.float32)
        self._on: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def __call__(self, audio: torch.Tensor) -> torch.Tensor:
        """Log-mel ``(…, n_mels, floor(n/hop))`` of a waveform ``(…, n)``, float32, on the waveform's device."""
        # In terms of the window, like the original; in the released model it is as long as the transform.
        missing = len(self.window) - self.hop_length
        margins = missing // 2, missing - missing // 2
        signal = F.pad(audio.float().reshape(-1, audio.shape[-1]), margins, mode="reflect")
        num_frames = (signal.shape[-1] - self.n_fft) // self.hop_length + 1
        parts = [
            self._log_mel(signal, first, min(first + _FRAMES_PER_CALL, num_frames))
            for first in range(0, num_frames, _FRAMES_PER_CALL)
        ]
        mel = torch.cat(parts, dim=-1)
        return mel.reshape(*audio.shape[:-1], *mel.shape[-2:])

    def _log_mel(self, signal: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """Frames `first` up to `last` of a padded signal ``(B, n)``: ``(B, n_mels, last - first)``."""
        samples = signal[:, first * self.hop_length : (last - 1) * self.hop_length + self.n_fft]
        window, filter_bank = self._buffers(signal.device)
        spectrum = torch.stft(
            samples, self.n_fft, self.hop_length, len(window), window, center=False, return_complex=True
        )
        magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-6)
        return torch.log(torch.clamp(filter_bank @ magnitude, min=MEL_FLOOR))

    def _buffers(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Window and transposed filter bank on a device; copied there once, for each copy waits for the device."""
        if device not in self._on:
            self._on[device] = self.window.to(device), self.filter_bank.T.contiguous().to(device)
        return self._on[device]


def normalise(mel: torch.Tensor) -> torch.Tensor:
    """Log-mel to the range the autoencoder works in: -11…3 becomes -1…1, not clamped."""
    return ((mel - MIN_MEL) / (MAX_MEL - MIN_MEL) - 0.5) / 0.5


def denormalise(mel: torch.Tensor) -> torch.Tensor:
    """Inverse of `normalise`."""
    return (mel * 0.5 + 0.5) * (MAX_MEL - MIN_MEL) + MIN_MEL
