"""The text encoder: padding, truncation, ERG, loading."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import UMT5Config, UMT5EncoderModel

from engine.contract.errors import ModelError
from engine.contract.model_files import TRANSFORMERS_WEIGHTS
from engine.model.load import Checkpoint
from engine.model.text_encoder import ERG_LAYERS, TextEncoder

CAPTIONS = ["a calm piano song", "", "rock, drums, electric guitar, 120 bpm, live", "x"]


def load(folder: Path, *, dtype: torch.dtype = torch.float32, max_length: int = 256) -> TextEncoder:
    return TextEncoder.from_folder(folder, dtype=dtype, device="cpu", max_length=max_length)


@pytest.fixture(scope="module")
def encoder(tiny: Checkpoint) -> TextEncoder:
    return load(tiny.text_encoder)


@pytest.fixture(scope="module")
def deep_encoder(encoder: TextEncoder) -> TextEncoder:
    """One with as many layers as the real encoder."""
    torch.manual_seed(0)
    config = UMT5Config(**encoder.model.config.to_dict() | {"num_layers": 12})
    return TextEncoder(UMT5EncoderModel(config), encoder.tokenizer)


@pytest.fixture
def folder(tiny: Checkpoint, tmp_path: Path) -> Path:
    """A text encoder that a test may damage."""
    return Path(shutil.copytree(tiny.text_encoder, tmp_path / "umt5"))


def test_a_batch_is_its_captions(encoder: TextEncoder) -> None:
    together = encoder.encode(CAPTIONS * 5)
    for caption, states in zip(CAPTIONS * 5, together, strict=True):
        (alone,) = encoder.encode([caption])
        assert states.shape == alone.shape
        assert torch.allclose(states, alone, atol=1e-5)
    assert len(together[1]) == 1, "an empty caption is the end token alone"


def test_states_are_what_transformers_gives(encoder: TextEncoder, tiny: Checkpoint) -> None:
    reference = UMT5EncoderModel.from_pretrained(tiny.text_encoder).eval()
    tokens = encoder.tokenizer(CAPTIONS[0], return_tensors="pt")
    with torch.no_grad():
        expected = reference(**tokens).last_hidden_state[0]
    assert torch.allclose(encoder.encode([CAPTIONS[0]])[0], expected, atol=1e-5)


def test_prompts_are_cut_to_256_characters(tiny: Checkpoint) -> None:
    encoder = load(tiny.text_encoder, max_length=1000)
    prompt = "abcdefgh" * 32
    lengths = [len(encoder.encode([text])[0]) for text in (prompt[:-1], prompt, prompt + "a", prompt * 2)]
    assert lengths[0] < lengths[1] == lengths[2] == lengths[3]


def test_tokens_are_cut_to_the_length(tiny: Checkpoint) -> None:
    short = load(tiny.text_encoder, max_length=5)
    assert [len(states) for states in short.encode(["a very long caption", "x"])] == [5, 2]


def test_states_can_be_trained_on(encoder: TextEncoder) -> None:
    (states,) = encoder.encode(["x"])
    assert not states.requires_grad
    weight = torch.ones(states.shape[-1], requires_grad=True)
    (states @ weight).sum().backward()  # an inference tensor would refuse


def test_erg_needs_its_layers(encoder: TextEncoder, deep_encoder: TextEncoder) -> None:
    assert not encoder.supports_erg
    assert deep_encoder.supports_erg
    with pytest.raises(ValueError, match="ERG"):
        encoder.encode(["x"], query_scale=0.01)


def test_erg_scales_the_queries_of_two_layers(deep_encoder: TextEncoder) -> None:
    (plain,) = deep_encoder.encode(CAPTIONS[:1])
    (blunted,) = deep_encoder.encode(CAPTIONS[:1], query_scale=0.01)
    assert not torch.allclose(plain, blunted, atol=1e-3)
    assert torch.equal(deep_encoder.encode(CAPTIONS[:1])[0], plain), "the hooks are gone"
    queries = [deep_encoder.model.encoder.block[index].layer[0].SelfAttention.q for index in ERG_LAYERS]
    with torch.no_grad():
        for query in queries:
            query.weight.mul_(0.01)
    by_weights = deep_encoder.encode(CAPTIONS[:1])[0]
    with torch.no_grad():
        for query in queries:
            query.weight.div_(0.01)
    assert torch.allclose(by_weights, blunted, atol=1e-5)


@pytest.mark.parametrize(("dtype", "wide"), [(torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)])
def test_half_precision_is_near(encoder: TextEncoder, tiny: Checkpoint, dtype: torch.dtype, wide: torch.dtype) -> None:
    half = load(tiny.text_encoder, dtype=dtype)
    assert half.model.encoder.block[0].layer[1].DenseReluDense.wo.weight.dtype == wide
    assert half.model.shared.weight.dtype == dtype
    (states,), (expected,) = half.encode(CAPTIONS[:1]), encoder.encode(CAPTIONS[:1])
    assert states.dtype == dtype
    assert (states.float() - expected).abs().max() < 0.15


def test_a_table_under_either_name_and_a_decoder_are_accepted(encoder: TextEncoder, folder: Path) -> None:
    expected = encoder.encode(CAPTIONS[:1])[0]
    path = folder / TRANSFORMERS_WEIGHTS
    tensors = load_file(path)
    table = tensors.pop("shared.weight", tensors.pop("encoder.embed_tokens.weight", None))
    for name in ("shared.weight", "encoder.embed_tokens.weight"):
        save_file(tensors | {name: table, "decoder.final_layer_norm.weight": torch.ones(3)}, path)
        assert torch.equal(load(folder).encode(CAPTIONS[:1])[0], expected)


def test_missing_weights_are_named(folder: Path) -> None:
    path = folder / TRANSFORMERS_WEIGHTS
    tensors = load_file(path)
    del tensors["encoder.final_layer_norm.weight"]
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"1 missing \(encoder\.final_layer_norm\.weight\)"):
        load(folder)


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_an_unreadable_tokenizer_is_named(folder: Path, content: str | None) -> None:
    path = folder / "tokenizer.json"
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match="tokenizer"):
        load(folder)


def test_a_config_that_cannot_work_is_named(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_layers": "many"}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json"):
        load(folder)
