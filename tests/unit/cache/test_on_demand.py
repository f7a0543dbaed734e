"""Entries made when they are first needed: the numbers of a preparation, written or not, and what cannot be made."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from engine.batches.reader import Draws, SampleReader
from engine.batches.recut import Recut
from engine.batches.sampler import Visit
from engine.cache.audio_latents import encode_clips, load_clip_audio
from engine.cache.on_demand import OnDemand, UnusableClipError
from engine.cache.policy import CachePolicy
from engine.cache.repair import Repair
from engine.contract.errors import DataError, DiskError
from engine.dataset.report import Problem
from engine.lyrics.tokenizer import LyricTokenizer
from tests.unit.cache.stand_ins import StandInCodec, StandInTextEncoder, caches, entries_of, song_of, write_songs

ONDEMAND = CachePolicy(ondemand=frozenset({"songs"}))
UNWRITTEN = CachePolicy(ondemand=frozenset({"songs"}), unwritten=frozenset({"songs"}))
CLEARED = CachePolicy(cleared=frozenset({"songs"}))


class CountingCodec(StandInCodec):
    """Says how many encode at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = self.most = 0

    def encode(self, audio: torch.Tensor, **more: object):
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            return super().encode(audio, **more)
        finally:
            self.inside -= 1


class Bench:
    """Songs, an empty cache, and what makes entries in it."""

    def __init__(
        self,
        folder,
        policy: CachePolicy = ONDEMAND,
        seconds: Sequence[float] = (1.0, 1.0),
        before_write: Callable[[Path], None] = lambda _: None,
        **audio,
    ) -> None:
        self.folder = folder
        self.songs = write_songs(folder / "songs", seconds)
        self.entries = entries_of(self.songs, **audio)
        self.audio, self.text = caches(folder / "cache")
        self.codec, self.encoder = CountingCodec(), StandInTextEncoder()
        texts = frozenset({self.text.folder})
        if policy.ondemand:  # captions go with the songs here
            unwritten = texts if policy.unwritten else frozenset()
            policy = dataclasses.replace(policy, text_ondemand=texts, text_unwritten=unwritten)
        self.loads: list[str] = []
        self.problems: list[Problem] = []
        self.maker = OnDemand(
            audio=self.audio,
            text=self.text,
            policy=policy,
            load_codec=lambda: self._loaded("codec", self.codec),
            load_text_encoder=lambda: self._loaded("text", self.encoder),
            on_problem=self.problems.append,
            before_write=before_write,
        )

    def _loaded(self, name, encoder):
        self.loads.append(name)
        return encoder

    @property
    def files(self) -> list:
        return [path for path in (self.folder / "cache").rglob("*") if path.is_file()]

    def reader(self, recut: Recut | None = None) -> SampleReader:
        repair = Repair(
            audio=self.audio,
            text=self.text,
            load_codec=StandInCodec,
            load_text_encoder=StandInTextEncoder,
            on_problem=self.problems.append,
        )
        return SampleReader(
            audio=self.audio,
            text=self.text,
            tokenizer=LyricTokenizer(),
            draws=Draws(seed=3),
            repair_audio=repair.audio,
            repair_text=repair.text,
            on_problem=self.problems.append,
            on_demand=self.maker,
            recut=recut,
            others={("songs", self.entries[0].bucket): self.entries},
        )


def test_a_missing_entry_is_encoded_written_and_then_read(tmp_path):
    bench = Bench(tmp_path)
    clip = bench.entries[0].clips[0]
    [wanted] = encode_clips(StandInCodec(), [load_clip_audio(clip)])
    made = bench.maker.audio(clip)
    assert torch.equal(made.latents, wanted.latents) and made.latent_length == wanted.latent_length
    assert torch.equal(bench.audio.read(clip).latents, wanted.latents)
    assert torch.equal(bench.maker.text("two words"), StandInTextEncoder().encode(["two words"])[0])
    assert bench.text.missing(["two words"]) == []
    bench.maker.audio(clip), bench.maker.text("two words")
    # Each encoder is loaded once and stays.
    assert bench.loads == ["codec", "text"] and len(bench.codec.batch_sizes) == 1 and len(bench.encoder.batches) == 1


def test_nothing_is_written_where_the_cache_is_off_and_what_is_there_is_still_read(tmp_path):
    bench = Bench(tmp_path, UNWRITTEN)
    first, second = (entry.clips[0] for entry in bench.entries)
    [there] = encode_clips(StandInCodec(), [load_clip_audio(second)])
    for _ in range(2):
        bench.maker.audio(first), bench.maker.text("two words")
    assert bench.files == []
    # Songs anew at each visit, captions from memory.
    assert len(bench.codec.batch_sizes) == 2 and len(bench.encoder.batches) == 1
    bench.audio.write(second, there)
    assert torch.equal(bench.maker.audio(second).latents, there.latents)
    assert len(bench.codec.batch_sizes) == 2


def test_captions_in_memory_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.cache.on_demand.KEPT_STATES_BYTES", 3 * 768 * 4)
    bench = Bench(tmp_path, UNWRITTEN)
    for caption in ("one", "two", "one", "three", "one", "two"):
        bench.maker.text(caption)
    # Two states each: only the last one fits, "one" is encoded again after each other caption.
    assert bench.encoder.batches == [["one"], ["two"], ["one"], ["three"], ["one"], ["two"]]


def test_a_song_that_cannot_be_used_is_found_once_and_nothing_of_it_is_written(tmp_path):
    bench = Bench(tmp_path)
    silent = tmp_path / "songs" / "silent.wav"
    soundfile.write(silent, np.zeros((22_050, 2), dtype=np.float32), 22_050)
    cut = tmp_path / "songs" / "cut.wav"
    cut.write_bytes((tmp_path / "songs" / "0.wav").read_bytes())
    entries = entries_of([song_of(silent, tmp_path / "songs"), song_of(cut, tmp_path / "songs")])
    cut.write_bytes(cut.read_bytes()[:100])
    for entry, code in zip(entries, ("silent", "unreadable"), strict=True):
        for _ in range(2):
            with pytest.raises(UnusableClipError) as error:
                bench.maker.audio(entry.clips[0])
            assert error.value.problem.code == code and error.value.problem.reason.startswith("left out: ")
    assert bench.files == [] and bench.loads == []


def test_threads_encode_one_at_a_time_and_a_clip_once(tmp_path):
    bench = Bench(tmp_path, seconds=[0.6] * 4)
    clips = [entry.clips[0] for entry in bench.entries] * 3
    threads = [threading.Thread(target=bench.maker.audio, args=(clip,)) for clip in clips]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.codec.most == 1 and len(bench.codec.batch_sizes) == 4 and bench.loads == ["codec"]


def test_a_reader_gives_what_a_prepared_run_gives(tmp_path):
    prepared, bench = Bench(tmp_path / "a"), Bench(tmp_path / "b")
    for entry in prepared.entries:
        prepared.maker.audio(entry.clips[0])
    for caption in ("", *(song.captions[0] for song in prepared.songs)):
        prepared.maker.text(caption)
    prepared.maker.policy = CachePolicy()
    first, second = prepared.reader(), bench.reader()
    for position in range(6):
        one, other = first(Visit(prepared.entries[1], position)), second(Visit(bench.entries[1], position))
        assert torch.equal(one.latents, other.latents) and torch.equal(one.text_states, other.text_states)
        assert torch.equal(one.noise, other.noise)
    assert bench.problems == []


def test_another_song_takes_the_turn_of_one_that_turns_out_unusable(tmp_path):
    bench = Bench(tmp_path, seconds=[1.0] * 3)
    soundfile.write(bench.songs[1].path, np.zeros((22_050, 2), dtype=np.float32), 22_050)
    reader, again = bench.reader(), bench.reader()
    samples = [reader(Visit(bench.entries[1], position)) for position in range(12)]
    assert {sample.file for sample in samples} == {"0.wav", "2.wav"}
    # A resumed run, in which the song is met first at another position, draws the same substitutes.
    assert [again(Visit(bench.entries[1], position)).file for position in reversed(range(12))] == [
        sample.file for sample in reversed(samples)
    ]
    assert {(problem.file, problem.code) for problem in bench.problems} == {("1.wav", "silent")}
    with pytest.raises(UnusableClipError):
        reader(Visit(bench.entries[1], 0, held_out_draw=0))


def test_no_song_left_is_an_error_that_names_one(tmp_path):
    bench = Bench(tmp_path)
    for song in bench.songs:
        soundfile.write(song.path, np.zeros((22_050, 2), dtype=np.float32), 22_050)
    with pytest.raises(DataError, match=r"1s can be used: .\.wav: left out: more than 95 %"):
        bench.reader()(Visit(bench.entries[0], 0))


def test_a_damaged_entry_is_said_and_made_again(tmp_path):
    bench = Bench(tmp_path)
    clip = bench.entries[0].clips[0]
    entry = bench.maker.audio(clip)
    raw = bytearray(bench.audio.path(clip).read_bytes())
    raw[-4:] = np.float32(np.nan).tobytes()
    bench.audio.path(clip).write_bytes(raw)
    sample = bench.reader()(Visit(bench.entries[0], 0))
    assert torch.equal(sample.latents, entry.latents[..., : entry.latent_length])
    assert [problem.code for problem in bench.problems] == ["cache_damaged"]


def test_an_entry_of_another_length_is_made_anew_or_used_as_it_is(tmp_path):
    bench = Bench(tmp_path)
    clip = bench.entries[0].clips[0]
    entry = bench.maker.audio(clip)
    short = dataclasses.replace(entry, latents=entry.latents[..., :4], latent_length=4)
    bench.audio.write(clip, short)
    assert not bench.audio.is_whole(clip)
    assert bench.reader()(Visit(bench.entries[0], 0)).latents.shape[-1] == clip.valid_frames
    bench.audio.write(clip, short)
    bench.audio._follows_entries = True
    assert bench.audio.is_whole(clip)
    assert bench.reader()(Visit(bench.entries[0], 0)).latents.shape[-1] == 4


RANDOM = {"truncation_mode": "random", "duration_interval": 1.0, "max_duration_s": 1.0, "long_clip": "cut"}


def recut(**which) -> Recut:
    return Recut({"songs": "random"}, **{"per_visit": (), "per_epoch": (), "seed": 3, **which})


def test_random_cuts_vary_by_visit_where_nothing_is_kept(tmp_path):
    bench = Bench(tmp_path, UNWRITTEN, seconds=[4.0], **RANDOM)
    cuts = recut(per_visit={"songs"})
    [entry] = bench.entries
    starts = [cuts(Visit(entry, position), entry.clips[0]).start_s for position in range(30)]
    assert starts == [cuts(Visit(entry, position), entry.clips[0]).start_s for position in range(30)]
    assert len(set(starts)) == 30 and min(starts) < 1.0 and max(starts) > 2.0 and max(starts) <= 3.0
    assert recut()(Visit(entry, 5), entry.clips[0]) == entry.clips[0]
    assert cuts(Visit(entry, 5, held_out_draw=0), entry.clips[0]) == entry.clips[0]
    bench.reader(cuts)(Visit(entry, 0))
    assert bench.files == []


def test_random_cuts_vary_by_epoch_where_entries_are_made_anew_and_old_ones_go(tmp_path):
    bench = Bench(tmp_path, CLEARED, seconds=[4.0], **RANDOM)
    cuts = recut(per_epoch={"songs"})
    [entry] = bench.entries
    texts = frozenset({bench.text.folder})
    bench.maker.policy = dataclasses.replace(CLEARED, text_ondemand=texts, text_unwritten=texts)
    reader = bench.reader(cuts)
    starts, counts = [], []
    for epoch in range(6):
        for position in (2 * epoch, 2 * epoch + 1):
            visit = Visit(entry, position, epoch=epoch)
            starts.append(cuts(visit, entry.clips[0]).start_s)
            reader(visit)
        counts.append(len(bench.files))
    assert starts[::2] == starts[1::2] and len(set(starts)) == 6
    # The first epoch's entry is the one that other runs share; of the later ones two stay at most.
    assert starts[0] == entry.clips[0].start_s and counts == [1, 2, 3, 3, 3, 3]
    assert bench.audio.is_whole(entry.clips[0])


def test_nothing_is_written_where_it_must_not_and_later_it_is(tmp_path):
    asked: list[Path] = []

    def refuse(folder: Path) -> None:
        asked.append(folder)
        if len(asked) <= 2:
            raise DiskError("too little space")

    bench = Bench(tmp_path, before_write=refuse)
    clip = bench.entries[0].clips[0]
    with pytest.raises(DiskError):
        bench.maker.audio(clip)
    with pytest.raises(DiskError):
        bench.maker.text("two words")
    assert bench.files == []
    bench.maker.audio(clip), bench.maker.text("two words")
    assert len(bench.files) == 2
    assert asked == [bench.audio.path(clip).parent, bench.text.folder] * 2


def test_where_nothing_is_written_no_disk_is_asked(tmp_path):
    bench = Bench(tmp_path, UNWRITTEN, before_write=lambda folder: pytest.fail(str(folder)))
    bench.maker.audio(bench.entries[0].clips[0]), bench.maker.text("two words")
