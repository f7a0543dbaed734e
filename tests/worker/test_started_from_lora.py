"""The real worker: a run that starts from a LoRA, its clips, reports, programs and disk."""

from __future__ import annotations

import json
import time

import pytest
import soundfile
import torch

from engine.contract.lora_header import read_lora_header
from engine.contract.run_dir import ADAPTER_FILE
from engine.export.adapter_file import write_adapter
from engine.model.adapters import LoraSpec, adapter_state, add_lora, load_adapter_state
from engine.model.load import load_transformer, resolve_checkpoint
from engine.train import low_disk
from tests.worker.conftest import events

CLIPS = {
    "validation_prompt": "warm synth chord",
    "validation_audio_duration": 0.3,
    "validation_num_inference_steps": 2,
    "validation_use_erg_lyric": False,
    "validation_use_erg_diffusion": False,
}


@pytest.fixture(scope="module")
def lora(checkpoint, tmp_path_factory):
    """A LoRA of rank 8 that changes the model visibly."""
    spec = LoraSpec(rank=8, alpha=8)
    model = load_transformer(resolve_checkpoint(checkpoint), dtype=torch.float32, device="cpu")
    add_lora(model, spec, seed=1)
    generator = torch.Generator().manual_seed(3)
    state = {key: torch.randn(x.shape, generator=generator) * 0.2 for key, x in adapter_state(model).items()}
    load_adapter_state(model, state)
    path = tmp_path_factory.mktemp("lora") / "mine.safetensors"
    write_adapter(path, adapter_state(model), spec=spec, metadata={"global_step": 20})
    return path


def test_a_run_starts_from_a_lora_with_everything_around_it(workshop, lora, tmp_path):
    program = tmp_path / "tell.sh"
    program.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/told\n', encoding="utf-8")
    program.chmod(0o755)
    run = workshop.run_dir(
        **CLIPS,
        init_lora=str(lora),
        init_lora_step="file",
        max_train_steps=22,
        checkpoint_epoch_interval=1,
        validation_epoch_interval=1,
        validation_on_startup=True,
        report_to="local",
        post_checkpoint_script=str(program),
        vae_enable_tiling=True,
        offload_during_startup=True,
    )
    assert workshop.train(run) == 0
    steps = events(run, "step")
    assert [step["step"] for step in steps] == [21, 22]

    # The rank is the file's, in the weights and in what is shared.
    header = json.loads((run.path / "config.json").read_text(encoding="utf-8"))
    assert header["lora_rank"] == 8
    adapter = run.checkpoint(22) / ADAPTER_FILE
    assert set(read_lora_header(adapter).ranks) == {8}

    # Before the first step: the bare model, then the LoRA it starts from; clips of 48 kHz in the last checkpoint.
    saved = [(event["step"], event["name"]) for event in events(run, "sample_saved")]
    # (Three steps are a pass: one ends with step 21.)
    assert saved == [(20, "validation_base"), (20, "validation"), (21, "validation"), (22, "validation")]
    assert [(event["step"], event["reason"]) for event in events(run, "checkpoint_saved")] == [
        (21, "epoch"),
        (22, "end"),
    ]
    base, started = (run.validation / f"step_20_{name}.wav" for name in ("validation_base", "validation"))
    assert base.read_bytes() != started.read_bytes()
    facts = soundfile.info(started)
    assert (facts.samplerate, facts.channels, facts.frames) == (48_000, 2, 14_400)
    assets = run.checkpoint(22) / "assets"
    assert (assets / "audio_0.wav").read_bytes() == (run.validation / "step_22_validation.wav").read_bytes()
    assert json.loads((assets / "audio_0.json").read_text(encoding="utf-8"))["step"] == 22

    # The numbers are told besides, and the program was told of the checkpoint.
    rows = [json.loads(line) for line in (run.path / "logs" / "run.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["train/loss"] for row in rows if "train/loss" in row] == [step["loss"] for step in steps]
    wanted = sorted(str(run.checkpoint(step)) for step in (21, 22))
    deadline = time.monotonic() + 10
    while sorted((tmp_path / "told").read_text(encoding="utf-8").split()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sorted((tmp_path / "told").read_text(encoding="utf-8").split()) == wanted

    # It goes on from its own checkpoint, without the file.
    config = run.config_json
    values = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**values, "max_train_steps": 23, "init_lora": "/gone.safetensors"}), encoding="utf-8")
    assert workshop.train(run) == 0
    assert events(run, "step")[-1]["step"] == 23
    assert [event["code"] for event in events(run, "warning") if "init_lora" in event["code"]][
        -1
    ] == "init_lora_ignored"


def test_a_disk_that_is_low_stops_the_run_before_it_is_full(workshop, monkeypatch, tmp_path):
    free = {"bytes": 10 * 2**30}
    monkeypatch.setattr(low_disk, "disk_free_bytes", lambda path: free["bytes"])
    run = workshop.run_dir(disk_low_threshold="5G", cache_dir=str(tmp_path / "own-cache"), max_train_steps=1)
    free["bytes"] = 2**30
    assert workshop.train(run) == 5
    (ended,) = events(run, "run_ended")
    assert "stopped before preparing songs" in ended["error"] and "disk_low_threshold" in ended["error"]
    # With the songs prepared, it is the save that is not begun.
    run = workshop.run_dir("second", disk_low_threshold="5G", max_train_steps=1)
    assert workshop.train(run) == 5
    assert "stopped before saving step 1" in events(run, "run_ended")[0]["error"]
    assert not run.whole_checkpoints()
