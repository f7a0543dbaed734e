"""How fast musical features are made at the published sizes, with random weights: seconds of music a second, memory.

``python -m bench.features --seconds 60 240 --out FILE``; ``--tiny`` tries the script itself on small models.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import HubertConfig, HubertModel

from engine.contract.feature_models import CONFIG_FILE, FEATURE_MODELS, MERT, SAFETENSORS_WEIGHTS, FeatureModel
from engine.contract.files import write_json
from engine.contract.model_files import read_config
from engine.model.ssl_encoder import FeatureEncoder
from engine.model.tensor_file import write_tensors
from engine.model.tiny_features import TINY_WIDTHS, tiny_feature_config
from engine.train.device import choose_device, describe

_SIZES: dict[str, dict[str, Any]] = {
    "mert": {"intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24},
    "mhubert": {"intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12},
}
MEASURED = 3


def published_config(model: FeatureModel, *, is_tiny: bool) -> dict[str, Any]:
    """config.json of a model of the published sizes."""
    values = tiny_feature_config(model, width=TINY_WIDTHS[model.name] if is_tiny else model.width)
    if not is_tiny:
        values |= _SIZES[model.name] | {"conv_dim": [512] * 7, "num_conv_pos_embeddings": 128}
        values |= {"num_conv_pos_embedding_groups": 16, "do_stable_layer_norm": model is MERT}
    return values


def published(model: FeatureModel, *, is_tiny: bool, device: torch.device) -> FeatureEncoder:
    """A model of the published sizes with random weights."""
    return FeatureEncoder(model, _module(model, is_tiny=is_tiny, device=device))


def _module(model: FeatureModel, *, is_tiny: bool, device: torch.device) -> HubertModel:
    values = published_config(model, is_tiny=is_tiny) | {"model_type": "hubert", "mask_time_prob": 0.0}
    values = {key: value for key, value in values.items() if key not in ("auto_map", "architectures")}
    with torch.device(device):
        module = HubertModel(HubertConfig.from_dict(values))
    return module.eval().requires_grad_(False)


def write_published(folder: Path, model: FeatureModel, *, is_tiny: bool, device: torch.device) -> Path:
    """Write such a model to a folder, as it is loaded from one; one of the same sizes that is there stays."""
    values = published_config(model, is_tiny=is_tiny)
    # The configuration is written last: with it the weights are whole.
    if not (folder / CONFIG_FILE).is_file() or read_config(folder) != values:
        (folder / CONFIG_FILE).unlink(missing_ok=True)
        tensors = _module(model, is_tiny=is_tiny, device=device).state_dict()
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        write_tensors(folder / SAFETENSORS_WEIGHTS, shapes, tensors.__getitem__, dtype=torch.float32)
        write_json(folder / CONFIG_FILE, values)
    return folder


def measure(encoder: FeatureEncoder, seconds: float, device: torch.device) -> dict[str, Any]:
    """Hear a clip a few times."""
    audio = torch.randn(round(seconds * 48_000)) * 0.1
    encoder.encode(audio)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    for _ in range(MEASURED):
        encoder.encode(audio)
    took_s = (time.perf_counter() - started) / MEASURED
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    real_time = round(seconds / took_s, 1)
    return {"model": encoder.model.name, "seconds": seconds, "real_time": real_time, "peak_bytes": peak}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.features", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 240.0])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = choose_device()
    rows = []
    for model in FEATURE_MODELS:
        encoder = published(model, is_tiny=options.tiny, device=device)
        rows += [measure(encoder, seconds, device) for seconds in options.seconds]
    result = {"device": describe(device), "rows": rows}
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
