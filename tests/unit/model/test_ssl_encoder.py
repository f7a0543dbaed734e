"""Features chunk by chunk, against a straightforward computation of the specification's words."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from engine.contract.feature_models import FEATURE_MODELS, MERT, MHUBERT
from engine.model.resample import resample
from engine.model.ssl_encoder import FeatureSource, chunk_frames, load_feature_encoders, normalised
from engine.model.tiny_features import TINY_WIDTHS, write_tiny_feature_model
from engine.planning.disk import feature_bytes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory):
    root: Path = tmp_path_factory.mktemp("features")
    sources = [
        FeatureSource(model, write_tiny_feature_model(root / model.name, model), TINY_WIDTHS[model.name])
        for model in FEATURE_MODELS
    ]
    return load_feature_encoders(sources, converted=root / "kept", device=CPU)


def sound(seconds: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return 0.3 * torch.randn(2, round(48_000 * seconds), generator=generator) + 0.1


def reference(encoder, audio: torch.Tensor) -> torch.Tensor:
    """Chunk after chunk, one at a time, in the words of ace-step-v1.md 9.5."""
    model = encoder.model
    mono = resample(audio.mean(dim=0, keepdim=True), 48_000, model.sample_rate)[0].double()
    whole = (mono - mono.mean()) / (mono.var() + 1e-7).sqrt()
    size, parts = model.chunk_s * model.sample_rate, []
    for begin in range(0, len(whole), size):
        chunk = whole[begin : begin + size]
        heard = torch.cat([chunk, torch.zeros(size - len(chunk), dtype=torch.double)]).float()
        with torch.no_grad():
            hidden = encoder._module(heard[None]).last_hidden_state[0]
        parts.append(hidden[: math.ceil(len(chunk) / 320)])
    return torch.cat(parts)


@pytest.mark.parametrize("seconds", [1.0, 12.5])
def test_features_are_those_of_the_specification(encoders, seconds):
    features = encoders.encode(sound(seconds))
    assert list(features) == ["mert", "mhubert"]
    for encoder in encoders._encoders:
        stored, wanted = features[encoder.model.name], reference(encoder, sound(seconds))
        assert (stored.dtype, stored.shape) == (torch.float16, wanted.shape)
        torch.testing.assert_close(encoder.encode(sound(seconds).mean(dim=0)), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(stored.float(), wanted, rtol=2e-3, atol=2e-3)


def test_the_same_clip_gives_the_same_bytes(encoders):
    first, again = encoders.encode(sound(6.0)), encoders.encode(sound(6.0))
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(
    ("num_samples", "model", "frames"),
    [
        (120_000, MERT, [374]),  # not 375: the convolutions use no padding
        (120_001, MERT, [374, 1]),
        (119_680, MERT, [374]),
        (119_681, MERT, [374]),
        (119_360, MERT, [373]),
        (1, MERT, [1]),
        (1_440_000, MERT, [374] * 12),
        (480_000, MHUBERT, [1499]),
        (480_000 + 321, MHUBERT, [1499, 2]),
        (960_000, MHUBERT, [1499, 1499]),
    ],
)
def test_frames_of_chunks(num_samples, model, frames):
    assert chunk_frames(num_samples, model) == frames


def test_a_full_chunk_really_gives_that_many_frames(encoders):
    for encoder in encoders._encoders:
        lengths = torch.tensor([encoder.model.chunk_samples])
        frames = encoder._module._get_feat_extract_output_lengths(lengths)
        assert int(frames) == encoder.model.full_chunk_frames


def test_a_clip_is_normalised_as_a_whole(encoders):
    samples = torch.tensor([0.0, 1.0, 2.0, 3.0])
    assert normalised(samples).mean().abs() < 1e-6 and normalised(samples).var() == pytest.approx(1.0, abs=1e-5)
    assert torch.isfinite(normalised(torch.zeros(1))).all()
    # Louder sound, or sound beside zero, is the same sound, although silence is padded behind its last chunk.
    plain = encoders.encode(sound(7.0))["mert"].float()
    for changed in (sound(7.0) * 0.5, sound(7.0) + 0.7):
        features = encoders.encode(changed)["mert"].float()
        # Not at the very edges: there the resampler hears the silence outside.
        torch.testing.assert_close(features[4:-4], plain[4:-4], rtol=0, atol=1e-2)


def test_a_minute_takes_what_the_specification_says():
    """config-formats.md 5.2, halved: (18,382,848 + 9,209,856) / 2 bytes."""
    assert feature_bytes(60.0) == (18_382_848 + 9_209_856) // 2
