"""Scheduled sampling, points 1 and 2 of section 7: the ramp's values, the spread of lengths, and what it costs."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from engine.contract.fields import SETTINGS
from engine.planning.rollout_plan import (
    REFLEXFLOW_FORWARDS,
    RolloutPlan,
    expected_forwards,
    rollout_plan,
    uses_reflexflow,
)


def config(**values: object) -> dict[str, object]:
    defaults = {setting.key: setting.default for setting in SETTINGS}
    return defaults | {f"scheduled_sampling_{key}": value for key, value in values.items()}


@pytest.mark.parametrize(
    ("settings", "step", "share"),
    [
        ({"probability": 0.3}, 0, 0.3),
        ({"probability": 0.3, "start_step": 50}, 10, 0.3),  # without a ramp its start says nothing
        ({"prob_start": 0.1, "prob_end": 0.5, "ramp_steps": 100, "start_step": 50}, 0, 0.1),
        ({"prob_start": 0.1, "prob_end": 0.5, "ramp_steps": 100, "start_step": 50}, 50, 0.1),
        ({"prob_start": 0.1, "prob_end": 0.5, "ramp_steps": 100, "start_step": 50}, 75, 0.2),
        ({"prob_start": 0.1, "prob_end": 0.5, "ramp_steps": 100, "start_step": 50}, 100, 0.3),
        ({"prob_start": 0.1, "prob_end": 0.5, "ramp_steps": 100, "start_step": 50}, 150, 0.5),
        ({"prob_start": 0.1, "prob_end": 0.5, "ramp_steps": 100, "start_step": 50}, 9000, 0.5),
        ({"prob_start": 0.0, "prob_end": 1.0, "ramp_steps": 4, "ramp_shape": "cosine"}, 0, 0.0),
        ({"prob_start": 0.0, "prob_end": 1.0, "ramp_steps": 4, "ramp_shape": "cosine"}, 1, 0.1464466094067262),
        ({"prob_start": 0.0, "prob_end": 1.0, "ramp_steps": 4, "ramp_shape": "cosine"}, 2, 0.5),
        ({"prob_start": 0.0, "prob_end": 1.0, "ramp_steps": 4, "ramp_shape": "cosine"}, 4, 1.0),
        # A written 0 is a 0; SimpleTuner takes it for "as scheduled_sampling_probability".
        ({"probability": 0.7, "prob_start": 0.0, "prob_end": 0.0, "ramp_steps": 10}, 5, 0.0),
        ({"prob_start": 0.8, "prob_end": 0.2, "ramp_steps": 10}, 5, 0.5),
    ],
)
def test_share_of_the_samples_at_a_step(settings, step, share):
    assert RolloutPlan(max_steps=10, **settings).probability_at(step) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(
    ("strategy", "of_middle", "share_of_longest"),
    [("uniform", 5, 1 / 11), ("biased_early", 3, 0.0253), ("biased_late", 8, 0.2236)],
)
def test_lengths_are_spread_as_the_strategy_says(strategy, of_middle, share_of_longest):
    """A chi-square of 20,000 draws against the probabilities of the formula, computed by its inverse."""
    plan = RolloutPlan(max_steps=10, probability=1.0, strategy=strategy)
    generator = random.Random(7)
    num_draws = 20_000
    seen = Counter(plan.length_of(generator.random()) for _ in range(num_draws))
    assert set(seen) == set(range(11))

    def below(length: float) -> float:
        """Share of the draws whose unrounded length lies below."""
        part = min(max(length / 10, 0.0), 1.0)
        return math.sqrt(part) if strategy == "biased_early" else 1 - math.sqrt(1 - part)

    shares = [1 / 11] * 11 if strategy == "uniform" else [below(k + 0.5) - below(k - 0.5) for k in range(11)]
    chi_square = sum((seen[k] - num_draws * share) ** 2 / (num_draws * share) for k, share in enumerate(shares))
    assert chi_square < 29.6  # 99.9 % of ten degrees of freedom
    assert plan.length_of(0.5) == of_middle
    assert shares[10] == pytest.approx(share_of_longest, abs=5e-4)


def test_off_means_no_plan():
    assert rollout_plan(config()) is None
    assert rollout_plan(config(max_step_offset=5)) is None
    assert rollout_plan(config(probability=0.5)) is None
    assert rollout_plan(config(max_step_offset=5, ramp_steps=9, prob_end=0.0, probability=0.5)) is None
    plan = rollout_plan(config(max_step_offset=5, ramp_steps=9))
    assert plan is not None and plan.probability_at(9) == 0.5


def test_reflexflow_is_on_with_it_unless_it_is_switched_off():
    assert uses_reflexflow(config(max_step_offset=5, probability=0.5))
    assert uses_reflexflow(config(max_step_offset=5, probability=0.5, reflexflow=True))
    assert not uses_reflexflow(config(max_step_offset=5, probability=0.5, reflexflow=False))
    assert not uses_reflexflow(config(reflexflow=True))


def test_expected_forwards_agree_with_a_long_draw():
    values = config(max_step_offset=600, probability=0.4, strategy="biased_late")
    plan = rollout_plan(values)
    assert plan is not None
    generator = random.Random(3)
    total = 0
    for _ in range(40_000):
        place = min(int(1000 / (1 + math.exp(-generator.gauss(0, 1)))), 999)
        walk = min(plan.length_of(generator.random()), place)
        if generator.random() < 0.4 and walk:
            total += walk + REFLEXFLOW_FORWARDS
    assert expected_forwards(values, 1000) == pytest.approx(total / 40_000, rel=0.03)
    assert expected_forwards(config(), 1000) == 0.0
