"""Loading MERT and mHuBERT into the class both derive from, without a line of anybody's program code.

MERT's published model class is a HuBERT: it inherits from transformers' `HubertModel` and takes its feature encoder and
its encoder from there. What it adds is switched off in the published weights: a CQT beside the convolutions
(``feature_extractor_cqt``), scaled residuals (``deepnorm``) and an attention that subtracts the largest score before
the softmax (``attention_relax``; with ``do_stable_layer_norm`` it is never built, and it changes no number anyway). So
both models load into `HubertModel` by the same names:

- ``feature_extractor.conv_layers.N.…``, ``feature_projection.…``, ``encoder.layers.N.…``: as they are;
- a prefix ``mert_model.`` or ``hubert.`` (a file of a model with a head) falls away;
- ``encoder.pos_conv_embed.conv.weight_g`` / ``weight_v`` are the two factors of a weight normalisation; torch calls
  them ``parametrizations.weight.original0`` / ``original1`` now;
- what only training uses is left out and named: ``masked_spec_embed`` and heads.

Every other name must fit exactly. Configurations that switch one of MERT's additions on are refused.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.contract.errors import ModelError
from engine.contract.feature_models import FRAME_SAMPLES, PICKLED_WEIGHTS, FeatureModel
from engine.contract.model_files import read_config
from engine.hardware.feature_models import weights_of
from engine.model.tensor_file import read_header, write_tensors
from engine.model.weights import assign_tensors, read_tensors

if TYPE_CHECKING:
    from transformers import HubertConfig, HubertModel

_PREFIXES = ("mert_model.", "hubert.")
_TRAINING_ONLY = (
    "masked_spec_embed",
    "lm_head.",
    "final_proj.",
    "label_embs_concat",
    "project_hid.",
    "project_q.",
    "quantizer.",
    "projector.",
    "classifier.",
    "layer_weights",
)
_FACTORS = {".weight_g": ".parametrizations.weight.original0", ".weight_v": ".parametrizations.weight.original1"}
_MODEL_TYPES = ("hubert", "mert_model")
_ADDITIONS = {"feature_extractor_cqt": "a CQT beside the convolutions", "deepnorm": "scaled residuals"}

_BLOCK_BYTES = 4096
_NUM_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class MappedNames:
    """Names of a checkpoint file under those of `HubertModel`.

    Attributes:
        wanted: Name in the module to name in the file.
        left_out: Names in the file of what only training uses.
    """

    wanted: Mapping[str, str]
    left_out: tuple[str, ...]


def map_names(names: Iterable[str]) -> MappedNames:
    """Translate a checkpoint's tensor names into those of `HubertModel`; unknown ones stay and fail the comparison."""
    wanted: dict[str, str] = {}
    left_out: list[str] = []
    for name in names:
        plain = name
        for prefix in _PREFIXES:
            plain = plain.removeprefix(prefix)
        if plain.startswith(_TRAINING_ONLY):
            left_out.append(name)
            continue
        for old, new in _FACTORS.items():
            if plain.endswith(old):
                plain = plain.removesuffix(old) + new
        wanted[plain] = name
    return MappedNames(wanted, tuple(sorted(left_out)))


def read_feature_config(folder: Path, model: FeatureModel, *, width: int) -> HubertConfig:
    """The configuration of a feature model, checked against what is expected of it.

    Args:
        folder: Holds config.json.
        model: Which one it should be.
        width: Numbers of a frame that the trained model foretells (its ``ssl_latent_dims``).

    Raises:
        ModelError: Another kind of model, another width or rate, or an addition that is not built here.
    """
    values = read_config(folder)
    problem = _problem_of(values, model, width=width)
    if problem:
        raise ModelError(
            f"{folder / 'config.json'} is not {model.label}: {problem}",
            hint=f"{model.hub_id} is wanted; leave {model.path_key} out to use the hub's.",
        )
    return _hubert_config(folder, values, model)


def _problem_of(values: Mapping[str, Any], model: FeatureModel, *, width: int) -> str:
    """Why a configuration cannot be used; empty when it can."""
    kind = values.get("model_type")
    if kind not in _MODEL_TYPES:
        return f"model_type is {kind!r}, not {' or '.join(_MODEL_TYPES)}"
    if values.get("hidden_size") != width:
        return f"its features are {values.get('hidden_size')} wide, the model that is trained foretells {width}"
    rate = values.get("sample_rate", model.sample_rate)
    if rate != model.sample_rate:
        return f"it hears {rate} Hz, not {model.sample_rate}"
    added = [what for key, what in _ADDITIONS.items() if values.get(key)]
    if added:
        return f"it has {' and '.join(added)}, which the published one has not"
    return ""


def _hubert_config(folder: Path, values: Mapping[str, Any], model: FeatureModel) -> HubertConfig:
    # transformers takes seconds to import; only features pay for it.
    from transformers import HubertConfig

    # Nothing is masked: without these the module has no `masked_spec_embed` either.
    fixed = {"model_type": "hubert", "apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    plain = {
        key: value for key, value in values.items() if key not in ("auto_map", "architectures", "torch_dtype", "dtype")
    }
    try:
        config = HubertConfig.from_dict(plain | fixed)
        hop = torch.Size(config.conv_stride).numel()
    except Exception as error:  # by version transformers raises classes of its validators' own
        raise _not_described(folder, model, error) from error
    if hop != FRAME_SAMPLES:
        raise ModelError(f"{folder / 'config.json'}: a frame of {model.label} is {FRAME_SAMPLES} samples, not {hop}")
    return config


def _not_described(folder: Path, model: FeatureModel, error: Exception) -> ModelError:
    reason = (str(error).strip() or repr(error)).splitlines()[0]
    return ModelError(f"{folder / 'config.json'} does not describe {model.label}: {reason}")


def load_feature_model(
    folder: Path, model: FeatureModel, *, width: int, converted: Path, device: torch.device
) -> HubertModel:
    """Load one of the two models in float32, in eval mode.

    Args:
        folder: Holds config.json and the weights.
        model: Which one.
        width: As in `read_feature_config`.
        converted: Folder for the safetensors form of a ``.bin``.
        device: Where it shall lie.

    Raises:
        ModelError: A file is missing, damaged or holds something else.
        DiskError: The safetensors form cannot be written.
    """
    from transformers import HubertModel

    config = read_feature_config(folder, model, width=width)
    try:
        with torch.device("meta"):
            module = HubertModel(config)
    except Exception as error:  # as above
        raise _not_described(folder, model, error) from error
    path = safetensors_form(weights_of(folder), model, converted=converted)
    wanted = map_names(read_header(path)).wanted
    kept = set(wanted.values())
    read = read_tensors([path], dtype=torch.float32, device=device, keep=lambda name: name in kept)
    assign_tensors(module, {name: read[original] for name, original in wanted.items()}, source=path)
    return module.eval().requires_grad_(False)


def safetensors_form(weights: Path, model: FeatureModel, *, converted: Path) -> Path:
    """The weights as a safetensors file: themselves, or a ``.bin`` converted once and kept.

    A ``.bin`` is a pickle, which can carry program code. It is read with torch's reader for tensors alone, which runs
    none, and never again: what is read from then on is the safetensors file.

    Raises:
        ModelError: It holds something else than tensors.
        DiskError: The safetensors form cannot be written.
    """
    if weights.name != PICKLED_WEIGHTS:
        return weights
    path = converted / f"{model.name}-{_spread_digest(weights)[:16]}.safetensors"
    if not path.is_file():
        tensors = _unpickled(weights)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        action = f"keeping {model.label} as safetensors"
        write_tensors(path, shapes, tensors.__getitem__, dtype=torch.float32, action=action)
    return path


def _unpickled(path: Path) -> dict[str, Tensor]:
    hint = "Download it again from the hub; nothing of it was executed."
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path} holds more than tensors and is refused", hint=hint) from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ModelError(
            f"{path} cannot be read: {str(error).splitlines()[0] if str(error) else error!r}", hint=hint
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} is not a table of tensors", hint=hint)
    return {str(name): tensor for name, tensor in state.items() if tensor.is_floating_point()}


def feature_fingerprint(folder: Path) -> str:
    """Identify a feature model by config.json and, of its weights, size and 64 spread blocks.

    Raises:
        ModelError: A file is missing.
    """
    weights = weights_of(folder)
    try:
        config = (folder / "config.json").read_bytes()
        return hashlib.sha256(config + _spread_digest(weights).encode()).hexdigest()
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror or error}") from error


def _spread_digest(path: Path) -> str:
    """A digest of a large file by its size and blocks spread over it: its whole content need not be read."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(_NUM_BLOCKS):
            file.seek(max(0, size - _BLOCK_BYTES) * block // (_NUM_BLOCKS - 1))
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()
