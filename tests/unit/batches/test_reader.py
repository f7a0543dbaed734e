from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import torch

from engine.batches.bucket import Entry
from engine.batches.collate import collate
from engine.batches.reader import Draws, SampleReader
from engine.batches.sampler import Visit
from engine.cache.audio_latents import encode_clips, load_clip_audio
from engine.cache.repair import Repair
from engine.cache.store import AudioEntry
from engine.contract.errors import DataError
from engine.lyrics.tokenizer import LyricTokenizer
from tests.unit.cache.stand_ins import StandInCodec, StandInTextEncoder, caches, entries_of, write_songs

CAPTIONS = ("one", "two words", "three words here")
LYRICS = "[verse]\nla la la\n\nla"


class Prepared:
    """Songs of 1, 2 and 3 s in a filled cache, and readers over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        songs = write_songs(folder / "songs", [1.0, 2.0, 3.0])
        songs = [dataclasses.replace(song, captions=CAPTIONS, lyrics=LYRICS) for song in songs]
        self.entries = entries_of(songs, duration_interval=1.0, max_duration_s=1.0, long_clip="pieces")
        self.audio, self.text = caches(folder / "cache")
        for entry in self.entries:
            for clip in entry.clips:
                [made] = encode_clips(StandInCodec(), [load_clip_audio(clip)])  # type: ignore[arg-type]
                self.audio.write(clip, made)
        self.text.encode(
            ["", *CAPTIONS],
            StandInTextEncoder(),  # type: ignore[arg-type]
            batch_size=4,
            on_encoded=lambda _: None,
            should_stop=lambda: False,
        )
        self.problems: list = []

    def reader(self, **draws: float) -> SampleReader:
        repair = Repair(
            audio=self.audio,
            text=self.text,
            load_codec=StandInCodec,  # type: ignore[arg-type]
            load_text_encoder=StandInTextEncoder,  # type: ignore[arg-type]
            on_problem=self.problems.append,
        )
        return SampleReader(
            audio=self.audio,
            text=self.text,
            tokenizer=LyricTokenizer(),
            draws=Draws(**{"seed": 7, **draws}),  # type: ignore[arg-type]
            repair_audio=repair.audio,
            repair_text=repair.text,
            on_problem=self.problems.append,
            ssl_names=("mert", "m-hubert"),
        )


@pytest.fixture
def prepared(tmp_path) -> Prepared:
    return Prepared(tmp_path)


def same(first, second) -> bool:
    return all(
        torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
        for one, other in zip(dataclasses.astuple(first), dataclasses.astuple(second), strict=True)
    )


def test_a_sample_is_a_function_of_seed_and_position_alone(prepared):
    entry = prepared.entries[2]
    first, other_reader, other_seed = prepared.reader(), prepared.reader(), prepared.reader(seed=8)
    samples = {position: first(Visit(entry, position)) for position in range(20)}
    for position in reversed(range(20)):
        assert same(samples[position], other_reader(Visit(entry, position)))
        assert not torch.equal(samples[position].noise, other_seed(Visit(entry, position)).noise)
    assert len({float(sample.noise.sum()) for sample in samples.values()}) == 20
    assert len({sample.timestep_index for sample in samples.values()}) > 10


def test_pieces_and_captions_are_drawn_evenly_and_drops_at_their_rates(prepared):
    reader, entry = prepared.reader(caption_dropout=0.2), prepared.entries[2]
    pieces, lengths, dropped_lyrics, dropped_text = Counter(), Counter(), 0, 0
    for position in range(1500):
        sample = reader(Visit(entry, position))
        pieces[float(sample.latents[0, 0, 0])] += 1
        lengths[len(sample.text_states)] += 1
        dropped_text += not bool(sample.text_states.any()) and len(sample.text_states) > 1
    assert len(pieces) == 3 and min(pieces.values()) > 420
    # The empty caption has one state, the others one more than words.
    assert lengths[1] == pytest.approx(300, abs=60)
    assert all(lengths[count] == pytest.approx(400, abs=70) for count in (2, 3, 4))
    assert dropped_text == pytest.approx(0.15 * 1200, abs=45)
    whole = prepared.entries[0]
    dropped_lyrics = sum(not bool(reader(Visit(whole, position)).lyric_mask.any()) for position in range(600))
    assert dropped_lyrics == pytest.approx(90, abs=30)


def test_dropped_conditions_keep_their_shape(prepared):
    reader, entry = prepared.reader(), prepared.entries[0]
    samples = [reader(Visit(entry, position)) for position in range(80)]
    assert {sample.lyric_ids.shape for sample in samples} == {samples[0].lyric_ids.shape}
    for sample in samples:
        assert bool(sample.lyric_ids.any()) == bool(sample.lyric_mask.any())
    assert {len(sample.text_states) for sample in samples if not sample.text_states.any()} <= {2, 3, 4}
    kept = next(sample for sample in samples if sample.lyric_mask.any())
    assert kept.lyric_ids.tolist() == list(LyricTokenizer().encode(LYRICS).ids)


def test_held_out_visits_take_the_first_of_everything_and_drop_nothing(prepared):
    reader, entry = prepared.reader(caption_dropout=1.0), prepared.entries[2]
    samples = [reader(Visit(entry, 10_000 + draw, held_out_draw=draw)) for draw in range(40)]
    assert {len(sample.text_states) for sample in samples} == {2}
    assert all(bool(sample.text_states.any()) for sample in samples)
    assert len({float(sample.latents[0, 0, 0]) for sample in samples}) == 1
    assert len({float(sample.noise.sum()) for sample in samples}) == 40


def test_only_frames_full_of_sound_are_trained_on(prepared):
    clip = prepared.entries[0].clips[0]
    sample = prepared.reader()(Visit(prepared.entries[0], 0))
    assert (clip.num_frames, clip.valid_frames) == (11, 10)
    assert sample.latents.shape == sample.noise.shape == (8, 16, 10)
    batch = collate([sample, sample], bucket="1s")
    assert batch.frame_mask is None


def test_pieces_without_known_words_train_without_and_are_counted(prepared):
    reader = prepared.reader()
    samples = [reader(Visit(entry, 0)) for entry in prepared.entries]
    assert [sample.lyrics_withheld for sample in samples] == [False, True, True]
    assert samples[1].lyric_ids.tolist() == samples[1].lyric_mask.tolist() == [0]
    assert collate(samples, bucket="1s").num_lyrics_withheld == 2


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def test_damaged_entries_are_made_anew_and_said(prepared):
    entry: Entry = prepared.entries[0]
    # A copy: what was read lies in the mapped files that are damaged now.
    before = copy.deepcopy(prepared.reader()(Visit(entry, 3)))
    damage(prepared.audio.path(entry.clips[0]))
    for path in (prepared.folder / "cache" / "text").iterdir():
        damage(path)
    assert same(before, prepared.reader()(Visit(entry, 3)))
    assert [problem.code for problem in prepared.problems] == ["cache_damaged", "cache_damaged"]


def test_an_entry_that_is_gone_is_a_data_error(prepared):
    path = prepared.audio.path(prepared.entries[0].clips[0])
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        prepared.reader()(Visit(prepared.entries[0], 0))


def test_features_are_read_when_the_entry_has_them(prepared):
    clip = prepared.entries[0].clips[0]
    assert prepared.reader()(Visit(prepared.entries[0], 0)).ssl == {"mert": None, "m-hubert": None}
    entry = prepared.audio.read(clip)
    features = {"mert": torch.ones(5, 4)}
    prepared.audio.write(clip, AudioEntry(entry.latents.clone(), entry.latent_length, features))
    sample = prepared.reader()(Visit(prepared.entries[0], 0))
    targets = collate([sample], bucket="1s").ssl_targets
    assert targets is not None and targets["m-hubert"] == (None,)
    assert torch.equal(targets["mert"][0], torch.ones(5, 4, dtype=torch.float16))
