"""The loss from musical features: one warning where there are none, really in the loss where the cache holds them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from engine.cache.ssl_features import stored_name
from engine.model.load import read_transformer_config
from engine.train import run as run_module
from tests.worker.conftest import Workshop, events

WEIGHT = 0.5


def feature_widths(checkpoint) -> dict[str, int]:
    config = read_transformer_config(checkpoint / "ace_step_transformer")
    return {stored_name(name): width for name, width in zip(config.ssl_names, config.ssl_latent_dims, strict=True)}


@pytest.fixture
def with_features(workshop: Workshop, tmp_path, monkeypatch):
    """Caches that get an entry with features beside each entry, as a later version computes them."""
    real = run_module.fill_caches
    widths = feature_widths(workshop.checkpoint)
    missing: set[str] = set()

    def fill(songs, captions, caches, **words):
        index = real(songs, captions, caches, **words)
        for clip in (clip for entry in songs.entries for clip in entry.clips):
            generator = torch.Generator().manual_seed(len(clip.song.relative_path))
            ssl = {name: torch.randn(20, width, generator=generator) for name, width in widths.items()}
            if clip.song.relative_path not in missing:
                caches.featured.write(clip, dataclasses.replace(caches.audio.read(clip), ssl=ssl))
        return index

    monkeypatch.setattr(run_module, "fill_caches", fill)
    return missing


def run(workshop: Workshop, tmp_path, name: str, weight: float, **settings):
    run_dir = workshop.run_dir(
        name, ace_step_ssl_loss_weight=weight, cache_dir=str(tmp_path / "own-cache"), max_train_steps=2, **settings
    )
    assert workshop.train(run_dir) == 0
    return run_dir


def warnings_of(run_dir):
    return [event for event in events(run_dir, "warning") if event["code"] == "no_ssl_features"]


def test_without_features_one_warning_and_the_loss_of_weight_0(workshop: Workshop, tmp_path):
    off, wanted = run(workshop, tmp_path, "off", 0.0), run(workshop, tmp_path, "wanted", WEIGHT)
    assert len(warnings_of(wanted)) == 1 and not warnings_of(off)
    assert [event["loss"] for event in events(off, "step")] == [event["loss"] for event in events(wanted, "step")]
    assert all(event["ssl_loss"] is None for event in events(wanted, "step"))


@pytest.mark.parametrize("model_type", ["lora", "full"])
def test_with_features_the_loss_is_in_the_total(workshop: Workshop, tmp_path, with_features, model_type: str):
    settings = {"model_type": model_type, "learning_rate": 1e-3}
    off = run(workshop, tmp_path, "off", 0.0, **settings)
    on = run(workshop, tmp_path, "on", WEIGHT, **settings)
    assert not warnings_of(on)
    first_off, first_on = events(off, "step")[0], events(on, "step")[0]
    assert first_on["ssl_loss"] > 0
    # Nothing is trained yet at the first step, so the sound's part of the loss is the same.
    assert first_on["loss"] == pytest.approx(first_off["loss"] + WEIGHT * first_on["ssl_loss"], rel=1e-4)
    assert first_on["grad_norm"] != first_off["grad_norm"]


def test_one_song_without_features_is_said_and_the_others_train_with_theirs(
    workshop: Workshop, tmp_path, with_features
):
    with_features.add("song_0.wav")
    run_dir = run(workshop, tmp_path, "some", WEIGHT, train_batch_size=1, exclude_files=["song_4.wav", "song_5.wav"])
    (warning,) = warnings_of(run_dir)
    assert "3 of 4 clips" in warning["message"]
    assert any(event["ssl_loss"] for event in events(run_dir, "step"))
