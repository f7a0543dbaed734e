import math
from typing import Any

import pytest
import torch
from torch.optim import SGD, AdamW

from engine.contract.config import Config
from engine.optim.schedule import build_schedule, lr_at, peak_learning_rate, seek

LR, END = 1e-3, 1e-5


def config(**values: Any) -> Config:
    return Config.from_dict({"learning_rate": LR, "lr_end": END, **values})


def rates(max_steps: int = 100, **values: Any) -> list[float]:
    return [lr_at(step, config(**values), max_steps) for step in range(max_steps)]


@pytest.mark.parametrize("schedule", ["constant_with_warmup", "linear", "cosine", "sine", "polynomial"])
def test_warm_up_is_linear_learns_from_the_first_step_and_ends_at_the_peak(schedule: str) -> None:
    curve = rates(lr_scheduler=schedule, lr_warmup_steps=10)
    assert curve[:10] == pytest.approx([LR * (step + 1) / 10 for step in range(10)])
    assert curve[10] == pytest.approx(LR if schedule != "sine" else END + (LR - END) / 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"lr_scheduler": "constant"}, {0: LR, 99: LR}),
        ({"lr_scheduler": "linear"}, {0: LR, 50: LR / 2, 99: END}),
        (
            {"lr_scheduler": "cosine"},
            {0: LR, 50: (LR + END) / 2, 99: END + (LR - END) * (1 + math.cos(0.99 * math.pi)) / 2},
        ),
        ({"lr_scheduler": "cosine", "lr_num_cycles": 4}, {50: (LR + END) / 2}),
        (
            {"lr_scheduler": "cosine_with_restarts", "lr_num_cycles": 4},
            {0: LR, 25: LR, 50: LR, 24: END + (LR - END) * (1 + math.cos(0.96 * math.pi)) / 2},
        ),
        ({"lr_scheduler": "sine", "lr_num_cycles": 1}, {0: (LR + END) / 2, 25: LR, 75: END}),
        ({"lr_scheduler": "polynomial", "lr_power": 2.0}, {0: LR, 50: END + (LR - END) / 4}),
        ({"lr_scheduler": "polynomial"}, {50: END + (LR - END) * 0.5**0.8}),
    ],
)
def test_curves_at_known_points(values: dict[str, Any], expected: dict[int, float]) -> None:
    curve = rates(**values)
    for step, rate in expected.items():
        assert curve[step] == pytest.approx(rate), step


@pytest.mark.parametrize("schedule", ["linear", "cosine", "cosine_with_restarts", "polynomial"])
def test_the_end_and_beyond_is_the_lowest_rate(schedule: str) -> None:
    settings = config(lr_scheduler=schedule, lr_num_cycles=3)
    assert lr_at(100, settings, 100) == pytest.approx(END)
    assert lr_at(500, settings, 100) == pytest.approx(END)


def test_a_floor_above_the_peak_never_raises_the_rate() -> None:
    assert max(rates(lr_scheduler="linear", learning_rate=1e-6)) == pytest.approx(1e-6)


def test_warm_up_as_long_as_the_run() -> None:
    assert rates(10, lr_scheduler="cosine", lr_warmup_steps=10)[-1] == pytest.approx(LR)


def test_scaling_with_the_batch() -> None:
    size = {"train_batch_size": 2, "gradient_accumulation_steps": 8}
    assert peak_learning_rate(config(**size)) == LR
    assert peak_learning_rate(config(lr_scale=True, **size)) == pytest.approx(16 * LR)
    assert peak_learning_rate(config(lr_scale_sqrt=True, **size)) == pytest.approx(4 * LR)
    assert peak_learning_rate(config(lr_scale=True, lr_scale_sqrt=True, **size)) == pytest.approx(4 * LR)


def optimizer() -> AdamW:
    return AdamW([torch.nn.Parameter(torch.zeros(1))], lr=LR)


def played(settings: Config, steps: range, adam: AdamW, max_steps: int = 20) -> list[float]:
    schedule = build_schedule(settings, adam, max_steps)
    seek(schedule, adam, steps.start)
    seen = []
    for _ in steps:
        seen.append(adam.param_groups[0]["lr"])
        adam.step()
        schedule.step()
    return seen


@pytest.mark.parametrize("schedule", ["constant_with_warmup", "linear", "cosine_with_restarts"])
def test_scheduler_plays_the_pure_function_also_across_a_resume(schedule: str) -> None:
    settings = config(lr_scheduler=schedule, lr_warmup_steps=3, lr_num_cycles=2)
    expected = [lr_at(step, settings, 20) for step in range(20)]
    assert played(settings, range(20), optimizer()) == pytest.approx(expected)
    first = optimizer()
    before = played(settings, range(8), first)
    resumed = optimizer()
    resumed.load_state_dict(first.state_dict())
    assert before + played(settings, range(8, 20), resumed) == pytest.approx(expected)


def test_every_group_follows() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    sgd = SGD(groups, lr=LR)
    build_schedule(config(lr_scheduler="linear", lr_warmup_steps=4), sgd, 20)
    assert [group["lr"] for group in sgd.param_groups] == pytest.approx([LR / 4, LR / 4])
