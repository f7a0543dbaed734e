"""The vocoder's head with its convolutions as `engine.model.wave_conv`: channels side by side, in float16.

Float16 keeps as many digits as TF32, in which a card computes the head as it was loaded; what leaves its range comes
out as not finite.

The last stages have 8 to 32 channels and most positions: too few for tensor cores. Two to eight positions are taken
for one of 64 channels there. The tensor stays as it lies in memory; a convolution becomes one of fewer, larger taps,
part of which are zeros.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.model.vocoder import Head
from engine.model.wave_conv import CHANNELS, wave_conv

_COLUMNS = 16
"""Columns of weights are filled up to a multiple of this."""


class FastHead(nn.Module):
    """What `engine.model.vocoder.Head` computes.

    Args:
        head: Whose weights are taken; one that `suits`.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.num_kernels = head.num_kernels
        self.pre, self.post = _Conv.of(head.conv_pre), _Conv.of(head.conv_post)
        self.ups = nn.ModuleList(_Conv.of_transposed(up) for up in head.ups)
        self.pairs = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleList((_Conv.of(first), _Conv.of(second)))
                for first, second in zip(block.convs1, block.convs2, strict=True)
            )
            for block in head.resblocks
        )

    @staticmethod
    def suits(head: Head) -> bool:
        """Whether its convolutions keep the length or multiply it by their stride, and channels fill the products."""
        convs = [layer for layer in head.modules() if isinstance(layer, nn.Conv1d)]
        channels, rate = [head.conv_pre.in_channels, head.conv_pre.out_channels], 1
        can_pack = min(channels) >= CHANNELS  # any number of frames
        for up in head.ups:
            rate *= up.stride[0]
            can_pack &= rate % _packed(up.out_channels) == 0
            channels.append(up.out_channels)
        return (
            can_pack
            and _packed(channels[-1]) % 8 == 0  # `conv_post` gives one number a position; kernels give eight or more
            and all(conv.kernel_size[0] % 2 and 2 * conv.padding[0] == _reach(conv) for conv in convs)
            and all(2 * up.padding[0] == up.kernel_size[0] - up.stride[0] for up in head.ups)
            and all(count * _packed(count) % CHANNELS == 0 for count in channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, C, frames)`` to a waveform ``(B, 1, n)`` float32 in -1…1."""
        dtype = self.pre.weight.dtype
        _, x = self.pre(features.transpose(1, 2).to(dtype).contiguous(), is_active=True)
        for stage, up in enumerate(self.ups):
            plain, active = up(x, raw=dtype, is_active=True)
            first = stage * self.num_kernels
            x = self._mean(self.pairs[first : first + self.num_kernels], plain, active)
        wave, _ = self.post(x, raw=torch.float32)
        # What is not finite would come out of tanh as ±1.
        return (torch.tanh(wave) + 0.0 * wave).view(len(wave), 1, -1)

    def _mean(self, blocks: Any, plain: Tensor, active: Tensor) -> Tensor:
        """SiLU of the mean of residual blocks over the same input, which is given as it is and through SiLU."""
        total: Tensor | None = None
        for pairs in blocks[:-1]:
            x, inner = self._but_last(pairs, plain, active)
            total, _ = pairs[-1][1](inner, residual=x, total=total, raw=plain.dtype)
        x, inner = self._but_last(blocks[-1], plain, active)
        _, mean = blocks[-1][-1][1](inner, residual=x, total=total, scale=1 / self.num_kernels, is_active=True)
        assert mean is not None
        return mean

    @staticmethod
    def _but_last(pairs: Any, x: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        """What the last convolution of a residual block is given: the residual and its input."""
        for first, second in pairs[:-1]:
            _, inner = first(active, is_active=True)
            x, active = second(inner, residual=x, raw=x.dtype, is_active=True)
        _, inner = pairs[-1][0](active, is_active=True)
        return x, inner


class _Conv(nn.Module):
    """Weights of a convolution as `wave_conv` takes them, positions packed where channels are few.

    Args:
        weight: (N, C, taps), odd taps; N may be several positions' channels one after the other.
        bias: (N,).
        dilation: Positions from tap to tap.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, dilation: int = 1) -> None:
        super().__init__()
        self.packed = _packed(weight.shape[1])
        weight, self.dilation = packed_weight(weight, self.packed, dilation=dilation)
        bias = bias.repeat(self.packed)
        self.num_taps = weight.shape[2]
        laid_out = weight.permute(2, 1, 0).flatten(0, 1)
        laid_out = nn.functional.pad(laid_out, (0, -len(bias) % _COLUMNS)).to(torch.float16).contiguous()
        self.weight, self.bias = nn.Parameter(laid_out, False), nn.Parameter(bias.float(), False)

    @classmethod
    def of(cls, conv: nn.Conv1d) -> _Conv:
        """A convolution that keeps its input's length."""
        assert conv.bias is not None
        return cls(conv.weight, conv.bias, dilation=conv.dilation[0])

    @classmethod
    def of_transposed(cls, conv: nn.ConvTranspose1d) -> _Conv:
        """A transposed one that multiplies the length by its stride: a plain one, whose channels are the positions.

        Position ``m·rate + q`` of the result sums up input ``m + tap - half`` times weight number
        ``(half - tap)·rate + q + padding``.
        """
        assert conv.bias is not None
        rate, size, padding = conv.stride[0], conv.kernel_size[0], conv.padding[0]
        half = max(-(-(size - 1 - padding) // rate), (rate - 1 + padding) // rate)
        channels, width = conv.weight.shape[:2]
        weight = conv.weight.new_zeros(rate, width, channels, 2 * half + 1)
        for tap in range(2 * half + 1):
            for q in range(rate):
                k = (half - tap) * rate + q + padding
                if 0 <= k < size:
                    weight[q, :, :, tap] = conv.weight[:, :, k].T
        return cls(weight.flatten(0, 1), conv.bias.repeat(rate))

    def forward(self, x: Tensor, **how: Any) -> tuple[Tensor | None, Tensor | None]:
        """As `wave_conv`; positions of x may be packed in any way, those of the result are as this layer has them."""
        x = x.view(len(x), -1, self.weight.shape[0] // self.num_taps)
        for name in ("residual", "total"):
            if how.get(name) is not None:
                how[name] = how[name].view(len(x), x.shape[1], -1)
        return wave_conv(x, self.weight, self.bias, num_taps=self.num_taps, dilation=self.dilation, **how)


def packed_weight(weight: Tensor, packed: int, *, dilation: int) -> tuple[Tensor, int]:
    """Weights of the same convolution over positions of which ``packed`` are taken for one, and its dilation.

    Output ``i`` of a packed position sees input ``j`` of the one ``t`` further on through the tap that lies
    ``t·packed + j - i`` positions from the middle, where there is one.

    Args:
        weight: (N, C, taps), odd taps.
        packed: How many.
        dilation: Positions from tap to tap.

    Returns:
        (packed · N, packed · C, taps') and the dilation among packed positions.
    """
    if packed == 1:
        return weight, dilation
    width, channels, num_taps = weight.shape
    half = -(-(num_taps // 2 * dilation) // packed)
    result = weight.new_zeros(packed, width, packed, channels, 2 * half + 1)
    for tap in range(num_taps):
        for i in range(packed):
            t, j = divmod((tap - num_taps // 2) * dilation + i, packed)
            result[i, :, j, :, t + half] = weight[:, :, tap]
    return result.view(packed * width, packed * channels, -1), 1


def _packed(channels: int) -> int:
    """How many positions of so many channels are taken for one."""
    return max(1, CHANNELS // channels)


def _reach(conv: nn.Conv1d) -> int:
    return (conv.kernel_size[0] - 1) * conv.dilation[0]
