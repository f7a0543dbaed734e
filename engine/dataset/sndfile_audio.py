"""Reading audio through libsndfile: wav, flac, aiff, caf; and the exact length of ogg (Vorbis, Opus)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from engine.dataset.audio_file import AudioInfo, UnreadableAudioError, damaged_after

if TYPE_CHECKING:
    from engine.dataset.audio_file import Samples

_BLOCK_SAMPLES = 8192
_FORMATS = {"WAVEX": "wav", "RF64": "wav", "W64": "wav"}
# Read by FFmpeg: libsndfile conceals lost pages of Ogg without a word, gives surround channels in Vorbis order and
# seeks only roughly.
_LEFT_TO_FFMPEG = frozenset({"ogg", "opus"})
# libsndfile quietly shortens a file whose data chunk is longer than the file; only its log tells.
_CUT_CHUNK = re.compile(r"^\s*(?:data|SSND)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
# Sizes from here on stand for "not known yet" in files written to a pipe: nothing is missing.
_UNKNOWN_SIZE = 0x7FFF0000


def probe(file: BinaryIO) -> AudioInfo | None:
    """Facts from the header; None when libsndfile does not know the format.

    Raises:
        UnreadableAudioError: No samples, or the file is cut off.
    """
    import soundfile  # 30 ms: libsndfile and cffi

    try:
        sound = open_sound(file)
    except soundfile.LibsndfileError:
        return None
    with sound:
        # Files of unknown length (the header was written before the sound) are FFmpeg's, which looks at the packets.
        if sound.frames <= 0 or sound.frames >= 2**62 or sound.samplerate <= 0:
            return None
        name = "opus" if sound.subtype == "OPUS" else _FORMATS.get(sound.format, sound.format.lower())
        log = sound.extra_info
        cut = _CUT_CHUNK.search(log)
        if cut is not None and int(cut[2]) < int(cut[1]) < _UNKNOWN_SIZE:
            raise UnreadableAudioError(f"{damaged_after(sound.frames, sound.samplerate)}: the file is cut off there")
        if name == "flac" and not _has_tail(sound):
            raise UnreadableAudioError(
                f"{damaged_after(_num_readable(file), sound.samplerate)}: the file is cut off there"
            )
        warning = ""
        if "lacks an end-of-stream bit" in log:
            warning = f"its end is missing: it is used as far as it goes, {sound.frames / sound.samplerate:.1f} s"
        reader: Literal["soundfile", "pyav"] = "pyav" if name in _LEFT_TO_FFMPEG else "soundfile"
        return AudioInfo(name, sound.samplerate, sound.channels, sound.frames, reader, warning)


def blocks(path: Path, file: BinaryIO, info: AudioInfo, start: int) -> Iterator[tuple[int, Samples]]:
    """Decoded blocks as (first sample, samples (channels, n)), from sample `start` on.

    Raises:
        UnreadableAudioError: Damaged.
    """
    import numpy as np
    import soundfile

    position = 0
    with open_sound(file) as sound:
        try:
            position = sound.seek(start)
            while len(block := sound.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                yield position, np.ascontiguousarray(block.T)
                position += len(block)
        except soundfile.LibsndfileError as error:
            raise UnreadableAudioError(damaged_after(position, info.sample_rate)) from error


def open_sound(file: BinaryIO) -> Any:
    """A SoundFile on an open unbuffered file, so that names in any encoding open; `file` stays open."""
    import soundfile

    file.seek(0)
    return soundfile.SoundFile(file.fileno(), closefd=False)


def _has_tail(sound: Any) -> bool:
    """Whether the last samples of a flac are there (0.5 ms); they are not in a file that was not copied in full."""
    import soundfile

    tail = min(_BLOCK_SAMPLES, sound.frames)
    try:
        sound.seek(sound.frames - tail)
        return bool(len(sound.read(tail, dtype="float32", always_2d=True)) == tail)
    except soundfile.LibsndfileError:
        return False


def _num_readable(file: BinaryIO) -> int:
    """Samples that can be decoded from the start of a damaged file."""
    import soundfile

    position = 0
    try:
        with open_sound(file) as sound:
            while len(block := sound.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                position += len(block)
    except soundfile.LibsndfileError:
        pass
    return position
