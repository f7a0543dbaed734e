"""Block swap: frozen weights of some blocks wait in main memory and are copied to the device when their turn comes.

The weights do not change, so nothing is ever copied back. A small ring of buffers on the device receives them: while
one block computes, the next one in order arrives beside it, forwards in the forward pass and backwards when blocks are
recomputed in the backward pass. Between, parameters stand in main memory, so that whoever reads the model (a
checkpoint, an export) reads the right values at any time.

What autograd keeps of a forward pass would point at buffers that are overwritten by then. Hence blocks must be
recomputed whole, right before their backward pass (policy ``full``): they save the weights anew, from where they are
at that time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from engine.contract.errors import ConfigError
from engine.memory.copies import CopyStream, HostMemory, Ticket, Warn, require_room_for_blocks, silent
from engine.memory.runner import runner_of
from engine.planning.block_ring import num_ring_blocks, swapped_blocks

if TYPE_CHECKING:
    from engine.model.transformer import AceStepTransformer

_ALIGNMENT = 256  # bytes: what kernels may ask of the start of a tensor


def swap_blocks(model: AceStepTransformer, num_blocks: int, device: torch.device, *, warn: Warn = silent) -> None:
    """Let the frozen weights of some blocks wait in main memory from now on; between two steps, again at will.

    To be called again after layers were replaced (an adapter added, weights quantised) or blocks grouped otherwise.
    Losses, gradients and clips stay bit-equal. Trained weights and everything else go to ``device``.

    Args:
        model: A transformer whose blocks are frozen but for their adapters, on any device.
        num_blocks: How many; 0 brings all back. Of more than all but one, all but one are taken.
        device: Where the model computes.
        warn: Told when main memory cannot be locked.

    Raises:
        ConfigError: The blocks themselves are trained, or the device is an Apple GPU.
        OutOfMemoryError: Main memory has not enough room; the model is as it was before.
    """
    indices = swapped_blocks(num_blocks, len(model.transformer_blocks))
    if indices:
        _check(model, indices, device)
    runner = runner_of(model)
    if runner.swap is not None:
        runner.swap.release()
        runner.swap = None
    for index, block in enumerate(model.transformer_blocks):
        _move(block, device, only_trained=index in indices)
    if indices:
        runner.swap = BlockSwap(model, indices, device, warn=warn)


def is_swapping(model: AceStepTransformer) -> bool:
    """Whether weights of the model wait in main memory."""
    return runner_of(model).swap is not None


def _check(model: AceStepTransformer, indices: Sequence[int], device: torch.device) -> None:
    if device.type == "mps":
        raise ConfigError(
            "musubi_blocks_to_swap saves nothing on an Apple GPU: its memory is the computer's main memory",
            hint="Set musubi_blocks_to_swap to 0; base_model_precision int8-quanto or shorter pieces do save memory.",
        )
    blocks = [model.transformer_blocks[index] for index in indices]
    frozen = [[slot.tensor for slot in _frozen(block)] for block in blocks]
    if not all(frozen):
        raise ConfigError(
            "musubi_blocks_to_swap needs frozen blocks, and these are trained",
            hint="Set musubi_blocks_to_swap to 0, or train a LoRA (model_type lora).",
        )
    coming = sum(_size(tensors) for tensors in frozen if tensors[0].device.type != "cpu")
    require_room_for_blocks(coming, len(blocks))


class _Slot(NamedTuple):
    """Where a frozen tensor stands in a module."""

    owner: nn.Module
    leaf: str
    tensor: Tensor

    def put(self, tensor: Tensor) -> None:
        """Stand another tensor of the same values there; a parameter stays the same object."""
        parameter = self.owner._parameters.get(self.leaf)
        if parameter is not None:
            parameter.data = tensor
        else:
            self.owner._buffers[self.leaf] = tensor


def _frozen(block: nn.Module) -> list[_Slot]:
    """All of a block but what is trained."""
    return [
        _Slot(module, leaf, tensor)
        for module in block.modules()
        for leaf, tensor in chain(module._parameters.items(), module._buffers.items())
        if tensor is not None and not tensor.requires_grad
    ]


@torch.no_grad()
def _move(block: nn.Module, device: torch.device, *, only_trained: bool) -> None:
    for parameter in block.parameters():
        if parameter.requires_grad and parameter.device != device:
            parameter.data = parameter.data.to(device)
    if only_trained:
        return
    for slot in _frozen(block):
        if slot.tensor.device != device:
            slot.put(slot.tensor.data.to(device))


def _size(tensors: Sequence[Tensor]) -> int:
    """Bytes of a block's tensors one after the other, each aligned."""
    return sum(-(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT for tensor in tensors)


def _views(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of the same shapes, dtypes and strides, one after the other in ``flat`` (uint8)."""
    views, start = [], 0
    for tensor in tensors:
        num_bytes = tensor.numel() * tensor.element_size()
        numbers = flat[start : start + num_bytes].view(tensor.dtype)
        span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        is_dense = span == tensor.numel()
        views.append(numbers.as_strided(tensor.shape, tensor.stride()) if is_dense else numbers.view(tensor.shape))
        start += _size([tensor])
    return views


class _Waiting:
    """A block's frozen tensors in main memory, as one buffer, so that one copy brings them all."""

    def __init__(self, block: nn.Module, memory: HostMemory) -> None:
        self.slots = _frozen(block)
        tensors = [slot.tensor.detach() for slot in self.slots]
        self.flat = memory.empty(_size(tensors))
        self.views = _views(self.flat, tensors)
        for slot, view, tensor in zip(self.slots, self.views, tensors, strict=True):
            view.copy_(tensor)
            slot.put(view)
        # The tensors are let go of: they may be the device's.
        self.slots = [slot._replace(tensor=view) for slot, view in zip(self.slots, self.views, strict=True)]

    def stand(self, views: Sequence[Tensor]) -> None:
        """Put views of the same tensors, elsewhere, into the block's modules."""
        for slot, view in zip(self.slots, views, strict=True):
            slot.put(view)


class BlockSwap:
    """The blocks that wait in main memory, and the ring on the device that they take turns in.

    A block always comes into the same buffer (its place in order, modulo the buffers), so that addresses repeat.

    Args:
        model: The transformer.
        indices: Its swapped blocks, in order.
        device: Where it computes.
        warn: Told when main memory cannot be locked.
    """

    def __init__(
        self, model: AceStepTransformer, indices: Sequence[int], device: torch.device, *, warn: Warn = silent
    ) -> None:
        self.indices = tuple(indices)
        memory = HostMemory(device, warn=warn)
        with torch.no_grad():
            self._waiting = [_Waiting(model.transformer_blocks[index], memory) for index in indices]
        num_ring = num_ring_blocks(self.indices, group=model.blocks_per_group)
        # After the blocks have gone, so that the buffers find room where they stood.
        sizes = [max(block.flat.numel() for block in self._waiting[slot::num_ring]) for slot in range(num_ring)]
        self._ring = [torch.empty(size, dtype=torch.uint8, device=device) for size in sizes]
        self._there = [_views(self._ring[place % num_ring], block.views) for place, block in enumerate(self._waiting)]
        self._copies = CopyStream(device)
        self._holds: list[int | None] = [None] * num_ring
        self._tickets: list[Ticket] = [None] * num_ring
        self._standing: set[int] = set()

    @property
    def host_bytes(self) -> int:
        """Bytes that wait in main memory."""
        return sum(block.flat.numel() for block in self._waiting)

    @property
    def ring_bytes(self) -> int:
        """Bytes of the device that they take turns in."""
        return sum(buffer.numel() for buffer in self._ring)

    def bring(self, indices: range, *, backwards: bool = False, wraps: bool = False) -> None:
        """Before the blocks ``indices`` run: have their weights in place, and send for those of the next ones.

        All that was started before this call must have been told to the device: buffers of other blocks are reused.

        Args:
            indices: Of one group.
            backwards: The group before them comes next, not the one after.
            wraps: After the last group the first one comes again, as in sampling.

        Raises:
            RuntimeError: The group is larger than those that the ring was made for.
        """
        wanted = [place for place, index in enumerate(self.indices) if index in indices]
        if len(wanted) > len(self._ring):
            raise RuntimeError(f"{len(wanted)} swapped blocks in one group, {len(self._ring)} buffers: swap anew")
        for place in wanted:
            self._send_for(place)
        busy = {place % len(self._ring) for place in wanted}
        for place in islice(self._upcoming(indices, backwards=backwards, wraps=wraps), len(self._ring)):
            if place % len(self._ring) in busy:
                break
            busy.add(place % len(self._ring))
            self._send_for(place)
        for place in wanted:
            self._copies.wait(self._tickets[place % len(self._ring)])
            if place not in self._standing:
                self._waiting[place].stand(self._there[place])
                self._standing.add(place)

    def _upcoming(self, indices: range, *, backwards: bool, wraps: bool) -> Iterator[int]:
        if backwards:
            return (place for place in reversed(range(len(self.indices))) if self.indices[place] < indices.start)
        after = [place for place, index in enumerate(self.indices) if index >= indices.stop]
        return iter(after or (range(len(self.indices)) if wraps else ()))

    def _send_for(self, place: int) -> None:
        slot = place % len(self._ring)
        held = self._holds[slot]
        if held == place:
            return
        if held is not None:
            self._leave(held)
        flat = self._waiting[place].flat
        self._tickets[slot] = self._copies.copy(self._ring[slot][: flat.numel()], flat)
        self._holds[slot] = place

    def _leave(self, place: int) -> None:
        if place in self._standing:
            self._waiting[place].stand(self._waiting[place].views)
            self._standing.discard(place)

    def release(self) -> None:
        """Everything stands in main memory, the ring is given up; the blocks cannot run on the device until moved."""
        for place in tuple(self._standing):
            self._leave(place)
        self._copies.synchronize()
        self._ring, self._there = [], []
