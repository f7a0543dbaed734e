"""Forms of the codec's convolutions: as they were loaded, or as fast as a card computes the digits asked for.

A card with tensor cores multiplies in float32 with ten binary digits anyway (TF32, unless ``disable_tf32``): float16
has as many, and takes half the memory traffic, which is what these convolutions wait for. What float16 lacks is range:
whoever uses a fast form looks whether the result is finite, and computes it again as the codec was loaded if not.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.codec_fast import speed_up
from engine.model.wave_conv import has_kernel

Module = TypeVar("Module", bound=nn.Module)

_TENSOR_CORES = (7, 0)
"""CUDA capability from which half precision is faster than single."""


@dataclass(frozen=True, slots=True)
class CodecForm:
    """How convolutions are computed.

    Attributes:
        dtype: Of weights and activations; None = as loaded.
        is_channels_last: Channels lie side by side in memory, as tensor cores want them.
        is_fused: The layers of `engine.model.codec_fast`, with fewer and larger kernels.
        is_compiled: What is plain convolution goes through torch's compiler.
    """

    dtype: torch.dtype | None = None
    is_channels_last: bool = False
    is_fused: bool = False
    is_compiled: bool = False


AS_LOADED = CodecForm()
"""The modules as they are: the reference."""

ON_TENSOR_CORES: dict[torch.dtype, CodecForm] = {
    torch.float32: CodecForm(torch.float16, is_channels_last=True, is_fused=True),
    torch.float16: CodecForm(torch.float16, is_channels_last=True, is_fused=True),
    torch.bfloat16: CodecForm(torch.bfloat16, is_channels_last=True, is_fused=True),
}
"""What is used on an NVIDIA card by the dtype that the codec was loaded in (docs/performance.md has the figures)."""

IN_KERNELS = CodecForm(is_fused=True)
"""Of the vocoder: the head in float16 and kernels of its own, the rest as loaded."""


def best_form(dtype: torch.dtype, device: torch.device) -> CodecForm:
    """The fastest form that keeps the digits of a codec loaded in ``dtype``; other devices than NVIDIA's: as loaded."""
    if device.type != "cuda" or torch.version.hip is not None:
        return AS_LOADED
    if torch.cuda.get_device_capability(device) < _TENSOR_CORES:
        return AS_LOADED
    if dtype == torch.float32 and not torch.backends.cudnn.allow_tf32:
        return AS_LOADED  # all digits were asked for
    return ON_TENSOR_CORES.get(dtype, AS_LOADED)


def vocoder_form(dtype: torch.dtype, device: torch.device) -> CodecForm:
    """As `best_form`, of the vocoder: its head alone has layers of its own, which need Triton's products."""
    return IN_KERNELS if best_form(dtype, device) != AS_LOADED and has_kernel(device) else AS_LOADED


def in_form(module: Module, form: CodecForm) -> Module:
    """A copy of a module, computed as ``form`` says; the module itself where that is `AS_LOADED`."""
    if form == AS_LOADED:
        return module
    with torch.no_grad():
        made = copy.deepcopy(module)
        if form.is_fused:
            speed_up(made)
        for parent, name, child in list(_children(made)):
            if form.is_channels_last and type(child) in (nn.Conv1d, nn.ConvTranspose1d):
                setattr(parent, name, FlatConv(child))
        layout = torch.channels_last if form.is_channels_last else torch.preserve_format
        return made.to(dtype=form.dtype, memory_format=layout)  # type: ignore[call-overload,no-any-return]


def with_channels_last(x: Tensor) -> Tensor:
    """The same numbers with the channels of (B, C, n) or (B, C, H, W) side by side."""
    if x.ndim == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last).squeeze(2)


def laid_out(x: Tensor, module: nn.Module) -> Tensor:
    """``x`` with its axes ordered in memory as the weights of a module in some form are."""
    for weight in module.parameters():
        if weight.ndim == 4 and not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last):
            return with_channels_last(x)
    return x


def _children(root: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Every module inside another, with its parent and its name there."""
    for parent in root.modules():
        for name, child in parent.named_children():
            yield parent, name, child


class FlatConv(nn.Module):
    """A convolution over time as one over a picture of height 1: only those exist with channels side by side.

    Args:
        conv: Whose parameters and settings are taken.
    """

    def __init__(self, conv: nn.Conv1d | nn.ConvTranspose1d) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(conv.weight.unsqueeze(2), requires_grad=False), conv.bias
        self._is_transposed = isinstance(conv, nn.ConvTranspose1d)
        # Filled up with the outermost values rather than zeros, where that is wanted.
        self._repeats = int(conv.padding[0]) if conv.padding_mode == "replicate" else 0
        padding = 0 if self._repeats else int(conv.padding[0])
        self._how = {
            "stride": (1, conv.stride[0]),
            "padding": (0, padding),
            "dilation": (1, conv.dilation[0]),
            "groups": conv.groups,
        }

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, n)`` to ``(B, C', n')``."""
        if self._repeats:
            x = F.pad(x, (self._repeats, self._repeats), mode="replicate")
        convolve = F.conv_transpose2d if self._is_transposed else F.conv2d
        return convolve(x.unsqueeze(2), self.weight, self.bias, **self._how).squeeze(2)
