"""The vocoder's head in its own kernels, run by Triton's interpreter, and the weights it packs."""

from __future__ import annotations

import contextlib
import importlib.util

import pytest
import torch
from torch.nn import functional as F

from engine.model import codec_form, codec_pointwise, wave_conv
from engine.model.codec_form import AS_LOADED, IN_KERNELS, vocoder_form
from engine.model.vocoder import Head, VocoderConfig
from engine.model.vocoder_fast import FastHead, packed_weight
from engine.model.wave_conv import Tile, tile_for
from tests.unit.model.interpreted import assert_equal

COMPARE = """
import torch
from torch.nn import functional as F
from engine.model.vocoder import Head, VocoderConfig
from engine.model.vocoder_fast import FastHead
from engine.model.wave_conv import Tile, wave_conv

torch.manual_seed(0)
for length, channels, width, num_taps, dilation in ((150, 64, 24, 3, 5), (9, 128, 64, 7, 1)):
    x, weight = torch.randn(2, length, channels).half(), torch.randn(width, channels, num_taps).half() / 10
    bias, residual, total = torch.randn(width), *torch.randn(2, 2, length, width).half()
    columns = F.pad(weight.permute(2, 1, 0).flatten(0, 1), (0, -width % 16))
    expected = F.conv1d(x.mT.float(), weight.float(), bias, padding=num_taps // 2 * dilation, dilation=dilation).mT
    expected = (expected + residual + total) * 0.5
    plain, active = wave_conv(
        x, columns, bias, num_taps=num_taps, dilation=dilation, residual=residual, total=total, scale=0.5,
        raw=torch.float32, is_active=True, tile=Tile(64, 64, 32, 4, 2),
    )
    torch.testing.assert_close(plain, expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(active.float(), F.silu(expected), atol=2e-3, rtol=2e-3)
    none, active = wave_conv(x, columns, bias, num_taps=num_taps, dilation=dilation, is_active=True)
    assert none is None and active.dtype == torch.float16
config = VocoderConfig(
    upsample_rates=(4, 2, 2), upsample_kernel_sizes=(8, 4, 4), hop_length=16, resblock_kernel_sizes=(3, 7),
    resblock_dilation_sizes=((1, 3),) * 2, upsample_initial_channel=64, dims=(128, 256, 384, 64), num_mels=64,
)
head = Head(config).eval().requires_grad_(False)
assert FastHead.suits(head)
features = torch.randn(2, 64, 5)
exact, fast = head(features), FastHead(head)(features)
assert fast.shape == exact.shape and fast.dtype == torch.float32
assert (fast - exact).norm() < 1e-3 * exact.norm(), (fast - exact).norm() / exact.norm()
print("equal")
"""


def test_the_kernels_are_the_convolutions() -> None:
    assert_equal(COMPARE)


@pytest.mark.parametrize("packed", [2, 4, 8])
@pytest.mark.parametrize(("num_taps", "dilation"), [(3, 1), (13, 1), (7, 3), (11, 5)])
def test_a_convolution_over_packed_positions_is_the_convolution(packed: int, num_taps: int, dilation: int) -> None:
    x = torch.randn(2, 96, 6, dtype=torch.float64)  # (B, n, C)
    weight = torch.randn(4, 6, num_taps, dtype=torch.float64)
    expected = F.conv1d(x.mT, weight, padding=num_taps // 2 * dilation, dilation=dilation).mT
    larger, step = packed_weight(weight, packed, dilation=dilation)
    assert larger.shape[:2] == (packed * 4, packed * 6) and larger.shape[2] % 2 == 1
    found = F.conv1d(x.view(2, 96 // packed, -1).mT, larger, padding=larger.shape[2] // 2 * step, dilation=step).mT
    torch.testing.assert_close(found.reshape(2, 96, 4), expected)


def test_heads_whose_channels_do_not_fill_the_products_stay_as_they_are() -> None:
    def suits(config: VocoderConfig) -> bool:
        return FastHead.suits(_shapes_of(config))

    released = VocoderConfig()
    assert suits(released)
    narrow = VocoderConfig(upsample_initial_channel=128, num_mels=40, dims=(8, 8, 8, 40))
    assert not suits(narrow), "40 features come in any number of frames"
    for last in (16, 32, 64):
        rates = (512, *[1] * 6)[: {16: 6, 32: 5, 64: 4}[last]]
        wide = VocoderConfig(upsample_rates=rates, upsample_kernel_sizes=tuple(rate * 2 + rate % 2 for rate in rates))
        assert _shapes_of(wide).conv_post.in_channels == last
        assert not suits(wide), "less than eight positions come out at once"
    odd = VocoderConfig(upsample_initial_channel=96 * 8)
    assert not suits(odd), "96 channels are not a multiple of 64"
    # 512 → 32 channels after 4 stages of rate 1 at first: two positions are one, but there is an odd number of them.
    slow = VocoderConfig(
        upsample_initial_channel=64, upsample_rates=(1, 512), upsample_kernel_sizes=(3, 1024), num_mels=512
    )
    assert not suits(slow)


def _shapes_of(config: VocoderConfig) -> Head:
    with torch.device("meta"):  # drawing weights of the released sizes takes half a minute
        return Head(config)


@pytest.mark.parametrize(
    ("capability", "has_triton", "has_descriptors", "form"),
    [
        ((9, 0), True, True, IN_KERNELS),
        ((8, 0), True, True, IN_KERNELS),
        ((7, 5), True, True, AS_LOADED),
        ((9, 0), False, True, AS_LOADED),
        ((9, 0), True, False, AS_LOADED),
    ],
)
def test_the_kernels_are_taken_where_a_card_has_them(
    capability, has_triton, has_descriptors, form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(wave_conv, "HAS_TRITON", has_triton)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object() if has_descriptors else None)
    monkeypatch.setattr(wave_conv, "_runs", lambda _device: True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert vocoder_form(torch.float32, torch.device("cuda", 0)) == form
    assert vocoder_form(torch.float32, torch.device("cpu")) == AS_LOADED
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert vocoder_form(torch.float32, torch.device("cuda", 0)) == AS_LOADED, "all digits were asked for"


def test_kernels_that_do_not_run_are_said_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    if not wave_conv.HAS_TRITON:
        return
    monkeypatch.setattr(torch.cuda, "device", lambda _device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    # There is no such card here: whatever the try meets, it is told.
    device = torch.device("cuda", 5)
    with pytest.warns(UserWarning, match=r"more slowly: Triton kernels do not run on cuda:5 \("):
        assert not codec_pointwise.kernels_work(device, torch.float16)
    with pytest.warns(UserWarning, match=r"more slowly: Triton kernels do not run on cuda:5 \("):
        assert not wave_conv.has_kernel(device)


def test_a_tile_fits_the_shared_memory_of_the_card() -> None:
    for shared in (99_000, 163_000, 227_000):
        for width in (512, 256, 128, 64, 32, 8):
            tile = tile_for(width, shared_bytes=shared)
            taken = (tile.times + tile.columns) * tile.channels * 2 * (tile.num_stages - 1)
            assert taken <= shared, (width, shared, taken)
    assert tile_for(512, shared_bytes=227_000) == Tile(128, 256, 64, 8, 4)


def test_a_form_of_the_vocoder_leaves_what_it_was_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(
        VocoderConfig(
            upsample_initial_channel=128, upsample_rates=(32, 2, 2, 2, 2), upsample_kernel_sizes=(64, 4, 4, 4, 4)
        )
    )
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    made = codec_form.in_form(torch.nn.Sequential(head), IN_KERNELS)
    assert isinstance(made[0], FastHead)
    assert all(torch.equal(tensor, before[name]) for name, tensor in head.state_dict().items())
