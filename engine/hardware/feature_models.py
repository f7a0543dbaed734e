"""What of the models for musical features is on this machine. No network, no tensor, nothing unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

from engine.contract.errors import ModelError
from engine.contract.feature_models import (
    CONFIG_FILE,
    PICKLED_WEIGHTS,
    SAFETENSORS_WEIGHTS,
    WEIGHTS,
    FeatureModel,
    feature_model_of,
)
from engine.contract.model_files import read_config
from engine.contract.paths import expanded
from engine.hardware.models import (
    ModelStatus,
    PartStatus,
    check_weights,
    model_status,
    partial_bytes,
    snapshot_folder,
    storage_folder,
)

_OLD_PICKLE = b"\x80\x02"  # torch files of before 2020 are no archives


def status_of(name: str, revision: str | None = None, cache_dir: Path | None = None) -> ModelStatus:
    """What is here of any model: one for musical features by its short name or hub id, else as `model_status`."""
    model = feature_model_of(name)
    if model is not None:
        return feature_model_status(model, revision=revision, cache_dir=cache_dir)
    return model_status(name, revision, cache_dir)


def feature_model_status(
    model: FeatureModel,
    path: str | Path | None = None,
    *,
    revision: str | None = None,
    cache_dir: Path | None = None,
) -> ModelStatus:
    """Look at one model for musical features.

    Args:
        model: Which one.
        path: The folder of its setting (`FeatureModel.path_key`); None = the hub client's cache.
        revision: Branch, tag or commit on the hub.
        cache_dir: The hub client's cache; its usual one (``HF_HOME``) when None.

    Returns:
        A status with one part, called as the model. ``path`` is the folder that holds config.json and the weights.
    """
    if path is not None:
        folder = expanded(path)
        if not folder.is_dir():
            missing = PartStatus(model.name, "missing")
            return ModelStatus(str(path), "nowhere", None, (missing,), problem=f"there is no folder {path}")
        return ModelStatus(str(path), "folder", folder, (_part(model, folder, total=None),))
    storage = storage_folder(model.hub_id, cache_dir)
    snapshot = snapshot_folder(storage, revision)
    part = _part(model, snapshot, total=model.download_bytes)
    return ModelStatus(model.hub_id, "hub", snapshot, (part,), partial_bytes=partial_bytes(storage))


def weights_of(folder: Path) -> Path:
    """The file of a folder that holds the weights, the safetensors one first.

    Raises:
        ModelError: There is none.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{folder} holds neither {SAFETENSORS_WEIGHTS} nor {PICKLED_WEIGHTS}")


def _part(model: FeatureModel, folder: Path | None, *, total: int | None) -> PartStatus:
    if folder is None or not any((folder / name).exists() for name in (CONFIG_FILE, *WEIGHTS)):
        return PartStatus(model.name, "missing", total_bytes=total)
    num_bytes = sum(path.stat().st_size for name in (CONFIG_FILE, *WEIGHTS) if (path := folder / name).is_file())
    try:
        read_config(folder)
        weights = weights_of(folder)
        if weights.name == SAFETENSORS_WEIGHTS:
            check_weights(weights)
        else:
            _check_pickled(weights)
    except ModelError as error:
        problem = error.message.replace(f"{folder}/", "").replace(str(folder), model.label)
        return PartStatus(model.name, "incomplete", num_bytes, total, problem)
    except OSError as error:
        return PartStatus(model.name, "incomplete", num_bytes, total, f"cannot be read: {error.strerror or error}")
    here = weights.stat().st_size + (folder / CONFIG_FILE).stat().st_size
    return PartStatus(model.name, "whole", here, here)


def _check_pickled(path: Path) -> None:
    """Make sure, without unpickling anything, that a file of torch's is whole: its archive's end is there."""
    with path.open("rb") as file:
        begin = file.read(4)
    if begin[:2] == _OLD_PICKLE:
        return
    if begin[:2] != b"PK":
        raise ModelError(f"{path} is no file of weights", hint="Download it again.")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is cut off", hint="Download it again.")
