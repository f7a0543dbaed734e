"""The files of a model: which sub-folders it has, what belongs in each, what is fetched of a hub repository.

One declaration for the loader, the download task and the screens. The layout is that of spec ace-step-v1.md 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.contract.errors import ModelError

RELEASED_MODEL = "ACE-Step/ACE-Step-v1-3.5B"
DEMO_MODEL = "demo:tiny-model"

TRANSFORMER_FOLDER = "ace_step_transformer"
DCAE_FOLDER = "music_dcae_f8c8"
VOCODER_FOLDER = "music_vocoder"
TEXT_ENCODER_FOLDER = "umt5-base"
SUB_FOLDERS = (TRANSFORMER_FOLDER, DCAE_FOLDER, VOCODER_FOLDER, TEXT_ENCODER_FOLDER)

DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
TRANSFORMERS_WEIGHTS = "model.safetensors"

NEEDED_FILES = ("*.json", "*.safetensors", "*.model")
"""Of what a hub repository may hold, all that is read here: no weights in other formats."""

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
"""OWNER/NAME of a hub repository."""

LAYOUT_HINT = f"A checkpoint folder holds {', '.join(f'{name}/' for name in SUB_FOLDERS)} as the hub repository does."

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")

LAYOUT: dict[str, tuple[str, ...]] = {
    TRANSFORMER_FOLDER: ("config.json", DIFFUSERS_WEIGHTS),
    DCAE_FOLDER: ("config.json", DIFFUSERS_WEIGHTS),
    VOCODER_FOLDER: ("config.json", DIFFUSERS_WEIGHTS),
    TEXT_ENCODER_FOLDER: ("config.json", TRANSFORMERS_WEIGHTS, *TOKENIZER_FILES),
}
"""The files of the released model by sub-folder: what someone without a network has to bring along."""

WHOLE_HINT = "Download the checkpoint again, or point pretrained_model_name_or_path at a whole copy."


def allow_patterns(sub_folders: Iterable[str] = SUB_FOLDERS) -> list[str]:
    """Patterns of what is fetched of a hub repository, as the hub client takes them."""
    return [f"{sub_folder}/{files}" for sub_folder in sub_folders for files in NEEDED_FILES]


def layout_words() -> str:
    """`LAYOUT` as one phrase for a hint: ``ace_step_transformer/ (config.json, …), music_dcae_f8c8/ (…), …``."""
    return ", ".join(f"{name}/ ({', '.join(files)})" for name, files in LAYOUT.items())


def default_weights(sub_folder: str) -> str:
    """The usual name of the weights in one of `SUB_FOLDERS`."""
    return TRANSFORMERS_WEIGHTS if sub_folder == TEXT_ENCODER_FOLDER else DIFFUSERS_WEIGHTS


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model folder as plain data.

    Raises:
        ModelError: The file is missing, unreadable or not a JSON object.
    """
    path = folder / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint=WHOLE_HINT) from error
    if not isinstance(data, dict):
        raise ModelError(f"{path} is not a JSON object", hint=WHOLE_HINT)
    return data


def variant_name(name: str, variant: str) -> str:
    """A file's name in a variant, as the hub's libraries write it: ``model.fp16.safetensors``."""
    stem, _, ending = name.rpartition(".")
    return f"{stem}.{variant}.{ending}"


def has_variant(folder: Path, variant: str, *, default_name: str = DIFFUSERS_WEIGHTS) -> bool:
    """Whether a model folder holds weights of a variant."""
    names = (default_name, f"{default_name}.index.json")
    return any((folder / variant_name(name, variant)).is_file() for name in names)


def weight_files(
    folder: Path, *, default_name: str = DIFFUSERS_WEIGHTS, variant: str | None = None
) -> tuple[Path, ...]:
    """The safetensors files of a model folder (spec section 1): the shards of an index, the default name, the only one.

    Args:
        folder: Of one part of a model.
        default_name: The usual name of its weights.
        variant: Take the weights of this variant, where the folder has them.

    Raises:
        ModelError: There is none, or several and no index that says how they belong together.
    """
    index_name = f"{default_name}.index.json"
    if variant is not None and has_variant(folder, variant, default_name=default_name):
        default_name, index_name = variant_name(default_name, variant), variant_name(index_name, variant)
    index = folder / index_name
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{index} is not a weight index: {error!r}", hint=WHOLE_HINT) from error
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ModelError(f"{folder / missing[0]} is missing (listed in {index.name})", hint=WHOLE_HINT)
        return tuple(folder / name for name in names)
    if (folder / default_name).is_file():
        return (folder / default_name,)
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return (found[0],)
    what = "no .safetensors file" if not found else f"{len(found)} .safetensors files and no index"
    raise ModelError(f"{folder} holds {what}; {default_name} is expected", hint=WHOLE_HINT)


def check_tokenizer(text_encoder: Path) -> None:
    """Make sure that a text encoder's folder has its tokenizer.

    Raises:
        ModelError: It has none.
    """
    if not any(text_encoder.glob("tokenizer.json")) and not any(text_encoder.glob("*.model")):
        raise ModelError(
            f"{text_encoder} has no tokenizer: tokenizer.json is missing",
            hint=f"Copy {', '.join(TOKENIZER_FILES)} from the hub repository.",
        )
