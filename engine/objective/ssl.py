"""Pulling hidden states towards speech and music representations (spec ace-step-v1.md 4 and 9.4).

Shapes: B samples, T latent frames, D transformer width, L frames of a target, C channels of a target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.objective.flow import Padding


def stretch_in_time(sequence: Tensor, num_valid: Tensor, num_frames: int) -> Tensor:
    """Linear interpolation over time with half-pixel centres, of the first ``num_valid`` frames only.

    Frame j of the result reads position ``max((j + 1/2) * num_valid / num_frames - 1/2, 0)``. The same numbers as
    ``F.interpolate(..., mode="linear")`` of the cropped sequence, but the length stays on the device: no host sync.

    Args:
        sequence: (T, C).
        num_valid: Scalar tensor, 1 ... T.
        num_frames: Frames of the result.

    Returns:
        (num_frames, C).
    """
    centres = torch.arange(num_frames, device=sequence.device, dtype=torch.float32) + 0.5
    position = (centres * (num_valid / num_frames) - 0.5).clamp(min=0)
    left = position.floor().to(torch.int64)
    right = torch.minimum(left + 1, num_valid.to(torch.int64) - 1)
    weight = (position - left).unsqueeze(1).to(sequence.dtype)
    return sequence[left] * (1 - weight) + sequence[right] * weight


def projection_loss(projected: Tensor, target: Tensor, num_valid: Tensor) -> Tensor:
    """``mean over frames of 1 - cos(stretched projection, target)`` of one sample.

    Args:
        projected: (T, C) projected hidden states, float32.
        target: (L, C) cached features, float32.
        num_valid: Scalar tensor: how many of the T frames are stretched over the L frames.

    Returns:
        Scalar.
    """
    stretched = stretch_in_time(projected, num_valid, target.shape[0])
    return (1 - (F.normalize(stretched, dim=1) * F.normalize(target, dim=1)).sum(dim=1)).mean()


def ssl_losses(
    projectors: Iterable[nn.Module],
    hidden_states: Sequence[Tensor],
    targets: Mapping[str, Sequence[Tensor | None]],
    names: Sequence[str],
    frame_mask: Tensor | None,
    *,
    padding: Padding = "valid",
) -> dict[str, Tensor]:
    """One projection loss per representation: the sum over the samples divided by B.

    Args:
        projectors: One network D -> C per name.
        hidden_states: One (B, T, D) per name: the recorded block's output.
        targets: For each name, one (L, C) per sample; a sample without features (None) adds nothing.
        names: The order of ``projectors`` and ``hidden_states``.
        frame_mask: (B, T), None = every frame valid.
        padding: ``valid`` crops to the valid frames before stretching; ``upstream`` stretches the padding too, which
            misaligns the short samples of a padded batch.

    Returns:
        Name -> scalar float32 loss.
    """
    losses: dict[str, Tensor] = {}
    for name, projector, hidden in zip(names, projectors, hidden_states, strict=True):
        batch_size, num_frames, _ = hidden.shape
        num_valid = torch.full((batch_size,), num_frames, device=hidden.device)
        if padding == "valid" and frame_mask is not None:
            num_valid = frame_mask.sum(dim=1)
        projected = projector(hidden).float()
        total = projected.new_zeros(())
        for sample, target in enumerate(targets[name]):
            if target is not None:
                target = target.to(projected.device, torch.float32)  # noqa: PLW2901 -- moved, not replaced
                total = total + projection_loss(projected[sample], target, num_valid[sample])
        losses[name] = total / batch_size
    return losses
