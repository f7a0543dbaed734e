"""Compiled blocks: the pointwise work of a block fused into few kernels, one compilation for all blocks of a model.

Compiled code is kept on disk (`engine.contract.paths.compiled_code`): the next run reads it instead of making it again.
Only training goes through it: held-out loss and clips come in too many shapes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.memory.runner import GroupRunner, runner_of
from engine.model.calling import call

if TYPE_CHECKING:
    from engine.model.attention import BlockContext
    from engine.model.transformer import AceStepTransformer

MOST_COMPILATIONS = 128
"""Of one function, beyond which torch gives up. More than `engine.train.speed` asks for: it counts shapes itself."""


def set_compiled(model: AceStepTransformer, is_compiled: bool, *, dynamic: bool = False) -> None:
    """Call blocks and lyric layers compiled from now on, or as they are.

    Args:
        model: The transformer, with its adapter.
        is_compiled: False puts everything back.
        dynamic: One compilation for all lengths, somewhat slower, instead of one for each.
    """
    runner_of(model).are_blocks_compiled = is_compiled
    model.sees_first_keys = is_compiled and _can_attend_to_first(model)
    if not is_compiled:
        model.call_block = model.lyric_encoder.call_layer = call
        return
    plain, recomputed, lyric = (
        _InTraining(compiled(function, dynamic=dynamic))
        for function in (run_block, _run_block_recomputed, _run_lyric_layer)
    )
    model.call_block = _Blocks(runner_of(model), plain, recomputed)
    model.lyric_encoder.call_layer = lyric


def is_compiled(model: AceStepTransformer) -> bool:
    """Whether training goes through compiled code."""
    return isinstance(model.call_block, _Blocks)


def keep_compiled_code(folder: Path) -> None:
    """Keep what is compiled in ``folder``; to be called before the first compilation of the process."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))


def compiled(function: Callable[..., Tensor], *, dynamic: bool = False) -> Callable[..., Tensor]:
    """A function compiled whole; one compilation for each kind of arguments, or with ``dynamic`` for any length."""
    import torch._dynamo.config as dynamo

    # Under older names in older versions.
    for name in ("recompile_limit", "cache_size_limit"):
        if hasattr(dynamo, name):
            setattr(dynamo, name, MOST_COMPILATIONS)
    # Rounded where eager steps round: else each compiled step drifts from them by as much as they from float32.
    options: dict[str, Any] = {"emulate_precision_casts": True}
    whole = torch.compile(function, dynamic=dynamic, fullgraph=True, options=options)

    def call_whole(*arguments: Any) -> Tensor:
        with warnings.catch_warnings():
            # Said to whoever compiles, of products that are meant to run in float32.
            warnings.filterwarnings("ignore", message=".*TensorFloat32.*")
            return whole(*arguments)

    return call_whole


class _InTraining:
    """Compiled where gradients are wanted, else called as it is."""

    def __init__(self, compiled: Callable[..., Tensor]) -> None:
        self._compiled = compiled

    def __call__(self, module: nn.Module, hidden: Tensor, *arguments: Any) -> Tensor:
        if not torch.is_grad_enabled() or not module.training:
            result: Tensor = module(hidden, *arguments)
            return result
        if not hidden.requires_grad:
            # Of a frozen embedding: else the first block would be compiled apart from the others.
            hidden = hidden.detach().requires_grad_()
        return self._compiled(module, hidden, *arguments)


def _can_attend_to_first(model: AceStepTransformer) -> bool:
    """Whether torch's flexible attention has a kernel for a model's cross attention, both ways."""
    table = model.final_layer.scale_shift_table
    is_modern = table.device.type == "cuda" and torch.cuda.get_device_capability(table.device) >= (8, 0)
    return is_modern and torch.version.hip is None


class _Blocks:
    """Calls a block, compiled with or without recomputing as its runner wants."""

    def __init__(self, runner: GroupRunner, plain: _InTraining, recomputed: _InTraining) -> None:
        self._runner, self._plain, self._recomputed = runner, plain, recomputed

    def __call__(self, block: nn.Module, hidden: Tensor, context: BlockContext) -> Tensor:
        chosen = self._recomputed if self._runner.recomputes_inside else self._plain
        return chosen(block, hidden, context)


def run_block(block: nn.Module, hidden: Tensor, context: BlockContext) -> Tensor:
    """A block's call, as a function that is compiled once for all blocks."""
    result: Tensor = block(hidden, context)
    return result


def _run_block_recomputed(block: nn.Module, hidden: Tensor, context: BlockContext) -> Tensor:
    """As `run_block`, its inside computed again in the backward pass, except what that has no use for."""
    result: Tensor = checkpoint(block, hidden, context, use_reentrant=False, preserve_rng_state=False)
    return result


def _run_lyric_layer(layer: nn.Module, x: Tensor, positions: Tensor, key_mask: Tensor) -> Tensor:
    result: Tensor = layer(x, positions, key_mask)
    return result
