"""When a clip and a checkpoint are due."""

from __future__ import annotations

import pytest

from engine.contract.config import Config
from engine.train.occasions import Occasions, num_steps


def occasions(*, steps_per_epoch: float = 10, max_steps: int = 100, **settings) -> Occasions:
    defaults = {
        "checkpointing_steps": 0,
        "checkpoint_minutes_interval": 0,
        "validation_step_interval": 0,
    }
    config = Config.from_dict({**defaults, **settings})
    return Occasions(config, lambda step: step / steps_per_epoch, max_steps)


def clips(**settings) -> list[int]:
    found = occasions(**settings)
    return [step for step in range(1, 101) if found.is_clip_due(step)]


def saves(**settings) -> list[tuple[int, str]]:
    found = occasions(**settings)
    reasons = ((step, found.save_reason(step, is_asked=False, waited_s=0)) for step in range(1, 101))
    return [(step, reason) for step, reason in reasons if reason]


def test_clips_by_steps_and_at_the_end():
    assert clips() == []
    assert clips(validation_step_interval=40) == [40, 80, 100]


def test_clips_by_passes():
    assert clips(validation_epoch_interval=4) == [40, 80, 100]
    assert clips(validation_epoch_interval=1, steps_per_epoch=33.4) == [34, 67, 100]
    assert clips(validation_epoch_interval=2, validation_step_interval=50) == [20, 40, 50, 60, 80, 100]


def test_a_pass_shorter_than_a_step_ends_with_every_step():
    assert clips(validation_epoch_interval=1, steps_per_epoch=0.5, max_steps=100) == list(range(1, 101))


def test_no_clip_before_the_wanted_step_or_pass():
    assert clips(validation_step_interval=20, validate_after_step=60) == [60, 80, 100]
    assert clips(validation_step_interval=20, validate_after_epoch=5) == [60, 80, 100]
    assert clips(validation_step_interval=20, validate_after_step=101) == []


def test_saves_by_steps_passes_and_at_the_end():
    assert saves() == [(100, "end")]
    assert saves(checkpointing_steps=40) == [(40, "interval"), (80, "interval"), (100, "end")]
    assert saves(checkpoint_epoch_interval=3) == [(30, "epoch"), (60, "epoch"), (90, "epoch"), (100, "end")]
    assert saves(checkpoint_epoch_interval=5, checkpointing_rolling_steps=25) == [
        (25, "rolling"),
        (50, "epoch"),
        (75, "rolling"),
        (100, "end"),
    ]


def test_saves_on_request_and_by_time():
    found = occasions(checkpoint_minutes_interval=1)
    assert found.save_reason(3, is_asked=True, waited_s=0) == "request"
    assert found.save_reason(3, is_asked=False, waited_s=61) == "time"
    assert found.save_reason(3, is_asked=False, waited_s=59) == ""


class StreamOf:
    """A stream whose pass takes so many steps."""

    def __init__(self, steps_per_epoch: float) -> None:
        self.steps_per_epoch = steps_per_epoch

    def epoch_of(self, step: int) -> float:
        return step / self.steps_per_epoch

    def steps_for_epochs(self, num_epochs: int) -> int:
        return -int(-num_epochs * self.steps_per_epoch // 1)


@pytest.mark.parametrize(
    ("settings", "steps", "said"),
    [
        ({"max_train_steps": 100}, 100, 0),
        ({"max_train_steps": 100, "strict_epoch_limit": True}, 90, 1),
        ({"max_train_steps": 90, "strict_epoch_limit": True}, 90, 0),
        ({"max_train_steps": 20, "strict_epoch_limit": True}, 20, 1),
        ({"max_train_steps": 0, "num_train_epochs": 2, "strict_epoch_limit": True}, 60, 0),
    ],
)
def test_the_last_partial_pass_is_not_begun(settings, steps, said):
    told: list[str] = []
    found = num_steps(Config.from_dict(settings), StreamOf(30), warn=lambda code, message: told.append(code))
    assert found == steps
    assert told == ["strict_epoch_limit"] * said
