from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.batches.bucket import plan_clips
from engine.batches.held_out import held_out_groups, split_held_out
from engine.batches.sampler import GroupSampler, Pool
from engine.contract.backends import AudioBlock
from engine.contract.errors import ConfigError, DataError
from tests.unit.batches.factory import make_entries, make_song


def pool(*sizes: int, backend_id: str = "songs", batch_size: int = 1, **more: object) -> Pool:
    """One bucket of each size."""
    entries = tuple(
        entry
        for index, size in enumerate(sizes)
        for entry in plan_clips(
            [make_song(f"{index}/{song}.wav", seconds=10 + 10 * index, backend_id=backend_id) for song in range(size)],
            AudioBlock(),
            1,
        ).entries
    )
    return Pool(backend_id, entries, batch_size, **more)  # type: ignore[arg-type]


def visits(sampler: GroupSampler, first: int, count: int) -> list[tuple[int, str]]:
    groups = islice(sampler.groups(first), count)
    return [(visit.position, visit.entry.key) for group in groups for micro in group.micro_batches for visit in micro]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 5), st.integers(0, 200))
def test_seeking_gives_the_uninterrupted_stream(sizes, batch_size, step):
    whole = list(islice(GroupSampler([pool(*sizes, batch_size=batch_size)], seed=3).groups(), step + 20))
    sought = list(islice(GroupSampler([pool(*sizes, batch_size=batch_size)], seed=3).groups(step), 20))
    assert whole[step:] == sought
    assert [group.step for group in whole] == list(range(step + 20))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12))
def test_no_song_twice_in_a_group_while_another_is_free(num_songs, group_size):
    sampler = GroupSampler([pool(num_songs, batch_size=group_size)], seed=1)
    for group in islice(sampler.groups(), 40):
        counts = Counter(visit.entry.key for micro in group.micro_batches for visit in micro)
        seen = [counts.get(entry.key, 0) for entry in pool(num_songs).entries]
        assert max(seen) - min(seen) <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 5))
def test_every_song_is_visited_equally_often(sizes, batch_size):
    sampler = GroupSampler([pool(*sizes, batch_size=batch_size)], seed=5)
    num_epochs = 60
    seen = Counter(key for _, key in visits(sampler, 0, round(num_epochs * sampler.steps_per_epoch)))
    assert len(seen) == sum(sizes), "nothing is dropped"
    # Off by the groups under way: one per bucket, each holding a song so many times.
    assert all(abs(count - num_epochs) <= 2 + batch_size for count in seen.values())


def test_positions_are_unique_and_consecutive_for_one_batch_size():
    sampler = GroupSampler([pool(5, 3, batch_size=2)], seed=0, accumulation=2)
    assert [position for position, _ in visits(sampler, 0, 30)] == list(range(120))


def test_accumulating_visits_the_same_samples_at_the_same_positions_as_a_large_batch():
    accumulated = GroupSampler([pool(7, batch_size=1)], seed=9, accumulation=4)
    large = GroupSampler([pool(7, batch_size=4)], seed=9)
    assert visits(accumulated, 0, 50) == visits(large, 0, 50)
    assert [len(group.micro_batches) for group in islice(accumulated.groups(), 2)] == [4, 4]
    assert [len(group.micro_batches) for group in islice(large.groups(), 2)] == [1, 1]


def test_a_group_comes_from_one_bucket_of_one_backend():
    sampler = GroupSampler(
        [pool(6, 4, backend_id="a", batch_size=2), pool(5, backend_id="b", batch_size=3)], seed=2, accumulation=2
    )
    sizes = {"a": 2, "b": 3}
    for group in islice(sampler.groups(), 60):
        for micro in group.micro_batches:
            assert len(micro) == sizes[group.backend_id]
            assert {(visit.entry.song.backend_id, visit.entry.bucket) for visit in micro} == {
                (group.backend_id, group.bucket)
            }
    positions = [position for position, _ in visits(sampler, 0, 60)]
    assert len(set(positions)) == len(positions)


def share_of_a(pools: list[Pool], **more: object) -> float:
    sampler = GroupSampler(pools, seed=4, **more)  # type: ignore[arg-type]
    keys = [key for _, key in visits(sampler, 0, 3000)]
    return sum(key.startswith("a/") for key in keys) / len(keys)


def test_repeats_and_probabilities_weigh_the_backends():
    assert share_of_a([pool(4, backend_id="a"), pool(12, backend_id="b")]) == pytest.approx(0.25, abs=0.01)
    assert share_of_a([pool(4, backend_id="a", repeats=8), pool(12, backend_id="b")]) == pytest.approx(0.75, abs=0.01)
    halved = [pool(4, backend_id="a"), pool(12, backend_id="b", probability=1 / 3)]
    assert share_of_a(halved) == pytest.approx(0.5, abs=0.01)
    uniform = [pool(4, backend_id="a", probability=3.0), pool(12, backend_id="b")]
    assert share_of_a(uniform, backend_sampling="uniform") == pytest.approx(0.75, abs=0.01)
    never = [pool(4, backend_id="a", probability=0.0), pool(12, backend_id="b")]
    assert share_of_a(never) == 0.0


def test_epochs_are_counted_in_visits():
    sampler = GroupSampler([pool(6, 5, batch_size=2, repeats=1)], seed=0)
    assert sampler.steps_per_epoch == 11.0
    assert sampler.epoch_of(22) == 2.0
    assert sampler.steps_for_epochs(3) == 33
    assert GroupSampler([pool(1, batch_size=4)], seed=0).steps_for_epochs(1) == 1


def test_a_bucket_smaller_than_a_group_is_repeated_or_refused():
    [group] = islice(GroupSampler([pool(2, batch_size=3)], seed=0).groups(), 1)
    assert len(group.micro_batches[0]) == 3
    for small in (pool(2, batch_size=3, repeats=0), pool(1, batch_size=3, repeats=1)):
        with pytest.raises(ConfigError) as caught:
            GroupSampler([small], seed=0, allow_oversubscription=bool(small.repeats))
        assert "songs" in caught.value.message and "10s" in caught.value.message
        assert "repeats" in caught.value.hint and "train_batch_size" in caught.value.hint
    GroupSampler([pool(2, batch_size=3, repeats=1)], seed=0, allow_oversubscription=False)


def test_nothing_to_train_on_is_a_data_error():
    with pytest.raises(DataError):
        GroupSampler([pool(3, probability=0.0)], seed=0)


def test_the_fingerprint_changes_with_the_songs():
    assert GroupSampler([pool(4)], seed=0).fingerprint == GroupSampler([pool(4)], seed=0).fingerprint
    others = [pool(5), pool(4, repeats=1), pool(4, batch_size=2)]
    assert len({GroupSampler([other], seed=0).fingerprint for other in [pool(4), *others]}) == 4


def test_other_seeds_give_other_orders():
    first, second = (visits(GroupSampler([pool(20)], seed=seed), 0, 20) for seed in (1, 2))
    assert first != second


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 60), st.floats(0, 0.5), st.integers(0, 5))
def test_held_out_songs_are_at_least_one_and_never_all(count, share, seed):
    songs = [make_song(f"{index}.wav", lyrics="la" if index % 3 else None) for index in range(count)]
    train, held = split_held_out(songs, share, seed)
    assert sorted(song.relative_path for song in train + held) == sorted(song.relative_path for song in songs)
    assert (train, held) == split_held_out(songs, share, seed)
    if share > 0 and count > 1:
        assert len(held) == min(max(1, round(share * count)), count - 1)
    else:
        assert not held


def test_held_out_songs_come_from_all_kinds_in_proportion():
    songs = [make_song(f"{index}.wav", lyrics="la" if index < 60 else None) for index in range(80)]
    _, held = split_held_out(songs, 0.1, 0)
    assert Counter(bool(song.lyrics) for song in held) == {True: 6, False: 2}


def test_held_out_songs_hardly_change_when_songs_come():
    songs = [make_song(f"{index}.wav") for index in range(40)]
    _, before = split_held_out(songs, 0.1, 0)
    _, after = split_held_out([*songs, make_song("new.wav")], 0.1, 0)
    assert len({song.relative_path for song in before} & {song.relative_path for song in after}) >= 3


def test_a_file_in_two_backends_is_held_out_of_both(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "album")
    songs = [
        make_song(f"{index}.wav", backend_id=backend_id, path=folder / f"{index}.wav")
        for backend_id, folder in (("a", tmp_path / "album"), ("b", tmp_path / "album"), ("c", link))
        for index in range(10)
    ]
    train, held = split_held_out(songs, 0.2, 0)
    assert len({song.relative_path for song in held}) == 2 and len(held) == 6
    assert not {song.relative_path for song in train} & {song.relative_path for song in held}


def test_held_out_visits_do_not_depend_on_batches_or_other_songs():
    entries = make_entries(3)
    alone = held_out_groups(entries[1:2], num_draws=8, batch_size=1)
    together = held_out_groups(entries, num_draws=8, batch_size=4)
    flat = [visit for group in together for micro in group.micro_batches for visit in micro]
    assert [len(micro) for micro in together[0].micro_batches] == [4, 4]
    assert [visit for micro in alone[0].micro_batches for visit in micro] == flat[8:16]
    assert len({visit.position for visit in flat}) == 24


def test_buckets_with_too_few_songs_for_a_step_are_named():
    entries = tuple(make_entries(3))
    (bucket,) = GroupSampler([Pool("a", entries, batch_size=2)], seed=0, accumulation=2).repeating
    assert bucket[0].startswith("a/") and bucket[1:] == (3, 4)
    assert GroupSampler([Pool("a", entries, batch_size=3)], seed=0).repeating == []


def test_the_longest_step_is_that_with_most_sound_at_once():
    def longest(*pools: Pool):
        return GroupSampler(list(pools), seed=1, accumulation=2).longest(7)

    long, many = pool(1, 1, 1, batch_size=2), pool(9, backend_id="many", batch_size=8)
    group = longest(long)
    assert group.step == 7 and [len(visits) for visits in group.micro_batches] == [2, 2]
    assert {visit.entry.song.relative_path for visits in group.micro_batches for visit in visits} == {"2/0.wav"}
    positions = [visit.position for visits in group.micro_batches for visit in visits]
    assert positions == list(range(28, 32))
    # Eight songs of ten seconds are more than two of thirty.
    assert longest(long, many).backend_id == "many"
