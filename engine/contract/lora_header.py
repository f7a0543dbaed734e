"""What the header of a LoRA file says, without reading a tensor: where the file is, its ranks, its step.

A wrong ``init_lora`` shows here, before anything is prepared or loaded (config-formats.md section 4.4).
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import ModelError
from engine.contract.lora_key_names import foreign_kind, may_name_module, split_key
from engine.contract.model_files import HUB_ID
from engine.contract.paths import expanded
from engine.contract.run_dir import ADAPTER_FILE

_NAMES_IN_A_FOLDER = (ADAPTER_FILE, "adapter_model.safetensors")
_LONGEST_HEADER_BYTES = 100 * 2**20
# The first half of a pair in every dialect there is.
_FIRST_HALF = re.compile(r"lora_?(A|down|linear_layer\.down|embedding_A)\b|lora\.down\b")
_HINT = "Give a .safetensors file, a folder that holds one, or the id of a hub repository that was fetched before."


@dataclass(frozen=True, slots=True)
class LoraHeader:
    """A LoRA file's header.

    Attributes:
        path: The file itself.
        ranks: Of each pair, in the file's order.
        step: Optimizer steps that its makers say it was trained for; None = they do not say.
    """

    path: Path
    ranks: tuple[int, ...]
    step: int | None

    @property
    def rank(self) -> int:
        """The rank of most pairs; of several that are as frequent, the highest."""
        counts = Counter(self.ranks)
        return max(counts, key=lambda rank: (counts[rank], rank))


def find_lora(wanted: str, *, cwd: Path) -> Path:
    """The file behind ``init_lora``: a file, a folder with one, or a hub repository in the hub client's cache.

    Raises:
        ModelError: There is no such thing, or it holds no or several files to choose from.
    """
    given = cwd / expanded(wanted)
    # Not pathlib's: it raises where a name is no possible one, such as one of 300 letters.
    if os.path.isfile(given):  # noqa: PTH113
        return given
    folder: Path | None = given if os.path.isdir(given) else None  # noqa: PTH112
    if folder is None and HUB_ID.fullmatch(wanted):
        folder = _hub_folder(wanted)
        if folder is None:
            raise ModelError(
                f"{wanted} is no file or folder here, and no such repository is in the hub's cache", hint=_HINT
            )
    if folder is None:
        raise ModelError(f"no such file or folder: {given}", hint=_HINT)
    for name in _NAMES_IN_A_FOLDER:
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise ModelError(f"{folder} holds {len(found)} .safetensors files, none called {ADAPTER_FILE}", hint=_HINT)
    return found[0]


def _hub_folder(name: str) -> Path | None:
    # Imported here: the hub client's constants take 30 ms, and a file needs none.
    from engine.hardware.models import snapshot_folder, storage_folder

    return snapshot_folder(storage_folder(name), None)


def read_lora_header(path: Path) -> LoraHeader:
    """Read the header of a LoRA file.

    Raises:
        ModelError: Not safetensors, cut short, no tensor in it is half of a LoRA pair, or it is for another model.
    """
    if path.suffix != ".safetensors":
        raise ModelError(f"{path} is not a .safetensors file; pickled files (.bin, .pt, .ckpt) are never opened")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _LONGEST_HEADER_BYTES):
                raise ValueError("no safetensors header")
            header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", None) or {}
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        if size < 8 + length + end:
            raise ValueError(f"it is cut off: {size:,} of {8 + length + end:,} bytes")
        shapes = {name: [int(axis) for axis in entry["shape"]] for name, entry in header.items()}
        step = metadata.get("global_step")
        num_steps = int(step) if step is not None and str(step).isdigit() else None
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read as a LoRA: {error}", hint="Copy or download it again.") from error
    kind = foreign_kind(shapes)
    if kind == "ACE-Step 1.5":
        raise ModelError(f"{path}: this LoRA is for ACE-Step 1.5; only those for version 1 can be gone on with")
    if kind:
        raise ModelError(f"{path}: a {kind} adapter; only plain LoRA is supported")
    # Every dialect stores the first half as (rank, inputs, …), an embedding table's as (rank, rows).
    ranks = tuple(shape[0] for name, shape in shapes.items() if _FIRST_HALF.search(name) and shape)
    if not ranks:
        examples = "; ".join(list(shapes)[:3]) or "it is empty"
        raise ModelError(f"{path} is no LoRA: none of its {len(shapes)} tensors is half of a pair ({examples})")
    modules = [part[0] for name in shapes if (part := split_key(name)) is not None]
    if not any(map(may_name_module, modules)):
        examples = "; ".join(list(shapes)[:3])
        raise ModelError(f"{path}: none of its {len(shapes)} keys names a module of ACE-Step v1 ({examples})")
    return LoraHeader(path, ranks, num_steps)
