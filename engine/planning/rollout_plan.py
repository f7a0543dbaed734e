"""Scheduled sampling: for which share of the songs the model walks a way of its own, and how long that way is.

The pure arithmetic of config-formats.md section 7, points 1 and 2, without torch: trained with
(`engine.objective.rollout`) and planned with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

Strategy = Literal["uniform", "biased_early", "biased_late"]

NUM_TIMESTEPS = 1000
_NUM_PARTS = 32  # of each distribution that `expected_forwards` takes the mean over
REFLEXFLOW_FORWARDS = 2
"""Further predictions of a rolled-out sample with ReflexFlow: on the undisturbed point and on the walked one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """Which samples are rolled out, and by how many positions of the table of noise levels.

    Attributes:
        max_steps: K, the longest way in positions of the 1000-step table.
        probability: Share of the samples while there is no ramp.
        prob_start: Share before and at the start of a ramp.
        prob_end: Share from its end on.
        ramp_steps: Optimizer steps of the ramp; 0 = no ramp.
        start_step: The optimizer step at which it starts.
        ramp_shape: ``linear`` or ``cosine``.
        strategy: How the lengths are spread over 0 ... K.
    """

    max_steps: int
    probability: float = 0.0
    prob_start: float = 0.0
    prob_end: float = 0.0
    ramp_steps: int = 0
    start_step: int = 0
    ramp_shape: str = "linear"
    strategy: str = "uniform"

    def probability_at(self, step: int) -> float:
        """The share at an optimizer step, counted from 0 (section 7, point 1).

        With r = clamp((step - start) / ramp, 0, 1), for cosine ``(1 - cos(pi r)) / 2`` of it:
        ``prob_start + (prob_end - prob_start) r``. Written values are taken as they stand, a 0 too.
        """
        if self.ramp_steps == 0:
            return self.probability
        r = min(max((step - self.start_step) / self.ramp_steps, 0.0), 1.0)
        if self.ramp_shape == "cosine":
            r = (1 - math.cos(math.pi * r)) / 2
        return self.prob_start + (self.prob_end - self.prob_start) * r

    def length_of(self, u: float) -> int:
        """The length k of a way for a uniform draw ``u`` in 0 ... 1, 1 excluded (section 7, point 2)."""
        if self.strategy == "uniform":
            return min(int(u * (self.max_steps + 1)), self.max_steps)
        share = u * u if self.strategy == "biased_early" else 1 - u * u
        return math.floor(share * self.max_steps + 0.5)


def rollout_plan(config: Mapping[str, Any]) -> RolloutPlan | None:
    """What the keys ``scheduled_sampling_*`` ask for; None while no sample can ever be rolled out."""
    plan = RolloutPlan(
        max_steps=config["scheduled_sampling_max_step_offset"],
        probability=config["scheduled_sampling_probability"],
        prob_start=config["scheduled_sampling_prob_start"],
        prob_end=config["scheduled_sampling_prob_end"],
        ramp_steps=config["scheduled_sampling_ramp_steps"],
        start_step=config["scheduled_sampling_start_step"],
        ramp_shape=config["scheduled_sampling_ramp_shape"],
        strategy=config["scheduled_sampling_strategy"],
    )
    highest = max(plan.prob_start, plan.prob_end) if plan.ramp_steps else plan.probability
    return plan if plan.max_steps > 0 and highest > 0 else None


def uses_reflexflow(config: Mapping[str, Any]) -> bool:
    """Whether ReflexFlow acts: unless it is switched off, while samples are rolled out."""
    return rollout_plan(config) is not None and config["scheduled_sampling_reflexflow"] is not False


def expected_forwards(config: Mapping[str, Any], num_steps: int) -> float:
    """Further forward passes a sample, on average over a run: the ways, and what ReflexFlow needs.

    A way cannot start above the table's first position, so long ones are cut short by where they end: the mean is taken
    over both.
    """
    plan = rollout_plan(config)
    if plan is None:
        return 0.0
    parts = [(part + 0.5) / _NUM_PARTS for part in range(_NUM_PARTS)]
    normal = NormalDist(config["logit_mean"], config["logit_std"])
    places = [int(NUM_TIMESTEPS / (1 + math.exp(-normal.inv_cdf(part)))) for part in parts]
    walks = [min(plan.length_of(u), place) for u in parts for place in places]
    shares = [plan.probability_at(int(part * num_steps)) for part in parts]
    further = REFLEXFLOW_FORWARDS if uses_reflexflow(config) else 0
    mean = sum(walk + further for walk in walks if walk) / len(walks)
    return mean * sum(shares) / len(shares)
