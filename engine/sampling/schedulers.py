"""The way from noise to music: noise levels and the steps between them (spec 11.1).

``x_t`` is the latent at noise level ``sigma``; the model predicts the velocity ``v`` with ``x_0 = x_t - sigma·v``. A
scheduler serves one sampling run.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

SchedulerType = Literal["euler", "heun", "pingpong"]

SHIFT = 3.0
"""Shift of the noise levels that the model was trained with."""

NUM_TRAIN_TIMESTEPS = 1000


def sigma_range(*, sigma_max: float = 1.0, shift: float = SHIFT) -> tuple[float, float]:
    """Highest and lowest noise level of the training table (float32 values): 1 and 0.002994 for the defaults.

    Args:
        sigma_max: Top of the table before it is shifted; below 1 for audio-to-audio.
        shift: Shift of the table.
    """
    ends = torch.tensor([sigma_max * NUM_TRAIN_TIMESTEPS, 1.0], dtype=torch.float32) / NUM_TRAIN_TIMESTEPS
    highest, lowest = _shifted(ends, shift).tolist()
    return highest, lowest


def sampling_sigmas(num_steps: int, *, sigma_max: float = 1.0, shift: float = SHIFT) -> Tensor:
    """The noise levels of a run, ``(num_steps + 1,)`` float32, the last one 0.

    The range is already shifted and what is spaced evenly in it is shifted once more, as in the original.
    """
    highest, lowest = sigma_range(sigma_max=sigma_max, shift=shift)
    # On the CPU whatever runs the model: MPS has no float64.
    evenly = torch.linspace(highest, lowest, num_steps, dtype=torch.float64, device="cpu")
    return torch.cat((_shifted(evenly, shift), torch.zeros(1, dtype=torch.float64))).to(torch.float32)


def _shifted(sigmas: Tensor, shift: float) -> Tensor:
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def omega_factor(omega: float) -> float:
    """How strongly a step is stretched around its mean: 1 for omega 0, 1.0462 for the default 10."""
    return 0.9 + 0.2 / (1 + math.exp(-0.1 * omega))


class Scheduler(ABC):
    """Tables and step of a sampling run.

    Attributes:
        sigmas: Noise level before each call of the model, then the one after the last; float32 on the CPU.
        timesteps: What the model is called with, 1000 times the noise level; float32 on the CPU.
    """

    needs_noise = False
    """Whether `step` wants fresh noise."""

    def __init__(self, num_steps: int, *, omega: float = 0.0, sigma_max: float = 1.0, shift: float = SHIFT) -> None:
        self.omega = omega_factor(omega)
        self.sigmas = sampling_sigmas(num_steps, sigma_max=sigma_max, shift=shift)
        self.timesteps = self.sigmas[:-1] * NUM_TRAIN_TIMESTEPS

    @abstractmethod
    def step(self, velocity: Tensor, index: int, x_t: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """The latent after call number `index`.

        Args:
            velocity: What the model predicted at ``timesteps[index]``.
            index: Number of the call; calls come in order.
            x_t: The latent that the model was given, float32.
            noise: Fresh normal noise, for schedulers with `needs_noise`.
        """

    def _sigma(self, index: int) -> float:
        return float(self.sigmas[index])

    def _stretched(self, dx: Tensor) -> Tensor:
        """Deviations from the mean times omega; the mean goes over everything, the batch included."""
        mean = dx.mean()
        return (dx - mean) * self.omega + mean


class EulerScheduler(Scheduler):
    """``x ← x + (sigma_next - sigma)·v``, stretched by omega."""

    def step(self, velocity: Tensor, index: int, x_t: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """One Euler step."""
        return x_t + self._stretched((self._sigma(index + 1) - self._sigma(index)) * velocity)


class HeunScheduler(Scheduler):
    """Second order: every step but the last takes the mean of the velocities at both of its ends (2N - 1 calls)."""

    def __init__(self, num_steps: int, *, omega: float = 0.0, sigma_max: float = 1.0, shift: float = SHIFT) -> None:
        super().__init__(num_steps, omega=omega, sigma_max=sigma_max, shift=shift)
        # Each inner level is called twice: as the far end of one step and as the near end of the next.
        first, inner, last = self.sigmas[:1], self.sigmas[1:-1], self.sigmas[-1:]
        self.sigmas = torch.cat((first, inner.repeat_interleave(2), last))
        self.timesteps = self.sigmas[:-1] * NUM_TRAIN_TIMESTEPS
        self._start: tuple[Tensor, Tensor] | None = None

    def step(self, velocity: Tensor, index: int, x_t: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """An Euler step first, then, from the same start, the step with the mean velocity."""
        if self._start is None:
            self._start = (x_t, velocity)
            d_sigma = self._sigma(index + 1) - self._sigma(index)
        else:
            (x_t, first_velocity), self._start = self._start, None
            velocity = 0.5 * (first_velocity + velocity)
            d_sigma = self._sigma(index) - self._sigma(index - 1)
        return x_t + self._stretched(velocity * d_sigma)


class PingPongScheduler(Scheduler):
    """``x ← (1 - sigma_next)·x_0 + sigma_next·noise``: denoise fully, add fresh noise; omega plays no part."""

    needs_noise = True

    def step(self, velocity: Tensor, index: int, x_t: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """One step down and up again."""
        if noise is None:
            raise ValueError("the pingpong scheduler needs fresh noise at every step")
        x_0 = x_t - self._sigma(index) * velocity
        sigma_next = self._sigma(index + 1)
        return (1 - sigma_next) * x_0 + sigma_next * noise


SCHEDULERS: dict[SchedulerType, type[Scheduler]] = {
    "euler": EulerScheduler,
    "heun": HeunScheduler,
    "pingpong": PingPongScheduler,
}
