"""The copy of a quantised model on disk: bit-equal, resumed, checked, never in the way of a run."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.contract.config import Config
from engine.contract.paths import quantised_models
from engine.hardware.cache_files import entry_problem, find_entries
from engine.model import quantised_copy
from engine.model.load import Checkpoint, load_transformer, resolve_checkpoint
from engine.model.quantise import Bits, Quantisation, quantisation_of, quantised_blocks
from engine.model.transformer import AceStepTransformer

CPU = torch.device("cpu")
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "quantised"


def load(checkpoint: Checkpoint, copies: Path | None, bits: Bits = 8, **more) -> AceStepTransformer:
    how = Quantisation(bits, copies=copies, **more)
    return load_transformer(checkpoint, dtype=torch.bfloat16, device=CPU, quantisation=how)


def assert_equal(found: AceStepTransformer, exact: AceStepTransformer) -> None:
    state, expected = found.state_dict(), exact.state_dict()
    assert state.keys() == expected.keys()
    assert all(state[name].dtype is one.dtype and torch.equal(state[name], one) for name, one in expected.items())


def never(*_: object, **__: object) -> None:
    raise AssertionError("a weight was rounded again")


@pytest.mark.parametrize("bits", [8, 4])
def test_the_second_load_rounds_nothing_and_is_bit_equal(
    tiny: Checkpoint, copies: Path, bits: Bits, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, first = load(tiny, None, bits), load(tiny, copies, bits)
    blocks = quantised_blocks(first)
    assert [name for name in blocks if name.startswith("transformer_blocks.")] == [
        f"transformer_blocks.{index}" for index in range(first.config.num_layers)
    ]
    files = list(find_entries(copies))
    assert len(files) == len(blocks) == len(list(copies.iterdir())), "one file a block, nothing beside them"
    assert all(entry_problem(entry.path) == "" for entry in files)
    monkeypatch.setattr("engine.model.quantise.quantise", never)
    second = load(tiny, copies, bits)
    for model in (first, second):
        assert_equal(model, fresh)
        assert model.notices == ()
    # It computes too: what parts the bytes is no part of the file.
    layer = next(iter(blocks["transformer_blocks.0"]))
    assert torch.equal(second.get_submodule(layer).weight, fresh.get_submodule(layer).weight)


def test_bits_and_checkpoints_have_copies_of_their_own(tiny_folder: Path, copies: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "checkpoint"))
    checkpoint = resolve_checkpoint(folder)
    num_blocks = len(quantised_blocks(load(checkpoint, copies)))
    load(checkpoint, copies, 4)
    assert len(list(copies.iterdir())) == 2 * num_blocks
    # What is left as it is needs no file; the rest is shared.
    load(checkpoint, copies, kept=("lyric_encoder",))
    assert len(list(copies.iterdir())) == 2 * num_blocks
    (weights,) = checkpoint.transformer.glob("*.safetensors")
    os.utime(weights, ns=(1, 1))
    load(checkpoint, copies)
    assert len(list(copies.iterdir())) == 3 * num_blocks


def test_a_load_that_was_cut_off_is_taken_up_where_it_ended(
    tiny: Checkpoint, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = quantised_copy.write_checked

    def cut_off(path, tensors, *, metadata, action):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(metadata["block"])
        write(path, tensors, metadata=metadata, action=action)

    monkeypatch.setattr(quantised_copy, "write_checked", cut_off)
    with pytest.raises(KeyboardInterrupt):
        load(tiny, copies)
    before = {path.name: path.read_bytes() for path in copies.iterdir()}
    left_behind = copies / f".x.safetensors.{os.uname().nodename}-{2**22 + 1}.tmp"
    left_behind.write_bytes(b"of a process that is no more")
    written[:] = ["one", "other", "so that nothing is cut off again"]
    model = load(tiny, copies)
    assert written[3:] == list(quantised_blocks(model))[2:]
    assert not left_behind.exists()
    assert all((copies / name).read_bytes() == content for name, content in before.items())
    assert_equal(model, load(tiny, None))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda content: content[:-7], "its header announces"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "its bytes are not those that were written"),
        (lambda content: b"", "no safetensors header"),
        (lambda content: content.replace(b'.codes"', b'.kodes"', 1), "would have"),
    ],
)
def test_a_damaged_file_is_named_and_made_anew(tiny: Checkpoint, copies: Path, harm, words: str) -> None:
    path = quantised_path(load(tiny, copies), copies, tiny, "transformer_blocks.1")
    content = path.read_bytes()
    path.write_bytes(harm(content))
    model = load(tiny, copies)
    (notice,) = model.notices
    assert notice.startswith("the copy of transformer_blocks.1 with fewer digits is made anew: ") and words in notice
    assert path.read_bytes() == content
    assert_equal(model, load(tiny, None))
    assert load(tiny, copies).notices == ()


def quantised_path(model: AceStepTransformer, copies: Path, checkpoint: Checkpoint, block: str) -> Path:
    files = sorted(checkpoint.transformer.glob("*.safetensors"))
    copy = quantised_copy.QuantisedCopy(copies, transformer=checkpoint.transformer, files=files, bits=8)
    return copy.path(quantised_blocks(model)[block])


def test_a_disk_without_room_is_said_once_and_nothing_is_written(
    tiny: Checkpoint, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, quantised_copy.SPARE_BYTES))
    model = load(tiny, copies)
    (notice,) = model.notices
    assert "is not kept for the next start" in notice and f"{copies} has 2.1 GB free; 0.0 GB and 2.1 GB" in notice
    assert not copies.exists()
    assert_equal(model, load(tiny, None))


def test_a_disk_that_fills_up_meanwhile_is_said_once(
    tiny: Checkpoint, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    model = load(tiny, copies)
    (notice,) = model.notices
    assert notice.endswith("No space left on device") and str(copies) in notice
    assert not list(copies.iterdir())
    assert_equal(model, load(tiny, None))


def test_the_cache_folder_is_where_it_lies_unless_it_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACESTEP_CACHE", raising=False)
    config = Config.from_dict({"base_model_precision": "int8-quanto", "cache_dir": str(tmp_path)})
    how = quantisation_of(config)
    assert how is not None and how.copies == quantised_models(config) == tmp_path / "quantised"
    unwanted = quantisation_of(Config.from_dict({"base_model_precision": "int4-quanto", "keep_quantised_model": False}))
    assert unwanted is not None and unwanted.copies is None
    assert quantisation_of(Config.from_dict({})) is None
    assert replace(how, copies=None) == how, "where it is kept changes nothing of what it is"
