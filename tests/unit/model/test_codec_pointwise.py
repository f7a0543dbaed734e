"""The kernels between the codec's convolutions, run by Triton's interpreter, and the layers that use them."""

from __future__ import annotations

import pytest
import torch

from engine.model.codec_fast import FastAttention, FastDown, FastGLU, FastResBlock, fast_layer, speed_up
from engine.model.load import Checkpoint, load_codec
from tests.unit.model.interpreted import assert_equal

COMPARE = """
import torch
from engine.model import codec_pointwise as pointwise

torch.manual_seed(0)
def picture(*shape):
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)

def both(function, *tensors, **more):
    expected = function(*(tensor.clone() for tensor in tensors), **more)
    pointwise._suits = pointwise._is_dense
    actual = function(*(tensor.clone() for tensor in tensors), **more)
    pointwise._suits = lambda x: False
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, atol=2e-6, rtol=1e-5)

pointwise._suits = lambda x: False
for batch, channels, height, width in ((1, 32, 4, 9), (2, 64, 2, 35), (1, 6, 1, 1)):
    x, bias = picture(batch, channels, height, width), torch.randn(channels)
    both(pointwise.silu_bias, x, bias)
    both(pointwise.gate_bias, x, bias)
    both(pointwise.norm_residual, x, torch.rand(channels), bias, picture(batch, channels, height, width), eps=1e-5)
    large = picture(batch, channels, 2 * height, 2 * width)
    both(pointwise.halved_shortcut, picture(batch, 2 * channels, height, width), torch.randn(2 * channels), large)
print("equal")
"""


def test_the_kernels_are_the_formulas() -> None:
    assert_equal(COMPARE)


@pytest.fixture(scope="module")
def dcae(tiny: Checkpoint) -> torch.nn.Module:
    return load_codec(tiny, dtype=torch.float32, device="cpu").dcae


@pytest.mark.parametrize("kind", [FastResBlock, FastDown, FastGLU, FastAttention])
@pytest.mark.parametrize("batch", [1, 3])
def test_each_fast_layer_is_the_layer_it_stands_for(dcae, kind, batch) -> None:
    layers = {type(fast): (layer, fast) for layer in dcae.modules() if (fast := fast_layer(layer)) is not None}
    layer, fast = layers[kind]
    channels = next(p.shape[1] for p in layer.parameters() if p.ndim >= 2 and p.shape[1] > 1)
    picture = torch.randn(batch, channels, 4, 22, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = layer(picture)
        laid_out = picture.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(fast(laid_out.clone()), expected, atol=1e-5, rtol=1e-4)
        if isinstance(fast, FastAttention):
            torch.testing.assert_close(fast(laid_out, window=6), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(layer(picture), expected, msg="the layer itself is as it was")


def test_what_has_no_fast_layer_stays(dcae) -> None:
    root = torch.nn.Sequential(torch.nn.Conv2d(2, 2, 1), torch.nn.SiLU())
    before = list(root.modules())
    speed_up(root)
    assert list(root.modules()) == before
