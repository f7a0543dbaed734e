"""What a call of a linear layer costs the processor, whatever the card does: as it is, with fewer digits, with a LoRA.

    python -m bench.layer_overhead

Tiny layers on one thread under bf16 autocast: what is measured is Python and dispatch, for which a step of small
batches waits on a card. Microseconds of processor time for a forward and a backward pass, the least of many rounds.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from engine.model.lora_layer import LoraLayer
from engine.model.quantise import Bits, Quantisation, QuantisedLinear

WIDTH = 64
ROUNDS = 40
CALLS = 200


def linear(bits: Bits | None, *, keeps_wide: bool) -> nn.Linear:
    """A frozen layer in bfloat16, or its quantised form."""
    plain = nn.Linear(WIDTH, WIDTH, dtype=torch.bfloat16).requires_grad_(False)
    if bits is None:
        return plain
    layer = QuantisedLinear(plain, Quantisation(bits), name="it")
    layer.store(plain.weight, device=torch.device("cpu"), dtype=torch.bfloat16)
    layer.keeps_wide = keeps_wide
    return layer


def with_lora(base: nn.Linear) -> LoraLayer:
    """The same with a LoRA of rank 4 and scale 1."""
    down, up = torch.randn(4, WIDTH), torch.zeros(WIDTH, 4)
    return LoraLayer(base, rank=4, scale=1.0, dropout=0.0, down=down, up=up)


def microseconds(layer: nn.Module) -> float:
    """Processor time of one forward and backward pass."""
    x = torch.randn(1, 4, WIDTH, dtype=torch.bfloat16).requires_grad_(True)
    gradient = torch.ones(1, 4, WIDTH, dtype=torch.bfloat16)
    times = []
    for _ in range(ROUNDS):
        begin = time.thread_time()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for _ in range(CALLS):
                torch.autograd.backward(layer(x), gradient)
        times.append((time.thread_time() - begin) / CALLS * 1e6)
    return min(times)


def main() -> None:
    """Print one line a kind of layer."""
    torch.set_num_threads(1)
    for bits in (None, 8, 4):
        for keeps_wide in (False, True) if bits else (False,):
            base = linear(bits, keeps_wide=keeps_wide)
            name = ("bf16" if bits is None else f"int{bits}") + (" in a recomputed block" if keeps_wide else "")
            print(f"{name:28} {microseconds(base):6.0f} µs   with a LoRA {microseconds(with_lora(base)):6.0f} µs")


if __name__ == "__main__":
    main()
