"""Flow matching as ACE-Step v1 writes it: interpolation, data estimate and loss (spec ace-step-v1.md 9.3, 9.4).

Shapes: B samples, C latent channels, H latent height, T frames.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Padding = Literal["valid", "upstream"]


def _per_sample(sigma: Tensor) -> Tensor:
    return sigma.reshape(-1, 1, 1, 1)


def interpolate(x_0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The noised latent ``x_t = sigma * noise + (1 - sigma) * x_0``.

    Args:
        x_0: (B, C, H, T) clean latents.
        noise: (B, C, H, T) standard normal.
        sigma: (B,) noise levels in 0 ... 1.
    """
    sigma = _per_sample(sigma)
    return sigma * noise + (1 - sigma) * x_0


def denoised(x_t: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
    """The data estimate ``x_0_hat = x_t - sigma * velocity``; shapes as in `interpolate`."""
    return x_t - _per_sample(sigma) * velocity


def flow_loss(
    x_0_hat: Tensor,
    x_0: Tensor,
    frame_mask: Tensor | None,
    *,
    padding: Padding = "valid",
    weight: Tensor | None = None,
) -> Tensor:
    """Squared error of the data estimate, one value per sample; the batch's loss is their mean.

    With M the frame mask, broadcast over C and H:

    - ``valid`` (training): ``sum((M * (x_0_hat - x_0))^2) / (C * H * sum(M))``: padding has no weight at all.
    - ``upstream``: ``mean((M * (x_0_hat - x_0))^2) * mean(M)``: short samples of a padded batch are weighted down
      twice. It exists to compare with the original trainer and for nothing else.

    Both are equal without padding.

    Args:
        x_0_hat: (B, C, H, T) data estimate; computed in float32 whatever its dtype.
        x_0: (B, C, H, T) clean latents.
        frame_mask: (B, T), 1 where a frame is audio; None = every frame.
        padding: Which of the two forms.
        weight: (B, C, H, T) of each element's squared error; None = 1 everywhere.

    Returns:
        (B,) float32.
    """
    error = (x_0_hat.float() - x_0.float()).square()
    if weight is not None:
        error = error * weight
    if frame_mask is None:
        return error.mean(dim=(1, 2, 3))
    mask = frame_mask.to(error.dtype)
    masked = error * mask[:, None, None, :]
    if padding == "upstream":
        return masked.mean(dim=(1, 2, 3)) * mask.mean(dim=1)
    return masked.mean(dim=(1, 2)).sum(dim=1) / mask.sum(dim=1)
