"""The songs of a plan: the very pieces that training would make of them."""

from __future__ import annotations

import math

import pytest

from engine.batches.bucket import plan_clips
from engine.batches.held_out import split_held_out
from engine.contract.backends import AudioBlock
from engine.contract.config import Config
from engine.model.card import SAMPLE_RATE
from engine.planning import lengths
from engine.planning.data_facts import audio_now, data_facts, num_held_out, song_uses
from engine.train.prepare import held_out_share
from tests.unit.wizard.song_rows import song

SECONDS = (201.3, 215.0, 187.9, 240.0, 263.4, 199.5, 0.05, 95.2, 210.7, 222.2, 150.0, 600.0)
SONGS = [song(f"{index:02}.flac", seconds=seconds) for index, seconds in enumerate(SECONDS)]


def config(**values):
    return Config.from_dict(values)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(
    "audio",
    [
        AudioBlock(),
        AudioBlock(max_duration_s=60.0, long_clip="pieces"),
        AudioBlock(max_duration_s=100.0, long_clip="skip"),
        AudioBlock(max_duration_s=100.0, long_clip="cut", min_duration_s=98.0),
        AudioBlock(duration_interval=3.0),
        AudioBlock(duration_interval=97.0),
    ],
)
def test_pieces_are_those_of_the_buckets(audio, batch_size):
    planned = plan_clips(SONGS, audio, batch_size)
    expected = sorted(clip.length_s for entry in planned.entries for clip in entry.clips)
    facts = data_facts(SONGS, config(train_batch_size=batch_size), {"songs": audio})
    assert sorted(facts.clip_s) == pytest.approx(expected)
    assert facts.num_songs == len(planned.entries)


def test_the_trainers_rate_is_ours():
    assert lengths.SAMPLE_RATE == SAMPLE_RATE


@pytest.mark.parametrize("num_songs", [0, 1, 2, 19, 20, 24, 100, 1000])
@pytest.mark.parametrize("split", [None, 0.0, 0.01, 0.2, 0.5])
def test_songs_kept_aside_are_as_many_as_in_the_run(num_songs, split):
    songs = [song(f"{index}.flac") for index in range(num_songs)]
    settings = config(validation_split=split)
    aside = split_held_out(songs, held_out_share(settings, num_songs), 42)[1]
    assert num_held_out(settings, num_songs) == len(aside)


def test_a_pass_is_counted_in_songs_that_are_trained():
    songs = [song(f"{index}.flac", seconds=200.0) for index in range(23)]
    facts = data_facts(songs, config(), {"songs": AudioBlock(max_duration_s=60.0, long_clip="pieces")})
    assert (facts.num_trained, facts.num_held_out, len(facts.clip_s)) == (22, 1, 69)


def test_each_data_set_has_its_own_rules():
    mixed = [song("a.flac", seconds=100.0), song("b.flac", seconds=100.0, backend_id="short")]
    uses = song_uses(mixed, config(), {"short": AudioBlock(max_duration_s=30.0, long_clip="pieces")})
    assert [(use.length_s, use.num_pieces) for use in uses] == [(100.0, 1), (30.0, 3)]


def test_no_songs_are_no_facts():
    facts = data_facts([], config())
    assert (facts.clip_s, facts.longest_s, facts.num_trained) == ((), 0.0, 0)
    assert not math.isnan(facts.longest_s)


@pytest.mark.parametrize(
    ("block", "then", "now", "longest", "long_clip"),
    [
        # Taken from the settings for all: follows them.
        (AudioBlock(), {}, {"audio_max_duration_seconds": 60.0, "long_clip": "pieces"}, 60.0, "pieces"),
        (AudioBlock(), {}, {"audio_max_duration_seconds": 60.0}, 60.0, "skip"),
        (
            AudioBlock(max_duration_s=60.0, long_clip="pieces"),
            {"audio_max_duration_seconds": 60.0, "long_clip": "pieces"},
            {},
            None,
            "cut",
        ),
        # The data set's own: stays.
        (AudioBlock(max_duration_s=30.0, long_clip="pieces"), {}, {"audio_max_duration_seconds": 60.0}, 30.0, "pieces"),
    ],
)
def test_a_changed_setting_counts_before_the_next_scan(block, then, now, longest, long_clip):
    changed = audio_now(block, then=config(**then), now=config(**now))
    assert (changed.max_duration_s, changed.long_clip) == (longest, long_clip)
