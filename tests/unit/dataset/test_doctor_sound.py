"""Hearing songs in parts: silence, clipping, damage, songs that are there twice."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.dataset.doctor_duplicates import same_files, same_sounds, song_key
from engine.dataset.doctor_sound import hear, sound_digest, sound_problems
from engine.dataset.report import Song
from engine.demo.encode import encode

RATE = 22_050


def music(
    seconds: float, *, before_s: float = 0.0, after_s: float = 0.0, level: float = 0.4, seed: int = 0
) -> np.ndarray:
    """Noise and a tone, mono, with silence around it."""
    num = round(seconds * RATE)
    signal = np.sin(2 * np.pi * 440 * np.arange(num) / RATE) + 0.3 * np.random.default_rng(seed).standard_normal(num)
    signal *= level / np.abs(signal).max()
    quiet = [np.zeros(round(part * RATE)) for part in (before_s, after_s)]
    return np.concatenate([quiet[0], signal, quiet[1]])[None].astype(np.float32)


def written(folder: Path, name: str, samples: np.ndarray) -> Path:
    path = folder / name
    path.write_bytes(encode(samples, RATE, path.suffix[1:]))
    return path


def a_song(path: Path, samples: np.ndarray) -> Song:
    return Song(
        backend_id="songs",
        path=path,
        relative_path=path.name,
        format=path.suffix[1:],
        sample_rate=RATE,
        num_channels=1,
        num_samples=samples.shape[1],
        duration_s=samples.shape[1] / RATE,
        size_bytes=path.stat().st_size,
        mtime_ns=0,
        captions=("rock",),
    )


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a", "aac"])
def test_silence_at_both_ends_is_measured_in_parts_as_in_full(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"a.{suffix}", music(24.0, before_s=3.5, after_s=5.0))
    parts, whole = hear(path), hear(path, is_whole=True)
    assert parts is not None and whole is not None
    assert whole.is_whole and not parts.is_whole
    assert parts.heard_s < 20 < whole.heard_s
    for heard in (parts, whole):
        assert heard.leading_s == pytest.approx(3.5, abs=0.1)
        assert heard.trailing_s == pytest.approx(5.0, abs=0.15)
    assert parts.peak == pytest.approx(whole.peak, abs=0.1)
    assert parts.fingerprint
    (problem,) = sound_problems("a", parts)
    assert problem.code == "long_silence"
    assert re.fullmatch(r"begins with 3\.[456] s of silence, ends with (4\.9|5\.[01]) s of silence", problem.reason)


def test_clipping_is_found_in_parts_and_its_share_is_about_the_true_one(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.clip(music(40.0, level=3.0), -1, 1).T, RATE, subtype="FLOAT")
    parts, whole = hear(path), hear(path, is_whole=True)
    assert parts is not None and whole is not None
    assert whole.clipped_share > 0.02
    assert parts.clipped_share == pytest.approx(whole.clipped_share, rel=0.25)
    assert [one.code for one in sound_problems("a", parts)] == ["clipped"]
    assert sound_problems("a", parts)[0].reason == f"clips {100 * parts.clipped_share:.1f} %"


def test_a_silent_song_is_heard_in_full_and_has_no_fingerprint(tmp_path: Path) -> None:
    path = written(tmp_path, "a.flac", np.zeros((1, 45 * RATE), np.float32))
    heard = hear(path)
    assert heard is not None
    assert (heard.is_silent, heard.is_whole, heard.fingerprint, heard.leading_s) == (True, True, "", 45.0)
    assert [one.reason for one in sound_problems("a", heard)] == ["silent"]


def test_damage_and_samples_that_are_no_numbers_are_told_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = music(30.0)
    samples[0, round(0.5 * RATE)] = np.nan
    soundfile.write(path, samples.T, RATE, subtype="FLOAT")
    heard = hear(path)
    assert heard is not None
    assert heard.problem == "damaged: its samples are not numbers at 0.5 s"
    assert [one.code for one in sound_problems("a", heard)] == ["damaged"]
    flac = written(tmp_path, "b.flac", music(30.0))
    content = bytearray(flac.read_bytes())
    content[len(content) // 3 : 2 * len(content) // 3] = bytes(len(content) // 3)
    flac.write_bytes(content)
    heard = hear(flac, is_whole=True)
    assert heard is not None
    assert heard.problem.startswith("damaged after 9.") or heard.problem.startswith("damaged after 10.")


def test_hearing_stops_when_asked(tmp_path: Path) -> None:
    path = written(tmp_path, "a.wav", music(30.0))
    assert hear(path, should_stop=lambda: True) is None
    assert hear(path, is_whole=True, should_stop=lambda: True) is None


def test_the_same_sound_in_other_tags_or_another_lossless_format_is_found(tmp_path: Path) -> None:
    sound, other = np.round(music(22.0) * 32767) / 32768, music(22.0, seed=1)
    paths = {"a.wav": sound, "b.flac": sound, "c.wav": other, "d.wav": sound}
    for name, samples in paths.items():
        soundfile.write(tmp_path / name, samples.T, RATE, subtype="PCM_16")
    mp3 = written(tmp_path, "e.mp3", other)
    (tmp_path / "f.mp3").write_bytes(mp3.read_bytes() + b"TAG" + b"another title".ljust(125, b"\0"))
    songs = [a_song(tmp_path / name, sound) for name in (*paths, "e.mp3", "f.mp3")]
    prints = {}
    for song in songs:
        heard = hear(song.path)
        assert heard is not None
        prints[song_key(song)] = heard.fingerprint
    assert same_files(songs) == {("songs", "d.wav"): "a.wav"}
    assert same_sounds(songs, prints) == {
        ("songs", "d.wav"): "a.wav",
        ("songs", "b.flac"): "a.wav",
        ("songs", "f.mp3"): "e.mp3",
    }
    assert sound_digest(tmp_path / "a.wav") == sound_digest(tmp_path / "b.flac") != sound_digest(tmp_path / "c.wav")


def test_songs_that_only_begin_alike_are_not_the_same(tmp_path: Path) -> None:
    one = music(22.0)
    two = one.copy()
    two[0, 11 * RATE :] *= 0.5
    songs = [a_song(written(tmp_path, name, samples), samples) for name, samples in (("a.wav", one), ("b.wav", two))]
    heard = [hear(song.path) for song in songs]
    assert heard[0] is not None and heard[1] is not None
    assert heard[0].fingerprint == heard[1].fingerprint
    prints = {song_key(song): heard[0].fingerprint for song in songs}
    assert same_sounds(songs, prints) == {}
    assert same_sounds(songs, prints, should_stop=lambda: True) == {}
