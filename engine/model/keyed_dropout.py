"""Dropout whose mask is a function of (seed, sample position, layer, place) alone; no generator has a part in it.

Compiled, recomputed, replayed from a CUDA graph or cut into smaller micro-batches, a step then drops the same numbers
as the plain one does; a resumed run goes on with the masks that the uninterrupted one draws.

The number at row r (a frame or token) and column c of a layer is dropped where ``row[r] * column[c]``, wrapped to 32
bits, falls among the lowest ``p * 2^32``: rows are hashed from the sample's key, columns from the layer's name. A
product of two hashed odd numbers is the cheapest mask that a kernel can make beside the arithmetic it guards.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.objective.randomness import derive_seed

_INITIAL_ROWS = 4096
_LOW_31_BITS = 0x7FFFFFFF


class DropoutKeys:
    """What all dropouts of one model share: the rows' hashed keys of the samples in work.

    Attributes:
        rows: (B, length) odd int32, one row a sample. None while no step is in work: dropouts then draw from torch's
            generator.
        distances: (1, 2 length) odd int32 from the step's own key, for relative positions, which all samples share: of
            the distances length down to -(length - 1), so that each has its number however long lyrics are.
    """

    def __init__(self) -> None:
        self.rows: Tensor | None = None
        self.distances: Tensor | None = None
        self._length = _INITIAL_ROWS

    @contextmanager
    def of(self, keys: Tensor | None, *, longest: int) -> Iterator[None]:
        """Drop by these keys inside the block.

        Args:
            keys: (1 + B,) int32 from `sample_keys`, on the model's device; None leaves it to torch's generator.
            longest: The most rows that a layer will see of a sample.
        """
        while self._length < longest:
            self._length *= 2
        before = self.rows, self.distances
        self.rows = self.distances = None
        if keys is not None:
            self.rows = hashed_rows(keys[1:], 0, self._length)
            self.distances = hashed_rows(keys[:1], 1 - self._length, self._length + 1).flip(1)
        try:
            yield
        finally:
            self.rows, self.distances = before


def sample_keys(seed: int, step: int, positions: Sequence[int]) -> Tensor:
    """(1 + B,) int32 on the CPU: the key of the step, then those of its samples.

    Args:
        seed: The run's seed.
        step: Optimizer steps done before.
        positions: Global sample positions (`engine.objective.randomness`).
    """
    seeds = [derive_seed(seed, step, "module_dropout/step")]
    seeds += [derive_seed(seed, position, "module_dropout") for position in positions]
    return torch.tensor([number & _LOW_31_BITS for number in seeds], dtype=torch.int64).to(torch.int32)


def hashed_rows(keys: Tensor, begin: int, end: int) -> Tensor:
    """(N,) int32 keys to (N, end - begin) odd int32, for the rows begin ... end - 1; the same on every device."""
    return _hashed(keys[:, None] + torch.arange(begin, end, dtype=torch.int32, device=keys.device) * 0x61C88647)


def hashed_columns(name: str, width: int, device: torch.device | str) -> Tensor:
    """(width,) odd int32 from a layer's name."""
    key = zlib.crc32(name.encode()) & _LOW_31_BITS
    return _hashed(torch.arange(width, dtype=torch.int32) * 0x3C6EF372 + key).to(device)


def _hashed(x: Tensor) -> Tensor:
    """Mix int32 numbers as Wellons' ``lowbias32`` does (triple of xor-shift and multiply), and make them odd."""
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * -0x7B935975  # 0x846CA68B
    x = x ^ ((x >> 16) & 0xFFFF)
    return x | 1


def drop(x: Tensor, probability: float, rows: Tensor, columns: Tensor) -> Tensor:
    """Zero where the hash says so, scale the rest by ``1 / (1 - probability)``.

    Args:
        x: (B, L, C) or (B, C).
        probability: 0 to less than 1.
        rows: (B, L) from `hashed_rows`; (B, 1) for (B, C).
        columns: (C,) from `hashed_columns`.
    """
    hashes = (rows[..., None] if x.dim() == 3 else rows) * columns
    lowest_kept = round(probability * 2**32) - 2**31
    return torch.where(hashes >= lowest_kept, x * (1 / (1 - probability)), 0.0)


class KeyedDropout(nn.Module):
    """Dropout by the keys of the model it is in; by torch's generator while there are none.

    A layer that has a dropout inside takes this class as its base.

    Args:
        probability: Of a number to be dropped, in training.
        width: Numbers of a row.

    Attributes:
        of_distances: The rows are relative positions, (1, 2 L, C), which all samples share.
    """

    columns: Tensor | None
    keys: DropoutKeys | None

    def __init__(self, probability: float, width: int, *, of_distances: bool = False) -> None:
        super().__init__()
        self.probability, self.width, self.of_distances = probability, width, of_distances
        self.columns, self.keys = None, None

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) or (B, C) to the same, in its dtype."""
        return self.dropped(x)

    def dropped(self, x: Tensor) -> Tensor:
        """Dropout as the layer's mode is."""
        if not self.training or self.probability <= 0:
            return x
        keys, columns = self.keys, self.columns
        if keys is None or columns is None or keys.rows is None or keys.distances is None:
            return F.dropout(x, self.probability)
        length = x.shape[1] if x.dim() == 3 else 1
        if self.of_distances:
            middle = keys.distances.shape[1] // 2
            rows = keys.distances[:, middle - length // 2 : middle + length // 2]
        else:
            rows = keys.rows[:, :length]
        return drop(x, self.probability, rows, columns)


def give_keys(model: nn.Module, device: torch.device) -> DropoutKeys:
    """Let all dropouts inside a model follow the same keys; what they had before is forgotten.

    Args:
        model: Its modules' names are part of the masks.
        device: Where it computes.
    """
    keys = DropoutKeys()
    for name, module in model.named_modules():
        if isinstance(module, KeyedDropout):
            module.columns = hashed_columns(name, module.width, device)
            module.keys = keys
    return keys
