"""Songs that are there twice: files of the very same bytes, and the same sound in other tags or another format."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from engine.dataset.doctor_sound import sound_digest
from engine.dataset.report import Problem, Song

SongKey: TypeAlias = tuple[str, str]
"""Data set and relative path."""
_READ_BYTES = 1 << 20
_MIDDLE_BYTES = 4096


def same_files(songs: Iterable[Song], *, should_stop: Callable[[], bool] = lambda: False) -> dict[SongKey, str]:
    """Files with the very same content as an earlier one, with the earlier one's name.

    Only files of equal length and size are looked into, and read if they are alike there. What is found so far is
    returned when stopped.
    """
    sized: dict[tuple[int, int], list[Song]] = {}
    for song in songs:
        sized.setdefault((song.num_samples, song.size_bytes), []).append(song)
    alike: dict[tuple[int, int, bytes], list[Song]] = {}
    for size, group in sized.items():
        for song in group if len(group) > 1 else ():
            if should_stop():
                return {}
            # Songs of one bit rate and length are many; a look into their middle tells nearly all of them apart.
            alike.setdefault((*size, _middle(song)), []).append(song)
    found: dict[SongKey, str] = {}
    for group in alike.values():
        first: dict[str, str] = {}
        for song in group if len(group) > 1 else ():
            if should_stop():
                return found
            digest = _digest(song)
            if digest and digest in first:
                found[song_key(song)] = first[digest]
            elif digest:
                first[digest] = song.relative_path
    return found


def same_sounds(
    songs: Sequence[Song], fingerprints: Mapping[SongKey, str], *, should_stop: Callable[[], bool] = lambda: False
) -> dict[SongKey, str]:
    """Songs that sound exactly as an earlier one, with the earlier one's name, whatever their bytes.

    Candidates have an equal fingerprint (`Heard.fingerprint`); that they are the same is made sure by decoding them
    (half a second each). Copies of one file are decoded once.

    Args:
        songs: Any number.
        fingerprints: Those that are known.
        should_stop: Asked between songs; what is found so far is returned then.
    """
    found = same_files(songs, should_stop=should_stop)
    alike: dict[str, list[Song]] = {}
    for song in songs:
        fingerprint = fingerprints.get(song_key(song))
        if fingerprint and song_key(song) not in found:
            alike.setdefault(fingerprint, []).append(song)
    for group in alike.values():
        first: dict[str, str] = {}
        for song in group if len(group) > 1 else ():
            if should_stop():
                return found
            digest = sound_digest(song.path)
            if digest and digest in first:
                found[song_key(song)] = first[digest]
            elif digest:
                first[digest] = song.relative_path
    return found


def duplicate_problems(duplicates: Mapping[SongKey, str]) -> dict[SongKey, tuple[Problem, ...]]:
    """The same as problems, by song."""
    return {
        key: (Problem(key[1], "warning", "duplicate", f"the same as {other.rpartition('/')[2]}"),)
        for key, other in duplicates.items()
    }


def song_key(song: Song) -> SongKey:
    """What a song is told by."""
    return song.backend_id, song.relative_path


def _middle(song: Song) -> bytes:
    """Some bytes of a file; none when it cannot be read."""
    try:
        with song.path.open("rb") as file:
            file.seek(song.size_bytes // 2)
            return file.read(_MIDDLE_BYTES)
    except OSError:
        return b""


def _digest(song: Song) -> str:
    """Hash of a file's content; empty when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with song.path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()
