"""How the blocks of a model are run: recomputed or not, their weights brought in, their inputs sent away.

One runner a model stands at `AceStepTransformer.run_group`, so that a block's own forward pass knows nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from engine.memory.block_swap import BlockSwap
    from engine.memory.offload import InputOffload
    from engine.model.calling import Runner
    from engine.model.transformer import AceStepTransformer

Policy = Literal["none", "selective", "full"]


class GroupRunner:
    """Runs a group of blocks.

    Attributes:
        policy: What is recomputed in the backward pass (`engine.memory.recompute`).
        swap: Brings in the weights that wait in main memory, if any do.
        offload: Keeps the inputs of groups in main memory, if they are to be there.
        are_blocks_compiled: A block can recompute itself, without what its backward pass has no use for
            (`engine.memory.compile`).
        blocks_per_group: As the model's.
    """

    def __init__(self) -> None:
        self.policy: Policy = "none"
        self.swap: BlockSwap | None = None
        self.offload: InputOffload | None = None
        self.are_blocks_compiled = False
        self.blocks_per_group = 1

    @property
    def is_all_here(self) -> bool:
        """Whether nothing waits in main memory: only then may a pass be recorded once and replayed (CUDA graphs)."""
        return self.swap is None and self.offload is None

    @property
    def recomputes_inside(self) -> bool:
        """Whether each block does the recomputing, and nothing is to be done around it."""
        is_plain = self.is_all_here and self.blocks_per_group == 1
        return self.policy == "full" and self.are_blocks_compiled and is_plain

    def __call__(self, function: Runner, hidden: Tensor, context: Any, indices: range, wanted: frozenset[int]) -> Any:
        """``function`` on the same arguments: the blocks ``indices`` from ``hidden``, (B, T, D).

        Raises:
            RuntimeError: Blocks wait in main memory, and a backward pass would need them without recomputing.
        """
        if not torch.is_grad_enabled():
            if self.swap is not None:
                self.swap.bring(indices, wraps=True)
            return function(hidden, context, indices, wanted)
        if self.policy != "full" or self.recomputes_inside:
            if self.swap is not None:
                raise RuntimeError(f"block swap needs the recompute policy full, not {self.policy}")
            return function(hidden, context, indices, wanted)
        if self.is_all_here:
            return recomputed(function, hidden, context, indices, wanted)
        run = _Rerun(self, function, hidden, indices)
        return recomputed(run, context, indices, wanted)


class _Rerun:
    """A group's two calls, in the forward pass and again in the backward pass.

    The input is no argument of the checkpoint, which would keep it: between the calls `offload` may send it away.
    """

    def __init__(self, runner: GroupRunner, function: Runner, hidden: Tensor, indices: range) -> None:
        self._swap, self._function, self._indices = runner.swap, function, indices
        self._needs_gradient = hidden.requires_grad
        self._first: Tensor | None = hidden
        self._kept = None if runner.offload is None else runner.offload.keep(hidden, is_first=indices.start == 0)
        self._input = hidden.detach() if self._kept is None else None

    def __call__(self, context: Any, indices: range, wanted: frozenset[int]) -> Any:
        hidden, self._first = self._first, None
        if hidden is not None:
            if self._swap is not None:
                self._swap.bring(indices)
            return self._function(hidden, context, indices, wanted)
        if self._swap is not None:
            self._swap.bring(indices, backwards=True)
        # Detached: this call only makes what the graph of the first one saved, which needs no way back to its input.
        again = self._input if self._kept is None else self._kept.fetch()
        assert again is not None
        return self._function(again.detach().requires_grad_(self._needs_gradient), context, indices, wanted)


def recomputed(function: Runner, *arguments: Any) -> Any:
    """``function(*arguments)``; in training, what its inside keeps for the backward pass is computed again there.

    Gradients stay bit-equal: the state of the random generators is put back before, so dropout draws the same. (While a
    CUDA graph is captured that is neither possible nor needed: dropout is keyed there, `engine.model.keyed_dropout`.)
    """
    if not torch.is_grad_enabled():
        return function(*arguments)
    is_capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=not is_capturing)


def runner_of(model: AceStepTransformer) -> GroupRunner:
    """The model's runner; it gets one if it has none yet."""
    if not isinstance(model.run_group, GroupRunner):
        model.run_group = GroupRunner()
    return model.run_group
