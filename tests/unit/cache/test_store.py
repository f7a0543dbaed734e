from __future__ import annotations

import dataclasses

import pytest
import safetensors.torch
import torch

from engine.cache.repair import Repair
from engine.cache.ssl_features import ssl_of
from engine.cache.store import (
    AudioEntry,
    DamagedEntryError,
    read_audio_entry,
    read_text,
    shapes,
    write_audio,
    write_text,
)
from engine.contract.errors import DataError
from engine.model.card import SAMPLE_RATE, encoded_frames, whole_frames
from tests.unit.cache.stand_ins import StandInCodec, StandInTextEncoder, caches, entries_of, write_songs


def minute() -> AudioEntry:
    samples = 60 * SAMPLE_RATE
    return AudioEntry(torch.randn(8, 16, encoded_frames(samples)), whole_frames(samples))


def test_the_entry_of_a_minute_is_small_and_holds_latents_and_length_alone(tmp_path):
    path = tmp_path / "sub" / "entry.safetensors"
    entry = minute()
    write_audio(path, entry)
    assert path.stat().st_size <= 350_000
    assert shapes(path) == {"latents": (8, 16, 646), "latent_length": ()}
    again = read_audio_entry(path)
    assert torch.equal(again.latents, entry.latents)
    assert (again.latents.dtype, again.latent_length, again.ssl) == (torch.float32, 645, {})
    assert [file.name for file in path.parent.iterdir()] == ["entry.safetensors"]


def test_features_are_kept_in_half_precision_and_read_under_the_checkpoints_names(tmp_path):
    path = tmp_path / "entry.safetensors"
    features = {"mert": torch.randn(374, 1024), "mhubert": torch.randn(250, 768)}
    write_audio(path, dataclasses.replace(minute(), ssl=features))
    found = ssl_of(read_audio_entry(path), ("mert", "m-hubert"))
    assert {name: (value.dtype, value.shape[1]) for name, value in found.items() if value is not None} == {
        "mert": (torch.float16, 1024),
        "m-hubert": (torch.float16, 768),
    }
    write_audio(path, minute())
    assert ssl_of(read_audio_entry(path), ("mert", "m-hubert")) == {"mert": None, "m-hubert": None}


def test_text_states_keep_their_dtype_and_length(tmp_path):
    path = tmp_path / "states.safetensors"
    states = torch.randn(7, 768).to(torch.bfloat16)
    write_text(path, states)
    assert torch.equal(read_text(path), states)


@pytest.mark.parametrize("keep", [0, 5, 40, 300, -1], ids=lambda keep: f"first {keep} bytes")
def test_a_torn_entry_is_seen_by_its_header_and_deleted_when_read(tmp_path, keep):
    path = tmp_path / "entry.safetensors"
    write_audio(path, minute())
    path.write_bytes(path.read_bytes()[:keep])
    assert shapes(path) == {}
    with pytest.raises(DamagedEntryError):
        read_audio_entry(path)
    assert not path.exists()


def test_numbers_that_are_not_finite_are_refused_both_ways(tmp_path):
    path = tmp_path / "entry.safetensors"
    bad = AudioEntry(torch.full((8, 16, 4), torch.inf), 4)
    with pytest.raises(ValueError, match="not finite"):
        write_audio(path, bad)
    with pytest.raises(ValueError, match="not finite"):
        write_text(path, torch.full((2, 768), torch.nan))
    assert not path.exists()
    safetensors.torch.save_file({"latents": bad.latents, "latent_length": torch.tensor(4)}, path)
    with pytest.raises(DamagedEntryError, match="not finite"):
        read_audio_entry(path)
    assert not path.exists()


def test_an_entry_of_something_else_is_damaged(tmp_path):
    path = tmp_path / "entry.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DamagedEntryError):
        read_text(path)


def repair_of(folder, problems) -> Repair:
    audio, text = caches(folder)
    return Repair(
        audio=audio,
        text=text,
        load_codec=StandInCodec,
        load_text_encoder=StandInTextEncoder,
        on_problem=problems.append,
    )


def test_a_damaged_entry_is_encoded_again_and_said(tmp_path):
    [entry] = entries_of(write_songs(tmp_path / "songs", [1.0]))
    problems: list = []
    audio, text = caches(tmp_path / "cache")
    repair = repair_of(tmp_path / "cache", problems)
    made = repair.audio(entry.clips[0])
    assert torch.equal(audio.read(entry.clips[0]).latents, made.latents)
    assert torch.equal(repair.text("two words"), text.read("two words"))
    assert [(problem.file, problem.severity, problem.code) for problem in problems] == [
        ("0.wav", "warning", "cache_damaged"),
        ("two words", "warning", "cache_damaged"),
    ]


def test_a_damaged_entry_of_a_song_that_broke_stops_with_its_name(tmp_path):
    [song] = write_songs(tmp_path / "songs", [1.0])
    [entry] = entries_of([song])
    song.path.write_bytes(b"gone")
    with pytest.raises(DataError, match=r"0\.wav"):
        repair_of(tmp_path / "cache", []).audio(entry.clips[0])
