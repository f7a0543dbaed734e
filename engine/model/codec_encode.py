"""The encoder half of the mel autoencoder as fast as its device allows, within the digits that were asked for.

A card with tensor cores multiplies in float32 with ten binary digits anyway (TF32, unless ``disable_tf32``): float16
has as many, and takes half the memory traffic, which is what these convolutions wait for. What float16 lacks is range:
a sound whose latents come out not finite is encoded again as the codec was loaded (`engine.cache.audio_latents`). The
mel before it and the attention's sums inside stay float32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.codec_stage import run_stage
from engine.model.windows import in_windows

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_dc import Encoder

_TENSOR_CORES = (7, 0)
"""CUDA capability from which half precision is faster than single."""


@dataclass(frozen=True, slots=True)
class EncoderForm:
    """How the encoder's convolutions are computed.

    Attributes:
        dtype: Of weights and activations; None = as loaded.
        is_channels_last: Channels lie side by side in memory, as tensor cores want them.
        has_fused_norms: One kernel a norm, instead of one an operation.
        is_compiled: The stages of plain convolutions go through torch's compiler.
    """

    dtype: torch.dtype | None = None
    is_channels_last: bool = False
    has_fused_norms: bool = False
    is_compiled: bool = False


AS_LOADED = EncoderForm()
"""The modules as diffusers has them: the reference."""

ON_TENSOR_CORES: dict[torch.dtype, EncoderForm] = {
    torch.float32: EncoderForm(torch.float16, is_channels_last=True, has_fused_norms=True),
    torch.float16: EncoderForm(torch.float16, is_channels_last=True, has_fused_norms=True),
    torch.bfloat16: EncoderForm(torch.bfloat16, is_channels_last=True, has_fused_norms=True),
}
"""What is used on an NVIDIA card by the dtype that the codec was loaded in (docs/performance.md has the figures)."""


def best_form(dtype: torch.dtype, device: torch.device) -> EncoderForm:
    """The fastest form that keeps the digits of a codec loaded in ``dtype``; other devices than NVIDIA's: as loaded."""
    if device.type != "cuda" or torch.version.hip is not None:
        return AS_LOADED
    if torch.cuda.get_device_capability(device) < _TENSOR_CORES:
        return AS_LOADED
    if dtype == torch.float32 and not torch.backends.cudnn.allow_tf32:
        return AS_LOADED  # all digits were asked for
    return ON_TENSOR_CORES.get(dtype, AS_LOADED)


class MelEncoder(nn.Module):
    """Normalised log-mel ``(B, 2, n_mels, W)`` to raw latents; long ones in windows, the attention over all of them.

    Args:
        encoder: Of `diffusers.AutoencoderDC`.
        num_local: How many of its first stages are plain convolutions that halve the resolution once each.
        context: Mel frames that reach into one position through those.
        form: How it is computed; anything but `AS_LOADED` works on a copy.
    """

    def __init__(self, encoder: Encoder, *, num_local: int, context: int, form: EncoderForm = AS_LOADED) -> None:
        super().__init__()
        self.form, self.num_local, self.context = form, num_local, context
        self.encoder = encoder if form == AS_LOADED else _in_form(encoder, form)
        self._local: nn.Module = nn.Sequential(self.encoder.conv_in, *self.encoder.down_blocks[:num_local])
        if form.is_compiled:
            # The last window of each song has a width of its own: one compilation for all.
            self._local.compile(dynamic=True)

    def forward(self, mel: Tensor, *, window: int) -> Tensor:
        """Raw latents ``(B, C, H, W/factor)`` in the form's dtype.

        Args:
            mel: Any floating dtype.
            window: Mel frames worked on at once, a multiple of the encoder's factor.
        """
        form, encoder = self.form, self.encoder
        mel = mel.to(form.dtype or next(encoder.parameters()).dtype)
        if form.is_channels_last:
            mel = mel.contiguous(memory_format=torch.channels_last)
        if not self.num_local or (form == AS_LOADED and mel.shape[-1] <= window):
            return encoder(mel)
        factor = 2**self.num_local
        hidden = in_windows(self._local, mel, window=window, context=self.context, down=factor)
        for stage in encoder.down_blocks[self.num_local :]:
            hidden = run_stage(stage, hidden, window=window // factor)
        raw = encoder.conv_out(hidden)
        if encoder.out_shortcut:
            raw = raw + hidden.unflatten(1, (-1, encoder.out_shortcut_average_group_size)).mean(dim=2)
        return raw


def _in_form(encoder: Encoder, form: EncoderForm) -> Encoder:
    """A copy of the encoder, computed as ``form`` says."""
    with torch.no_grad():
        made = copy.deepcopy(encoder)
        if form.has_fused_norms:
            for parent, name, norm in list(_norms(made)):
                setattr(parent, name, FusedRMSNorm(norm))
            for module in made.modules():
                if isinstance(module, nn.SiLU):
                    module.inplace = True
        layout = torch.channels_last if form.is_channels_last else torch.preserve_format
        return made.to(dtype=form.dtype, memory_format=layout)  # type: ignore[call-overload,no-any-return]


def _norms(root: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Every RMS norm of diffusers in a module, with its parent and its name there."""
    for parent in root.modules():
        for name, child in parent.named_children():
            if type(child).__name__ == "RMSNorm":
                yield parent, name, child


class FusedRMSNorm(nn.Module):
    """The RMS norm of diffusers in one kernel: over the last axis, with weight and bias; inside it computes in float32.

    Args:
        norm: Whose parameters are taken.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, hidden: Tensor) -> Tensor:
        """``(…, C)`` to the same."""
        normed = F.rms_norm(hidden, self.weight.shape, self.weight, self.eps)
        return normed if self.bias is None else normed.add_(self.bias)
