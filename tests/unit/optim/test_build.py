from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.optim.build import build_optimizer, clip_gradients


def built(network: nn.Module | None = None, **values: Any) -> Optimizer:
    return build_optimizer(Config.from_dict(values), (network or nn.Linear(3, 2)).named_parameters())


@pytest.mark.parametrize(
    ("name", "kind"), [("auto", AdamW), ("torch-adamw", AdamW), ("torch-adam", Adam), ("torch-sgd", SGD)]
)
def test_names(name: str, kind: type[Optimizer]) -> None:
    optimizer = built(optimizer=name, learning_rate=3e-4)
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert group["lr"] == 3e-4 and group["fused"] is True
    assert group["param_names"] == ["weight", "bias"]


def test_adam_keys() -> None:
    group = built(adam_beta1=0.8, adam_beta2=0.9, adam_weight_decay=0.2, adam_epsilon=1e-6).param_groups[0]
    assert (group["betas"], group["weight_decay"], group["eps"]) == ((0.8, 0.9), 0.2, 1e-6)


def test_optimizer_config_wins() -> None:
    group = built(optimizer_config="beta2=0.95, weight_decay=0, amsgrad=true,foreach=yes").param_groups[0]
    assert (group["betas"], group["weight_decay"], group["amsgrad"]) == ((0.9, 0.95), 0.0, True)
    assert group["foreach"] is True and not group["fused"]
    sgd = built(optimizer="torch-sgd", optimizer_config="momentum=0.9,nesterov=1").param_groups[0]
    assert sgd["momentum"] == 0.9 and sgd["nesterov"] is True and sgd["weight_decay"] == 0


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("torch-adamw", "weight_deca=0.1", ("weight_deca", "Did you mean weight_decay?", "beta1")),
        ("torch-sgd", "beta1=0.9", ("beta1", "torch-sgd", "momentum")),
        ("torch-adamw", "eps=small", ("eps is small", "a number")),
        ("torch-adamw", "amsgrad=perhaps", ("amsgrad is perhaps", "true or false")),
        ("torch-adamw", "eps", ("eps is nothing",)),
        ("torch-adamw", "beta1=1", ("beta1 is 1", "below 1")),
        ("prodigy", "d0=nan", ("d0 is nan", "from 1e-30")),
    ],
)
def test_bad_optimizer_config_is_named(name: str, text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        built(optimizer=name, optimizer_config=text)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("name", ["torch-adamw", "torch-adam", "torch-sgd"])
def test_saved_state_goes_on_bit_for_bit(name: str) -> None:
    options = {"optimizer_config": "momentum=0.9"} if name == "torch-sgd" else {}

    def train(network: nn.Linear, optimizer: Optimizer, steps: range) -> None:
        for step in steps:
            optimizer.zero_grad()
            network(torch.full((4, 3), 0.1 * (step + 1))).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    straight = nn.Linear(3, 2)
    stopped = nn.Linear(3, 2)
    stopped.load_state_dict(straight.state_dict())
    train(straight, built(straight, optimizer=name, **options), range(8))
    first = built(stopped, optimizer=name, **options)
    train(stopped, first, range(4))
    again = built(stopped, optimizer=name, **options)
    again.load_state_dict(first.state_dict())
    train(stopped, again, range(4, 8))
    assert torch.equal(straight.weight, stopped.weight)


def gradients(*values: list[float] | None) -> list[nn.Parameter]:
    parameters = []
    for value in values:
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = None if value is None else torch.tensor(value)
        parameters.append(parameter)
    return parameters


def test_clipping_by_norm_value_and_not_at_all() -> None:
    for limit, method, expected in (
        (1.0, "norm", [0.6, 0.8]),
        (3.5, "value", [3.0, 3.5]),
        (0.0, "norm", [3.0, 4.0]),
        (0.0, "value", [3.0, 4.0]),
        (10.0, "norm", [3.0, 4.0]),
    ):
        parameters = gradients([3.0, 0.0], None, [0.0, 4.0])
        norm = clip_gradients(parameters, limit, method)
        assert float(norm) == pytest.approx(5.0), "the norm is the one before clipping"
        first, last = parameters[0].grad, parameters[2].grad
        assert first is not None and last is not None
        assert [float(first[0]), float(last[1])] == pytest.approx(expected, rel=1e-5)


def test_clipping_does_not_wait_for_the_device() -> None:
    parameter = nn.Parameter(torch.zeros(2, device="meta"))
    parameter.grad = torch.zeros(2, device="meta")
    for method in ("norm", "value"):
        assert clip_gradients([parameter], 1.0, method).is_meta
