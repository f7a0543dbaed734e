from __future__ import annotations

import errno
import itertools
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from engine.cache.build import CacheIndex, build_cache
from engine.cache.store import shapes
from engine.contract import files
from engine.contract.errors import DataError, DiskError, ExitCode, StopRequested
from engine.contract.events import CacheProgress
from engine.dataset.report import Problem
from tests.unit.cache.stand_ins import StandInCodec, StandInTextEncoder, caches, entries_of, song_of, write_songs
from tests.worker import forked


def no_encoder() -> None:
    raise AssertionError("everything is cached: no encoder may be loaded")


class Preparation:
    """Runs `build_cache` and keeps what it said."""

    def __init__(self, folder: Path) -> None:
        self.audio, self.text = caches(folder)
        self.codec, self.encoder = StandInCodec(), StandInTextEncoder()
        self.events: list[CacheProgress] = []
        self.problems: list[Problem] = []

    def run(self, entries, captions=("", "a song"), *, should_stop: Callable[[], bool] = lambda: False, **more):
        loaders = {"load_codec": lambda: self.codec, "load_text_encoder": lambda: self.encoder, **more}
        result: CacheIndex = build_cache(
            entries,
            captions,
            audio=self.audio,
            text=self.text,
            on_progress=self.events.append,
            on_problem=self.problems.append,
            should_stop=should_stop,
            **loaders,
        )
        return result

    @property
    def made(self) -> list[CacheProgress]:
        """What was said of entries made now, without what was there when it began."""
        return [event for before, event in itertools.pairwise(self.events) if event.done > before.done]

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What became ready of which song, in order."""
        return [(event.file, event.part) for event in self.events if event.part]


def test_everything_is_encoded_once_and_told(tmp_path):
    entries = entries_of(write_songs(tmp_path / "songs", [1.0, 1.5, 1.0]), duration_interval=0.5)
    first = Preparation(tmp_path / "cache")
    index = first.run(entries, ["", "a song", "a song"])
    assert (index.entries, index.num_encoded, index.num_reused, index.audio_s) == (entries, 5, 0, 3.5)
    assert [(event.done, event.total) for event in first.made] == [(done, 5) for done in range(1, 6)]
    assert [(event.file, event.audio_s) for event in first.made[2:]] == [("0.wav", 1.0), ("1.wav", 1.5), ("2.wav", 1.0)]
    assert first.encoder.batches == [[""], ["a song"]]

    again = Preparation(tmp_path / "cache")
    index = again.run(entries, load_codec=no_encoder, load_text_encoder=no_encoder)
    assert (index.num_encoded, index.num_reused, again.made) == (0, 5, [])
    for entry in entries:
        [clip] = entry.clips
        assert again.audio.read(clip).latents.shape == (8, 16, clip.num_frames)


def captions_of(entries) -> list[str]:
    return [caption for entry in entries for caption in entry.song.captions]


def test_each_song_is_told_once_a_part_with_its_bytes(tmp_path):
    songs = write_songs(tmp_path / "songs", [1.0, 1.5])
    songs = [replace(songs[0], captions=("one", "two")), replace(songs[1], captions=("two",))]
    entries = entries_of(songs, duration_interval=0.5)
    first = Preparation(tmp_path / "cache")
    first.run(entries, ["", *captions_of(entries), "a test clip"])
    assert first.events[0] == CacheProgress(done=0, total=6, file="")
    captions = [("0.wav", "captions"), ("1.wav", "captions")]
    assert first.rows == [*captions, ("0.wav", "sound"), ("1.wav", "sound")]
    # The empty caption and the test clip's belong to no song; "one" alone does not make the captions of 0.wav whole.
    assert [event.file for event in first.events if not event.part] == ["", "", "0.wav", ""]
    sizes = {(event.file, event.part): event.bytes for event in first.events}
    for entry in entries:
        name = entry.song.relative_path
        assert sizes[name, "sound"] == first.audio.path(entry.clips[0]).stat().st_size
        assert sizes[name, "captions"] == sum(first.text.path(text).stat().st_size for text in entry.song.captions)
    assert [event.audio_s for event in first.events if event.part == "sound"] == [1.0, 1.5]


def test_what_is_there_already_is_told_at_once(tmp_path):
    entries = entries_of(write_songs(tmp_path / "songs", [1.0] * 3), duration_interval=0.5)
    first = Preparation(tmp_path / "cache")
    first.run(entries[:2], captions_of(entries[:2]))
    second = Preparation(tmp_path / "cache")
    second.run(entries, captions_of(entries))
    assert second.events[0] == CacheProgress(done=4, total=6, file="")
    there = second.events[1:5]
    assert {(event.done, event.total, event.audio_s) for event in there} == {(4, 6, 0.0)}
    assert [(event.file, event.part) for event in there] == [
        (name, part) for name in ("0.wav", "1.wav") for part in ("captions", "sound")
    ]
    told = {(event.file, event.part): event.bytes for event in first.events if event.part}
    assert {(event.file, event.part): event.bytes for event in there} == told and min(told.values()) > 0
    assert [(event.file, event.part, event.done) for event in second.events[5:]] == [
        ("2.wav", "captions", 5),
        ("2.wav", "sound", 6),
    ]


def test_a_song_in_pieces_is_told_when_its_last_piece_is_ready(tmp_path):
    songs = write_songs(tmp_path / "songs", [3.0])
    entries = entries_of(songs, duration_interval=1.0, max_duration_s=1.0, long_clip="pieces")
    preparation = Preparation(tmp_path / "cache")
    preparation.run(entries, captions_of(entries))
    (last,) = [event for event in preparation.events if event.part == "sound"]
    assert (last.done, last.audio_s) == (4, 3.0)
    assert last.bytes == sum(preparation.audio.path(clip).stat().st_size for clip in entries[0].clips)


def test_equal_lengths_are_encoded_together(tmp_path):
    entries = entries_of(write_songs(tmp_path / "songs", [1.0, 1.5, 1.0, 1.0, 1.5]), duration_interval=0.5)
    preparation = Preparation(tmp_path / "cache")
    preparation.run(entries, ["a", "b", "c"], vae_batch_size=2, text_encoder_batch_size=2)
    assert preparation.codec.batch_sizes == [2, 1, 2]
    assert preparation.encoder.batches == [["a", "b"], ["c"]]
    alone = Preparation(tmp_path / "alone")
    alone.run(entries)
    for entry in entries:
        together, single = (one.audio.read(entry.clips[0]).latents for one in (preparation, alone))
        assert torch.equal(together, single)


def test_a_changed_song_is_encoded_again(tmp_path):
    songs = write_songs(tmp_path / "songs", [1.0, 1.0])
    Preparation(tmp_path / "cache").run(entries_of(songs))
    soundfile.write(songs[0].path, np.random.default_rng(5).uniform(-1, 1, (24_000, 2)), 24_000)
    os.utime(songs[0].path, ns=(1, songs[0].mtime_ns + 1_000_000))
    changed = [song_of(song.path, tmp_path / "songs") for song in songs]
    second = Preparation(tmp_path / "cache")
    assert second.run(entries_of(changed)).num_encoded == 1
    assert [event.file for event in second.made] == ["0.wav"]


def test_files_that_break_while_decoding_are_named_and_the_others_go_on(tmp_path):
    songs = write_songs(tmp_path / "songs", [1.0, 1.0, 1.0])
    entries = entries_of(songs)
    songs[1].path.write_bytes(b"no sound at all")
    soundfile.write(songs[2].path, np.zeros((22_050, 2)), 22_050)
    preparation = Preparation(tmp_path / "cache")
    index = preparation.run(entries)
    assert [entry.song.relative_path for entry in index.entries] == ["0.wav"]
    assert [(problem.file, problem.severity, problem.code) for problem in preparation.problems] == [
        ("1.wav", "error", "unreadable"),
        ("2.wav", "error", "silent"),
    ]
    assert all(problem.reason.startswith("left out: ") for problem in preparation.problems)
    assert (preparation.events[-1].done, preparation.events[-1].total) == (5, 5)
    assert [file for file, part in preparation.rows if part == "sound"] == ["0.wav"]


def test_a_silent_piece_is_left_out_but_its_song_stays(tmp_path):
    noise = np.random.default_rng(0).uniform(-1, 1, (22_050, 2))
    (tmp_path / "songs").mkdir()
    path = tmp_path / "songs" / "song.wav"
    soundfile.write(path, np.concatenate([noise, 0 * noise, noise]), 22_050)
    entries = entries_of([song_of(path, path.parent)], duration_interval=1.0, max_duration_s=1.0, long_clip="pieces")
    preparation = Preparation(tmp_path / "cache")
    [entry] = preparation.run(entries).entries
    assert [clip.piece for clip in entry.clips] == [0, 2]
    (sound,) = [event for event in preparation.events if event.part == "sound"]
    assert sound.bytes == sum(preparation.audio.path(clip).stat().st_size for clip in entry.clips)
    assert [problem.reason for problem in preparation.problems] == [
        "left out: more than 95 % of it is silence (piece 2 of 3)"
    ]


def test_latents_that_are_not_finite_are_never_stored(tmp_path):
    class BrokenCodec(StandInCodec):
        def encode(self, audio, **more):
            latents, lengths = super().encode(audio, **more)
            return torch.where(latents > latents.min(), torch.nan, latents * torch.nan), lengths

    entries = entries_of(write_songs(tmp_path / "songs", [1.0]))
    preparation = Preparation(tmp_path / "cache")
    with pytest.raises(DataError):
        preparation.run(entries, load_codec=BrokenCodec)
    assert [problem.code for problem in preparation.problems] == ["not_finite"]
    assert not list((tmp_path / "cache" / "audio").rglob("*"))


def test_nothing_decodable_is_a_data_error(tmp_path):
    songs = write_songs(tmp_path / "songs", [1.0])
    entries = entries_of(songs)
    songs[0].path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        Preparation(tmp_path / "cache").run(entries)
    assert caught.value.exit_code == ExitCode.DATA


def test_a_stop_ends_between_entries_and_the_next_run_goes_on(tmp_path):
    entries = entries_of(write_songs(tmp_path / "songs", [1.0] * 6))
    first = Preparation(tmp_path / "cache")
    with pytest.raises(StopRequested) as caught:
        first.run(entries, should_stop=lambda: len(first.made) >= 4)
    assert "4 of 8" in caught.value.message
    assert len(first.codec.batch_sizes) == 2
    second = Preparation(tmp_path / "cache")
    index = second.run(entries, load_text_encoder=no_encoder)
    assert (index.num_reused, index.num_encoded) == (4, 4)


def test_a_full_disk_is_a_disk_error_and_loses_nothing(tmp_path, monkeypatch):
    entries = entries_of(write_songs(tmp_path / "songs", [1.0] * 4))
    write, written = files.write_atomic, []

    def full_after_four(path: Path, content: bytes, *, action: str = "") -> None:
        if len(written) == 4:
            raise DiskError(f"{action} failed: {path}: No space left on device")
        written.append(path)
        write(path, content, action=action)

    monkeypatch.setattr(files, "write_atomic", full_after_four)
    with pytest.raises(DiskError) as caught:
        Preparation(tmp_path / "cache").run(entries)
    assert caught.value.exit_code == ExitCode.DISK
    monkeypatch.undo()
    index = Preparation(tmp_path / "cache").run(entries)
    assert (index.num_reused, index.num_encoded) == (4, 2)


def test_an_operating_system_error_below_the_file_layer_is_a_disk_error(tmp_path, monkeypatch):
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(DiskError) as caught:
        Preparation(tmp_path / "cache").run(entries_of(write_songs(tmp_path / "songs", [1.0])))
    assert "No space left" in caught.value.message
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def prepare(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.unit.cache.prepare_songs", str(folder), *arguments]
    root = Path(__file__).parents[3]
    return forked.popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def whole_entries(folder: Path) -> int:
    found = list((folder / "cache" / "audio").rglob("*.safetensors"))
    assert all(shapes(path) for path in found), "an entry with its final name is always whole"
    return len(found)


def test_kill_9_in_the_middle_leaves_a_cache_that_goes_on(tmp_path):
    write_songs(tmp_path / "songs", [1.0] * 30)
    process = prepare(tmp_path)
    assert process.stdout is not None
    while process.stdout.readline().strip() != "5":
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = whole_entries(tmp_path)
    assert 5 <= done < 30
    songs = [song_of(path, tmp_path / "songs") for path in sorted((tmp_path / "songs").glob("*.wav"))]
    index = Preparation(tmp_path / "cache").run(entries_of(songs, duration_interval=0.5), ())
    assert (index.num_reused, index.num_encoded) == (done, 30 - done)


def test_a_file_size_limit_ends_with_exit_code_5_and_keeps_what_was_made(tmp_path):
    songs = write_songs(tmp_path / "songs", [0.5, 0.5, 3.0, 0.5])
    # An entry of half a second takes 3.3 kB, one of three seconds 17 kB.
    process = prepare(tmp_path, "8000")
    _, errors = process.communicate()
    assert process.returncode == ExitCode.DISK, errors
    assert "File too large" in errors
    assert whole_entries(tmp_path) == 2
    index = Preparation(tmp_path / "cache").run(entries_of(songs, duration_interval=0.5), ())
    assert (index.num_reused, index.num_encoded) == (2, 2)


def test_two_preparations_of_one_cache_at_once_agree(tmp_path):
    songs = write_songs(tmp_path / "songs", [0.5] * 12)
    processes = [prepare(tmp_path), prepare(tmp_path)]
    assert [process.communicate()[1] for process in processes] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]
    assert whole_entries(tmp_path) == 12
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    assert Preparation(tmp_path / "cache").run(entries_of(songs, duration_interval=0.5), ()).num_reused == 12


def test_what_a_killed_preparation_left_aside_is_removed(tmp_path):
    entries = entries_of(write_songs(tmp_path / "songs", [0.5]))
    preparation = Preparation(tmp_path / "cache")
    preparation.run(entries, ())
    (entry,) = (tmp_path / "cache").rglob("*.safetensors")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    writers = {"dead": f"{platform.node()}-{ended.pid}", "living": f"{platform.node()}-1", "far": f"far-{ended.pid}"}
    left = {name: entry.with_name(f".{entry.name}.{writer}.tmp") for name, writer in writers.items()}
    for path in left.values():
        path.touch()
    entry.unlink()
    preparation.run(entries, ())
    assert entry.exists()
    assert {name for name, path in left.items() if path.exists()} == {"living", "far"}
