"""Samples to a batch: pad what differs in length, mask the padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Sample:
    """One visit, read and drawn: everything about it is decided.

    Attributes:
        latents: (8, H, T) float32, only valid frames.
        noise: Same shape.
        timestep_index: Index into the table of noise levels.
        text_states: (tokens, 768); zero when the text is dropped.
        lyric_ids: (tokens,) int64; zero when absent or dropped.
        lyric_mask: (tokens,) int64; zero likewise.
        ssl: (frames, width) by name of the self-supervised encoder; None where the cache has none.
        file: Name for messages.
        position: Global sample position.
        audio_s: Seconds of sound in it.
        lyrics_withheld: The piece trains without its song's lyrics, because nobody knows which belong to it.
        walk: Positions of the table of noise levels that the model walks itself before it is trained here; 0 = none.
    """

    latents: Tensor
    noise: Tensor
    timestep_index: int
    text_states: Tensor
    lyric_ids: Tensor
    lyric_mask: Tensor
    ssl: Mapping[str, Tensor | None]
    file: str
    position: int
    audio_s: float
    lyrics_withheld: bool = False
    walk: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch of B samples from one bucket.

    Attributes:
        latents: (B, 8, H, T) float32, zero in padding.
        frame_mask: (B, T) float32, 1 = sound; None when no frame is padding.
        text_states: (B, S_text, 768), the dtype they are cached in, zero in padding.
        text_mask: (B, S_text) int64. Kept where the text is dropped.
        lyric_ids: (B, S_lyric) int64, 0 in padding and where dropped or absent.
        lyric_mask: (B, S_lyric) int64, likewise.
        noise: Like latents; zero in padding, so that it depends on no other sample of the batch.
        timestep_index: (B,) int64.
        ssl_targets: By name of the self-supervised encoder, per sample (frames, width) or None; None when no sample of
            the batch has any.
        files: Names for messages.
        positions: Global sample positions.
        audio_s: Seconds of sound, padding not counted.
        bucket: Label.
        num_lyrics_withheld: Samples that train without their song's lyrics.
        walks: `Sample.walk` of each sample; numbers of the host, so that nobody waits for the device to read them.
    """

    latents: Tensor
    frame_mask: Tensor | None
    text_states: Tensor
    text_mask: Tensor
    lyric_ids: Tensor
    lyric_mask: Tensor
    noise: Tensor
    timestep_index: Tensor
    ssl_targets: dict[str, tuple[Tensor | None, ...]] | None
    files: tuple[str, ...]
    positions: tuple[int, ...]
    audio_s: float
    bucket: str
    num_lyrics_withheld: int = 0
    walks: tuple[int, ...] = ()

    @property
    def longest(self) -> int:
        """The most rows of a sample that a layer of the model sees: frames, conditions or distances between lyrics."""
        num_text, num_lyrics = self.text_states.shape[1], self.lyric_ids.shape[1]
        return max(self.latents.shape[-1], 1 + num_text + num_lyrics, 2 * num_lyrics)

    def tensors(self) -> dict[str, Tensor]:
        """All of its tensors by name."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        named = {name: value for name, value in found.items() if isinstance(value, Tensor)}
        for encoder, targets in (self.ssl_targets or {}).items():
            named |= {f"{encoder}.{index}": target for index, target in enumerate(targets) if target is not None}
        return named

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch with its tensors on ``device``."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin(self) -> Batch:
        """The same batch in page-locked memory, from which copies to a CUDA device run beside its work."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def pieces(self, size: int) -> list[Batch]:
        """The same samples in batches of at most ``size``, in order and padded as they are here."""
        if len(self.files) <= size:
            return [self]
        return [self._part(begin, begin + size) for begin in range(0, len(self.files), size)]

    def _part(self, begin: int, end: int) -> Batch:
        changes: dict[str, Any] = {
            field.name: value[begin:end]
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor | tuple)
        }
        ssl = self.ssl_targets and {name: targets[begin:end] for name, targets in self.ssl_targets.items()}
        if ssl is not None and all(target is None for targets in ssl.values() for target in targets):
            ssl = None
        # Known of the whole alone: so divided that the sums are right.
        changes["audio_s"] = self.audio_s * (min(end, len(self.files)) - begin) / len(self.files)
        changes["num_lyrics_withheld"] = 0 if begin else self.num_lyrics_withheld
        return dataclasses.replace(self, **changes, ssl_targets=ssl)

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors: dict[str, Any] = {
            field.name: change(value)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        ssl = self.ssl_targets and {
            name: tuple(None if target is None else change(target) for target in targets)
            for name, targets in self.ssl_targets.items()
        }
        return dataclasses.replace(self, **tensors, ssl_targets=ssl)


def collate(samples: Sequence[Sample], *, bucket: str, condition_multiple: int = 1) -> Batch:
    """Stack samples of one bucket, padded at the end to the longest of each kind.

    Args:
        samples: At least one.
        bucket: Label.
        condition_multiple: Text and lyrics are padded further, to a multiple of so many tokens: fewer shapes, so that
            compiled code and CUDA graphs are used again. What is padded has no part in the result.
    """
    frames = [sample.latents.shape[-1] for sample in samples]
    longest = max(frames)
    ssl = {name: tuple(sample.ssl[name] for sample in samples) for name in samples[0].ssl}
    has_ssl = any(target is not None for targets in ssl.values() for target in targets)
    text_states = _stacked([sample.text_states for sample in samples], condition_multiple)
    return Batch(
        latents=torch.stack([_pad_last(sample.latents, longest) for sample in samples]),
        frame_mask=None if min(frames) == longest else _mask(frames, longest).float(),
        text_states=text_states,
        text_mask=_mask([len(sample.text_states) for sample in samples], text_states.shape[1]),
        lyric_ids=_stacked([sample.lyric_ids for sample in samples], condition_multiple),
        lyric_mask=_stacked([sample.lyric_mask for sample in samples], condition_multiple),
        noise=torch.stack([_pad_last(sample.noise, longest) for sample in samples]),
        timestep_index=torch.tensor([sample.timestep_index for sample in samples], dtype=torch.int64),
        ssl_targets=ssl if has_ssl else None,
        files=tuple(sample.file for sample in samples),
        positions=tuple(sample.position for sample in samples),
        audio_s=sum(sample.audio_s for sample in samples),
        bucket=bucket,
        num_lyrics_withheld=sum(sample.lyrics_withheld for sample in samples),
        walks=tuple(sample.walk for sample in samples),
    )


def _stacked(sequences: Sequence[Tensor], multiple: int) -> Tensor:
    """(B, L, ...): zeros behind each, L the longest rounded up to a multiple."""
    stacked = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    missing = -stacked.shape[1] % multiple
    return functional.pad(stacked, (*[0, 0] * (stacked.dim() - 2), 0, missing)) if missing else stacked


def _pad_last(tensor: Tensor, length: int) -> Tensor:
    return functional.pad(tensor, (0, length - tensor.shape[-1]))


def _mask(lengths: Sequence[int], longest: int) -> Tensor:
    """(B, longest) int64: 1 up to each length."""
    return (torch.arange(longest) < torch.tensor(lengths)[:, None]).to(torch.int64)
