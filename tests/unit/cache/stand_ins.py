"""Encoders that take no time, and songs on disk, for tests of what happens around encoding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from engine.batches.bucket import Entry, plan_clips
from engine.cache.audio_latents import AudioLatents
from engine.cache.store import CacheStore
from engine.cache.text_states import TextStates
from engine.contract.backends import AudioBlock
from engine.dataset.audio_file import read_info
from engine.dataset.report import Song
from engine.model.card import encoded_frames, whole_frames


class StandInCodec:
    """Latents that tell their sound apart, in the shapes of the real codec."""

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def encode(
        self, audio: Tensor, *, sample_rate: int = 48_000, lengths: object = None, is_exact: bool = False
    ) -> tuple[Tensor, Tensor]:
        assert audio.dtype == torch.float32 and audio.shape[1] == 2
        self.batch_sizes.append(len(audio))
        frames = encoded_frames(audio.shape[-1], sample_rate=sample_rate)
        means = audio[..., : frames * 4000].reshape(len(audio), 2, -1).std(dim=-1)
        latents = means[:, [0, 1] * 4, None, None] * torch.ones(len(audio), 8, 16, frames)
        return latents, torch.full((len(audio),), whole_frames(audio.shape[-1], sample_rate=sample_rate))


class StandInTextEncoder:
    """One state per word and one for the end, as an encoder gives them: unpadded."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def encode(self, captions: Sequence[str], *, query_scale: float | None = None) -> list[Tensor]:
        self.batches.append(list(captions))
        return [
            torch.stack([torch.full((768,), float(len(word))) for word in [*caption.split(), ""]])
            for caption in captions
        ]


def write_songs(folder: Path, seconds: Sequence[float], *, rate: int = 22_050) -> list[Song]:
    """Noise of the given lengths as WAV files ``0.wav``, ``1.wav``, …"""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for index, value in enumerate(seconds):
        noise = generator.uniform(-0.1 * (index + 1), 0.1 * (index + 1), (round(value * rate), 2))
        soundfile.write(folder / f"{index}.wav", noise.astype(np.float32), rate, subtype="PCM_16")
    return [song_of(folder / f"{index}.wav", folder) for index in range(len(seconds))]


def song_of(path: Path, folder: Path, **more: object) -> Song:
    info, stat = read_info(path), path.stat()
    values: dict[str, object] = {
        "backend_id": "songs",
        "path": path,
        "relative_path": path.relative_to(folder).as_posix(),
        "format": "wav",
        "sample_rate": info.sample_rate,
        "num_channels": info.num_channels,
        "num_samples": info.num_samples,
        "duration_s": info.duration_s,
        "size_bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "captions": (f"caption of {path.stem}",),
        **more,
    }
    return Song(**values)  # type: ignore[arg-type]


def entries_of(songs: Sequence[Song], **audio: object) -> tuple[Entry, ...]:
    return plan_clips(songs, AudioBlock(**audio), 1).entries  # type: ignore[arg-type]


def caches(folder: Path) -> tuple[AudioLatents, TextStates]:
    store = CacheStore(audio_folder=folder / "audio", text_folder=folder / "text")
    return AudioLatents(store, encoder_id="stand-in"), TextStates(store, encoder_id="stand-in")
