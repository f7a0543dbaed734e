"""On a CUDA device: latents and clips in half precision are near float32, recorded calls are the calls themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.cache import decoding
from engine.cache.audio_latents import begin_encoding, finished_entries
from engine.model.adapters import LoraSpec, add_lora
from engine.model.codec_form import AS_LOADED, IN_KERNELS, best_form, in_form, vocoder_form
from engine.model.load import load_codec, resolve_checkpoint
from engine.model.vocoder import Vocoder, VocoderConfig
from engine.sampling import network
from engine.sampling.network import CallSettings
from engine.sampling.sampler import SamplingSettings, sample_latents
from tests.unit.cache.stand_ins import entries_of, write_songs
from tests.unit.cache.test_build import Preparation
from tests.unit.model.small import small_inputs, small_latent, small_transformer
from tests.unit.sampling.test_sampler import DEEP
from tests.worker.conftest import cache, checkpoint  # noqa: F401 - fixtures

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")
BAND = 1e-2


@pytest.fixture(autouse=True)
def tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run sets it by default."""
    for backend in (torch.backends.cuda.matmul, torch.backends.cudnn):
        monkeypatch.setattr(backend, "allow_tf32", True)


def test_latents_of_any_length_are_within_the_band(checkpoint: Path) -> None:  # noqa: F811
    assert best_form(torch.float32, CUDA) != AS_LOADED
    codec = load_codec(resolve_checkpoint(checkpoint), dtype=torch.float32, device=CUDA, parts=("encoder",))
    reference = load_codec(resolve_checkpoint(checkpoint), dtype=torch.float32, device="cpu", parts=("encoder",))
    for seconds in (1.0, 30.0):
        sounds = [torch.randn(2, round(44_100 * seconds)) * 0.1 for _ in range(2)]
        entries = finished_entries(codec, sounds, begin_encoding(codec, sounds), num_samples=round(48_000 * seconds))
        exact, _ = reference.encode(torch.stack(sounds), sample_rate=44_100)
        for entry, expected in zip(entries, exact, strict=True):
            assert (entry.latents - expected).norm() < BAND * expected.norm()


def test_clips_are_within_the_band(checkpoint: Path) -> None:  # noqa: F811
    latents = torch.randn(1, 8, 16, 300, generator=torch.Generator().manual_seed(0))
    waves = {}
    for device in ("cpu", "cuda"):
        codec = load_codec(resolve_checkpoint(checkpoint), dtype=torch.float32, device=device, parts=("decoder",))
        waves[device] = codec.decode(latents.to(device), is_exact=device == "cpu")[0]
        codec.place(torch.device(device), stays=False)
        visited = codec.decode(latents.to(device), is_exact=device == "cpu")[0]
        torch.testing.assert_close(visited, waves[device])
    assert waves["cuda"].device.type == "cpu"
    assert (waves["cuda"] - waves["cpu"]).norm() < BAND * waves["cpu"].norm()


def test_the_vocoder_of_the_released_sizes_is_within_the_band_in_its_kernels() -> None:
    form = vocoder_form(torch.float32, torch.device("cuda", 0))
    assert form == IN_KERNELS
    torch.manual_seed(0)
    vocoder = Vocoder(VocoderConfig()).requires_grad_(False).eval()
    for weight in vocoder.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=(0.5 / weight[0].numel()) ** 0.5)
    mel = torch.randn(2, 128, 77)
    expected, found = vocoder(mel), in_form(vocoder.to(CUDA), form)(mel.to(CUDA)).cpu()
    assert 0 < (found - expected).norm() < BAND * expected.norm()


@pytest.mark.parametrize("settings", [SamplingSettings(num_steps=16), SamplingSettings(num_steps=16).without_erg()])
def test_recorded_calls_are_the_calls(settings: SamplingSettings) -> None:
    model = small_transformer(DEEP).to(CUDA)
    inputs = small_inputs()
    tensors = {name: getattr(inputs, name) for name in inputs.__dataclass_fields__}
    inputs = replace(inputs, **{name: tensor.to(CUDA) for name, tensor in tensors.items() if tensor is not None})
    assert network.can_record(model, CUDA)
    noise, told = small_latent().to(CUDA), []
    clips = [
        sample_latents(model, inputs, noise=noise, settings=replace(settings, calls=calls), on_fallback=told.append)
        for calls in (CallSettings(uses_graphs=False), CallSettings(), CallSettings(is_compiled=True))
    ]
    assert told == []
    assert torch.equal(clips[0], clips[1])
    with network.kept_recordings(model):
        for given in (replace(inputs, text_states=-inputs.text_states), inputs):
            clip = sample_latents(model, given, noise=noise, settings=settings, on_fallback=told.append)
            assert torch.equal(clip, clips[0]) == (given is inputs)
    torch.testing.assert_close(clips[2], clips[0], atol=1e-2 * float(clips[0].abs().max()), rtol=0)


def test_kept_recordings_of_a_lora_under_autocast_are_the_calls() -> None:
    model = small_transformer(DEEP)
    add_lora(model, LoraSpec(rank=4, alpha=4, target_modules=("to_q", "to_k", "to_v")), seed=0)
    for weight in model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1)
    model.to(CUDA)
    inputs = small_inputs()
    tensors = {name: getattr(inputs, name) for name in inputs.__dataclass_fields__}
    inputs = replace(inputs, **{name: tensor.to(CUDA) for name, tensor in tensors.items() if tensor is not None})
    noise, told = small_latent().to(CUDA), []

    def clip(settings: SamplingSettings) -> torch.Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            made = sample_latents(model, inputs, noise=noise, settings=settings, on_fallback=told.append)
        torch.cuda.empty_cache()  # as a run does behind each clip
        torch.full((64, 2**20), torch.nan, device=CUDA)  # whoever reads what is gone reads this
        return made

    for is_compiled in (False, True):
        plain = replace(SamplingSettings(num_steps=16), calls=CallSettings(uses_graphs=False, is_compiled=is_compiled))
        expected = clip(plain)
        with network.kept_recordings(model):
            for _ in range(3):
                made = clip(replace(plain, calls=CallSettings(is_compiled=is_compiled)))
                torch.testing.assert_close(made, expected, atol=1e-2 * float(expected.abs().max()), rtol=0)
    assert told == []


def test_a_preparation_that_runs_ahead_gives_what_one_step_by_step_gives(tmp_path: Path, monkeypatch) -> None:
    entries = entries_of(write_songs(tmp_path / "songs", [1.0] * 9), duration_interval=0.5)
    monkeypatch.setattr(decoding, "WORTH_PROCESSES_S", 0.0)
    preparations = {behind: Preparation(tmp_path / str(behind)) for behind in (0, 4)}
    for behind, preparation in preparations.items():
        assert preparation.run(entries, write_behind=behind).num_encoded == 11
    for entry in entries:
        one, other = (preparation.audio.read(entry.clips[0]) for preparation in preparations.values())
        assert torch.equal(one.latents, other.latents)
