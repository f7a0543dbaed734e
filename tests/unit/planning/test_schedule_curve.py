"""The curve that is drawn is the curve that trains."""

from __future__ import annotations

import pytest

from engine.contract.config import Config
from engine.contract.fields_optimizer import SCHEDULES
from engine.optim import schedule as trained
from engine.planning import schedule_curve as drawn


def config(**values):
    return Config.from_dict({"lr_num_cycles": 2, "lr_warmup_steps": 10, **values})


def test_the_trainer_uses_the_very_same_function():
    assert trained.lr_at is drawn.lr_at
    assert trained.peak_learning_rate is drawn.peak_learning_rate


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_drawn_points_are_what_the_optimizer_gets(schedule):
    import torch

    settings = config(lr_scheduler=schedule)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=drawn.peak_learning_rate(settings))
    scheduler = trained.build_schedule(settings, optimizer, 50)
    rates = []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    steps, points = drawn.lr_points(settings, 50, 50)
    assert steps == list(range(50))
    assert points == pytest.approx(rates)


@pytest.mark.parametrize(
    ("max_steps", "num_points", "steps"), [(1, 10, [0, 0]), (3, 10, [0, 1, 2]), (101, 3, [0, 50, 100])]
)
def test_points_reach_from_the_first_to_the_last_step(max_steps, num_points, steps):
    assert drawn.lr_points(config(), max_steps, num_points)[0] == steps


def test_plain_values_do_as_well_as_a_configuration():
    settings = config(lr_scheduler="cosine", lr_scale=True, train_batch_size=4)
    assert drawn.lr_at(20, dict(settings), 100) == drawn.lr_at(20, settings, 100)
    assert drawn.peak_learning_rate(dict(settings)) == pytest.approx(4e-4)
