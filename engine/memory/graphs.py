"""CUDA graphs of a micro-step: its thousands of kernels told to the card once, then started with one call.

A graph replays the same kernels on the same addresses, so everything that differs between steps is copied into fixed
tensors before: the batch, the keys of its dropout, its share of the step. Gradients add up in fixed tensors too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.objective.loss import LossTerms

if TYPE_CHECKING:
    from engine.batches.collate import Batch

MOST_GRAPHS = 8
"""Kept at once; each holds some 50 MB of the card beside what they share. The one that was used longest ago goes."""

Forward = Callable[["Batch"], LossTerms]
"""Losses of a batch on the device."""

Within = Callable[["Batch", Tensor], contextlib.AbstractContextManager[None]]
"""What forward and backward pass run in: of the batch and the keys of its dropout, (1 + B,) int32."""

Key = tuple[object, ...]


def has_graphs(device: torch.device) -> bool:
    """Whether a device records CUDA graphs: an NVIDIA card."""
    return device.type == "cuda" and torch.version.hip is None


_MODE = "thread_local"
"""Other threads pin memory meanwhile, which torch's strict mode would count as a mistake of ours."""


def recording(
    graph: torch.cuda.CUDAGraph, pool: tuple[int, int] | None = None
) -> contextlib.AbstractContextManager[None]:
    """What is started inside is recorded, not run; in memory of its own or of ``pool``.

    Waits for the card and gives its free memory back first.
    """
    return torch.cuda.graph(graph, pool=pool, capture_error_mode=_MODE)


@contextlib.contextmanager
def recording_ahead(graph: torch.cuda.CUDAGraph, device: torch.device) -> Iterator[None]:
    """As `recording`, while the card computes what was asked for before; free memory stays as it is."""
    current, apart = torch.cuda.current_stream(device), _stream(device)
    apart.wait_stream(current)
    with torch.cuda.stream(apart):
        graph.capture_begin(capture_error_mode=_MODE)
        try:
            yield
        finally:
            graph.capture_end()
    current.wait_stream(apart)


@lru_cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The one to record on: libraries keep memory for each stream that they have seen."""
    return torch.cuda.Stream(device)


@dataclass(frozen=True)
class _Captured:
    """One shape's graphs and the tensors that they read and write."""

    batch: Batch
    keys: Tensor
    share: Tensor
    terms: LossTerms
    forward: torch.cuda.CUDAGraph
    backward: torch.cuda.CUDAGraph


class MicroStepGraphs:
    """Captures a shape when it comes for the second time, replays it from then on.

    Args:
        trainable: What has gradients.
        device: A CUDA device.

    Attributes:
        is_capturing: A capture is under way, or has failed.
    """

    def __init__(self, trainable: Sequence[nn.Parameter], device: torch.device) -> None:
        self._trainable, self._device = list(trainable), device
        self._captured: OrderedDict[Key, _Captured] = OrderedDict()
        self._seen: set[Key] = set()
        self._gradients: dict[int, Tensor] = {}
        self._pool: tuple[int, int] | None = None
        self._copies = torch.cuda.Stream(device)
        self.is_capturing = False

    def key_of(self, batch: Batch) -> Key:
        """What must be equal for a graph to be replayed."""
        return tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in batch.tensors().items())

    def is_due(self, key: Key) -> bool:
        """Whether this shape has come before: one that comes once is not worth a capture."""
        if key in self._seen:
            return True
        self._seen.add(key)
        return False

    def get(self, key: Key) -> _Captured | None:
        """The shape's graphs."""
        if key in self._captured:
            self._captured.move_to_end(key)
        return self._captured.get(key)

    def clear(self) -> None:
        """Give everything back; shapes are captured again when they come."""
        self._captured.clear()
        self._gradients.clear()
        self._pool = None
        self.is_capturing = False

    def capture(
        self, key: Key, batch: Batch, keys: Tensor, share: float, *, forward: Forward, within: Within
    ) -> _Captured:
        """Run a micro-step once as it is, then capture it; gradients are afterwards what they were before.

        Args:
            key: Of the batch.
            batch: One of the shape, on the CPU.
            keys: Of its dropout, on the CPU.
            share: Its part of the step.
            forward: Runs on the device without waiting for it.
            within: Entered on the device before it.

        Raises:
            torch.OutOfMemoryError: No room; nothing is held.
        """
        while len(self._captured) >= MOST_GRAPHS:
            self._captured.popitem(last=False)
        fixed = batch.to(self._device)
        fixed_keys, fixed_share = keys.to(self._device), torch.tensor(share, device=self._device)
        before = [parameter.grad for parameter in self._trainable]
        try:
            self._warm_up(lambda: within(fixed, fixed_keys), lambda: forward(fixed).total * fixed_share)
            self._hold_gradients()
            # What the step that ran apart has left goes back first: the graphs' own memory is taken beside it.
            gc.collect()
            torch.cuda.empty_cache()
            self.is_capturing = True
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            ahead, back = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with contextlib.ExitStack() as stack:
                with recording(ahead, self._pool):
                    stack.enter_context(within(fixed, fixed_keys))
                    terms = forward(fixed)
                    total = terms.total * fixed_share
                with recording(back, self._pool):
                    torch.autograd.backward(total)
            captured = _Captured(fixed, fixed_keys, fixed_share, _apart(terms), ahead, back)
        finally:
            for parameter, gradient in zip(self._trainable, before, strict=True):
                parameter.grad = gradient
        self.is_capturing = False
        self._captured[key] = captured
        return captured

    def _warm_up(
        self, within: Callable[[], contextlib.AbstractContextManager[None]], total: Callable[[], Tensor]
    ) -> None:
        """Compile, choose kernels, and see which parameters get a gradient; on a stream of its own, as capturing is."""
        for parameter in self._trainable:
            parameter.grad = None
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream), within():
            torch.autograd.backward(total())
        torch.cuda.current_stream(self._device).wait_stream(stream)

    def _hold_gradients(self) -> None:
        """Fixed gradients for the parameters that got one."""
        for parameter in self._trainable:
            if parameter.grad is None:
                continue
            if id(parameter) not in self._gradients:
                self._gradients[id(parameter)] = parameter.grad
            parameter.grad = self._gradients[id(parameter)]

    def replay(self, captured: _Captured, batch: Batch, keys: Tensor, share: float) -> Callable[[], LossTerms]:
        """Start a micro-step's forward pass; what is returned starts its backward pass and gives the losses.

        Args:
            captured: The graphs of the batch's shape.
            batch: On the CPU, in page-locked memory if its copying is to cost nothing.
            keys: Of its dropout.
            share: Its part of the step.
        """
        self._bring(captured, batch, keys, share)
        self._adopt_gradients()
        captured.forward.replay()

        def back() -> LossTerms:
            captured.backward.replay()
            terms = captured.terms
            # The graph's own are overwritten by the next micro-step.
            return LossTerms(
                terms.total.clone(),
                terms.denoising.clone(),
                terms.per_sample.clone(),
                {name: loss.clone() for name, loss in terms.ssl.items()},
            )

        return back

    def _bring(self, captured: _Captured, batch: Batch, keys: Tensor, share: float) -> None:
        """Copy what differs into place; from main memory on a stream of its own, beside the step before."""
        fixed = captured.batch.tensors()
        with torch.cuda.stream(self._copies):
            arrived = {name: tensor.to(self._device, non_blocking=True) for name, tensor in batch.tensors().items()}
        main = torch.cuda.current_stream(self._device)
        main.wait_stream(self._copies)
        for name, tensor in arrived.items():
            tensor.record_stream(main)
            fixed[name].copy_(tensor)
        captured.keys.copy_(keys, non_blocking=True)
        captured.share.fill_(share)

    def _adopt_gradients(self) -> None:
        """Let every parameter's gradient be the fixed one, with the value that it has now."""
        fresh = []
        for parameter in self._trainable:
            own = self._gradients.get(id(parameter))
            if own is None or parameter.grad is own:
                continue
            if parameter.grad is None:
                fresh.append(own)
            else:
                own.copy_(parameter.grad)
            parameter.grad = own
        if fresh:
            torch._foreach_zero_(fresh)


def _apart(terms: LossTerms) -> LossTerms:
    """The same numbers without the graph of autograd, whose memory the next capture may use."""
    return dataclasses.replace(
        terms, total=terms.total.detach(), ssl={name: loss.detach() for name, loss in terms.ssl.items()}
    )
