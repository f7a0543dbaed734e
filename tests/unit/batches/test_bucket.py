from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.batches.bucket import plan_clips
from engine.batches.crop import clip_lyrics
from engine.contract.backends import AudioBlock
from engine.dataset.lyrics_text import parse_lyrics
from engine.model.card import encoded_frames, whole_frames
from engine.planning.lengths import MAX_LENGTHS, TOLERABLE_SHARE, USED_SHARE, choose_lengths
from tests.unit.batches.factory import RATE, make_song

durations_s = st.lists(st.floats(0.2, 400), min_size=1, max_size=60)


def plan(seconds: list[float], *, batch_size: int = 1, rate: int = RATE, **audio: object):
    songs = [make_song(f"{index}.wav", seconds=value, rate=rate) for index, value in enumerate(seconds)]
    return plan_clips(songs, AudioBlock(**audio), batch_size)


@settings(max_examples=150, deadline=None)
@given(durations_s, st.integers(1, 6), st.sampled_from(["cut", "pieces", "skip"]), st.sampled_from([22_050, 44_100]))
def test_automatic_buckets_keep_their_promises(seconds, batch_size, long_clip, rate):
    result = plan(seconds, batch_size=batch_size, long_clip=long_clip, rate=rate)
    assert result == plan(seconds, batch_size=batch_size, long_clip=long_clip, rate=rate)
    assert len(result.sizes) <= MAX_LENGTHS
    for entry in result.entries:
        samples = entry.song.num_samples * RATE // rate
        assert all(clip.start_sample + clip.num_samples <= samples for clip in entry.clips)
        assert all(0 < clip.length_s <= 240 for clip in entry.clips)
        for before, after in pairwise(entry.clips):
            assert after.start_sample == before.start_sample + before.num_samples
    for bucket in result.sizes:
        frames = {clip.num_frames for entry in result.entries if entry.bucket == bucket for clip in entry.clips}
        assert len(frames) == 1, "members of a bucket have equal latents"
    full = all(size >= min(batch_size, len(result.entries)) for size in result.sizes.values())
    assert full or not result.entries or best_used(seconds_of(result), batch_size) < TOLERABLE_SHARE


def seconds_of(result) -> list[int]:
    return [min(entry.song.num_samples * RATE // entry.song.sample_rate, 240 * RATE) for entry in result.entries]


def best_used(samples: list[int], batch_size: int) -> float:
    """Best share that at most eight full runs can use, by trying every partition of the sorted songs (quadratic)."""
    ordered = sorted(samples)
    size, least = len(ordered), min(batch_size, len(ordered))
    rounded = [value // 4800 * 4800 if value >= 480_000 else value // 480 * 480 for value in ordered]
    best = [0] + [-1] * size
    top = 0
    for _ in range(MAX_LENGTHS):
        best = [-1] + [
            max(
                (best[i] + (j - i) * rounded[i] for i in range(j - least + 1) if best[i] >= 0),
                default=-1,
            )
            for j in range(1, size + 1)
        ]
        top = max(top, best[size])
    return top / sum(ordered)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(4800, 240 * RATE), min_size=1, max_size=40), st.integers(1, 5))
def test_automatic_lengths_use_95_percent_whenever_that_is_possible(samples, batch_size):
    lengths = choose_lengths(samples, batch_size=batch_size, used_share=USED_SHARE)
    used = sum(lengths) / sum(samples)
    possible = best_used(samples, batch_size)
    if possible >= USED_SHARE:
        assert used >= USED_SHARE
    elif possible >= TOLERABLE_SHARE:
        assert used == pytest.approx(possible)
    else:
        assert used >= possible - 1e-9


def test_fewer_lengths_are_chosen_when_they_suffice():
    assert plan([100.0] * 5 + [101.0] * 5, batch_size=2).sizes == {"100s": 10}


def test_a_few_short_songs_do_not_shorten_the_long_ones():
    result = plan([4.0, 200.0, 200.0, 200.0], batch_size=4)
    assert result.sizes == {"4s": 1, "200s": 3}


def test_choosing_lengths_for_twenty_thousand_songs_is_quick():
    samples = [480_000 + (index * 7919) % 9_000_000 for index in range(20_000)]
    lengths = choose_lengths(samples, batch_size=8, used_share=USED_SHARE)
    assert len(set(lengths)) <= MAX_LENGTHS
    assert all(length <= sample for length, sample in zip(lengths, samples, strict=True))


def test_seconds_that_cannot_be_used_are_said():
    result = plan([10.0, 14.0], batch_size=2)
    assert result.sizes == {"10s": 2}
    assert [notice.code for notice in result.notices] == ["seconds_unused"]
    assert "83 %" in result.notices[0].message


def test_a_fixed_interval_rounds_down_and_keeps_short_clips_at_their_own_length():
    result = plan([2.0, 3.0, 7.4, 8.9, 9.0], duration_interval=3.0)
    assert [(entry.bucket, entry.clips[0].length_s) for entry in result.entries] == [
        ("<3s", 2.0),
        ("3s", 3.0),
        ("6s", 6.0),
        ("6s", 6.0),
        ("9s", 9.0),
    ]


@settings(max_examples=100, deadline=None)
@given(durations_s, st.floats(0.1, 30))
def test_a_fixed_interval_never_reaches_beyond_the_song(seconds, interval):
    for entry in plan(seconds, duration_interval=interval).entries:
        clip = entry.clips[0]
        assert clip.num_samples <= entry.song.num_samples
        if not entry.bucket.startswith("<"):
            assert clip.num_samples == pytest.approx(round(clip.length_s / interval) * interval * RATE, abs=0.51)


def test_frames_are_those_of_the_specification():
    [entry] = plan([60.0], duration_interval=3.0).entries
    assert (entry.clips[0].num_frames, entry.clips[0].valid_frames) == (646, 645)
    assert (encoded_frames(28_800), whole_frames(28_800)) == (7, 6)


@pytest.mark.parametrize(
    ("mode", "start"), [("beginning", 0.0), ("end", 4.0)], ids=["the beginning stays", "the end stays"]
)
def test_the_cut_keeps_the_part_that_was_asked_for(mode, start):
    [entry] = plan([10.0], duration_interval=6.0, truncation_mode=mode).entries
    assert entry.clips[0].start_s == start


def test_a_random_cut_is_the_same_in_every_run_and_differs_between_songs():
    first, again = (plan([10.0] * 20, duration_interval=6.0, truncation_mode="random").entries for _ in range(2))
    starts = [entry.clips[0].start_s for entry in first]
    assert starts == [entry.clips[0].start_s for entry in again]
    assert all(0 <= start <= 4 for start in starts)
    assert len(set(starts)) > 10


def test_long_songs_are_skipped_cut_or_split_as_told():
    skipped = plan([100.0, 300.0], long_clip="skip", max_duration_s=120.0)
    assert [entry.song.relative_path for entry in skipped.entries] == ["0.wav"]
    assert [(problem.file, problem.code, problem.severity) for problem in skipped.problems] == [
        ("1.wav", "too_long", "error")
    ]
    cut = plan([100.0, 300.0], long_clip="cut", max_duration_s=120.0, duration_interval=60.0)
    assert [entry.clips[0].length_s for entry in cut.entries] == [60.0, 120.0]
    pieces = plan([300.0], long_clip="pieces", max_duration_s=120.0, duration_interval=60.0)
    assert [(clip.start_s, clip.length_s) for clip in pieces.entries[0].clips] == [(0.0, 120.0), (120.0, 120.0)]


def test_clips_shorter_than_a_frame_or_the_minimum_are_named():
    result = plan([0.05, 1.0, 5.0], min_duration_s=2.0)
    assert [(problem.file, problem.code) for problem in result.problems] == [
        ("0.wav", "too_short"),
        ("1.wav", "too_short"),
    ]
    assert all(len(problem.reason) <= 100 and problem.reason.startswith("left out: ") for problem in result.problems)


def test_a_piece_gets_its_timed_lines_and_nothing_without_times():
    timed = parse_lyrics("[00:01.00]one\n[00:07.00]two\n[00:13.50]three")
    songs = [
        make_song("timed.wav", seconds=18, lyrics=timed.text, timed_lines=timed.timed_lines),
        make_song("plain.wav", seconds=18, lyrics="one\ntwo\nthree"),
        make_song("whole.wav", seconds=6.2, lyrics="all of it"),
        make_song("instrumental.wav", seconds=18),
    ]
    result = plan_clips(songs, AudioBlock(duration_interval=6.0, max_duration_s=6.0, long_clip="pieces"), 1)
    found = [[clip_lyrics(clip) for clip in entry.clips] for entry in result.entries]
    assert [[(lyrics.text, lyrics.withheld) for lyrics in clips] for clips in found] == [
        [("one", False), ("two", False), ("three", False)],
        [("", True)] * 3,
        [("all of it", False)],
        [("", False)] * 3,
    ]
    [notice] = [notice for notice in result.notices if notice.code == "lyrics_withheld"]
    assert notice.message.startswith("3 of 10 clips")
