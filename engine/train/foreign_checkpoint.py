"""Going on from a checkpoint that SimpleTuner wrote: weights and step are taken, the optimizer starts fresh (4.3)."""

from __future__ import annotations

from pathlib import Path

from engine.contract.checkpoint_files import MANIFEST_FILE
from engine.contract.config import Config
from engine.contract.errors import ConfigError, ModelError
from engine.contract.files import read_json
from engine.contract.model_files import TRANSFORMER_FOLDER
from engine.contract.run_dir import ADAPTER_FILE, checkpoint_step
from engine.train.checkpoint import STATE_FILE, TENSORS_FILE
from engine.train.state import TrainState
from engine.train.weights import TrainedWeights

# What SimpleTuner keeps beside the weights; pickled, so never opened here.
_PICKLED = ("optimizer.bin", "scheduler.bin", "random_states_0.pkl")


def is_foreign(folder: Path) -> bool:
    """Whether a checkpoint folder is SimpleTuner's."""
    return not (folder / TENSORS_FILE).exists() and any((folder / name).exists() for name in _PICKLED)


def check_foreign(folder: Path) -> None:
    """Look whether there are weights in it.

    Raises:
        ModelError: There are none.
    """
    if not (folder / ADAPTER_FILE).is_file() and not (folder / TRANSFORMER_FOLDER).is_dir():
        raise ModelError(
            f"{folder}: a checkpoint of SimpleTuner without weights ({ADAPTER_FILE} or {TRANSFORMER_FOLDER})",
            hint="Go on from another one.",
        )


def load_foreign(folder: Path, state: TrainState, weights: TrainedWeights, *, config: Config) -> None:
    """Take the weights and the step; optimizer, random states and the order of songs start fresh.

    Raises:
        ConfigError: It is a checkpoint of another kind of training.
        ModelError: Its weights cannot be read or do not fit.
    """
    kind = "full" if (folder / TRANSFORMER_FOLDER).is_dir() else "lora"
    if kind != config.model_type:
        raise ConfigError(
            f"{folder} is a {kind} checkpoint, the configuration says model_type = {config.model_type}",
            hint=f"Set model_type to {kind}, or go on from another checkpoint.",
        )
    _check_family(folder, config)
    weights.load(folder)
    try:
        state.step = int(read_json(folder / STATE_FILE)["global_step"])
    except (OSError, ValueError, KeyError, TypeError):  # an older SimpleTuner; the folder's name says it too
        state.step = checkpoint_step(folder)


def foreign_warning(folder: Path) -> tuple[str, str]:
    """What is told of such a checkpoint: code and message."""
    told = "its weights and step are taken, the optimizer starts fresh, and the songs come in an order of their own"
    return "foreign_checkpoint", f"{folder.name} is of SimpleTuner: {told}"


def _check_family(folder: Path, config: Config) -> None:
    try:
        manifest = read_json(folder / MANIFEST_FILE)
    except (OSError, ValueError):
        return  # an older SimpleTuner wrote none
    said = manifest if isinstance(manifest, dict) else {}
    for key in ("model_family", "model_flavour"):
        if said.get(key) and said[key] != config[key]:
            raise ConfigError(
                f"{folder} is a {said[key]} checkpoint, the configuration says {key} = {config[key]}",
                hint=f"Set {key} to {said[key]}, or go on from another checkpoint.",
            )
