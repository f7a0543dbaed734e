"""What a configuration names outside itself is looked at before anything starts."""

from __future__ import annotations

import json
import struct

import pytest

from engine.contract.byte_size import parse_size, size_words
from engine.contract.lora_header import read_lora_header
from engine.contract.run_dir import ADAPTER_FILE, GUARD_FILE


def write_header(path, shapes, *, metadata=None, cut=0):
    """A safetensors file of zeros."""
    header, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, shape in shapes.items():
        num_bytes = 4
        for axis in shape:
            num_bytes *= axis
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + num_bytes]}
        end += num_bytes
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end - cut))
    return path


MODULE = "transformer_blocks.0.attn.to_q"
PAIR = {f"{MODULE}.lora_A.weight": (8, 4), f"{MODULE}.lora_B.weight": (4, 8)}


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("5G", 5 * 2**30), ("500MB", 500 * 2**20), ("1.5k", 1536), (" 2 tb ", 2 * 2**40), ("77", 77), ("3b", 3)],
)
def test_sizes(text, num_bytes):
    assert parse_size(text) == num_bytes


@pytest.mark.parametrize("text", ["", "G", "-5G", "5X", "5 G B", "0", "1e9", "5GiB"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=r"size|small"):
        parse_size(text)


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [
        (12, "12 B"),
        (12_000, "12 kB"),
        (8.2 * 2**20, "8.2 MB"),
        (310 * 2**20, "310 MB"),
        (8.24 * 2**30, "8.2 GB"),
        (10.3 * 2**30, "10.3 GB"),
        (312.6 * 2**30, "313 GB"),
        (1.5 * 2**40, "1.5 TB"),
    ],
)
def test_sizes_are_told_in_few_digits(num_bytes: float, words: str) -> None:
    assert size_words(num_bytes) == words


def test_a_bad_threshold_is_refused(refused, resolved):
    (line,) = refused({"disk_low_threshold": "five"})
    assert "5G or 500MB" in line
    assert resolved({"disk_low_threshold": "500mb"}).config.disk_low_threshold == "500mb"


def test_the_program_for_a_low_disk_must_be_there(refused, resolved, tmp_path):
    low = {"disk_low_threshold": "1G", "disk_low_action": "script"}
    (line,) = refused(low)
    assert "disk_low_script" in line
    (line,) = refused({**low, "disk_low_script": "missing.sh"})
    assert "no such file" in line
    program = tmp_path / "free.sh"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    (line,) = refused({**low, "disk_low_script": "free.sh"})
    assert "may not be run" in line
    program.chmod(0o755)
    assert resolved({**low, "disk_low_script": "free.sh"}).config.disk_low_action == "script"
    found = resolved({"disk_low_action": "wait"})
    assert any(notice.code == "no_effect" and notice.key == "disk_low_action" for notice in found.notices)


def test_the_program_after_a_checkpoint_must_be_there(refused):
    (line,) = refused({"post_checkpoint_script": "missing.sh"})
    assert "no such file" in line


@pytest.mark.parametrize(
    ("written", "meant", "codes"),
    [
        ("none", "none", []),
        ("local", "local", []),
        ("simpletuner", "local", []),
        ("tensorboard, Local", "tensorboard,local", []),
        ("all", "tensorboard,local", []),
        ("wandb", "none", ["unknown_tracker"]),
        ("wandb,swanlab,local", "local", ["unknown_tracker"]),
    ],
)
def test_trackers(resolved, monkeypatch, written, meant, codes):
    monkeypatch.setattr("engine.contract.file_rules.is_installed", lambda name: True)
    found = resolved({"report_to": written})
    assert found.config.report_to == meant
    assert [notice.code for notice in found.notices if notice.key == "report_to"] == codes


def test_a_tracker_that_is_not_installed_never_stops_a_run(resolved, monkeypatch):
    monkeypatch.setattr("engine.contract.file_rules.is_installed", lambda name: name != "tensorboard")
    found = resolved({"report_to": "all"})
    assert found.config.report_to == "local"
    (notice,) = [notice for notice in found.notices if notice.key == "report_to"]
    assert "pip install acestep-tui[tensorboard]" in notice.message


def test_the_rank_of_a_lora_counts(resolved, tmp_path):
    write_header(tmp_path / "x.safetensors", PAIR)
    found = resolved({"init_lora": "x.safetensors", "lora_rank": 16})
    assert found.config.lora_rank == 8
    (notice,) = [notice for notice in found.notices if notice.code == "init_lora_rank"]
    assert "rank 8" in notice.message and "lora_rank 16" in notice.message
    assert not [n for n in resolved({"init_lora": "x.safetensors", "lora_rank": 8}).notices if n.key == "init_lora"]


def test_the_override_of_the_quickstart_reaches_the_rules(resolved, tmp_path):
    path = write_header(tmp_path / "elsewhere" / "x.safetensors", PAIR)
    found = resolved({"lora_rank": 16}, f"--init_lora={path}")
    assert (found.config.init_lora, found.config.lora_rank) == (str(path), 8)
    assert found.origins["init_lora"] == "flag"


def test_a_folder_and_a_cached_repository_stand_for_the_file_in_them(resolved, tmp_path, monkeypatch):
    write_header(tmp_path / "mine" / ADAPTER_FILE, PAIR)
    assert resolved({"init_lora": "mine"}).config.lora_rank == 8
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    storage = tmp_path / "hub" / "models--someone--rap-lora"
    write_header(storage / "snapshots" / ("a" * 40) / ADAPTER_FILE, PAIR)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text("a" * 40, encoding="ascii")
    assert resolved({"init_lora": "someone/rap-lora"}).config.lora_rank == 8


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda folder: None, "no such file or folder"),
        (lambda folder: (folder / "x.safetensors").mkdir(), "holds 0 .safetensors files"),
        (lambda folder: (folder / "x.safetensors").write_bytes(b"not one"), "no safetensors header"),
        (lambda folder: write_header(folder / "x.safetensors", PAIR, cut=3), "cut off"),
        (lambda folder: write_header(folder / "x.safetensors", {"conv.weight": (3, 3)}), "is no LoRA"),
        (
            lambda folder: write_header(
                folder / "x.safetensors",
                {"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight": (4, 320)},
            ),
            "none of its 1 keys names a module of ACE-Step v1",
        ),
        (
            lambda folder: write_header(
                folder / "x.safetensors", {"base_model.model.layers.0.self_attn.q_proj.lora_A.weight": (8, 2048)}
            ),
            "this LoRA is for ACE-Step 1.5",
        ),
        (
            lambda folder: write_header(
                folder / "x.safetensors", {**PAIR, "transformer_blocks.0.attn.to_q.lora_magnitude_vector": (9,)}
            ),
            "a DoRA adapter; only plain LoRA",
        ),
    ],
)
def test_what_is_no_lora_is_refused_before_anything_starts(refused, tmp_path, make, part):
    make(tmp_path)
    (line,) = refused({"init_lora": "x.safetensors"})
    assert part in line and "Accepted: a .safetensors file" in line


def test_pickled_files_are_never_opened(refused, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"anything")
    (line,) = refused({"init_lora": "x.bin"})
    assert "never opened" in line


def test_a_repository_that_is_not_here_is_said(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (line,) = refused({"init_lora": "someone/rap-lora"})
    assert "hub's cache" in line


def test_the_first_step_needs_a_lora_and_an_end_after_it(refused, resolved, tmp_path):
    write_header(tmp_path / "x.safetensors", PAIR, metadata={"global_step": "700"})
    lora = {"init_lora": "x.safetensors", "max_train_steps": 1000}
    (line,) = refused({"init_lora_step": 5})
    assert "init_lora is not set" in line
    (line,) = refused({**lora, "init_lora_step": 1000})
    assert "the run ends at step 1,000" in line
    (line,) = refused({**lora, "init_lora_step": 5, "resume_from_checkpoint": "checkpoint-3"})
    assert "a step of its own" in line
    assert resolved(lora).config.init_lora_step is None
    assert resolved({**lora, "init_lora_step": 5}).config.init_lora_step == 5
    assert resolved({**lora, "init_lora_step": "file"}).config.init_lora_step == 700


def test_a_file_that_does_not_say_its_step_is_not_asked_for_it(refused, tmp_path):
    write_header(tmp_path / "x.safetensors", PAIR)
    (line,) = refused({"init_lora": "x.safetensors", "init_lora_step": "file"})
    assert "does not say its step" in line


def test_the_average_of_a_lora_needs_an_average(refused, tmp_path):
    write_header(tmp_path / "x.safetensors", PAIR)
    (line,) = refused({"init_lora": "x.safetensors", "init_lora_ema": "x.safetensors"})
    assert "use_ema is not set" in line
    (line,) = refused({"init_lora_ema": "x.safetensors"})
    assert "init_lora is not set" in line


def test_a_run_that_goes_on_needs_the_file_no_more(resolved, tmp_path):
    checkpoint = tmp_path / "out" / "checkpoint-5"
    write_header(checkpoint / ADAPTER_FILE, PAIR)
    (checkpoint / GUARD_FILE).touch()
    written = {"init_lora": "gone.safetensors", "lora_rank": 16, "output_dir": "out"}
    assert resolved(written).config.lora_rank == 8
    assert resolved({**written, "resume_from_checkpoint": "checkpoint-5"}).config.lora_rank == 8


def test_a_full_fine_tune_has_no_use_for_a_lora(resolved):
    found = resolved({"init_lora": "gone.safetensors", "model_type": "full"})
    assert any(notice.code == "no_effect" and notice.key == "init_lora" for notice in found.notices)


def test_the_commonest_rank_stands_for_a_file_of_several(tmp_path):
    mixed = {
        "lora_unet_transformer_blocks_0_attn_to_q.lora_down.weight": (4, 9),
        "lora_unet_transformer_blocks_1_attn_to_q.lora_down.weight": (16, 9),
        "transformer_blocks.2.attn.to_q.lora.down.weight": (16, 9),
        "lyric_embs.lora_embedding_A": (2, 40),
        "a.alpha": (),
    }
    header = read_lora_header(write_header(tmp_path / "x.safetensors", mixed))
    assert header.ranks == (4, 16, 16, 2)
    assert (header.rank, header.step) == (16, None)
