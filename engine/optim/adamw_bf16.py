"""AdamW on bfloat16 weights with a compensated update (spec config-formats.md 1.4, ``adamw_bf16``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_CHUNK_NUMBERS = 2**24
"""Weights that are updated together: the float32 copies of a chunk are all the memory a step takes besides."""


class AdamWBf16(Optimizer):
    """AdamW whose weights lie in bfloat16, each with what its rounding left over (Kahan 1965, decoupled decay).

    A bf16 weight has eight significant bits: an update of less than 1/512 of it would be lost. What is lost is kept in
    a second bf16 number and added back before the next update, so weight and rest together behave like a weight of
    sixteen bits or more. The update itself is computed in float32: ``w <- (1 - lr wd) w - lr m^ / (sqrt(v^) + eps)``.

    State of a weight: ``exp_avg`` and ``rest`` in bfloat16, ``exp_avg_sq`` in float32 (it moves by a thousandth a step,
    which bf16 cannot hold), ``step`` a plain number. Gradients may be bfloat16 or float32. Nothing is drawn at random.

    Args:
        params: Parameters or groups, in bfloat16.
        lr: Learning rate.
        betas: Decay of the two moments.
        eps: Added to the root of the second moment.
        weight_decay: Share of a weight, times ``lr``, that it loses a step.

    Raises:
        ValueError: A parameter is not bfloat16.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        others = {p.dtype for group in self.param_groups for p in group["params"]} - {torch.bfloat16}
        if others:
            raise ValueError(f"the weights are {', '.join(map(str, others))} instead of bfloat16")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every weight that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for chunk in self._chunks(group["params"]):
                self._update(chunk, group)
        return loss

    def _chunks(self, parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
        """Parameters with a gradient, of one device and one number of steps done, at most `_CHUNK_NUMBERS` large."""
        moved = [parameter for parameter in parameters if parameter.grad is not None]
        for parameter in moved:
            state = self.state[parameter]
            if not state:
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=torch.float32)
                state["rest"] = torch.zeros_like(parameter)
        for _, alike in groupby(moved, key=lambda parameter: (parameter.device, self.state[parameter]["step"])):
            chunk: list[nn.Parameter] = []
            for parameter in alike:
                if chunk and sum(p.numel() for p in chunk) + parameter.numel() > _CHUNK_NUMBERS:
                    yield chunk
                    chunk = []
                chunk.append(parameter)
            yield chunk

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        for state in states:
            state["step"] += 1
        step, (beta1, beta2), lr = states[0]["step"], group["betas"], group["lr"]
        weights = [parameter.data for parameter in parameters]
        averages, rests = [state["exp_avg"] for state in states], [state["rest"] for state in states]
        squares = [state["exp_avg_sq"] for state in states]
        gradients = _float([parameter.grad for parameter in parameters if parameter.grad is not None])

        moments = _float(averages)
        torch._foreach_lerp_(moments, gradients, 1 - beta1)
        torch._foreach_copy_(averages, moments)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        scales = torch._foreach_sqrt(squares)
        torch._foreach_div_(scales, (1 - beta2**step) ** 0.5)
        torch._foreach_add_(scales, group["eps"])

        exact = _float(weights)
        torch._foreach_add_(exact, _float(rests))
        torch._foreach_mul_(exact, 1 - lr * group["weight_decay"])
        torch._foreach_addcdiv_(exact, moments, scales, -lr / (1 - beta1**step))
        torch._foreach_copy_(weights, exact)
        torch._foreach_sub_(exact, _float(weights))
        torch._foreach_copy_(rests, exact)


def _float(tensors: list[Tensor]) -> list[Tensor]:
    """Float32 copies."""
    copies = [torch.empty_like(tensor, dtype=torch.float32) for tensor in tensors]
    torch._foreach_copy_(copies, tensors)
    return copies
