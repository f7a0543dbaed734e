"""Data sets that come later or go earlier, songs that stand for many rows: still a pure function of the step."""

from __future__ import annotations

import dataclasses
from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.batches.bucket import plan_clips
from engine.batches.sampler import GroupSampler, Pool
from engine.contract.backends import AudioBlock, Window
from engine.contract.errors import ConfigError, DataError
from tests.unit.batches.factory import make_entries, make_song


def pool(count: int, backend_id: str, *, batch_size: int = 1, **window: int) -> Pool:
    return Pool(backend_id, make_entries(count, backend_id=backend_id), batch_size, window=Window(**window))


def copied(*copies: int, backend_id: str = "songs", batch_size: int = 1) -> Pool:
    songs = [make_song(f"{index}.wav", backend_id=backend_id, num_copies=count) for index, count in enumerate(copies)]
    return Pool(backend_id, plan_clips(songs, AudioBlock(), 1).entries, batch_size)


def letters(sampler: GroupSampler, count: int) -> str:
    return "".join(group.backend_id for group in islice(sampler.groups(), count))


def test_a_data_set_is_used_from_its_first_to_its_last_step():
    sampler = GroupSampler([pool(4, "a"), pool(4, "b", start_step=10, end_step=30)], seed=1)
    used = letters(sampler, 60)
    assert set(used[:10]) == set(used[30:]) == {"a"}
    assert Counter(used[10:30]) == {"a": 10, "b": 10}


def test_epochs_are_counted_from_one_and_the_last_one_belongs_to_it():
    # The first epoch has 4 steps; with both data sets an epoch has 8.
    sampler = GroupSampler([pool(4, "a", end_epoch=3), pool(4, "b", start_epoch=2)], seed=1)
    used = letters(sampler, 40)
    assert set(used[:4]) == {"a"}
    assert Counter(used[4:20]) == {"a": 8, "b": 8}
    assert set(used[20:]) == {"b"}
    assert [sampler.epoch_of(step) for step in (4, 12, 20, 24)] == [1.0, 2.0, 3.0, 4.0]
    assert [sampler.steps_for_epochs(number) for number in (1, 2, 3, 4)] == [4, 12, 20, 24]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 30), st.integers(1, 4), st.integers(0, 40)), max_size=3),
    st.integers(0, 90),
)
def test_seeking_gives_the_uninterrupted_stream(windows, step):
    pools = [pool(3, "always", batch_size=2)]
    for index, (count, start_step, start_epoch, length) in enumerate(windows):
        end = {"end_step": start_step + length} if length else {}
        pools.append(pool(count, f"w{index}", start_step=start_step, start_epoch=start_epoch, **end))
    whole = list(islice(GroupSampler(pools, seed=3).groups(), step + 10))
    sampler = GroupSampler(pools, seed=3)
    assert list(islice(sampler.groups(step), 10)) == whole[step:]
    positions = [visit.position for group in whole for micro in group.micro_batches for visit in micro]
    assert len(set(positions)) == len(positions)
    epochs = [sampler.epoch_of(one) for one in range(step + 10)]
    assert epochs == sorted(epochs)
    for group in whole:
        assert {visit.epoch for micro in group.micro_batches for visit in micro} == {int(epochs[group.step])}
        window = next(one.window for one in pools if one.backend_id == group.backend_id)
        assert window.holds(group.step, Fraction(epochs[group.step]).limit_denominator(10**6))


def test_windows_that_never_close_change_nothing():
    plain = GroupSampler([pool(5, "a"), pool(3, "b")], seed=4)
    windowed = GroupSampler([pool(5, "a", start_step=0), pool(3, "b", start_epoch=1)], seed=4)
    assert list(islice(plain.groups(), 30)) == list(islice(windowed.groups(), 30))
    assert plain.fingerprint == windowed.fingerprint
    assert GroupSampler([pool(5, "a"), pool(3, "b", end_step=9)], seed=4).fingerprint != plain.fingerprint


def test_a_run_longer_than_its_data_sets_is_refused_and_reading_ahead_is_not():
    sampler = GroupSampler([pool(4, "a", end_step=12)], seed=1)
    assert sampler.ends_at == 12
    sampler.check_length(12)
    with pytest.raises(ConfigError) as caught:
        sampler.check_length(13)
    assert "after step 12 of 13 no data set is in use any more" in caught.value.message
    assert "max_train_steps to 12" in caught.value.hint
    assert letters(sampler, 14) == "a" * 14
    GroupSampler([pool(4, "a")], seed=1).check_length(10**9)


def test_no_songs_in_use_at_the_start_is_an_error():
    with pytest.raises(DataError) as caught:
        GroupSampler([pool(0, "a"), pool(3, "b", start_step=5)], seed=1)
    assert "in use at the start" in caught.value.message


def test_copies_of_a_song_are_visits_not_entries():
    sampler = GroupSampler([copied(2000, 2000, 2000)], seed=1)
    assert sampler.steps_per_epoch == 6000
    keys = [group.micro_batches[0][0].entry.key for group in islice(sampler.groups(), 30)]
    # Equal copies: each round has each song once.
    assert all(len(set(keys[begin : begin + 3])) == 3 for begin in range(0, 30, 3))


def test_a_song_with_more_copies_comes_as_much_more_often_and_never_twice_in_a_step():
    sampler = GroupSampler([copied(4, 2, 2, batch_size=2)], seed=1)
    assert sampler.steps_per_epoch == 4.0
    groups = list(islice(sampler.groups(), 400))
    seen = Counter(visit.entry.song.relative_path for group in groups for visit in group.micro_batches[0])
    assert seen == {"0.wav": 400, "1.wav": 200, "2.wav": 200}
    assert all(len({visit.entry.key for visit in group.micro_batches[0]}) == 2 for group in groups)
    sought = GroupSampler([copied(4, 2, 2, batch_size=2)], seed=1)
    assert list(islice(sought.groups(123), 5)) == groups[123:128]


def test_copies_weigh_a_data_set_as_its_rows_would():
    pools = [copied(3, 3, backend_id="a"), copied(1, 1, 1, 1, 1, 1, backend_id="b")]
    assert Counter(letters(GroupSampler(pools, seed=2), 1200)) == {"a": 600, "b": 600}
    doubled = [dataclasses.replace(pools[0], repeats=1), pools[1]]
    assert Counter(letters(GroupSampler(doubled, seed=2), 1800)) == {"a": 1200, "b": 600}


def test_the_order_changes_with_the_copies():
    fingerprints = {GroupSampler([copied(*copies)], seed=0).fingerprint for copies in ((1, 2), (2, 1), (1, 1), (2, 4))}
    assert len(fingerprints) == 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(1, 4))
def test_uneven_copies_come_as_often_as_they_count(copies, batch_size):
    sampler = GroupSampler([copied(*copies, batch_size=batch_size)], seed=5)
    num_epochs = 40
    groups = islice(sampler.groups(), round(num_epochs * sampler.steps_per_epoch))
    seen = Counter(visit.entry.song.relative_path for group in groups for visit in group.micro_batches[0])
    assert all(abs(seen[f"{index}.wav"] - num_epochs * count) <= 2 * count for index, count in enumerate(copies))


def test_copies_without_a_common_divisor_keep_rounds_short():
    (bucket,) = GroupSampler([copied(2000, 1999, 2001)], seed=1)._stretches[0].mix.buckets
    assert len(bucket.slots) <= 3 * 33 and set(Counter(bucket.slots).values()) == {32}
