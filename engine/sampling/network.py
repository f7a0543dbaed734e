"""The network as a sampling run calls it: always the same conditions, so its kernels are recorded once and replayed.

A call takes thousands of kernels of a few microseconds each; starting them one by one takes a processor several times
as long as they take. A CUDA graph starts all of them with one call. It reads fixed tensors: the latent and the timestep
are copied into them before.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.memory.compile import compiled, run_block
from engine.memory.graphs import has_graphs, recording_ahead
from engine.memory.runner import GroupRunner
from engine.model.codec_memory import memory_room
from engine.model.transformer import Conditions
from engine.sampling.erg import BLOCKS, TAU, blunt_blocks

if TYPE_CHECKING:
    from engine.model.transformer import AceStepTransformer

FEWEST_CALLS = 6
"""Calls of one kind from which recording pays: it takes as long as two or three calls."""

LENGTH_MULTIPLE = 128
"""Conditions of compiled calls are one, for the speaker, and a multiple of this."""

_ROOM_BYTES = 3 * 2**30
"""Free memory from which graphs are used, whose memory stays theirs until the clip is done, and keys kept."""

_ROOM_TO_KEEP = 12 * 2**30
"""Free memory from which they are kept from clip to clip."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How the network is called.

    Attributes:
        uses_graphs: Record calls as CUDA graphs where the device has them and there is room.
        is_compiled: Call blocks compiled: pays for many clips of one length, the first waits for the compiler.
    """

    uses_graphs: bool = True
    is_compiled: bool = False


DEFAULT_CALLS = CallSettings()


class NetworkCall:
    """Velocities under some conditions, all branches of guidance in one batch.

    Args:
        model: In evaluation mode.
        branches: Conditions of one shape each; the latent is repeated for each of them.
        is_blunted: For each branch, whether its queries in the blocks of ERG are blunted.
        num_calls: How often it will be called.
        settings: How.
        on_fallback: Told why calls are not recorded though they should be.

    Attributes:
        kind: Calls of one kind run the same kernels.
        is_recorded: Whether calls are recorded, from the second of their kind on.
    """

    def __init__(
        self,
        model: AceStepTransformer,
        branches: Sequence[Conditions],
        *,
        is_blunted: Sequence[bool],
        num_calls: int,
        settings: CallSettings,
        on_fallback: Callable[[str], None],
    ) -> None:
        self._model, self._count = model, len(branches)
        together = Conditions(
            torch.cat([branch.tokens for branch in branches]), torch.cat([branch.mask for branch in branches])
        )
        # Compiled for each length anew: prompts of about one length share one.
        self._conditions = filled_up(together) if settings.is_compiled else together
        tokens = self._conditions.tokens
        self._blunting = None
        if any(is_blunted):
            each = torch.tensor([TAU if blunted else 1.0 for blunted in is_blunted], device=tokens.device)
            self._blunting = each.repeat_interleave(len(tokens) // self._count)[:, None, None]
        self._is_compiled, self._on_fallback = settings.is_compiled, on_fallback
        is_worth_it = num_calls >= FEWEST_CALLS
        self.is_recorded = settings.uses_graphs and is_worth_it and can_record(model, tokens.device)
        self._keeps_keys = is_worth_it and has_room(model, tokens.device)
        self._keys: list[tuple[Tensor, Tensor]] | None = None
        self.kind = (tuple(tokens.shape), tuple(is_blunted), self._keeps_keys, self._is_compiled)
        self._graph: _Recording | None = None

    def take(self, other: NetworkCall) -> None:
        """From now on answer as another one of the same kind would, in the tensors that were recorded."""
        self._conditions.tokens.copy_(other._conditions.tokens)
        self._conditions.mask.copy_(other._conditions.mask)
        if self._keys is not None:
            for kept, fresh in zip(self._keys, _keys_of(self._model, self._conditions.tokens), strict=True):
                for old, new in zip(kept, fresh, strict=True):
                    old.copy_(new)
        self._on_fallback = other._on_fallback

    def __call__(self, x_t: Tensor, timestep: float) -> list[Tensor]:
        """The velocity (B, C, H, T) float32 of every branch.

        Args:
            x_t: (B, C, H, T) float32; one shape in all calls.
            timestep: 0 to 1000.
        """
        if self._keeps_keys and self._keys is None:
            self._keys = _keys_of(self._model, self._conditions.tokens)
        # The model's first call of a kind runs as it is: libraries, compiler and tables make themselves ready in it,
        # which cannot be recorded.
        known, kind = _KNOWN.setdefault(self._model, set()), (*self.kind, tuple(x_t.shape), x_t.device)
        if self.is_recorded and kind in known:
            return list(self._recorded(x_t, timestep).chunk(self._count))
        t = torch.full((len(x_t),), timestep, dtype=torch.float32, device=x_t.device)
        velocities = list(self._velocity(x_t, t).chunk(self._count))
        known.add(kind)
        return velocities

    def _velocity(self, x_t: Tensor, t: Tensor) -> Tensor:
        with contextlib.ExitStack() as stack:
            if self.is_recorded:
                stack.enter_context(_without_cache(x_t.device))
            if self._keys is not None:
                stack.enter_context(kept_keys(self._model, self._keys))
            if self._blunting is not None:
                stack.enter_context(blunt_blocks(self._model, tau=self._blunting))
                if self._is_compiled:
                    # A factor of one: blocks that are alike are compiled once.
                    others = set(range(len(self._model.transformer_blocks))).difference(BLOCKS)
                    ones = torch.ones_like(self._blunting)
                    stack.enter_context(blunt_blocks(self._model, blocks=sorted(others), tau=ones))
            batch = x_t.repeat(self._count, 1, 1, 1)
            return self._model(batch, t.repeat(self._count), self._conditions).velocity.float()

    def _recorded(self, x_t: Tensor, timestep: float) -> Tensor:
        if self._graph is None or self._graph.shape != x_t.shape:
            try:
                self._graph = _Recording(self._velocity, x_t)
            except RuntimeError as error:
                self.is_recorded = False
                if isinstance(error, torch.OutOfMemoryError):
                    reason = "too little memory"
                else:
                    traceback.print_exc()
                    reason = str(error)
                self._on_fallback(f"the network's calls cannot be recorded as a CUDA graph ({reason})".splitlines()[0])
                return self._velocity(x_t, torch.full((len(x_t),), timestep, device=x_t.device))
        return self._graph(x_t, timestep)


_KNOWN: WeakKeyDictionary[nn.Module, set[tuple[object, ...]]] = WeakKeyDictionary()
"""For each model, the kinds of calls that it has answered."""


class _Recording:
    """A function of a latent and a timestep, recorded."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], x_t: Tensor) -> None:
        self._x_t = x_t.clone()
        self._t = torch.zeros(len(x_t), dtype=torch.float32, device=x_t.device)
        self._graph = torch.cuda.CUDAGraph()
        with recording_ahead(self._graph, x_t.device):
            self._result = function(self._x_t, self._t)

    @property
    def shape(self) -> torch.Size:
        """Of the latent."""
        return self._x_t.shape

    def __call__(self, x_t: Tensor, timestep: float) -> Tensor:
        self._x_t.copy_(x_t)
        self._t.fill_(timestep)
        self._graph.replay()
        return self._result.clone()


_KEPT: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], NetworkCall]] = WeakKeyDictionary()
"""For each model inside `kept_recordings`, the calls of earlier clips by kind."""


@contextlib.contextmanager
def kept_recordings(model: AceStepTransformer) -> Iterator[None]:
    """Inside, what was recorded for one clip serves the next of the same lengths, on cards with plenty of memory.

    Weights must stay where they are meanwhile.
    """
    _KEPT[model] = {}
    try:
        yield
    finally:
        _KEPT.pop(model, None)


def kept_call(
    model: AceStepTransformer, device: torch.device, make: Callable[..., NetworkCall], *given: Any, **options: Any
) -> NetworkCall:
    """What ``make(*given, **options)`` makes; inside `kept_recordings` perhaps that of an earlier clip in its place."""
    kept = _KEPT.get(model)
    if kept and memory_room(device)[1] < _ROOM_TO_KEEP:
        kept.clear()
    made = make(*given, **options)
    if kept is None or not made.is_recorded or memory_room(device)[1] < _ROOM_TO_KEEP:
        return made
    earlier = kept.setdefault(made.kind, made)
    if earlier is not made:
        earlier.take(made)
    return earlier


def _without_cache(device: torch.device) -> torch.autocast:
    """Autocast as it is, but each call makes its own casts of weights.

    Kept ones are gone when the caller leaves autocast; a graph would go on reading where they were.
    """
    kind = device.type
    return torch.autocast(
        kind, dtype=torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind), cache_enabled=False
    )


def filled_up(conditions: Conditions) -> Conditions:
    """The same conditions, as many as `LENGTH_MULTIPLE` says: those that come to them are masked."""
    missing = -(conditions.mask.shape[1] - 1) % LENGTH_MULTIPLE
    return Conditions(F.pad(conditions.tokens, (0, 0, 0, missing)), F.pad(conditions.mask, (0, missing)))


def can_record(model: AceStepTransformer, device: torch.device) -> bool:
    """Whether calls can be CUDA graphs: an NVIDIA card with room for them, and all weights on it."""
    return has_graphs(device) and has_room(model, device)


def has_room(model: AceStepTransformer, device: torch.device) -> bool:
    """Whether all weights are on the device, and memory for what need not be computed again."""
    runner = model.run_group
    if isinstance(runner, GroupRunner) and runner.swap is not None:
        return False
    return memory_room(device)[1] >= _ROOM_BYTES


@contextlib.contextmanager
def kept_keys(model: AceStepTransformer, keys: Sequence[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Inside, the blocks' cross attentions take these for the keys and values of their conditions.

    Args:
        model: The transformer.
        keys: For each block, both (B, S, D): what its layers make of the conditions, which are the same in every call.
    """
    attentions = [block.cross_attn for block in model.transformer_blocks]
    layers = [(attention.to_k, attention.to_v) for attention in attentions]
    try:
        for attention, (key, value) in zip(attentions, keys, strict=True):
            attention.to_k, attention.to_v = _Known(key), _Known(value)
        yield
    finally:
        for attention, (to_k, to_v) in zip(attentions, layers, strict=True):
            attention.to_k, attention.to_v = to_k, to_v


def _keys_of(model: AceStepTransformer, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
    attentions = [block.cross_attn for block in model.transformer_blocks]
    return [(attention.to_k(tokens), attention.to_v(tokens)) for attention in attentions]


class _Known(nn.Module):
    """Stands where a layer stood whose output is known."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.register_buffer("output", output, persistent=False)

    def forward(self, _tokens: Tensor) -> Tensor:
        """The output."""
        output = self.output
        assert isinstance(output, Tensor)
        return output


@contextlib.contextmanager
def compiled_blocks(model: AceStepTransformer) -> Iterator[None]:
    """Inside, blocks are called compiled, forwards alone; one compilation for all blocks, one for each batch size."""
    before = model.call_block
    model.call_block = compiled(run_block)
    try:
        yield
    finally:
        model.call_block = before
