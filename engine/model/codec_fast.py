"""The layers of the mel autoencoder with fewer and larger kernels: what they compute is what diffusers' layers compute.

Channels lie side by side, so a 1x1 convolution is a matrix product; what stands between convolutions is one pass over
memory (`engine.model.codec_pointwise`); convolutions in groups, which cuDNN does one after the other, are one batched
product; the attention keeps its queries instead of projecting everything twice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.codec_pointwise import gate_bias, halved_shortcut, norm_residual, silu_bias
from engine.model.vocoder import Head
from engine.model.vocoder_fast import FastHead
from engine.model.windows import spans

_PADDING = 8
"""Rows of the attention's sums are filled up to a multiple of this, for aligned products."""


def speed_up(root: nn.Module) -> None:
    """Put fast layers in place of those that have one; the others stay."""
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            fast = fast_layer(child)
            if fast is not None:
                setattr(parent, name, fast)


def fast_layer(layer: nn.Module) -> nn.Module | None:
    """A fast layer that computes the same; None where there is none."""
    kind = type(layer).__name__
    if isinstance(layer, Head):
        return FastHead(layer) if FastHead.suits(layer) else None
    if kind == "ResBlock" and layer.norm_type == "rms_norm" and isinstance(layer.nonlinearity, nn.SiLU):
        return FastResBlock(layer)
    if kind == "GLUMBConv" and layer.norm_type == "rms_norm" and layer.residual_connection:
        return FastGLU(layer)
    if kind == "DCDownBlock2d" and layer.shortcut and not layer.downsample and layer.group_size == 2:
        return FastDown(layer)
    if kind == "SanaMultiscaleLinearAttention" and layer.norm_type == "rms_norm" and layer.residual_connection:
        return FastAttention(layer)
    return FusedRMSNorm(layer) if kind == "RMSNorm" and layer.weight is not None else None


class FusedRMSNorm(nn.Module):
    """The RMS norm of diffusers in one kernel: over the last axis, with weight and bias; inside it computes in float32.

    Args:
        norm: Whose parameters are taken.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        bias = torch.zeros_like(norm.weight) if norm.bias is None else norm.bias
        self.weight, self.eps = norm.weight, norm.eps
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """``(…, C)`` to the same."""
        return F.rms_norm(hidden, self.weight.shape, self.weight, self.eps).add_(self.bias)

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """``residual`` plus the norm over the channels of ``x``, both (B, C, …); ``x`` is overwritten."""
        return norm_residual(x, self.weight, self.bias, residual, eps=self.eps)


class FastResBlock(nn.Module):
    """Two convolutions, SiLU between them, norm behind them, residual."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2, self.norm = block.conv1, block.conv2, FusedRMSNorm(block.norm)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        inner = silu_bias(F.conv2d(hidden, self.conv1.weight, padding=1), self.conv1.bias)
        return self.norm.added_to(hidden, F.conv2d(inner, self.conv2.weight, padding=1))


class FastDown(nn.Module):
    """Half the height and width, twice the channels: a convolution and means of neighbours."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.conv = block.conv

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 2C, H/2, W/2)."""
        halved = F.conv2d(hidden, self.conv.weight, stride=self.conv.stride, padding=1)
        return halved_shortcut(halved, self.conv.bias, hidden)


class FastGLU(nn.Module):
    """Expand, SiLU, depthwise convolution, gate, contract, norm, residual."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.inverted, self.depth, self.point = block.conv_inverted, block.conv_depth, block.conv_point
        self.norm = FusedRMSNorm(block.norm)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        expanded = _pointwise(hidden, self.inverted.weight, self.inverted.bias)
        expanded = F.silu(expanded, inplace=True)
        mixed = F.conv2d(expanded, self.depth.weight, padding=1, groups=len(self.depth.weight))
        gated = gate_bias(mixed, self.depth.bias)
        return self.norm.added_to(hidden, _pointwise(gated, self.point.weight))


class FastAttention(nn.Module):
    """Multi-scale linear attention in one pass over the windows: sums are added up, queries kept for what they read.

    The sums are divided by the largest of their head, which changes no ratio, so that they fit into half precision; the
    products themselves are added up in float32.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.head_dim, self.eps = attention.attention_head_dim, attention.eps
        projections = (attention.to_q, attention.to_k, attention.to_v)
        self.qkv = nn.Parameter(torch.cat([layer.weight for layer in projections]).detach(), requires_grad=False)
        self.depths = nn.ModuleList(scale.proj_in for scale in attention.to_qkv_multiscale)
        self.mixes = nn.ParameterList(
            nn.Parameter(_by_group(scale.proj_out).detach(), requires_grad=False)
            for scale in attention.to_qkv_multiscale
        )
        self.to_out, self.norm = attention.to_out, FusedRMSNorm(attention.norm_out)
        self.reach = max((depth.kernel_size[0] // 2 for depth in self.depths), default=0)

    def forward(self, hidden: Tensor, *, window: int | None = None) -> Tensor:
        """(B, C, H, W) to the same.

        Args:
            hidden: Any layout.
            window: Positions along W that are projected at once; all when None.
        """
        width = hidden.shape[-1]
        places = list(spans(width, window=window or width, context=self.reach))
        queries, total = [], None
        for place in places:
            query, key, value = self._projected(hidden, *place)
            sums = _products(value.transpose(1, 2), key)
            sums = torch.cat((sums, key.sum(dim=1, dtype=torch.float32)[:, None]), dim=1)
            total = sums if total is None else total + sums
            queries.append(query)
        assert total is not None
        largest = total.abs().amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        reader = F.pad(total / largest, (0, 0, 0, -total.shape[1] % _PADDING)).to(hidden.dtype).transpose(1, 2)
        parts = []
        for (start, end, _, _), query in zip(places, queries, strict=True):
            read = _products(query, reader)
            mixed = read[..., : self.head_dim] / (read[..., self.head_dim : self.head_dim + 1] + self.eps / largest)
            mixed = mixed.to(hidden.dtype).view(len(hidden), -1, *mixed.shape[1:])  # (B, heads, positions, d)
            out = self.to_out(mixed.transpose(1, 2).flatten(2))
            picture = out.view(len(hidden), hidden.shape[2], end - start, -1).movedim(-1, 1)
            residual = hidden[..., start:end].contiguous(memory_format=torch.channels_last)
            parts.append(self.norm.added_to(residual, picture))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def _projected(self, hidden: Tensor, start: int, end: int, left: int, right: int) -> tuple[Tensor, Tensor, Tensor]:
        """(B · heads, positions, d) of query, key and value of a window, which sees what lies left and right of it.

        Heads of every scale stand beside each other; a scale's convolution sees its own reach around the window.
        """
        batch, height = len(hidden), hidden.shape[2]
        joined = F.linear(hidden[..., left:right].movedim(1, -1), self.qkv)  # (B, H, w, 3D)
        inside = slice(start - left, end - left)
        heads = joined[:, :, inside].reshape(batch, height * (end - start), -1, 3, self.head_dim)
        found = [heads.permute(3, 0, 2, 1, 4)]  # (3, B, heads, positions, d)
        for depth, mix in zip(self.depths, self.mixes, strict=True):
            near = F.conv2d(joined.movedim(-1, 1), depth.weight, padding=depth.padding, groups=depth.groups)
            near = near.movedim(1, -1)[:, :, inside].reshape(-1, *mix.shape[:2])  # (B · positions, groups, d)
            mixed = torch.bmm(near.transpose(0, 1), mix)  # (groups, B · positions, d)
            found.append(mixed.view(-1, 3, batch, height * (end - start), self.head_dim).permute(1, 2, 0, 3, 4))
        query, key, value = (torch.cat([one[part] for one in found], dim=1).flatten(0, 1) for part in range(3))
        return F.relu(query), F.relu(key), value


def _by_group(conv: nn.Conv2d) -> Tensor:
    """Weights of a 1x1 convolution in groups as (groups, channels in, channels out) of each."""
    weight = conv.weight.flatten(1)
    return weight.view(conv.groups, -1, weight.shape[1]).transpose(1, 2).contiguous()


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution as a matrix product; (B, C, H, W) with channels side by side to (B, C', H, W) likewise."""
    return F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Batched matrix products, added up and given in float32."""
    if left.is_cuda and left.dtype in (torch.float16, torch.bfloat16):
        return torch.bmm(left, right, out_dtype=torch.float32)
    return left.float() @ right.float()
