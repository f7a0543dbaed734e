"""On a CUDA device: what lowers a run's memory changes none of its losses, and a memory that runs out ends no run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.vram_device import PhaseMeter, ProcessMemory
from bench.vram_worker import Hearing, Work
from engine.memory.recompute import set_recompute
from engine.model.adapters import LoraSpec, add_lora
from engine.model.card import LyricEncoderConfig, TransformerConfig
from engine.model.load import load_codec, load_transformer, resolve_checkpoint
from engine.model.quantise import Quantisation
from engine.model.transformer import AceStepTransformer, ConditionInputs
from tests.worker.conftest import Workshop, cache, checkpoint, events, songs, workshop  # noqa: F401 - fixtures

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]
CUDA = torch.device("cuda")
FULL = {"gradient_checkpointing": True, "gradient_checkpointing_policy": "full"}
NUM_BLOCKS = 8


def wide_model() -> AceStepTransformer:
    """Eight blocks, wide enough that weights and not workspaces are what is measured: 0.5 GB in bf16."""
    config = TransformerConfig(
        num_layers=NUM_BLOCKS,
        attention_head_dim=64,
        num_attention_heads=24,
        mlp_ratio=2.5,
        speaker_embedding_dim=32,
        text_embedding_dim=64,
        ssl_encoder_depths=(1, 1),
        ssl_latent_dims=(32, 24),
        lyric_encoder_vocab_size=6693,
        lyric_hidden_size=48,
        lyric_encoder=LyricEncoderConfig(
            input_size=48, output_size=48, attention_heads=4, linear_units=96, num_blocks=2
        ),
    )
    torch.manual_seed(0)
    with CUDA:
        model = AceStepTransformer(config, with_projectors=False)
    model.to(torch.bfloat16).requires_grad_(False)
    add_lora(model, LoraSpec(rank=4, alpha=4.0, target_modules=("to_q", "to_v")), seed=0)
    return model.train()


def step(model: AceStepTransformer) -> tuple[float, dict[str, torch.Tensor], int]:
    """Loss, gradients and the peak of one forward and backward."""
    generator = torch.Generator(CUDA).manual_seed(0)
    config = model.config
    x_t = torch.randn(2, 8, config.latent_height, 64, generator=generator, device=CUDA)
    inputs = ConditionInputs(
        text_states=torch.randn(2, 5, config.text_embedding_dim, generator=generator, device=CUDA),
        text_mask=torch.ones(2, 5, dtype=torch.int64, device=CUDA),
        lyric_ids=torch.randint(1, 6000, (2, 9), generator=generator, device=CUDA),
        lyric_mask=torch.ones(2, 9, dtype=torch.int64, device=CUDA),
        speaker=None,
    )
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)  # what the lyric encoder drops
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        t = torch.tensor([900.0, 100.0], device=CUDA)
        loss = model(x_t, t, model.encode_conditions(inputs)).velocity.float().square().mean()
    loss.backward()
    torch.cuda.synchronize()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return loss.item(), gradients, torch.cuda.max_memory_allocated()


class TestBlockSwap:
    def test_the_peak_falls_and_the_gradients_stay(self):
        from engine.memory.block_swap import swap_blocks

        model = wide_model()
        set_recompute(model, every=1)
        step(model)  # workspaces and gradients are there from the first step on
        block = model.transformer_blocks[0]
        frozen = sum(p.numel() * p.element_size() for p in block.parameters() if not p.requires_grad)
        loss, gradients, peak = step(model)
        swap_blocks(model, NUM_BLOCKS - 1, CUDA)
        step(model)
        swapped_loss, swapped_gradients, swapped_peak = step(model)
        assert swapped_loss == loss
        assert gradients.keys() == swapped_gradients.keys()
        assert all(torch.equal(gradient, swapped_gradients[name]) for name, gradient in gradients.items())
        # Of seven blocks a ring of two or three stays on the card: that is much of so few.
        assert peak - swapped_peak >= (NUM_BLOCKS - 1 - 3) * frozen

    def test_turned_off_again_everything_is_back(self):
        from engine.memory.block_swap import swap_blocks

        model = wide_model()
        set_recompute(model, every=1)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        loss, _, _ = step(model)
        swap_blocks(model, NUM_BLOCKS - 1, CUDA)
        step(model)
        swap_blocks(model, 0, CUDA)
        after = model.state_dict()
        assert all(tensor.is_cuda and torch.equal(tensor, before[name]) for name, tensor in after.items())
        assert step(model)[0] == loss


def test_a_codec_that_visits_the_card_leaves_it_and_decodes_the_same(checkpoint: Path):  # noqa: F811
    codec = load_codec(resolve_checkpoint(checkpoint), dtype=torch.float32, device="cpu", parts=("decoder",))
    latents = torch.randn(1, 8, 16, 40, generator=torch.Generator().manual_seed(0))
    codec.place(CUDA)
    (stays,) = codec.decode(latents.to(CUDA))
    held = torch.cuda.memory_allocated()
    codec.place(CUDA, stays=False)
    without = torch.cuda.memory_allocated()
    assert held - without >= sum(p.numel() * p.element_size() for p in codec.parameters())
    before = [parameter.data_ptr() for parameter in codec.parameters()]
    (visited,) = codec.decode(latents.to(CUDA))
    assert torch.cuda.memory_allocated() == without
    assert [parameter.data_ptr() for parameter in codec.parameters()] == before
    assert torch.allclose(visited, stays, atol=1e-5)


PLAIN: dict[str, list[float]] = {}
"""Losses of the run that saves nothing, by precision."""


def losses_of(workshop: Workshop, name: str, **settings: Any) -> list[float]:  # noqa: F811
    run_dir = workshop.run_dir(name, mixed_precision="bf16", max_train_steps=4, lora_dropout=0.1, **settings)
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "memory_stepped_down") == []
    return [event["loss"] for event in events(run_dir, "step")]


@pytest.mark.parametrize(
    "settings",
    [
        FULL,
        {"gradient_checkpointing": True, "gradient_checkpointing_policy": "selective"},
        {**FULL, "activation_offload": True},
        {**FULL, "musubi_blocks_to_swap": 2},
        {**FULL, "musubi_blocks_to_swap": 2, "activation_offload": True},
    ],
    ids=lambda settings: " ".join(f"{value}" for value in settings.values()),
)
@pytest.mark.parametrize("precision", ["no_change", "int8-quanto"])
def test_what_saves_memory_changes_no_loss(workshop: Workshop, precision: str, settings: Mapping[str, Any]):  # noqa: F811
    if precision not in PLAIN:
        PLAIN[precision] = losses_of(workshop, "plain", gradient_checkpointing=False, base_model_precision=precision)
    saving = losses_of(workshop, "saving", **settings, base_model_precision=precision)
    # The first loss is that of one forward pass; after it sums of the card may fall out in another order.
    assert saving[0] == PLAIN[precision][0]
    assert saving == pytest.approx(PLAIN[precision], rel=1e-3)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_live_model_is_quantised_as_one_that_is_loaded(checkpoint: Path, bits: int):  # noqa: F811
    from engine.model.quantise import quantise_layers

    spec = LoraSpec(rank=4, alpha=4.0, target_modules=("to_q", "to_v"))
    source = resolve_checkpoint(checkpoint)
    # In the files' own dtype: the tiny model's are float32, and rounded to bf16 first they would round otherwise.
    live = load_transformer(source, dtype=torch.float32, device=CUDA)
    loaded = load_transformer(source, dtype=torch.float32, device=CUDA, quantisation=Quantisation(bits))
    for model in (live, loaded):
        add_lora(model, spec, seed=0)
    held = torch.cuda.memory_allocated()
    quantise_layers(live, Quantisation(bits), parts=("transformer_blocks.", "lyric_encoder.encoders."))
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() < held
    states = live.state_dict(), loaded.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_the_proof_of_the_first_step_foretells_the_steps(workshop: Workshop):  # noqa: F811
    run_dir = workshop.run_dir(max_train_steps=4, mixed_precision="bf16")
    meter = PhaseMeter(ProcessMemory())
    with meter.watching(), Hearing(meter, Work("train", run_dir.path, {})):
        assert workshop.train(run_dir) == 0
    (measured,) = events(run_dir, "memory_measured")
    assert 0 < measured["peak_bytes"] <= measured["reserved_bytes"] <= measured["used_bytes"] <= measured["total_bytes"]
    assert meter.phases["train"].peak_bytes == pytest.approx(measured["peak_bytes"], rel=0.05, abs=30e6)


def test_a_memory_that_runs_out_in_a_step_ends_no_run(tmp_path: Path, checkpoint: Path):  # noqa: F811
    """A cap of torch's allocator in the steps of a whole run; what follows is what an undisturbed run gives."""
    command = [sys.executable, "-m", "bench.vram", "ladder", str(checkpoint), "--tiny", "--only", "train"]
    command += ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    undisturbed, *faults = json.loads((tmp_path / "out" / "tiny" / "ladder.json").read_text(encoding="utf-8"))
    assert undisturbed["exit_code"] == 0 and undisturbed["losses"]
    codes = {fault["fault"][1]: fault["exit_code"] for fault in faults}
    # Of so small a model a step is mostly workspaces, which no rung makes smaller: with the least room it may give up.
    assert len(codes) == 3 and codes.pop(min(codes)) in {0, 3} and set(codes.values()) == {0}
    assert any(fault["steps_down"] for fault in faults), "a cap that nothing ran into proves nothing"
    assert all(fault["largest_difference"] < 1e-2 for fault in faults if fault["exit_code"] == 0)
