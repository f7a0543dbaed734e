"""The quantised weights of a transformer kept on disk, so that the next start reads them instead of rounding again.

One file a block, written as soon as the block is loaded: a load that is cut off leaves whole files, and the next one
makes what is missing. Names are hashes of all that the content depends on, as for other entries of the cache
(`engine.cache.key`), so `acestep-tui cache` counts, checks and removes them like those.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from engine.cache.key import folder_fingerprint
from engine.contract.errors import DiskError, ModelError
from engine.contract.files import remove_left_behind
from engine.model.quantise import Bits, Codes, QuantisedLinear, codes_bytes
from engine.model.tensor_file import read_checked, write_checked

SCHEMA_VERSION = 1
"""Raise when what `engine.model.quantise` makes of a weight changes, or how it stands in a file."""

SPARE_BYTES = 2 * 2**30
"""What is left free on the disk: a run has checkpoints to save."""

Layers = Mapping[str, QuantisedLinear]
"""Layers by their names in the model."""


class QuantisedCopy:
    """The copy of one transformer in one number of bits; made, and used, block by block.

    Args:
        folder: Where the files lie; made when the first is written.
        transformer: The folder of the checkpoint's transformer.
        files: Its weight files that are read.
        bits: 8 or 4.

    Attributes:
        notices: Sentences for the user: what was damaged, why nothing is kept.

    Raises:
        ModelError: The transformer's files are not readable.
    """

    def __init__(self, folder: Path, *, transformer: Path, files: Sequence[Path], bits: Bits) -> None:
        self.notices: list[str] = []
        self._folder = folder
        self._is_written = True
        self._source = {
            "schema": SCHEMA_VERSION,
            "bits": bits,
            "transformer": folder_fingerprint(transformer),
            # The fingerprint looks at a sample of the bytes; an edit in place shows in the time.
            "files": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files],
        }
        self._metadata = {"model": str(transformer), "bits": str(bits)}

    def path(self, layers: Layers) -> Path:
        """The file of a block's layers; which are quantised is part of its name."""
        sizes = {name: [layer.out_features, layer.in_features] for name, layer in layers.items()}
        key = json.dumps(self._source | {"layers": sizes}, sort_keys=True)
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"

    def fill(self, block: str, layers: Layers, *, device: torch.device, dtype: torch.dtype) -> bool:
        """Give the layers the weights that are kept; whether they were there, and whole.

        A damaged file is named in `notices` and removed.

        Args:
            block: Its name.
            layers: All its quantised layers.
            device: Where they compute.
            dtype: That of their `QuantisedLinear.weight`.
        """
        path = self.path(layers)
        if not path.exists():
            return False
        try:
            stored = read_checked(path)
            for name, layer in layers.items():
                parts = {part: stored.get(f"{name}.{part}") for part in ("codes", "scale", "offset")}
                layer.take(Codes(**parts, halves=None), device=device, dtype=dtype)  # type: ignore[arg-type]
        except (ModelError, OSError, ValueError) as error:
            reason = error.message if isinstance(error, ModelError) else f"{path}: {error}"
            self.notices.append(f"the copy of {block} with fewer digits is made anew: {reason}")
            with suppress(OSError):
                path.unlink()
            return False
        with suppress(OSError):
            os.utime(path)  # `cache prune` removes what was not used for long
        return True

    def make_room(self, layers: Sequence[Layers]) -> None:
        """Before the first block is written: keep nothing, and say so, where the disk has no room for all blocks.

        Args:
            layers: The layers of each block.
        """
        missing = [block for block in layers if not self.path(block).exists()]
        num_bytes = sum(codes_bytes(layer) for block in missing for layer in block.values())
        remove_left_behind(self._folder)
        try:
            free = shutil.disk_usage(_nearest_folder(self._folder)).free
        except OSError as error:
            self._give_up(f"{self._folder}: {error.strerror}")
            return
        if missing and free < num_bytes + SPARE_BYTES:
            gb = [f"{number / 1e9:.1f} GB" for number in (num_bytes, SPARE_BYTES, free)]
            self._give_up(f"{self._folder} has {gb[2]} free; {gb[0]} and {gb[1]} to spare are needed")

    def write(self, block: str, layers: Layers) -> None:
        """Keep a block's weights, unless the disk has no room for them."""
        if not self._is_written:
            return
        tensors: dict[str, Tensor] = {}
        for name, layer in layers.items():
            parts = {"codes": layer.codes, "scale": layer.scale, "offset": layer.offset}
            tensors |= {f"{name}.{part}": tensor for part, tensor in parts.items() if tensor is not None}
        action = "keeping a copy of the model with fewer digits"
        try:
            metadata = self._metadata | {"block": block}
            write_checked(self.path(layers), tensors, metadata=metadata, action=action)
        except (DiskError, OSError) as error:
            self._give_up(error.message.partition(" failed: ")[2] if isinstance(error, DiskError) else str(error))

    def _give_up(self, reason: str) -> None:
        self._is_written = False
        self.notices.append(
            f"the model with fewer digits is not kept for the next start, which takes longer then: {reason}"
        )


def _nearest_folder(folder: Path) -> Path:
    """The folder, or what there is of the way to it."""
    return next((one for one in (folder, *folder.parents) if one.is_dir()), folder)
