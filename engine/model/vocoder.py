"""The vocoder of ACE-Step v1: log-mel to 44.1 kHz waveform, a ConvNeXt backbone and a HiFi-GAN head (spec 6.4)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from engine.contract.errors import ModelError

_EPS = 1e-6

_STEM_KERNEL = 7
"""Of the first convolution, whatever `VocoderConfig.kernel_sizes` says of the depthwise ones (spec 6.4)."""


@dataclass(frozen=True, slots=True)
class VocoderConfig:
    """Shape of the vocoder and of the mel transform it was trained with; defaults are the released model's."""

    input_channels: int = 128
    depths: tuple[int, ...] = (3, 3, 9, 3)
    dims: tuple[int, ...] = (128, 256, 384, 512)
    drop_path_rate: float = 0.0
    kernel_sizes: tuple[int, ...] = (7,)
    upsample_rates: tuple[int, ...] = (4, 4, 2, 2, 2, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (8, 8, 4, 4, 4, 4, 4)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11, 13)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 4
    num_mels: int = 512
    upsample_initial_channel: int = 1024
    use_template: bool = False
    pre_conv_kernel_size: int = 13
    post_conv_kernel_size: int = 13
    sampling_rate: int = 44100
    n_fft: int = 2048
    win_length: int = 2048
    hop_length: int = 512
    f_min: float = 40
    f_max: float = 16000
    n_mels: int = 128

    def __post_init__(self) -> None:
        if math.prod(self.upsample_rates) != self.hop_length:
            raise ModelError(
                f"vocoder config: upsample_rates {list(self.upsample_rates)} multiply to "
                f"{math.prod(self.upsample_rates)}, not to hop_length {self.hop_length}"
            )
        if self.use_template or len(self.kernel_sizes) != 1 or self.num_mels != self.dims[-1]:
            raise ModelError(
                "vocoder config: only the released form is supported: use_template false, one kernel size, "
                "num_mels equal to the last of dims"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VocoderConfig:
        """Read a config.json; absent keys take the class defaults, keys of other libraries are left alone."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: _as_tuple(value) for key, value in values.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        """The configuration as a config.json would hold it."""
        return dataclasses.asdict(self)

    @property
    def context_frames(self) -> int:
        """Mel frames on either side that one frame of sound depends on (the reach of all convolutions)."""
        reach = self.post_conv_kernel_size // 2
        blocks = list(zip(self.resblock_kernel_sizes, self.resblock_dilation_sizes, strict=True))
        block_reach = max((kernel // 2) * sum(dilation + 1 for dilation in dilations) for kernel, dilations in blocks)
        stages = zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True)
        for rate, kernel in reversed(list(stages)):
            reach = math.ceil((reach + block_reach + kernel) / rate)
        backbone_reach = _STEM_KERNEL // 2 + (self.kernel_sizes[0] // 2) * sum(self.depths)
        return reach + self.pre_conv_kernel_size // 2 + backbone_reach


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of ``(B, C, n)``."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``(B, C, n)`` over C."""
        return F.layer_norm(x.transpose(1, 2), self.weight.shape, self.weight, self.bias, _EPS).transpose(1, 2)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, norm, inverted bottleneck, layer scale, residual."""

    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, C, n)`` to the same."""
        y = self.norm(self.dwconv(x).transpose(1, 2))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.transpose(1, 2)


class Backbone(nn.Module):
    """ConvNeXt over mel frames: ``(B, n_mels, frames)`` to ``(B, dims[-1], frames)``."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        kernel_size, dims = config.kernel_sizes[0], config.dims
        stem = nn.Conv1d(
            config.input_channels, dims[0], _STEM_KERNEL, padding=_STEM_KERNEL // 2, padding_mode="replicate"
        )
        self.channel_layers = nn.ModuleList([nn.Sequential(stem, ChannelNorm(dims[0]))])
        for width, next_width in pairwise(dims):
            self.channel_layers.append(nn.Sequential(ChannelNorm(width), nn.Conv1d(width, next_width, 1)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width, kernel_size) for _ in range(depth)))
            for depth, width in zip(config.depths, dims, strict=True)
        )
        self.norm = ChannelNorm(dims[-1])

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Features of every frame."""
        x = mel
        for channel_layer, stage in zip(self.channel_layers, self.stages, strict=True):
            x = stage(channel_layer(x))
        return self.norm(x)


class ResidualBlock(nn.Module):
    """Pairs of a dilated and a plain convolution, each pair with its own residual."""

    def __init__(self, width: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        half = kernel_size // 2
        self.convs1 = nn.ModuleList(
            nn.Conv1d(width, width, kernel_size, dilation=dilation, padding=half * dilation) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(nn.Conv1d(width, width, kernel_size, padding=half) for _ in dilations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(B, C, n)`` to the same."""
        for conv1, conv2 in zip(self.convs1, self.convs2, strict=True):
            x = x + conv2(F.silu(conv1(F.silu(x))))
        return x


class Head(nn.Module):
    """HiFi-GAN generator: ``(B, num_mels, frames)`` to ``(B, 1, frames·hop_length)``."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        width = config.upsample_initial_channel
        pre, post = config.pre_conv_kernel_size, config.post_conv_kernel_size
        self.conv_pre = nn.Conv1d(config.num_mels, width, pre, padding=pre // 2)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.ups.append(nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2))
            width //= 2
            self.resblocks.extend(
                ResidualBlock(width, size, dilations)
                for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
            )
        self.num_kernels = len(config.resblock_kernel_sizes)
        self.conv_post = nn.Conv1d(width, 1, post, padding=post // 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Waveform in -1…1."""
        x = self.conv_pre(features)
        for stage, up in enumerate(self.ups):
            x = up(F.silu(x))
            first = stage * self.num_kernels
            # A running sum: stacking the branches would hold all of them at full rate.
            total = self.resblocks[first](x)
            for block in self.resblocks[first + 1 : first + self.num_kernels]:
                total = total + block(x)
            x = total / self.num_kernels
        return torch.tanh(self.conv_post(F.silu(x)))


class Vocoder(nn.Module):
    """Log-mel ``(B, n_mels, frames)`` to waveform ``(B, 1, frames·hop_length)`` (spec 6.4).

    Weight normalisation is folded into plain weights on load (`fold_weight_norm`): the vocoder is never trained here,
    and recomputing the norms at every call would only cost time.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.head = Head(config)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Waveform in -1…1 for un-normalised log-mel."""
        return self.head(self.backbone(mel))


_PARAMETRIZED = (".parametrizations.weight.original0", ".parametrizations.weight.original1")


def fold_weight_norm(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Replace weight-normalised pairs by the weights they stand for: ``w = g·v/‖v‖``, norm over all axes but 0.

    Accepts the classic names (``weight_g``, ``weight_v``) and those of ``torch.nn.utils.parametrizations``. A lone half
    of a pair is left as it is, so that loading names it as unexpected.
    """
    folded = {
        name.replace(_PARAMETRIZED[0], ".weight_g").replace(_PARAMETRIZED[1], ".weight_v"): value
        for name, value in tensors.items()
    }
    stems = [name.removesuffix("_g") for name in folded if name.endswith(".weight_g")]
    for stem in stems:
        if f"{stem}_v" in folded:
            g, v = folded.pop(f"{stem}_g"), folded.pop(f"{stem}_v")
            folded[stem] = (g.float() * v.float() / _norm_but_first(v)).to(v.dtype)
    return folded


def checkpoint_tensors(vocoder: Vocoder) -> dict[str, torch.Tensor]:
    """The tensors under the names of the released file: head convolutions as ``weight_g`` and ``weight_v``."""
    tensors: dict[str, torch.Tensor] = {}
    for name, value in vocoder.state_dict().items():
        if name.startswith("head.") and name.endswith(".weight"):
            tensors[f"{name}_g"], tensors[f"{name}_v"] = _norm_but_first(value).to(value.dtype), value
        else:
            tensors[name] = value
    return tensors


def _norm_but_first(weight: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(weight.float(), dim=tuple(range(1, weight.ndim)), keepdim=True)
