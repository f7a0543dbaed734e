"""The kernels of the feed-forward's middle, run by Triton's interpreter, against torch's own convolution."""

from __future__ import annotations

import torch

from engine.model.gated_conv import can_gate
from tests.unit.model.interpreted import assert_equal

COMPARE = """
import torch
from torch.nn import functional as F
from engine.model import gated_conv as module
from engine.model.gated_conv import gated_conv

torch.manual_seed(0)
for num_frames, half in ((70, 300), (9, 256), (1, 8)):
    x = torch.randn(2, num_frames, 2 * half, requires_grad=True)
    weight, bias = torch.randn(2 * half, 1, 3), torch.randn(2 * half)
    value, gate = F.conv1d(F.silu(x).mT, weight, bias, padding=1, groups=2 * half).mT.chunk(2, -1)
    expected, actual = value * F.silu(gate), gated_conv(x, weight, bias)
    gradient = torch.randn_like(expected)
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(
        *(torch.autograd.grad(out, x, gradient)[0] for out in (actual, expected)), atol=2e-5, rtol=1e-5
    )
module._MANY_FRAMES = 64
x = torch.randn(1, 75, 2 * 8)  # so many frames that programs take longer pieces
weight, bias = torch.randn(16, 1, 3), torch.randn(16)
value, gate = F.conv1d(F.silu(x).mT, weight, bias, padding=1, groups=16).mT.chunk(2, -1)
torch.testing.assert_close(gated_conv(x, weight, bias), value * F.silu(gate), atol=2e-5, rtol=1e-5)
print("equal")
"""


def test_the_kernels_are_the_formula() -> None:
    assert_equal(COMPARE)


def test_it_stands_aside_where_it_cannot_work() -> None:
    x, weight, bias = torch.zeros(1, 4, 8), torch.zeros(8, 1, 3), torch.zeros(8)
    assert not can_gate(x, weight, bias), "not on a card"
