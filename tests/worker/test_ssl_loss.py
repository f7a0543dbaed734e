"""The loss from musical features: one warning where there are none, really in the loss where the models are here."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.contract.feature_models import FEATURE_MODELS
from engine.model.tiny_features import write_tiny_feature_model
from engine.train import features as features_module
from engine.train import run as run_module
from tests.worker.conftest import Workshop, events

WEIGHT = 0.5


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Both models in folders, as settings name them."""
    root = tmp_path_factory.mktemp("features")
    return {model.path_key: str(write_tiny_feature_model(root / model.name, model)) for model in FEATURE_MODELS}


def run(workshop: Workshop, tmp_path: Path, name: str, weight: float, **settings):
    values = {"cache_dir": str(tmp_path / "own-cache"), "max_train_steps": 2} | settings
    run_dir = workshop.run_dir(name, ace_step_ssl_loss_weight=weight, **values)
    assert workshop.train(run_dir) == 0
    return run_dir


def warnings_of(run_dir, code: str = "no_ssl_features"):
    return [event["message"] for event in events(run_dir, "warning") if event["code"] == code]


def losses(run_dir):
    return [(event["loss"], event["ssl_loss"]) for event in events(run_dir, "step")]


def test_without_features_one_warning_and_the_loss_of_weight_0(workshop: Workshop, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    off, wanted = run(workshop, tmp_path, "off", 0.0), run(workshop, tmp_path, "wanted", WEIGHT)
    (said,) = warnings_of(wanted)
    assert "MERT and mHuBERT are not on this computer" in said
    assert "acestep-tui model fetch mert mhubert --accept-non-commercial" in said and not warnings_of(off)
    assert losses(off) == losses(wanted) and all(ssl_loss is None for _, ssl_loss in losses(wanted))


def test_required_models_that_are_not_here_stop_before_anything_is_prepared(workshop: Workshop, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    run_dir = workshop.run_dir("required", ssl_models="required", cache_dir=str(tmp_path / "own-cache"))
    assert workshop.train(run_dir) == 6
    assert "MERT and mHuBERT are not on this computer" in events(run_dir, "run_ended")[-1]["error"]
    assert not events(run_dir, "cache_progress")


@pytest.mark.parametrize("model_type", ["lora", "full"])
def test_with_features_the_loss_is_in_the_total_and_moves_the_weights(
    workshop: Workshop, tmp_path, models, monkeypatch, model_type: str
):
    settings = {"model_type": model_type, "learning_rate": 1e-3}
    off = run(workshop, tmp_path, "off", 0.0, **settings)
    on = run(workshop, tmp_path, "on", WEIGHT, **settings, **models)
    assert not warnings_of(on)
    assert "CC-BY-NC 4.0" in warnings_of(on, "non_commercial")[0] and not warnings_of(off, "non_commercial")
    first_off, first_on = events(off, "step")[0], events(on, "step")[0]
    assert first_on["ssl_loss"] > 0
    # Nothing is trained yet at the first step, so the sound's part of the loss is the same.
    assert first_on["loss"] == pytest.approx(first_off["loss"] + WEIGHT * first_on["ssl_loss"], rel=1e-4)
    assert first_on["grad_norm"] != first_off["grad_norm"]
    folder = "**/ace_step_transformer" if model_type == "full" else "**"
    trained = [load_file(next(each.export.glob(f"{folder}/*.safetensors"))) for each in (off, on)]
    assert trained[0].keys() == trained[1].keys()
    assert any(not trained[0][name].equal(trained[1][name]) for name in trained[0])
    # The songs' plan and progress tell the features.
    features = [event for event in events(on, "cache_progress") if event["part"] == "features"]
    assert len(features) == 6 and all(event["audio_s"] > 0 for event in features)
    if model_type == "full":
        return
    # Cached = fresh: a second run loads no model and takes the same course.
    monkeypatch.setattr(features_module, "load_encoders", lambda *_, **__: pytest.fail("everything is cached"))
    assert losses(run(workshop, tmp_path, "again", WEIGHT, **settings, **models)) == losses(on)


def test_features_made_in_the_middle_of_training_are_those_of_a_preparation(workshop: Workshop, tmp_path, models):
    settings = {"max_train_steps": 2, "lora_dropout": 0.1, **models}
    prepared = run(workshop, tmp_path, "prepared", WEIGHT, **settings)
    cache = str(tmp_path / "empty")
    later = run(workshop, tmp_path, "later", WEIGHT, vae_cache_disable=True, **{**settings, "cache_dir": cache})
    assert losses(later) == losses(prepared) and losses(later)[0][1] > 0
    assert not warnings_of(later) and not list(Path(cache).rglob("audio/**/*.safetensors"))

    for path in (tmp_path / "own-cache" / "audio").rglob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-2:] = b"\xff\xff"  # not a number, of whichever tensor stands last
        path.write_bytes(content)
    mended = run(workshop, tmp_path, "mended", WEIGHT, **settings)
    assert losses(mended) == losses(prepared)
    assert [event for event in events(mended, "file_problem") if event["code"] == "cache_damaged"]


def test_one_song_without_features_is_said_and_the_others_train_with_theirs(
    workshop: Workshop, tmp_path, models, monkeypatch
):
    real = run_module.fill_caches

    def fill(songs, captions, caches, **words):
        index = real(songs, captions, caches, **words)
        for clip in (clip for entry in songs.entries for clip in entry.clips):
            if clip.song.relative_path == "song_0.wav":
                caches.featured.forget(clip)
        return index

    monkeypatch.setattr(run_module, "fill_caches", fill)
    settings = {"train_batch_size": 1, "exclude_files": ["song_4.wav", "song_5.wav"], **models}
    run_dir = run(workshop, tmp_path, "some", WEIGHT, **settings)
    (warning,) = warnings_of(run_dir)
    assert "3 of 4 clips" in warning
    assert any(ssl_loss for _, ssl_loss in losses(run_dir))
