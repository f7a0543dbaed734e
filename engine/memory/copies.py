"""Copies between main memory and a device beside the computation: their stream, and memory that it can read."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable

import torch
from torch import Tensor

from engine.contract.errors import OutOfMemoryError
from engine.hardware.host import read_host
from engine.planning.block_ring import HOST_LEFT_FREE_BYTES

Warn = Callable[[str, str], None]
"""``warn(code, message)``."""

Ticket = torch.cuda.Event | None
"""What `CopyStream.copy` gives and `CopyStream.wait` takes; None where the copy is done already."""

_PORTABLE = 1  # cudaHostRegisterPortable


def silent(_code: str, _message: str) -> None:
    """A `Warn` for callers that have nobody to tell."""


def require_room_for_blocks(num_bytes: int, num_blocks: int) -> None:
    """Before so many blocks come into main memory, so many bytes together: that they find room there.

    Raises:
        OutOfMemoryError: They do not; it says how many would.
    """
    free = read_host().free_bytes
    if not num_bytes or free is None or num_bytes + HOST_LEFT_FREE_BYTES <= free:
        return
    fitting = max(0, free - HOST_LEFT_FREE_BYTES) * num_blocks // num_bytes
    needed, there = f"{num_bytes / 2**30:.1f} GiB", f"{free / 2**30:.1f} GiB"
    blocks = "the block" if num_blocks == 1 else f"the {num_blocks} blocks"
    raise OutOfMemoryError(
        f"musubi_blocks_to_swap: {blocks} need {needed} of main memory to wait in; {there} are free, of which 1 GiB is "
        "left for other things",
        hint=f"Set musubi_blocks_to_swap to {fitting} or less (now {num_blocks}), or close other programs.",
    )


class CopyStream:
    """Copies in order, beside the computation on CUDA, at once elsewhere.

    Args:
        device: The one that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._device = device

    @torch.no_grad()
    def copy(self, target: Tensor, source: Tensor) -> Ticket:
        """Copy once the device has done all that it was told so far; what it is told later goes on meanwhile."""
        if self._stream is None:
            target.copy_(source)
            return None
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
            return self._stream.record_event()

    def wait(self, ticket: Ticket) -> None:
        """What the device is told from now on sees the copy, and may free or overwrite its source."""
        if ticket is not None:
            torch.cuda.current_stream(self._device).wait_event(ticket)

    def synchronize(self) -> None:
        """Return when every copy is done."""
        if self._stream is not None:
            self._stream.synchronize()


class HostMemory:
    """Main memory that a card reads without the processor's help (page-locked), where the system grants it.

    Buffers are locked in place: torch's own pinned allocator rounds each up to a power of two, a quarter more for the
    blocks of this model.

    Args:
        device: The one that reads; only CUDA needs locked memory.
        warn: Told once, as ``unpinned_memory``, when locking is refused: copies then hold up the computation.
    """

    def __init__(self, device: torch.device, *, warn: Warn = silent) -> None:
        self._device, self._warn = device, warn
        self._locks = device.type == "cuda"

    def empty(self, num_bytes: int) -> Tensor:
        """A buffer of ``num_bytes``, uint8, on the CPU; unlocked again when the tensor returned here is gone."""
        buffer = torch.empty(num_bytes, dtype=torch.uint8, device="cpu")
        if self._locks and num_bytes and not self._lock(buffer):
            self._locks = False
            self._warn(
                "unpinned_memory",
                "main memory cannot be locked for the card (see ulimit -l): copies to it work, but slow each step",
            )
        return buffer

    def _lock(self, buffer: Tensor) -> bool:
        cudart = torch.cuda.cudart()
        address = buffer.data_ptr()
        if int(cudart.cudaHostRegister(address, buffer.numel(), _PORTABLE)) != 0:
            _forget_failure(self._device)
            return False
        # Before the memory is freed, while CUDA still runs: at exit the system unlocks by itself.
        weakref.finalize(buffer, cudart.cudaHostUnregister, address).atexit = False
        return True


def _forget_failure(device: torch.device) -> None:
    """Take a refusal out of CUDA's last-error slot: else the next kernel launch would report it as its own."""
    with contextlib.suppress(RuntimeError):
        torch.ones(1, device=device)
