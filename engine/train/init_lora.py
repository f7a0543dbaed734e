"""Starting from a finished LoRA (config-formats.md section 4.4): its shape, its strength, its weights.

The file's ranks are kept, module by module. Its strength is kept too, so that the first loss is that of the file: where
``lora_alpha`` is not set, alpha becomes what gives the file's scale; where it is, B is divided by what alpha adds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.contract.lora_header import find_lora, read_lora_header
from engine.contract.run_dir import ADAPTER_FILE
from engine.export.adapter_file import AdapterFile, read_adapter
from engine.model.adapters import LoraSpec, adapter_state, known_modules, load_adapter_state
from engine.model.family import ModelFamily
from engine.model.load import read_transformer_config
from engine.model.parameter_names import unused_shapes
from engine.model.transformer import AceStepTransformer
from engine.train.ema import load_ema_adapter
from engine.train.lyrics_embedder import embedder_file
from engine.train.resume import seek_schedule
from engine.train.state import TrainState

Warn = Callable[[str, str], None]
"""Called with (code, message)."""


@dataclass(frozen=True)
class StartingLora:
    """A LoRA to start from, checked against the model and ready to be loaded.

    Attributes:
        path: Its file.
        spec: The adapter as it will be trained: the file's ranks, the configured targets.
        modules: Module path → shape of its weight, to read the file again with.
    """

    path: Path
    spec: LoraSpec
    modules: Mapping[str, tuple[int, ...]]

    def put_into(self, model: AceStepTransformer) -> None:
        """Copy the file's weights into the model's fresh adapter; modules that it lacks keep their fresh start.

        Raises:
            ModelError: The file was changed or removed since it was checked.
        """
        load_adapter_state(model, self.tensors(self.path, targets=adapter_state(model)))

    def tensors(self, path: Path, *, targets: Collection[str]) -> dict[str, Tensor]:
        """The tensors of a LoRA file for the keys in ``targets``, at the strength at which they are trained.

        Raises:
            ModelError: The file cannot be read.
        """
        file = read_adapter(path, self.modules)
        tensors = {}
        for key in file.tensors.keys() & targets:
            module, half = key.rsplit(".lora_", 1)
            factor = file.scales[module] / self.spec.scale_of(module) if half.startswith("B") else 1.0
            tensors[key] = file.tensors[key] if factor == 1.0 else file.tensors[key].float() * factor
        return tensors


@dataclass(frozen=True)
class Start:
    """How a run's adapter begins.

    Attributes:
        step: The step that the counter starts at.
        spec: The adapter, where it is not the configured one: the ranks and alphas of a file.
        lora: What a fresh run starts from.
        average: The file of the averaged weights that belong to it.
    """

    step: int = 0
    spec: LoraSpec | None = None
    lora: StartingLora | None = None
    average: Path | None = None


FRESH = Start()
"""From nothing, as configured."""


def find_start(config: Config, family: ModelFamily, checkpoint: Path | None, *, warn: Warn) -> Start:
    """What the run starts from, checked before anything is prepared.

    Args:
        config: ``init_lora``, ``init_lora_step``, ``init_lora_ema`` and the LoRA settings.
        family: The model's own module names.
        checkpoint: The checkpoint that the run goes on from; it wins over ``init_lora``.
        warn: Called with what the user should know.

    Raises:
        ModelError: As `plan_lora` and `resumed_spec`.
    """
    if config.init_lora is None or config.model_type != "lora":
        return FRESH
    if checkpoint is not None:
        warn("init_lora_ignored", f"init_lora is not read again: the run goes on from {checkpoint.name}")
        return Start(spec=resumed_spec(family.lora_spec(config), checkpoint))
    lora = plan_lora(config, family, warn=warn)
    if config.lyrics_embedder_train and embedder_file(lora.path.parent) is not None:
        warn("init_lora_embedder", f"the trained lyrics embedder beside {lora.path} is loaded too")
    average = None
    if config.init_lora_ema is not None and config.use_ema:
        average = find_lora(config.init_lora_ema, cwd=Path.cwd())
        read_adapter(average, lora.modules)
    return Start(config.init_lora_step or 0, lora.spec, lora, average)


def begin_at(start: Start, state: TrainState) -> None:
    """Set the step counter and the average of a fresh run's state to what it starts from.

    Raises:
        ModelError: A file was changed or removed since it was checked.
    """
    if start.step:
        state.step = start.step
        seek_schedule(state)
    if start.average is not None and start.lora is not None and state.ema is not None:
        tensors = start.lora.tensors(start.average, targets=adapter_state(state.model))
        load_ema_adapter(state.ema, state.model, tensors)


def plan_lora(config: Config, family: ModelFamily, *, warn: Warn) -> StartingLora:
    """Check the LoRA that a fresh run starts from against the model.

    Args:
        config: ``init_lora`` and the LoRA settings.
        family: The model's own module names.
        warn: Called with what the user should know: the rank, unused keys, modules that start fresh.

    Raises:
        ModelError: No such file, no LoRA for this model, or none of its modules is trained.
    """
    path = find_lora(config.init_lora, cwd=Path.cwd())
    transformer = read_transformer_config(family.checkpoint.transformer)
    modules = known_modules(transformer)
    file, wanted = read_adapter(path, modules), family.lora_spec(config)
    dead = unused_shapes(transformer)
    trained = {
        module for module in modules if f"{module}.weight" not in dead and _is_target(module, wanted.target_modules)
    }
    file = _trained_part(file, trained, wanted.target_modules, warn=warn)
    keeps_alpha = config.lora_alpha is not None
    spec = spec_of_file(wanted, file, keeps_alpha=keeps_alpha, rank=read_lora_header(path).rank)
    _say_scale(file, spec, warn=warn)
    return StartingLora(path, spec, modules)


def spec_of_file(wanted: LoraSpec, file: AdapterFile, *, keeps_alpha: bool, rank: int) -> LoraSpec:
    """The adapter that holds a file's weights.

    Args:
        wanted: The configured one: its targets, dropout, rsLoRA and, with ``keeps_alpha``, its alpha.
        file: What is loaded into it.
        keeps_alpha: Train with the configured alpha; otherwise alpha becomes what gives the file's strength.
        rank: Of the modules that the file lacks.
    """
    ranks = {module: found for module, found in file.ranks.items() if found != rank}
    if keeps_alpha:
        return replace(wanted, rank=rank, rank_pattern=ranks)
    alphas = {
        module: scale * (file.ranks[module] ** 0.5 if wanted.use_rslora else file.ranks[module])
        for module, scale in file.scales.items()
    }
    # Modules that the file lacks get the commonest alpha, so that one number stands in most headers.
    common = max(alphas.values(), key=lambda alpha: (list(alphas.values()).count(alpha), alpha))
    return replace(
        wanted,
        rank=rank,
        alpha=common,
        rank_pattern=ranks,
        alpha_pattern={module: alpha for module, alpha in alphas.items() if alpha != common},
    )


def resumed_spec(wanted: LoraSpec, checkpoint: Path) -> LoraSpec:
    """The adapter of a checkpoint that started from another LoRA: its header knows the ranks and alphas.

    Args:
        wanted: The configured one; it stays where the header says nothing.
        checkpoint: The folder to go on from.

    Raises:
        ModelError: The adapter cannot be read.
    """
    path = checkpoint / ADAPTER_FILE
    try:
        with safe_open(path, framework="pt") as opened:
            text = (opened.metadata() or {}).get("lora_adapter_metadata")
        if text is None:  # another trainer's: its tensors alone tell
            return replace(wanted, rank=read_lora_header(path).rank)
        said = json.loads(text)
        return replace(
            wanted,
            rank=int(said["r"]),
            alpha=float(said["lora_alpha"]),
            use_rslora=bool(said["use_rslora"]),
            rank_pattern={str(module): int(rank) for module, rank in said["rank_pattern"].items()},
            alpha_pattern={str(module): float(alpha) for module, alpha in said["alpha_pattern"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read: {error}", hint="Resume from another checkpoint.") from error


def _trained_part(file: AdapterFile, trained: set[str], targets: Sequence[str], *, warn: Warn) -> AdapterFile:
    """The file without what is not trained; what is left out and what the file lacks is said."""
    if not trained & file.ranks.keys():
        raise ModelError(
            f"{file.path}: none of its {len(file.ranks)} modules is trained with these targets ({', '.join(targets)})",
            hint="Set acestep_lora_target or peft_lora_target_modules to what the file holds, such as "
            f"{sorted(file.ranks)[0]}.",
        )
    extra, fresh = sorted(file.ranks.keys() - trained), sorted(trained - file.ranks.keys())
    if extra:
        what = "1 module of {} is" if len(extra) == 1 else f"{len(extra)} modules of {{}} are"
        warn("init_lora_extra", f"{what.format(file.path)} not used: {_examples(extra)}")
    if fresh:
        what = (
            "1 module is not in {} and starts" if len(fresh) == 1 else f"{len(fresh)} modules are not in {{}} and start"
        )
        warn("init_lora_fresh", f"{what.format(file.path)} fresh: {_examples(fresh)}")
    return replace(
        file,
        ranks={module: rank for module, rank in file.ranks.items() if module in trained},
        scales={module: scale for module, scale in file.scales.items() if module in trained},
    )


def _say_scale(file: AdapterFile, spec: LoraSpec, *, warn: Warn) -> None:
    for note in file.notes:
        warn("init_lora", f"{file.path}: {note}")
    factors = {round(scale / spec.scale_of(module), 6) for module, scale in file.scales.items()}
    rescaled = sorted(factors - {1.0})
    if rescaled:
        shown = f"{rescaled[0]:g}" if len(rescaled) == 1 else f"{rescaled[0]:g} to {rescaled[-1]:g}"
        warn(
            "init_lora_rescaled",
            f"lora_alpha {spec.alpha:g} gives another strength than that of {file.path}: its weights are multiplied by "
            f"{shown}, so that it starts as strong as it was",
        )


def _is_target(module: str, targets: Sequence[str]) -> bool:
    return any(module == target or module.endswith(f".{target}") for target in targets)


def _examples(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
