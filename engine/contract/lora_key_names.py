"""Reading the key names of every LoRA dialect seen for ACE-Step v1 (spec exports.md 2, 8): names only, no tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

Part = Literal["A", "B", "alpha", "embedding_A", "embedding_B"]

_PREFIXES = (
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "unet.",
    "base_model.model.",
    "module.",
    "_orig_mod.",
    "ace_step_transformer.",
    "transformers.",
)
_FLAT_PREFIXES = ("lora_unet_", "lycoris_", "lora_transformer_")

# Pattern of a key's end -> the part for each value of its group. An infix between lora_A and weight is PEFT's adapter
# name, which upstream's trainer leaves in while it runs.
_SUFFIXES: tuple[tuple[re.Pattern[str], Mapping[str, Part]], ...] = (
    (re.compile(r"\.lora_(A|B)(?:\.[^.]+)?\.weight$"), {"A": "A", "B": "B"}),
    (re.compile(r"\.lora_(A|B)$"), {"A": "A", "B": "B"}),
    (re.compile(r"\.lora_(down|up)\.weight$"), {"down": "A", "up": "B"}),
    (re.compile(r"[._]lora\.(down|up)\.weight$"), {"down": "A", "up": "B"}),
    (re.compile(r"\.lora_linear_layer\.(down|up)\.weight$"), {"down": "A", "up": "B"}),
    (re.compile(r"\.lora_embedding_(A|B)(?:\.[^.]+)?$"), {"A": "embedding_A", "B": "embedding_B"}),
    (re.compile(r"\.(alpha|lora_alpha)$"), {"alpha": "alpha", "lora_alpha": "alpha"}),
)

_OTHER_KINDS = (
    ("LoHa", ".hada_w"),
    ("LoKr", ".lokr_w"),
    ("DoRA", ".lora_magnitude_vector"),
    ("DoRA", ".dora_scale"),
    ("OFT", ".oft_blocks"),
    ("OFT", ".oft_r"),
    ("BOFT", ".boft_"),
)
# A module of the transformer as its beginning tells, dotted or flattened. How many blocks there are, and of which
# size, the checkpoint says, which need not be here.
_VERSION_1 = re.compile(
    r"(transformer_blocks[._]\d+[._](attn|cross_attn|ff)|lyric_encoder[._](embed|encoders)|projectors[._]\d+|t_block[._]\d+"
    r"|timestep_embedder[._]linear_\d+|final_layer[._]linear|proj_in[._]early_conv_layers)[._]?"
    r"|(lyric_proj|lyric_embs|speaker_embedder|genre_embedder)$"
)
_VERSION_1_5 = re.compile(r"(^|[._])layers[._]\d+[._](self_attn|cross_attn)[._][qkvo]_proj")


def split_key(key: str) -> tuple[str, Part] | None:
    """The module part of a key and what the tensor is; None when the key's end is none of LoRA's."""
    for pattern, parts in _SUFFIXES:
        match = pattern.search(key)
        if match:
            return key[: match.start()], parts[match.group(1)]
    return None


def match_module(written: str, modules: Iterable[str], flat_names: Mapping[str, str]) -> str | None:
    """Our module path for the module part of a key, or None.

    Args:
        written: With any of the known prefixes, in any order and number, or flattened with ``_`` for ``.``.
        modules: Known module paths (a container with fast ``in``).
        flat_names: From `flat_names_of`; a flattened name is looked up and never split.
    """
    while True:
        if written in modules:
            return written
        prefix = next((prefix for prefix in _PREFIXES if written.startswith(prefix)), None)
        if prefix is None:
            break
        written = written.removeprefix(prefix)
    for prefix in _FLAT_PREFIXES:
        if written.startswith(prefix):
            return flat_names.get(written.removeprefix(prefix))
    return None


def may_name_module(written: str) -> bool:
    """Whether the module part of a key looks like one of ACE-Step v1, whatever the size of the model."""
    while prefix := next((one for one in (*_PREFIXES, *_FLAT_PREFIXES) if written.startswith(one)), None):
        written = written.removeprefix(prefix)
    return _VERSION_1.match(written) is not None


def flat_names_of(modules: Iterable[str]) -> dict[str, str]:
    """Flattened name -> module path, for `match_module`."""
    return {module.replace(".", "_"): module for module in modules}


def foreign_kind(keys: Iterable[str]) -> str | None:
    """What a file is if it is no plain LoRA for this model: ``LoHa``, ``DoRA``, ... or ``ACE-Step 1.5``; else None."""
    for key in keys:
        for kind, mark in _OTHER_KINDS:
            if mark in key:
                return kind
        if _VERSION_1_5.search(key):
            return "ACE-Step 1.5"
    return None
