import hashlib
import runpy
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from engine.contract.errors import DiskError, ModelError
from engine.contract.model_files import SUB_FOLDERS
from engine.model import tiny as tiny_module
from engine.model.load import (
    Checkpoint,
    load_codec,
    load_text_encoder,
    load_transformer,
)
from engine.model.parameter_names import checkpoint_shapes
from engine.model.tiny import TINY_TRANSFORMER, write_tiny_checkpoint
from engine.model.transformer import ConditionInputs

CPU = torch.device("cpu")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_layout_is_the_hubs(tiny_folder: Path) -> None:
    assert sorted(path.name for path in tiny_folder.iterdir()) == sorted(SUB_FOLDERS)
    assert set(digests(tiny_folder)) == {
        "ace_step_transformer/config.json",
        "ace_step_transformer/diffusion_pytorch_model.safetensors",
        "music_dcae_f8c8/config.json",
        "music_dcae_f8c8/diffusion_pytorch_model.safetensors",
        "music_vocoder/config.json",
        "music_vocoder/diffusion_pytorch_model.safetensors",
        "umt5-base/config.json",
        "umt5-base/model.safetensors",
        "umt5-base/tokenizer.json",
        "umt5-base/tokenizer_config.json",
        "umt5-base/special_tokens_map.json",
    }


def test_the_same_seed_gives_the_same_bytes(tiny_folder: Path, tmp_path: Path) -> None:
    assert digests(write_tiny_checkpoint(tmp_path / "again", seed=0)) == digests(tiny_folder)
    other = digests(write_tiny_checkpoint(tmp_path / "other", seed=1))
    same = {name for name, digest in digests(tiny_folder).items() if other[name] == digest}
    assert all(name.endswith(".json") for name in same)
    assert len(same) == len(other) - 4


def test_it_is_small_and_whole(tiny: Checkpoint) -> None:
    sizes = [torch.Size(shape).numel() for shape in checkpoint_shapes(TINY_TRANSFORMER).values()]
    assert 1e6 < sum(sizes) < 2e6
    model = load_transformer(tiny, dtype=torch.float32, device=CPU, with_projectors=True)
    assert model.config == TINY_TRANSFORMER
    assert model.config.lyric_encoder_vocab_size == 6693


@pytest.mark.parametrize("caption", ["Upbeat pop, 120 bpm", "", "日本の歌 ☃ à la carte", "x" * 5000])
def test_any_caption_has_states(tiny: Checkpoint, caption: str) -> None:
    encoder = load_text_encoder(tiny, dtype=torch.float32, device=CPU)
    (states,) = encoder.encode([caption])
    assert states.shape[1] == TINY_TRANSFORMER.text_embedding_dim
    assert 1 <= states.shape[0] <= 256
    assert states.isfinite().all()


@torch.no_grad()
def test_a_clip_goes_through_codec_and_transformer(tiny: Checkpoint) -> None:
    codec = load_codec(tiny, dtype=torch.float32, device=CPU)
    time = torch.arange(2 * 48_000) / 48_000
    chord = sum(torch.sin(2 * torch.pi * frequency * time) for frequency in (220, 277, 330)) * 0.2
    latents, lengths = codec.encode(torch.stack([chord, chord.flip(0)])[None])
    assert latents.shape == (1, 8, TINY_TRANSFORMER.latent_height, 22)
    assert lengths.tolist() == [21]
    assert 0.3 < latents.std() < 3

    model = load_transformer(tiny, dtype=torch.float32, device=CPU)
    (text,) = load_text_encoder(tiny, dtype=torch.float32, device=CPU).encode(["a chord"])
    inputs = ConditionInputs(text[None], torch.ones(1, len(text)), torch.tensor([[261, 6692, 2]]), torch.ones(1, 3))
    conditions = model.encode_conditions(inputs)
    x = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    sigmas = torch.linspace(1, 0, 9)
    for sigma, following in pairwise(sigmas):
        x = x + (following - sigma) * model(x, sigma[None] * 1000, conditions).velocity

    for source in (latents, x):
        (wave,) = codec.decode(source)
        assert wave.isfinite().all()
        assert 0.01 < wave.square().mean().sqrt() < 0.5
        assert wave.abs().max() < 0.99


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ModelError, match="not empty"):
        write_tiny_checkpoint(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiny_module, "_write_text_encoder", full)
    with pytest.raises(DiskError, match="writing the tiny model failed"):
        write_tiny_checkpoint(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer_that_was_quicker_is_no_error(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    write_text_encoder = tiny_module._write_text_encoder

    def slow(target: Path, seed: int) -> None:
        write_text_encoder(target, seed)
        shutil.copytree(tiny_folder, folder)

    monkeypatch.setattr(tiny_module, "_write_text_encoder", slow)
    write_tiny_checkpoint(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert digests(folder) == digests(tiny_folder)


@pytest.mark.filterwarnings("ignore:'engine.model.tiny' found in sys.modules")
def test_the_command_writes_a_checkpoint(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    monkeypatch.setattr(sys, "argv", ["tiny", str(folder), "--seed", "0"])
    # In this process: another one would spend ten seconds on imports.
    runpy.run_module("engine.model.tiny", run_name="__main__")
    assert capsys.readouterr().out.strip() == str(folder)
    assert digests(folder) == digests(tiny_folder)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("engine.model.tiny", run_name="__main__")
    assert stopped.value.code == 6
    assert "is not empty" in capsys.readouterr().err
