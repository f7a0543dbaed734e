"""Starting from a finished LoRA: every dialect, its rank, its strength, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.contract.run_dir import ADAPTER_FILE
from engine.export.adapter_file import write_adapter
from engine.model.adapters import LoraSpec, adapter_state, add_lora, load_adapter_state, lora_layers
from engine.model.family import AceStepV1
from engine.model.load import load_transformer, resolve_checkpoint
from engine.model.tiny import write_tiny_checkpoint
from engine.model.transformer import AceStepTransformer, ConditionInputs
from engine.objective.loss import compute_loss
from engine.objective.timesteps import sigma_table
from engine.train.ema import build_ema
from engine.train.init_lora import FRESH, begin_at, find_start, resumed_spec
from engine.train.lyrics_embedder import save_embedder
from engine.train.setup import build_model

CPU = torch.device("cpu")
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "linear_q", "linear_k", "linear_v")


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> AceStepV1:
    return AceStepV1(resolve_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")))


@dataclass
class Bench:
    """Builds runs that start from a file; remembers what was said."""

    family: AceStepV1
    folder: Path
    said: dict[str, str] = field(default_factory=dict)

    def base(self) -> AceStepTransformer:
        return load_transformer(self.family.checkpoint, dtype=torch.float32, device=CPU)

    def trained(self, spec: LoraSpec) -> AceStepTransformer:
        """The base with an adapter that changes its output visibly."""
        model = self.base()
        add_lora(model, spec, seed=1)
        generator = torch.Generator().manual_seed(3)
        state = adapter_state(model)
        load_adapter_state(model, {key: torch.randn(x.shape, generator=generator) * 0.2 for key, x in state.items()})
        return model

    def config(self, **settings) -> Config:
        return Config.from_dict({"mixed_precision": "no", "lora_rank": 4, "max_train_steps": 1000, **settings})

    def start(self, checkpoint: Path | None = None, **settings):
        config = self.config(**settings)
        return config, find_start(config, self.family, checkpoint, warn=self.said.__setitem__)

    def built(self, **settings):
        config, start = self.start(**settings)
        built = build_model(config, self.family, max_steps=1000, with_projectors=False, device=CPU, start=start)
        begin_at(start, built.state)
        return built


@pytest.fixture
def bench(family, tmp_path) -> Bench:
    return Bench(family, tmp_path)


def loss_of(model: AceStepTransformer) -> float:
    """The loss of a fixed batch, without dropout."""
    generator = torch.Generator().manual_seed(9)
    config = model.config
    inputs = ConditionInputs(
        text_states=torch.randn(2, 5, config.text_embedding_dim, generator=generator),
        text_mask=torch.ones(2, 5),
        lyric_ids=torch.randint(1, 90, (2, 7), generator=generator),
        lyric_mask=torch.ones(2, 7),
        speaker=None,
    )
    shape = (2, 8, config.latent_height, 12)
    model.eval()
    with torch.no_grad():
        terms = compute_loss(
            model,
            x_0=torch.randn(shape, generator=generator),
            noise=torch.randn(shape, generator=generator),
            timestep_index=torch.tensor([100, 700]),
            sigmas=sigma_table(3.0),
            inputs=inputs,
            frame_mask=None,
        )
    return float(terms.total)


def merged(base: AceStepTransformer, adapter: AceStepTransformer) -> AceStepTransformer:
    """The base with W' = W + scale·B·A written into its weights, by hand."""
    weights = dict(base.named_parameters())
    with torch.no_grad():
        for name, layer in lora_layers(adapter).items():
            down, up = layer.lora_A["lora_adapter"].weight, layer.lora_B["lora_adapter"].weight
            weights[f"{name}.weight"] += layer.scaling["lora_adapter"] * (up @ down)
    return base


def upstream(state: dict[str, Tensor], spec: LoraSpec) -> dict[str, Tensor]:
    del spec
    return dict(state)


def prefixed(state: dict[str, Tensor], spec: LoraSpec) -> dict[str, Tensor]:
    del spec
    return {f"transformer.{key}": value for key, value in state.items()}


def peft(state: dict[str, Tensor], spec: LoraSpec) -> dict[str, Tensor]:
    del spec
    return {f"base_model.model.{key}": value for key, value in state.items()}


def comfy(state: dict[str, Tensor], spec: LoraSpec) -> dict[str, Tensor]:
    named = {}
    for key, value in state.items():
        module = key.rsplit(".lora_", 1)[0]
        half = "lora_down" if ".lora_A." in key else "lora_up"
        named[f"diffusion_model.{module}.{half}.weight"] = value
        named[f"diffusion_model.{module}.alpha"] = torch.tensor(spec.scale * spec.rank)
    return named


@pytest.mark.parametrize("dialect", [upstream, prefixed, peft, comfy])
@pytest.mark.parametrize("keeps_alpha", [False, True])
def test_the_first_loss_is_that_of_the_file(bench, dialect, keeps_alpha):
    # Only ComfyUI's form says its strength; the others play at 1.
    spec = LoraSpec(rank=8, alpha=16 if dialect is comfy else 8, target_modules=TARGETS)
    adapter = bench.trained(spec)
    state = {key: value.clone() for key, value in adapter_state(adapter).items()}
    save_file(dialect(state, spec), bench.folder / "lora.safetensors")

    alpha = {"lora_alpha": 3.0} if keeps_alpha else {}
    built = bench.built(init_lora=str(bench.folder / "lora.safetensors"), **alpha)

    wanted = loss_of(merged(bench.base(), adapter))
    assert abs(wanted - loss_of(bench.base())) > 1e-3, "the adapter must show in the loss"
    assert loss_of(built.model) == pytest.approx(wanted, abs=2e-5)
    assert built.spec.rank == 8
    assert built.spec.scale == pytest.approx(3 / 8 if keeps_alpha else spec.scale)
    assert ("init_lora_rescaled" in bench.said) == keeps_alpha


def test_a_file_of_rank_128_in_a_configuration_of_rank_16(bench):
    spec = LoraSpec(rank=128, alpha=128, target_modules=TARGETS)
    adapter = bench.trained(spec)
    write_adapter(bench.folder / ADAPTER_FILE, adapter_state(adapter), spec=spec, metadata={"global_step": 70})
    built = bench.built(init_lora=str(bench.folder), lora_rank=16)
    assert {layer.lora_A["lora_adapter"].weight.shape[0] for layer in lora_layers(built.model).values()} == {128}
    assert built.state.step == 0, "the file's step counts only when it is asked for"
    assert loss_of(built.model) == pytest.approx(loss_of(adapter), abs=2e-5)
    assert all(parameter.dtype == torch.float32 for parameter in built.state.trainable.values())


def test_every_module_keeps_its_own_rank_and_strength(bench):
    narrow = "transformer_blocks.0.attn.to_q"
    spec = LoraSpec(
        rank=8, alpha=4, target_modules=TARGETS, rank_pattern={narrow: 2}, alpha_pattern={narrow: 6}, use_rslora=True
    )
    adapter = bench.trained(spec)
    write_adapter(bench.folder / ADAPTER_FILE, adapter_state(adapter), spec=spec, metadata={})
    built = bench.built(init_lora=str(bench.folder))
    layer = lora_layers(built.model)[narrow]
    assert layer.lora_A["lora_adapter"].weight.shape[0] == 2
    assert layer.scaling["lora_adapter"] == pytest.approx(6 / 2**0.5)
    assert loss_of(built.model) == pytest.approx(loss_of(adapter), abs=2e-5)
    # Plain scaling was configured, so the alphas changed; a checkpoint's header brings them back bit for bit.
    built.weights.save(bench.folder / "checkpoint-5", step=5)
    again = resumed_spec(bench.family.lora_spec(bench.config()), bench.folder / "checkpoint-5")
    assert {name: again.scale_of(name) for name in lora_layers(built.model)} == {
        name: layer.scaling["lora_adapter"] for name, layer in lora_layers(built.model).items()
    }


def test_unused_keys_and_modules_that_start_fresh_are_counted(bench):
    spec = LoraSpec(rank=4, alpha=4, target_modules=("to_q", "speaker_embedder"))
    write_adapter(bench.folder / ADAPTER_FILE, adapter_state(bench.trained(spec)), spec=spec, metadata={})
    built = bench.built(init_lora=str(bench.folder))
    assert bench.said["init_lora_extra"].startswith("1 module of") and "speaker_emb" in bench.said["init_lora_extra"]
    assert (
        bench.said["init_lora_fresh"].startswith("24 modules are not in")
        and "linear_k" in bench.said["init_lora_fresh"]
    )
    fresh = lora_layers(built.model)["transformer_blocks.0.attn.to_k"]
    assert not fresh.lora_B["lora_adapter"].weight.any() and fresh.lora_A["lora_adapter"].weight.any()
    assert lora_layers(built.model)["transformer_blocks.0.attn.to_q"].lora_B["lora_adapter"].weight.any()


def test_a_file_of_another_model_is_refused(bench):
    pair = {"blocks.0.query.lora_A.weight": torch.ones(2, 3), "blocks.0.query.lora_B.weight": torch.ones(3, 2)}
    save_file(pair, bench.folder / "x.safetensors")
    with pytest.raises(ModelError, match="none of its 2 keys"):
        bench.start(init_lora=str(bench.folder / "x.safetensors"))


def test_a_file_of_modules_that_are_not_trained_is_refused(bench):
    spec = LoraSpec(rank=4, alpha=4, target_modules=("speaker_embedder",))
    write_adapter(bench.folder / ADAPTER_FILE, adapter_state(bench.trained(spec)), spec=spec, metadata={})
    with pytest.raises(ModelError, match="none of its 1 modules is trained") as error:
        bench.start(init_lora=str(bench.folder))
    assert "speaker_embedder" in error.value.hint


def test_the_counter_and_the_learning_rate_start_at_the_wanted_step(bench):
    spec = LoraSpec(rank=4, alpha=4, target_modules=TARGETS)
    write_adapter(bench.folder / ADAPTER_FILE, adapter_state(bench.trained(spec)), spec=spec, metadata={})
    built = bench.built(init_lora=str(bench.folder), init_lora_step=250, lr_scheduler="linear", learning_rate=1e-3)
    assert built.state.step == 250
    assert built.state.optimizer.param_groups[0]["lr"] == pytest.approx(7.5e-4)


def test_a_checkpoint_wins_and_is_loaded_in_its_own_shape(bench):
    spec = LoraSpec(rank=8, alpha=8, target_modules=TARGETS)
    write_adapter(bench.folder / ADAPTER_FILE, adapter_state(bench.trained(spec)), spec=spec, metadata={})
    config, start = bench.start(checkpoint=bench.folder, init_lora="/gone/long/ago.safetensors")
    assert start.lora is None and start.spec.rank == 8 != config.lora_rank
    assert "goes on from" in bench.said["init_lora_ignored"]


def test_the_average_that_belongs_to_a_lora_is_loaded_with_it(bench):
    spec = LoraSpec(rank=4, alpha=4, target_modules=TARGETS)
    state = {key: value.clone() for key, value in adapter_state(bench.trained(spec)).items()}
    write_adapter(bench.folder / ADAPTER_FILE, state, spec=spec, metadata={})
    averaged = {key: value * 0.5 for key, value in state.items()}
    write_adapter(bench.folder / "average.safetensors", averaged, spec=spec, metadata={})
    paths = {"init_lora": str(bench.folder / ADAPTER_FILE), "init_lora_ema": str(bench.folder / "average.safetensors")}
    built = bench.built(use_ema=True, **paths)
    key = "transformer_blocks.0.attn.to_q.lora_A.weight"
    assert torch.equal(adapter_state(built.model)[key], state[key])
    with built.state.ema.applied():
        assert torch.equal(adapter_state(built.model)[key], averaged[key])
    assert build_ema(bench.config(), built.state.trainable, CPU) is None


def test_without_a_lora_a_run_starts_from_nothing(bench):
    assert bench.start()[1] is FRESH
    assert bench.start(init_lora="x", model_type="full")[1] is FRESH


def test_the_lyrics_embedder_beside_a_lora_is_loaded_with_it(bench):
    spec = LoraSpec(rank=4, alpha=4, target_modules=TARGETS)
    write_adapter(bench.folder / ADAPTER_FILE, adapter_state(bench.trained(spec)), spec=spec, metadata={})
    model = bench.base()
    with torch.no_grad():
        model.lyric_proj.weight.mul_(3.0)
    save_embedder(model, bench.folder, step=5)
    built = bench.built(init_lora=str(bench.folder), lyrics_embedder_train=True)
    assert torch.equal(built.model.lyric_proj.weight, model.lyric_proj.weight)
    assert "is loaded too" in bench.said["init_lora_embedder"]
    without = bench.built(init_lora=str(bench.folder))
    assert torch.equal(without.model.lyric_proj.weight * 3.0, model.lyric_proj.weight)
