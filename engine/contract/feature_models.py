"""The two models for musical features: where they are published, under which licence, and what is fetched of them.

Both may be used for non-commercial purposes only, so neither is ever fetched before somebody agreed to that. One
declaration for the loader, the download task, the commands and the screens (spec ace-step-v1.md 9.5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CONFIG_FILE = "config.json"
SAFETENSORS_WEIGHTS = "model.safetensors"
PICKLED_WEIGHTS = "pytorch_model.bin"
WEIGHTS = (SAFETENSORS_WEIGHTS, PICKLED_WEIGHTS)
"""In the order of preference: of a repository that has both, only the first is fetched."""

FRAME_SAMPLES = 320
"""Samples between two frames of features, for both models."""


@dataclass(frozen=True, slots=True)
class FeatureModel:
    """A published model that hears music and gives features.

    Attributes:
        name: As it is kept in cache entries and typed in commands: ``mert``.
        label: As people write it.
        hub_id: OWNER/NAME of the hub repository.
        path_key: The setting that names a folder to take it from instead.
        licence: Its licence's short name.
        licence_url: Where that is written down.
        sample_rate: What it hears, in Hz.
        chunk_s: Seconds it hears at once.
        width: Numbers of a frame.
        full_chunk_frames: Frames that a full chunk gives.
        download_bytes: What is fetched, within a few per cent.
        num_parameters: Weights, for planning.
    """

    name: str
    label: str
    hub_id: str
    path_key: str
    licence: str
    licence_url: str
    sample_rate: int
    chunk_s: int
    width: int
    full_chunk_frames: int
    download_bytes: int
    num_parameters: int

    @property
    def chunk_samples(self) -> int:
        """Samples it hears at once."""
        return self.chunk_s * self.sample_rate

    @property
    def bytes_per_s(self) -> float:
        """Bytes of a second's features on disk, two a number (spec config-formats.md 5.2)."""
        return self.full_chunk_frames / self.chunk_s * self.width * 2


MERT = FeatureModel(
    name="mert",
    label="MERT",
    hub_id="m-a-p/MERT-v1-330M",
    path_key="ssl_mert_path",
    licence="CC-BY-NC 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc/4.0/",
    sample_rate=24_000,
    chunk_s=5,
    width=1024,
    full_chunk_frames=374,
    download_bytes=1_262_000_000,
    num_parameters=315_000_000,
)

MHUBERT = FeatureModel(
    name="mhubert",
    label="mHuBERT",
    hub_id="utter-project/mHuBERT-147",
    path_key="ssl_mhubert_path",
    licence="CC-BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    sample_rate=16_000,
    chunk_s=30,
    width=768,
    full_chunk_frames=1499,
    download_bytes=378_000_000,
    num_parameters=95_000_000,
)

FEATURE_MODELS = (MERT, MHUBERT)
FEATURE_MODELS_BY_NAME = {model.name: model for model in FEATURE_MODELS}

LICENCE_SENTENCE = (
    f"{MERT.label} ({MERT.licence}) and {MHUBERT.label} ({MHUBERT.licence}) are published for non-commercial use only"
)
FETCH_COMMAND = "acestep-tui model fetch mert mhubert --accept-non-commercial"
CONSENT_KEY = "ssl_accept_non_commercial"
"""The setting that says yes: a run then fetches what is missing."""


def feature_model_of(name: str) -> FeatureModel | None:
    """The feature model of a short name (``mert``, ``m-hubert``) or a hub id; None for anything else."""
    plain = name.replace("-", "").casefold()
    for model in FEATURE_MODELS:
        if model.hub_id == name or model.name == plain:
            return model
    return None


def files_to_fetch(available: Iterable[str]) -> list[str]:
    """Of a repository's files those that are read: the configuration and one form of the weights.

    Nothing else is fetched: no program code, no index of five gigabytes, no second form of the same weights.
    """
    there = set(available)
    weights = next((name for name in WEIGHTS if name in there), None)
    return [name for name in (CONFIG_FILE, weights) if name in there]


def wants_features(values: Mapping[str, Any]) -> bool:
    """Whether a configuration asks for the loss from musical features, as far as the models allow."""
    return bool(values["ace_step_ssl_loss_weight"] > 0 and values["ssl_models"] != "off")


def labels(names: Collection[str]) -> str:
    """``MERT and mHuBERT``: the models of these names, as a text goes on."""
    return " and ".join(model.label for model in FEATURE_MODELS if model.name in names)
