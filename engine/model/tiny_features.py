"""Writes small random models for musical features, with the file names and tensor names of the published ones.

Tests run on them. MERT is a ``.bin`` as it is on the hub, mHuBERT a safetensors file; both with the weight-normalised
positional convolution under its old names, and with the masking vector that only training uses.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.contract.feature_models import CONFIG_FILE, MERT, PICKLED_WEIGHTS, SAFETENSORS_WEIGHTS, FeatureModel
from engine.contract.files import write_json
from engine.model.tensor_file import write_tensors
from engine.model.tiny import TINY_TRANSFORMER

TINY_WIDTHS = dict(zip(("mert", "mhubert"), TINY_TRANSFORMER.ssl_latent_dims, strict=True))
"""As the tiny transformer's projectors foretell them."""

_OLD_NAMES = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}


def tiny_feature_config(model: FeatureModel, *, width: int) -> dict[str, Any]:
    """config.json of a small one: the published one's keys and switches, fewer and narrower layers."""
    config: dict[str, Any] = {
        "architectures": ["HubertModel"],
        "model_type": "hubert",
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "conv_bias": False,
        "conv_dim": [8] * 7,
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "feat_extract_norm": "group",
        "feat_proj_layer_norm": True,
        "do_stable_layer_norm": False,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        "mask_time_prob": 0.05,
        "layerdrop": 0.1,
        "hidden_dropout": 0.1,
        "layer_norm_eps": 1e-05,
    }
    if model is MERT:
        config |= {
            "architectures": ["MERTModel"],
            "auto_map": {"AutoConfig": "configuration_MERT.MERTConfig", "AutoModel": "modeling_MERT.MERTModel"},
            "model_type": "mert_model",
            "sample_rate": model.sample_rate,
            "do_stable_layer_norm": True,
            "attention_relax": 32.0,
            "deepnorm": False,
            "feature_extractor_cqt": False,
            "feature_extractor_cqt_bins": 336,
        }
    return config


def write_tiny_feature_model(folder: Path, model: FeatureModel, *, width: int | None = None, seed: int = 0) -> Path:
    """Write one of the two models; same seed, same numbers.

    Args:
        folder: Where it shall stand.
        model: Which one.
        width: Numbers of a frame; as the tiny transformer wants it when None.
        seed: Of the weights.
    """
    config = tiny_feature_config(model, width=width or TINY_WIDTHS[model.name])
    tensors = _tensors(config, model, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_FILE, config)
    if model is MERT:
        torch.save(tensors, folder / PICKLED_WEIGHTS)
    else:
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        write_tensors(folder / SAFETENSORS_WEIGHTS, shapes, tensors.__getitem__, dtype=torch.float32)
    return folder


def _tensors(config: dict[str, Any], model: FeatureModel, *, seed: int) -> dict[str, Tensor]:
    # transformers takes seconds to import; only writing a model pays for it here.
    from transformers import HubertConfig, HubertModel

    values = {key: value for key, value in config.items() if key not in ("auto_map", "architectures")}
    module = HubertModel(HubertConfig.from_dict(values | {"model_type": "hubert"}))
    tensors = {}
    for name, tensor in module.state_dict().items():
        old = next((name.replace(new, past) for new, past in _OLD_NAMES.items() if name.endswith(new)), name)
        digest = hashlib.sha256(f"{seed}/{model.name}/{old}".encode()).digest()
        generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim == 1:
            tensors[old] = noise * 0.1 + float(old.endswith("weight"))
        elif old.endswith("weight_g"):
            tensors[old] = noise.abs() + 0.5
        else:
            tensors[old] = noise / torch.Size(tensor.shape[1:]).numel() ** 0.5
    return tensors
