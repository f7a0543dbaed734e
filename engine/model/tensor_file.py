"""Safetensors files read and written one tensor at a time, so that a model is never in memory twice.

The safetensors library maps a whole file into memory, and the pages it has touched count as resident beside the copies
made of them; saving wants every tensor at once. Both double the host memory of a 6.6 GB model. The format is simple:
eight bytes of header length, a JSON header, the tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from engine.contract.errors import ModelError
from engine.contract.files import open_aside, sync_folder

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LONGEST_HEADER_BYTES = 100_000_000
_CHECKSUM = "sha256"


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where one tensor stands: its file, dtype, shape and byte range."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    num_bytes: int


def read_header(path: Path) -> dict[str, TensorEntry]:
    """The tensors of one safetensors file, with the file's size checked against them.

    Raises:
        ModelError: The file is not readable, not safetensors, cut short, or of a dtype that no ACE-Step file has.
    """
    return _read_header(path)[0]


def _read_header(path: Path) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    """The tensors and what the file says of itself."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, _LONGEST_HEADER_BYTES):
                raise ValueError("no safetensors header")
            header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", None) or {}
        entries = {name: _entry(path, 8 + length, fields) for name, fields in header.items()}
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, str(error)) from error
    expected_size = max((entry.offset + entry.num_bytes for entry in entries.values()), default=8 + length)
    if size != expected_size:
        raise _damaged(path, f"{size} bytes, its header announces {expected_size}")
    return entries, metadata


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path} is damaged: {reason}",
        hint="Download or copy the file again; an interrupted download leaves such files.",
    )


def _entry(path: Path, data_start: int, fields: Mapping[str, Any]) -> TensorEntry:
    """One header entry, checked against itself."""
    if fields["dtype"] not in _DTYPES:
        raise ValueError(f"dtype {fields['dtype']} is not supported")
    dtype = _DTYPES[fields["dtype"]]
    shape = tuple(int(size) for size in fields["shape"])
    begin, end = fields["data_offsets"]
    if end - begin != prod(shape) * dtype.itemsize or begin < 0:
        raise ValueError(f"byte range {begin}-{end} does not fit shape {shape}")
    return TensorEntry(path, dtype, shape, data_start + begin, end - begin)


class TensorReader:
    """Reads tensors by their entries; keeps the files open until closed. Use as a context manager."""

    def __init__(self) -> None:
        self._files: dict[Path, BinaryIO] = {}

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def read(self, entry: TensorEntry) -> Tensor:
        """The tensor on the CPU in its stored dtype, in memory of its own.

        Raises:
            ModelError: The file changed or ends early.
        """
        if entry.path not in self._files:
            # Closed by __exit__; unbuffered because the bytes go straight into the tensor.
            self._files[entry.path] = entry.path.open("rb", buffering=0)
        file = self._files[entry.path]
        raw = torch.empty(entry.num_bytes, dtype=torch.uint8, device="cpu")
        view = memoryview(raw.numpy())
        file.seek(entry.offset)
        done = 0
        while done < entry.num_bytes:
            # One call reads at most 2 GB on Linux.
            count = file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise _damaged(entry.path, "it ended while a tensor was read")
            done += count
        return raw.view(entry.dtype).view(entry.shape)


def write_tensors(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    produce: Callable[[str], Tensor],
    *,
    dtype: torch.dtype,
    action: str = "saving the model",
) -> None:
    """Write a safetensors file tensor by tensor: aside, fsynced, renamed; host memory holds one tensor at a time.

    Args:
        path: The file; its folder is made.
        shapes: Name and shape of every tensor, in the order they are written.
        produce: Gives the tensor of a name, on any device and of any float dtype.
        dtype: What is stored.
        action: What an error says was being done.

    Raises:
        DiskError: The disk is full or not writable; no partial file is left behind.
    """
    with open_aside(path, action=action) as file:
        file.write(_header({name: (shape, dtype) for name, shape in shapes.items()}))
        for name, shape in shapes.items():
            # A tensor at a time: nothing but this one is on the host.
            tensor = produce(name).detach().to("cpu", dtype)
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, announced as {shape}")
            file.write(_bytes_of(tensor))
    sync_folder(path.parent)


def write_checked(path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str], action: str) -> None:
    """Write tensors, each in its dtype, with a checksum of their bytes, for `read_checked`: all or nothing.

    Raises:
        DiskError: The disk is full or not writable; no partial file is left behind.
    """
    kinds = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    digest = hashlib.sha256()
    with open_aside(path, action=action) as file:
        # The tensors come from the device one by one: the checksum is known, and put in its place, at the end.
        start = _header(kinds, {**metadata, _CHECKSUM: "0" * digest.digest_size * 2})
        file.write(start)
        for tensor in tensors.values():
            content = _bytes_of(tensor)
            digest.update(content)
            file.write(content)
        file.seek(0)
        file.write(_header(kinds, {**metadata, _CHECKSUM: digest.hexdigest()}))
    sync_folder(path.parent)


def read_checked(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of `write_checked`, on the CPU, each in memory of its own.

    Raises:
        ModelError: The file is not readable, damaged, or its bytes are not those that were written.
    """
    entries, metadata = _read_header(path)
    digest = hashlib.sha256()
    tensors = {}
    with TensorReader() as reader:
        for name, entry in sorted(entries.items(), key=lambda item: item[1].offset):
            tensors[name] = reader.read(entry)
            digest.update(_bytes_of(tensors[name]))
    if metadata.get(_CHECKSUM) != digest.hexdigest():
        raise _damaged(path, "its bytes are not those that were written")
    return tensors


def _bytes_of(tensor: Tensor) -> memoryview:
    return memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def _header(
    kinds: Mapping[str, tuple[tuple[int, ...], torch.dtype]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """The length and the JSON header, padded so that the data starts at a multiple of eight bytes."""
    fields: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    begin = 0
    for name, (shape, dtype) in kinds.items():
        end = begin + prod(shape) * dtype.itemsize
        fields[name] = {"dtype": _DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
