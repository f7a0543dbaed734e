from __future__ import annotations

import math
import random

import pytest

from acestep_tui.runs.measures import best_point, heldout_trend, is_overfitting, median, split_of, trend
from tests.unit.runs.build import heldout, step

NAN = math.nan


def noisy(mean: float, num: int, *, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [mean + draw.gauss(0, 0.05) for _ in range(num)]


def test_trend_compares_the_last_hundred_with_the_hundred_before() -> None:
    assert trend([9.0] * 500 + noisy(0.5, 100) + noisy(0.4, 100, seed=2)) == "down"
    assert trend(noisy(0.4, 100) + noisy(0.5, 100, seed=2)) == "up"
    assert trend([0.5] * 200) == "flat"
    assert trend(noisy(0.5, 100) + noisy(0.501, 100, seed=1)) == "flat", "smaller than its own noise"


def test_trend_of_few_steps_takes_halves_and_of_very_few_says_nothing() -> None:
    assert trend([1.0] * 10 + [0.5] * 10) == "down"
    assert trend([1.0] * 9 + [0.5] * 9) is None
    assert trend([]) is None
    assert trend([NAN] * 200) is None
    assert trend([1.0, NAN] * 10 + [0.5, NAN] * 10) == "down", "what is no number is left out"


def test_heldout_trend_and_best() -> None:
    points = [heldout(0, 0.1), heldout(250, 0.5), heldout(500, 0.4), heldout(750, NAN)]
    assert heldout_trend(points[:1]) is None
    assert heldout_trend(points[:2]) == "up"
    assert heldout_trend(points) == "down"
    best = best_point(points)
    assert best is not None and best.step == 500, "before training does not count"
    assert best_point(points[:1]) is None


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((0.5, 0.4, 0.41, 0.42, 0.43), True),
        ((0.5, 0.4, 0.41, 0.42), False),
        ((0.4, 0.41, 0.42, 0.42), False),
        ((0.4, 0.41, NAN, 0.43), False),
        ((0.40, 0.41, 0.42, 0.43, 0.39), False),
        ((), False),
    ],
)
def test_overfitting_is_three_rises_in_a_row(losses: tuple[float, ...], expected: bool) -> None:
    assert is_overfitting([heldout(number, loss) for number, loss in enumerate(losses)]) is expected


def test_split_of_steps_adds_up() -> None:
    steps = [
        step(1, step_s=1.44, data_s=0.04, forward_s=0.43, backward_s=0.85, optimizer_s=0.10),
        step(2, step_s=1.44, data_s=0.04, forward_s=0.43, backward_s=0.85, optimizer_s=0.10),
    ]
    split = split_of(steps)
    assert split is not None
    assert split.total_s == pytest.approx(1.48)
    assert split.other_s == pytest.approx(0.06)
    assert split.percents() == (3, 29, 57, 7, 4), "the mock-up's"
    assert sum(share for share in split.percents() if share is not None) == 100
    assert split.audio_per_s == pytest.approx(230 / 1.48)
    assert not split.waits_for_data


def test_split_without_measured_parts_and_waiting_for_data() -> None:
    split = split_of([step(1, step_s=0.5, data_s=0.5)])
    assert split is not None
    assert split.parts == (
        ("data", 0.5), ("forward", None), ("backward", None), ("optimizer", None), ("other", 0.5)
    )  # fmt: skip
    assert split.percents() == (50, None, None, None, 50)
    assert split.waits_for_data
    assert split_of([]) is None
    empty = split_of([step(1, step_s=0.0, data_s=0.0, audio_s=0.0)])
    assert empty is not None and empty.percents() == (None,) * 5 and empty.audio_per_s is None


def test_median() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([1.0, 2.0]) == 1.5
    assert median([]) is None
