"""What is said when memory runs out, what is kept of it, and what a batch is parted into."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.contract.config import Config
from engine.contract.run_dir import RunDir
from engine.hardware.gpu import GpuProcess
from engine.train.memory_words import Shortage, read_shortage
from engine.train.relief import FILE, Relief, keep_relief, kept_relief
from engine.train.worker import is_out_of_memory

GIB = 2**30


def test_it_is_said_how_much_was_full_and_who_had_some_of_it():
    others = (GpuProcess(7, "blender", round(3.1 * GIB)), GpuProcess(8, "Xorg", 2**27))
    shortage = Shortage("CUDA out of memory", "cuda", free_bytes=0, total_bytes=12 * GIB, others=others)
    assert shortage.words("train", 311) == (
        "GPU memory ran out at step 312: 12.0 GB were full, 3.1 GB of them by another program (blender)"
    )
    two = Shortage("", "cuda", free_bytes=GIB, total_bytes=8 * GIB, others=(others[0], GpuProcess(9, None, GIB)))
    assert two.words("load", 0) == (
        "GPU memory ran out while the model was loaded: 7.0 GB were full, 4.1 GB of them by 2 other programs (blender)"
    )
    alone = Shortage("", "cuda", free_bytes=GIB, total_bytes=8 * GIB, others=others[1:])
    assert alone.words("validate", 1250) == "GPU memory ran out while testing before step 1,251: 7.0 GB were full"
    assert Shortage("", "cpu").words("cache", 0) == "Memory ran out while songs were prepared"


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has", round(2.5 * GIB)),
        ("MPS backend out of memory (MPS allocated: 1 GB). Tried to allocate 256 bytes on shared pool", 256),
        ("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes", None),
        ("", None),
    ],
)
def test_what_was_asked_for_is_read_from_what_torch_says(text: str, needed: int | None):
    shortage = read_shortage(torch.OutOfMemoryError(text), torch.device("cpu"))
    assert shortage.needed_bytes == needed and shortage.why == (text or "OutOfMemoryError")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("[Errno 12] Cannot allocate memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception, expected: bool):
    assert is_out_of_memory(error) is expected


class Told(list):
    def __call__(self, code: str, message: str) -> None:
        self.append((code, message))


def test_what_was_done_is_kept_and_acts_until_the_settings_change(tmp_path: Path):
    config, told = Config.from_dict({"train_batch_size": 4}), Told()
    relief = Relief({"gradient_checkpointing_policy": "full", "musubi_blocks_to_swap": 6}, micro_batch=2)
    assert kept_relief(RunDir(tmp_path), config, warn=told) == Relief() and not told
    keep_relief(RunDir(tmp_path), relief, config)
    kept = kept_relief(RunDir(tmp_path), config, warn=told)
    assert kept == relief and kept.of(config).musubi_blocks_to_swap == 6 and config.musubi_blocks_to_swap == 0
    ((code, message),) = told
    assert code == "memory_relief_kept"
    assert "at most 2 of a step's songs at once" in message and "musubi_blocks_to_swap 6" in message and FILE in message
    told.clear()
    assert not kept_relief(RunDir(tmp_path), config.replace(lora_rank=8), warn=told)
    assert told[0][0] == "memory_relief_forgotten" and "lora_rank changed since" in told[0][1]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"settings": {"no_such": 1}, "micro_batch": null, "clips_on_processor": false, "about": {}}'],
)
def test_a_damaged_file_is_said_and_stops_nothing(tmp_path: Path, text: str):
    told = Told()
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    assert kept_relief(RunDir(tmp_path), Config.from_dict({}), warn=told) == Relief()
    assert [code for code, _ in told] == ["memory_file_damaged"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "expandable_segments:True -"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}, "None max_split_size_mb:64"),
        ({"PYTORCH_ALLOC_CONF": "backend:native"}, "backend:native -"),
    ],
)
def test_memory_segments_may_grow_unless_the_user_has_said_otherwise(given: dict[str, str], expected: str):
    code = (
        "import os, engine.__main__ as worker; worker.set_environment(); "
        "print(os.environ.get('PYTORCH_ALLOC_CONF'), os.environ.get('PYTORCH_CUDA_ALLOC_CONF', '-'))"
    )
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
    environment = {name: value for name, value in os.environ.items() if name not in names} | given
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == expected
