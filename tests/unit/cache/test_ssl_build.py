"""The pass that adds musical features: whole, resumed, stopped, without models, with a clip that gives no numbers."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.batches.bucket import Clip
from engine.cache.audio_latents import AudioLatents, load_clip_audio
from engine.cache.build import build_cache
from engine.cache.ssl_build import FeaturePass
from engine.cache.store import CacheStore, DamagedEntryError, read_audio_entry, write_audio
from engine.contract.errors import ModelError, StopRequested
from engine.contract.events import CacheProgress
from engine.dataset.report import Problem
from tests.unit.cache.stand_ins import StandInCodec, StandInTextEncoder, caches, entries_of, write_songs

NAMES = ("mert", "mhubert")


class StandInEncoder:
    """Features of one name that tell their sound apart; not finite for the clips of these lengths."""

    def __init__(self, name: str, *, no_numbers_s: float = -1.0) -> None:
        self.name = name
        self.num_heard = 0
        self._no_numbers = round(no_numbers_s * 48_000)

    def encode(self, audio: Tensor) -> dict[str, Tensor]:
        self.num_heard += 1
        level = torch.nan if audio.shape[1] == self._no_numbers else float(audio.std())
        return {self.name: torch.full((5, 4), level, dtype=torch.float16)}


class Bench:
    def __init__(self, folder: Path, *, ssl_id: str = "models") -> None:
        self.audio, self.text = caches(folder)
        store = CacheStore(audio_folder=folder / "audio", text_folder=folder / "text")
        self.featured = AudioLatents(store, encoder_id="stand-in", ssl_names=NAMES, ssl_id=ssl_id, fallback=self.audio)
        self.encoders = {name: StandInEncoder(name) for name in NAMES}
        self.loaded: list[str] = []
        self.events: list[CacheProgress] = []
        self.problems: list[Problem] = []
        self.lost: list[str] = []

    @property
    def num_heard(self) -> dict[str, int]:
        return {name: encoder.num_heard for name, encoder in self.encoders.items()}

    def load(self, name: str) -> StandInEncoder:
        self.loaded.append(name)
        return self.encoders[name]

    def run(self, entries, *, load=None, required=False, should_stop=lambda: False):
        return build_cache(
            entries,
            ["a song"],
            audio=self.audio,
            text=self.text,
            load_codec=StandInCodec,
            load_text_encoder=StandInTextEncoder,
            on_progress=self.events.append,
            on_problem=self.problems.append,
            should_stop=should_stop,
            features=FeaturePass(
                plain=self.audio,
                featured=self.featured,
                loaders={name: load or partial(self.load, name) for name in NAMES},
                on_problem=self.problems.append,
                on_lost=None if required else self.lost.append,
            ),
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cache")


def songs_of(tmp_path: Path, seconds=(0.5, 0.75)) -> tuple:
    return entries_of(write_songs(tmp_path / "songs", seconds), duration_interval=0.25)


def no_models() -> StandInEncoder:
    raise ModelError("mert-1.safetensors is damaged", hint="Download it again.")


def test_features_stand_beside_the_latents_and_both_are_read(bench, tmp_path):
    entries = songs_of(tmp_path)
    index = bench.run(entries)
    assert (index.num_encoded, index.num_reused, len(index.entries)) == (5, 0, 2)
    for entry in entries:
        (clip,) = entry.clips
        plain, featured = bench.audio.read(clip), bench.featured.read(clip)
        assert not plain.ssl and set(featured.ssl) == set(NAMES) and featured.ssl["mert"].dtype == torch.float16
        assert torch.equal(plain.latents, featured.latents) and bench.audio.path(clip) != bench.featured.path(clip)
        # Cached is what is computed fresh.
        assert torch.equal(featured.ssl["mert"], StandInEncoder("mert").encode(load_clip_audio(clip))["mert"])
    parts = [event for event in bench.events if event.part == "features"]
    assert [event.file for event in parts] == ["0.wav", "1.wav"] and all(event.audio_s > 0 for event in parts)
    assert bench.events[-1].done == bench.events[-1].total == 5
    assert parts[0].bytes == bench.featured.path(entries[0].clips[0]).stat().st_size


def test_what_is_made_is_not_made_again(bench, tmp_path):
    entries = songs_of(tmp_path)
    bench.run(entries)
    again = bench.run(entries, load=no_models, required=True)
    assert (again.num_encoded, again.num_reused) == (0, 5)
    assert not bench.problems and bench.num_heard == {"mert": 2, "mhubert": 2}
    assert bench.loaded == list(NAMES), "one after the other, each once"


def test_a_stop_falls_between_clips_and_the_rest_is_made_later(bench, tmp_path):
    entries = songs_of(tmp_path)
    with pytest.raises(StopRequested, match="4 of 5 entries"):
        bench.run(entries, should_stop=lambda: bench.num_heard["mhubert"] == 1)
    first, second = (entry.clips[0] for entry in entries)
    assert bench.featured.is_whole(first) and set(bench.featured.read(second).ssl) == {"mert"}
    # What a preparation that was killed in the middle of a write leaves aside.
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    missing = bench.featured.path(second)
    aside = missing.with_name(f".{missing.name}.{platform.node()}-{ended.pid}.tmp")
    aside.touch()
    bench.loaded.clear()
    assert bench.run(entries).num_encoded == 1 and not aside.exists()
    assert bench.num_heard == {"mert": 2, "mhubert": 2} and bench.loaded == ["mhubert"]
    assert bench.featured.is_whole(second) and set(bench.featured.read(second).ssl) == set(NAMES)


def test_a_stop_while_the_first_model_hears_keeps_what_it_gave(bench, tmp_path):
    entries = songs_of(tmp_path)
    with pytest.raises(StopRequested, match="3 of 5 entries"):
        bench.run(entries, should_stop=lambda: bench.num_heard["mert"] == 1)
    assert bench.run(entries).num_encoded == 2
    assert bench.num_heard == {"mert": 2, "mhubert": 2}


def test_a_second_model_that_cannot_be_loaded_leaves_no_half_entries(bench, tmp_path):
    entries = songs_of(tmp_path)
    del bench.encoders["mhubert"]

    def load_first() -> StandInEncoder:
        if bench.encoders["mert"].num_heard:
            return no_models()
        return bench.encoders["mert"]

    index = bench.run(entries, load=load_first)
    assert (index.num_encoded, len(bench.lost), bench.events[-1].done) == (3, 1, 5)
    assert not any(bench.featured.path(entry.clips[0]).exists() for entry in entries)


def test_a_clip_without_numbers_is_named_and_keeps_its_latents(bench, tmp_path):
    entries = songs_of(tmp_path)
    bench.encoders["mhubert"] = StandInEncoder("mhubert", no_numbers_s=0.75)
    index = bench.run(entries)
    (problem,) = bench.problems
    assert (problem.file, problem.severity, problem.code) == ("1.wav", "warning", "not_finite")
    assert problem.reason == "trains without musical features: they are not finite numbers"
    assert (index.num_encoded, len(index.entries), bench.events[-1].done) == (4, 2, 5)
    # A mixed cache: the sample is read, with nothing to foretell.
    assert bench.featured.read(entries[0].clips[0]).ssl and not bench.featured.read(entries[1].clips[0]).ssl


def test_models_that_cannot_be_loaded_are_said_or_an_error(bench, tmp_path):
    entries = songs_of(tmp_path)
    index = bench.run(entries, load=no_models)
    (said,) = bench.lost
    assert "cannot be used: mert-1.safetensors is damaged. Download it again." in said
    assert (index.num_encoded, len(index.entries), bench.events[-1].done) == (3, 2, 5)
    with pytest.raises(ModelError, match="damaged"):
        bench.run(entries, load=no_models, required=True)


def test_a_song_that_is_left_out_has_no_features_either(bench, tmp_path):
    entries = songs_of(tmp_path)
    path = entries[0].song.path
    path.write_bytes(path.read_bytes()[:60])
    index = bench.run(entries)
    assert [entry.song.relative_path for entry in index.entries] == ["1.wav"]
    assert [problem.code for problem in bench.problems] == ["unreadable"]
    assert bench.num_heard == {"mert": 1, "mhubert": 1} and bench.events[-1].done == 5


def test_other_models_have_entries_of_their_own(bench, tmp_path):
    entries = songs_of(tmp_path)
    bench.run(entries)
    other = Bench(tmp_path / "cache", ssl_id="other models")
    assert other.run(entries).num_encoded == 2
    clip: Clip = entries[0].clips[0]
    assert other.featured.path(clip) != bench.featured.path(clip) and bench.featured.is_whole(clip)


def test_an_entry_without_all_features_is_not_whole(bench, tmp_path):
    entries = songs_of(tmp_path)
    bench.run(entries)
    (clip,) = entries[0].clips
    entry = bench.featured.read(clip)
    bench.featured.write(clip, dataclasses.replace(entry, ssl={"mert": entry.ssl["mert"]}))
    assert not bench.featured.is_whole(clip) and bench.audio.is_whole(clip)


def test_features_that_are_no_numbers_are_never_stored_and_never_read(bench, tmp_path):
    entries = songs_of(tmp_path)
    bench.run(entries)
    path = bench.featured.path(entries[0].clips[0])
    entry = read_audio_entry(path)
    broken = dataclasses.replace(entry, ssl={"mert": torch.full((5, 4), torch.inf, dtype=torch.float16)})
    with pytest.raises(ValueError, match="features are not finite"):
        write_audio(path, broken)
    content = bytearray(path.read_bytes())
    position = content.index(entry.ssl["mert"].numpy().tobytes())
    content[position : position + 2] = b"\x00\x7c"  # infinity
    path.write_bytes(content)
    with pytest.raises(DamagedEntryError, match="features are not finite"):
        read_audio_entry(path)
    assert not path.exists()
