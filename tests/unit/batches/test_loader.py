from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from itertools import islice

import pytest
import torch

from engine.batches.collate import Batch, Sample, collate
from engine.batches.loader import load_batches
from engine.batches.sampler import Group, GroupSampler, Pool, Visit
from tests.unit.batches.factory import make_entries


def sample(frames: int = 4, *, tokens: int = 2, lyric_ids: tuple[int, ...] = (261, 5, 2), **more: object) -> Sample:
    values: dict[str, object] = {
        "latents": torch.randn(8, 16, frames),
        "noise": torch.randn(8, 16, frames),
        "timestep_index": 3,
        "text_states": torch.randn(tokens, 768),
        "lyric_ids": torch.tensor(lyric_ids),
        "lyric_mask": torch.ones(len(lyric_ids), dtype=torch.int64),
        "ssl": {"mert": None},
        "file": "song.wav",
        "position": 0,
        "audio_s": 1.0,
        **more,
    }
    return Sample(**values)  # type: ignore[arg-type]


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


def test_padding_is_zero_and_masked():
    first, second = sample(4, tokens=2, lyric_ids=(261, 5, 2)), sample(6, tokens=5, lyric_ids=(261, 2))
    batch = collate([first, second], bucket="<3s")
    assert batch.latents.shape == batch.noise.shape == (2, 8, 16, 6)
    assert batch.frame_mask is not None
    assert batch.frame_mask.tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert batch.text_mask.tolist() == [[1, 1, 0, 0, 0], [1] * 5]
    assert batch.lyric_ids.tolist() == [[261, 5, 2], [261, 2, 0]]
    assert batch.lyric_mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    for padded in (batch.latents, batch.noise):
        assert not bool(padded[0, :, :, 4:].any())
    assert not bool(batch.text_states[0, 2:].any())
    assert torch.equal(batch.latents[0, :, :, :4], first.latents)
    assert torch.equal(batch.text_states[1], second.text_states)
    assert (batch.audio_s, batch.files, batch.ssl_targets) == (2.0, ("song.wav", "song.wav"), None)
    assert batch.timestep_index.tolist() == [3, 3] and batch.timestep_index.dtype == torch.int64


def test_a_batch_moves_with_all_its_tensors():
    features = {"mert": torch.randn(3, 4), "m-hubert": None}
    batch = collate([sample(4, ssl=features), sample(6, ssl=features)], bucket="x").to("meta")
    assert all(tensor.device.type == "meta" for tensor in tensors(batch).values())
    assert len(tensors(batch)) == 8
    assert batch.ssl_targets is not None
    assert batch.ssl_targets["mert"][0].device.type == "meta" and batch.ssl_targets["m-hubert"] == (None, None)


def stream(num_songs: int = 5) -> GroupSampler:
    return GroupSampler([Pool("songs", make_entries(num_songs), 2)], seed=1, accumulation=2)


def read(visit: Visit) -> Sample:
    # Later visits are ready sooner: order must not come from timing.
    time.sleep(0.002 * (3 - visit.position % 4))
    generator = torch.Generator().manual_seed(visit.position)
    return sample(noise=torch.randn(8, 16, 4, generator=generator), position=visit.position, file=visit.entry.key)


def first_steps(num_workers: int) -> list[tuple[Group, tuple[Batch, ...]]]:
    with contextlib.closing(load_batches(stream().groups(), read, num_workers=num_workers)) as batches:
        return list(islice(batches, 12))


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("loader")]


@pytest.mark.parametrize("num_workers", [1, 3, 8])
def test_any_number_of_workers_gives_the_same_batches(num_workers):
    alone, together = first_steps(0), first_steps(num_workers)
    assert not loader_threads()
    for (group, batches), (other_group, other_batches) in zip(alone, together, strict=True):
        assert group == other_group
        for batch, other in zip(batches, other_batches, strict=True):
            assert (batch.files, batch.positions) == (other.files, other.positions)
            assert torch.equal(batch.noise, other.noise)
    assert [group.step for group, _ in together] == list(range(12))


@pytest.mark.parametrize("num_workers", [0, 4])
def test_an_error_comes_at_its_groups_turn_and_ends_the_threads(num_workers):
    def failing(visit: Visit) -> Sample:
        if visit.position == 9:
            raise OSError("gone")
        return read(visit)

    batches = load_batches(stream().groups(), failing, num_workers=num_workers)
    assert [next(batches)[0].step for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(batches)
    assert not loader_threads()


def test_an_endless_stream_ends_its_threads_when_closed_or_let_go():
    batches = load_batches(stream().groups(), read, num_workers=3)
    next(batches)
    assert loader_threads()
    batches.close()
    assert not loader_threads()


def test_only_so_many_micro_batches_are_read_ahead():
    started: list[int] = []

    def counting(visit: Visit) -> Sample:
        started.append(visit.position)
        return read(visit)

    with contextlib.closing(load_batches(stream().groups(), counting, num_workers=2, prefetch=2)) as batches:
        next(batches)
        time.sleep(0.1)
        # Two workers and two more make four micro-batches; the group that goes beyond has two, of two samples each.
        assert len(started) <= 4 * 4


def test_a_finite_stream_is_given_whole():
    groups = list(islice(stream().groups(), 3))
    assert [group for group, _ in load_batches(groups, read, num_workers=8)] == groups
    assert not loader_threads()


def test_pieces_of_a_batch_hold_its_samples_as_they_are_padded_there():
    features = {"mert": torch.randn(5, 8)}
    lengths = (4, 6, 5)
    samples = [
        sample(length, file=f"{length}.wav", position=length, walk=length, lyrics_withheld=length == 4)
        for length in lengths
    ]
    whole = collate([*samples[:2], dataclasses.replace(samples[2], ssl=features)], bucket="<3s")
    assert whole.pieces(3) == [whole]
    pieces = whole.pieces(2)
    assert [piece.files for piece in pieces] == [("4.wav", "6.wav"), ("5.wav",)]
    assert [piece.positions for piece in pieces] == [(4, 6), (5,)] and pieces[1].walks == (5,)
    for name, tensor in tensors(whole).items():
        assert torch.equal(torch.cat([tensors(piece)[name] for piece in pieces]), tensor), name
    assert pieces[0].ssl_targets is None and pieces[1].ssl_targets == {"mert": (features["mert"],)}
    assert sum(piece.audio_s for piece in pieces) == pytest.approx(whole.audio_s)
    assert sum(piece.num_lyrics_withheld for piece in pieces) == whole.num_lyrics_withheld == 1
    assert {piece.bucket for piece in pieces} == {"<3s"}
