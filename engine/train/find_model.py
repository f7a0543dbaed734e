"""Which files a run's model is made of (config-formats.md section 1.1): the folder or hub id, a part from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.contract.config import Config
from engine.contract.model_files import DEMO_MODEL
from engine.contract.paths import demo_model
from engine.model.load import Checkpoint, resolve_checkpoint, resolve_transformer
from engine.model.tiny import write_tiny_checkpoint


def find_model(config: Config, *, warn: Callable[[str, str], None]) -> Checkpoint:
    """The checkpoint that a configuration names, looked at but not loaded.

    Args:
        config: The model's name, the other transformer's, ``revision`` and ``variant``.
        warn: Called with (code, message) for parts that have no file of the wanted variant.

    Raises:
        ModelError: Nothing there, no way to the hub, or a part is missing or damaged.
        DiskError: The disk is too full for a download.
    """
    checkpoint = resolve_checkpoint(_name(config), revision=config.revision, variant=config.variant)
    other = config.pretrained_transformer_model_name_or_path
    if other is not None:
        folder = resolve_transformer(other, revision=config.revision, variant=config.variant)
        checkpoint = replace(checkpoint, transformer=folder)
    lacking = checkpoint.parts_without_variant()
    if lacking:
        names = ", ".join(lacking)
        warn("no_variant", f"{names} has no file of the variant {config.variant}; the ordinary weights are used there")
    return checkpoint


def _name(config: Config) -> str | Path:
    """The checkpoint's name or folder; ``demo:tiny-model`` is written once under the cache, then read as any other."""
    name: str = config.pretrained_model_name_or_path
    if name != DEMO_MODEL:
        return name
    folder = demo_model(config)
    return folder if folder.is_dir() else write_tiny_checkpoint(folder)
