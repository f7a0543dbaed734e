"""One audio file: its facts from the header, and its samples.

libsndfile (soundfile) comes first, FFmpeg (PyAV, whose wheels carry it) reads the rest: m4a, aac, wma, alac,
containers. MP3 and Ogg go to FFmpeg too: libsndfile's MP3 library writes its complaints to the terminal, into whatever
screen is there, and of Ogg see `sndfile_audio`. What a file is says its content, never its suffix.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from engine.contract.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]  # (channels, samples)

# A container's clock may be coarse (milliseconds in Matroska and ASF) and count a codec's priming: so much may be
# missing at the end of a whole file, and is silence: four frames of AAC. A truncated file misses more.
TOLERANCE_S = 0.1


class UnreadableAudioError(DataError):
    """A file whose sound cannot be had; the message is the reason alone, in plain words ("damaged after 0.4 s")."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """Facts of a file as its header (or, for formats without a length, its packets) tells them.

    Attributes:
        format: "wav", "flac", "mp3", "ogg", "opus", "aiff", "m4a", "aac", "alac", "wma", "mkv", ….
        sample_rate: Hz.
        num_channels: Channels.
        num_samples: Samples a channel; `read_audio` of the whole file returns exactly as many.
        reader: The library that decodes it.
        warning: Something to tell about a file that is used all the same; empty mostly.
    """

    format: str
    sample_rate: int
    num_channels: int
    num_samples: int
    reader: Literal["soundfile", "pyav"]
    warning: str = ""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


def read_info(path: Path) -> AudioInfo:
    """Facts of an audio file without decoding it (spec config-formats.md 2.4).

    A file that ends before its header says is found here too, and only then decoded, to tell where it ends.

    Raises:
        UnreadableAudioError: Not a regular file, not permitted, empty, not audio, no sound in it, or cut off.
    """
    from engine.dataset import container_audio, sndfile_audio

    with _open(path) as file:
        head = file.read(_HEAD_BYTES)
        if not head:
            raise UnreadableAudioError("empty file (0 bytes)")
        # MP3 without (sync word) or with tags. A flac behind an ID3 tag lands in FFmpeg as well, which reads it.
        is_mp3 = head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)
        info = None if is_mp3 else sndfile_audio.probe(file)
        if info is None:
            info = container_audio.probe(path, file)
        if info is None:
            raise UnreadableAudioError(_why_not(head, os.fstat(file.fileno()).st_size))
    return info


def read_audio(path: Path, *, start_s: float = 0.0, duration_s: float | None = None) -> tuple[Samples, int]:
    """Decode a file, or a part of it, at its own rate.

    Whatever the format, a part is bit for bit the slice of the whole that it names: where a library cannot seek
    exactly, it decodes from the start.

    Args:
        path: The file.
        start_s: Where to begin, in seconds.
        duration_s: How much, in seconds; None = to the end. Less is returned when the file ends earlier.

    Returns:
        Samples (channels, n), float32, integers scaled to ±1, channels in WAV order (left, right, centre, LFE, …);
        and the rate in Hz.

    Raises:
        UnreadableAudioError: As `read_info`; damaged within the part; samples that are not finite; no samples.
    """
    import numpy as np

    from engine.dataset import container_audio, sndfile_audio

    info = read_info(path)
    start = round(start_s * info.sample_rate)
    stop = info.num_samples if duration_s is None else start + round(duration_s * info.sample_rate)
    stop = min(stop, info.num_samples)
    if start >= stop:
        raise UnreadableAudioError(f"no sound after {start_s:.1f} s: it is {info.duration_s:.1f} s long")
    blocks = sndfile_audio.blocks if info.reader == "soundfile" else container_audio.blocks
    samples = np.zeros((info.num_channels, stop - start), dtype=np.float32)
    position = start
    with _open(path) as file:
        for block in _from_sample(blocks(path, file, info, start), start):
            part = block[:, : stop - position]
            samples[:, position - start : position - start + part.shape[1]] = part
            position += part.shape[1]
            if position >= stop:
                break
    if position < stop and position < info.num_samples - TOLERANCE_S * info.sample_rate:
        raise UnreadableAudioError(
            f"damaged: only {position / info.sample_rate:.1f} of its {info.duration_s:.1f} s can be read"
        )
    if not np.isfinite(samples).all():
        bad = int(np.argmin(np.isfinite(samples).all(axis=0)))
        raise UnreadableAudioError(f"damaged: its samples are not numbers at {(start + bad) / info.sample_rate:.1f} s")
    return samples, info.sample_rate


def read_blocks(path: Path, info: AudioInfo) -> Iterator[Samples]:
    """Decode a whole file block by block, so that its length costs no memory.

    Args:
        path: The file.
        info: Of `read_info`.

    Raises:
        UnreadableAudioError: Damaged before its end; everything up to there was given.
    """
    from engine.dataset import container_audio, sndfile_audio

    blocks = sndfile_audio.blocks if info.reader == "soundfile" else container_audio.blocks
    with _open(path) as file:
        for _, block in blocks(path, file, info, 0):
            yield block


def damaged_after(num_samples: int, sample_rate: int) -> str:
    """The reason for a file that decodes so far and no further."""
    return f"damaged after {num_samples / sample_rate:.1f} s"


def _from_sample(blocks: Iterator[tuple[int, Samples]], start: int) -> Iterator[Samples]:
    """Drop what lies before sample `start` of a stream of (first sample, block)."""
    for first, block in blocks:
        part = block[:, max(0, start - first) :]
        if part.shape[1]:
            yield part


def _open(path: Path) -> BinaryIO:
    """Open a regular file; a name without sound behind it (a pipe, a device) is refused before it can block."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableAudioError("not a regular file")
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise UnreadableAudioError("a broken link" if path.is_symlink() else "the file is gone") from None
    except OSError as error:
        raise UnreadableAudioError(f"cannot be opened: {(error.strerror or str(error)).lower()}") from error


_HEAD_BYTES = 64
# Beginnings of audio files, to tell a damaged one from one that never was audio.
_MAGIC = {
    "wav": (b"RIFF", b"RF64", b"riff"),
    "flac": (b"fLaC",),
    "ogg": (b"OggS",),
    "aiff": (b"FORM",),
    "mp3": (b"ID3",),
    "wma": (b"\x30\x26\xb2\x75",),
    "matroska": (b"\x1a\x45\xdf\xa3",),
    "caf": (b"caff",),
}


def _why_not(head: bytes, size_bytes: int) -> str:
    """The reason no library opens a file, from how it begins."""
    if head[4:8] == b"ftyp":
        return "damaged: the index of the file is missing (was it copied in full?)"
    for name, beginnings in _MAGIC.items():
        if head.startswith(beginnings):
            return f"damaged: it begins like {name}, but its header cannot be read"
    return f"not audio (0 of {size_bytes:,} bytes can be read)"
