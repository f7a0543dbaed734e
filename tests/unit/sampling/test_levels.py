"""The outline and the verdict of a clip, from its samples alone."""

from __future__ import annotations

import numpy as np
import pytest

from engine.sampling.levels import NUM_PARTS, as_finite, measure_levels

NUM = 20_000
PLACE = np.arange(NUM)


@pytest.mark.parametrize(
    ("audio", "verdict"),
    [
        (np.sin(np.linspace(0, 100, NUM)) * 0.9, "ok"),
        (np.zeros(NUM), "silent"),
        (np.full(NUM, 9e-4), "silent"),
        (np.full(NUM, 2e-3), "ok"),
        (np.where(PLACE < 2, 1.0, 0.1), "ok"),  # two of twenty thousand: just one in ten thousand
        (np.where(PLACE < 3, -1.0, 0.1), "clips"),
        (np.where(PLACE < 3, 0.9985, 0.1), "ok"),
        (np.where(PLACE < 3, 1.7, 0.1), "clips"),  # the samples before they are limited
        (np.where(PLACE < 1, np.nan, 0.1), "nonfinite"),
        (np.where(PLACE < 1, -np.inf, 0.1), "nonfinite"),
        (np.zeros(0), "silent"),
    ],
)
def test_verdicts(audio: np.ndarray, verdict: str) -> None:
    levels = measure_levels(np.stack((audio, audio)).astype(np.float32))
    assert levels.verdict == verdict
    assert len(levels.envelope) == NUM_PARTS and all(0 <= value <= 1 for value in levels.envelope)


def test_the_outline_is_the_loudest_sample_of_each_part() -> None:
    audio = np.zeros((2, 64 * 10), dtype=np.float32)
    audio[0, 0], audio[1, 25], audio[0, 639] = 0.25, -0.75, 2.0
    envelope = measure_levels(audio).envelope
    assert {index: value for index, value in enumerate(envelope) if value} == {0: 0.25, 2: 0.75, 63: 1.0}


def test_a_clip_of_a_few_samples_has_an_outline_too() -> None:
    assert measure_levels(np.full((1, 3), 0.5, dtype=np.float32)).envelope == (0.5,) * 3 + (0.0,) * 61


def test_the_share_at_full_scale_counts_both_channels() -> None:
    audio = np.zeros((2, 1000), dtype=np.float32)
    audio[0, :10] = 1.0
    assert measure_levels(audio).clipped_share == 0.005


def test_words_for_people() -> None:
    audio = np.zeros((2, 1000), dtype=np.float32)
    assert measure_levels(audio).words == "is silent"
    audio[:] = np.nan
    assert measure_levels(audio).words == "holds numbers that are not finite"
    audio[:] = 0.1
    assert measure_levels(audio).words == "has a good level"
    audio[0, :10] = 1.0
    assert measure_levels(audio).words == "clips: 0.5 % of its samples are at full scale"


def test_what_is_stored_is_finite_and_within_full_scale() -> None:
    audio = np.array([[np.nan, np.inf, -np.inf, 3.0, -0.5]], dtype=np.float32)
    assert as_finite(audio).tolist() == [[0.0, 1.0, -1.0, 1.0, -0.5]]
