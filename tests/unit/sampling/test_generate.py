"""Whole clips from a tiny checkpoint: length, seed, cached text."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.autoencoder import MusicCodec
from engine.model.load import load_codec, load_text_encoder, load_transformer, resolve_checkpoint
from engine.model.text_encoder import TextEncoder
from engine.model.tiny import write_tiny_checkpoint
from engine.model.transformer import AceStepTransformer
from engine.sampling.generate import generate_clip
from engine.sampling.sampler import SamplingSettings

SETTINGS = SamplingSettings(num_steps=3).without_erg()
Parts = tuple[AceStepTransformer, MusicCodec, TextEncoder, LyricTokenizer]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder: Path = write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")
    checkpoint = resolve_checkpoint(folder)
    how = {"dtype": torch.float32, "device": torch.device("cpu")}
    return (
        load_transformer(checkpoint, **how),
        load_codec(checkpoint, **how, parts=("decoder",)),
        load_text_encoder(checkpoint, **how),
        LyricTokenizer(),
    )


def clip(parts: Parts, **changed: object) -> np.ndarray:
    options: dict[str, object] = {
        "prompt": "calm piano",
        "lyrics": "[verse]\nla la la",
        "seconds": 0.7,
        "seed": 5,
        "settings": SETTINGS,
        "device": "cpu",
    }
    return generate_clip(*parts, **options | changed)


@pytest.mark.parametrize("seconds", [0.05, 0.7, 4096 / 44_100, 1.00001])
def test_a_clip_has_exactly_its_length(parts: Parts, seconds: float) -> None:
    audio = clip(parts, seconds=seconds)
    assert audio.shape == (2, round(seconds * 48_000))
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()


def test_the_seed_decides(parts: Parts) -> None:
    first = clip(parts)
    torch.rand(3)  # other draws do not matter
    assert np.array_equal(first, clip(parts))
    assert not np.array_equal(first, clip(parts, seed=6))


def test_prompt_and_lyrics_decide_too(parts: Parts) -> None:
    first = clip(parts)
    assert not np.array_equal(first, clip(parts, prompt="loud drums"))
    assert not np.array_equal(first, clip(parts, lyrics=""))


def test_cached_text_stands_in_for_the_encoder(parts: Parts) -> None:
    model, codec, text_encoder, tokenizer = parts
    (states,) = text_encoder.encode(["calm piano"])
    assert np.array_equal(clip((model, codec, None, tokenizer), text_states=states), clip(parts))
    with pytest.raises(ValueError, match="text"):
        clip((model, codec, None, tokenizer))


def test_progress_is_told(parts: Parts) -> None:
    told: list[tuple[int, int]] = []
    clip(parts, on_step=lambda *counts: told.append(counts))
    assert told == [(1, 3), (2, 3), (3, 3)]
