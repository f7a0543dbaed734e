"""Each optimizer of config-formats.md 1.11 against a step written by hand, and across a save."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from engine.contract.config import Config
from engine.contract.optimizers import OPTIMIZERS
from engine.optim.build import build_optimizer, trained_dtype
from engine.optim.memory import load_memory, memory_tensors
from tests.unit.optim import reference

ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01}
FP32 = 2e-5  # the weights are near 1 and move by a hundredth: float32 itself has six digits there
EIGHT_BITS = 0.03
NUM_STEPS = 4


class Case(NamedTuple):
    """How an optimizer is asked for, its reference, and how near it comes (a share of the way it moved)."""

    step: reference.Reference
    hyper: dict[str, Any] = ADAM
    settings: dict[str, Any] = {}  # noqa: RUF012
    nearness: float = FP32
    lr: float = 1e-2


CASES: dict[str, Case] = {
    "torch-adamw": Case(reference.adamw),
    "torch-adam": Case(reference.plain_adam),
    "torch-sgd": Case(reference.sgd, {"momentum": 0.9}, {"optimizer_config": "momentum=0.9"}),
    "torch-adafactor": Case(
        reference.adafactor,
        {"beta2_decay": -0.7, "d": 1.5, "eps1": 2**-23, "eps2": 1e-3, "weight_decay": 0.02},
        {"optimizer_config": "beta2_decay=-0.7,d=1.5,weight_decay=0.02"},
    ),
    # The first moment is kept in bf16: a share of 2^-9 of it is rounded away.
    "adamw_bf16": Case(reference.adamw, nearness=0.01),
    "optimi-adamw": Case(reference.adamw),
    "optimi-lion": Case(
        reference.lion, {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}, {"optimizer_config": "weight_decay=0.1"}
    ),
    "bnb-adamw8bit": Case(reference.adamw, nearness=EIGHT_BITS),
    "ao-adamw8bit": Case(reference.adamw, nearness=EIGHT_BITS),
    "prodigy": Case(reference.prodigy, ADAM | {"d0": 1e-3}, {"optimizer_config": "d0=1e-3"}, nearness=2e-5, lr=1.0),
    "adamw_schedulefree": Case(reference.schedule_free),
}
pytestmark = pytest.mark.usefixtures("eight_bit")
each_optimizer = pytest.mark.parametrize("name", list(CASES))


class Trained:
    """A matrix large enough for 8 bits and a vector, with an optimizer on them."""

    def __init__(self, name: str, *, device: str = "cpu", **settings: Any) -> None:
        generator = torch.Generator().manual_seed(1)
        self.weights = {
            shape: nn.Parameter(torch.randn(size, generator=generator).to(device, trained_dtype(name)))
            for shape, size in (("matrix", (64, 80)), ("vector", (48,)))
        }
        case = CASES[name]
        values = {"optimizer": name, "learning_rate": case.lr, "mixed_precision": "bf16"} | case.settings | settings
        self.optimizer: Optimizer = build_optimizer(Config.from_dict(values), self.weights.items())

    def move(self, gradients: Sequence[list[Tensor]]) -> None:
        for step in gradients:
            for weight, gradient in zip(self.weights.values(), step, strict=True):
                weight.grad = gradient.to(weight, copy=True)  # some optimizers work in it
            self.optimizer.step()
            self.optimizer.zero_grad()

    def judged(self) -> list[Tensor]:
        """Copies of the weights as they are measured and saved; what is trained stays as it is."""
        has_modes = hasattr(self.optimizer, "eval")
        if has_modes:
            self.optimizer.eval()  # type: ignore[attr-defined]
        copies = [weight.detach().cpu().clone() for weight in self.weights.values()]
        if has_modes:
            self.optimizer.train()  # type: ignore[attr-defined]
        return copies


def gradients(name: str, steps: int = NUM_STEPS) -> list[list[Tensor]]:
    """Gradients that agree with each other a little, as real ones do, in the numbers that the weights can hold."""
    generator = torch.Generator().manual_seed(2)
    shared = [torch.randn(64, 80, generator=generator), torch.randn(48, generator=generator)]
    return [
        [(s + 0.5 * torch.randn(s.shape, generator=generator)).to(trained_dtype(name)) for s in shared]
        for _ in range(steps)
    ]


@each_optimizer
@pytest.mark.parametrize("steps", [1, 3])
def test_a_step_is_the_one_written_by_hand(name: str, steps: int, device: str = "cpu") -> None:
    trained = Trained(name, device=device)
    start, moves = trained.judged(), gradients(name, steps)
    case = CASES[name]
    expected = reference.last(case.step, start, moves, case.hyper | {"lr": case.lr})
    trained.move(moves)
    for before, now, wanted in zip(start, exact(trained), expected, strict=True):
        way = float((wanted - before.double()).norm())
        assert way > 0
        assert float((now - wanted).norm()) <= case.nearness * way


def exact(trained: Trained) -> list[Tensor]:
    """The weights in float64; bf16 ones with the rest that their rounding left."""
    states = trained.optimizer.state
    return [
        judged.double() + states[weight]["rest"].cpu().double() if "rest" in states[weight] else judged.double()
        for judged, weight in zip(trained.judged(), trained.weights.values(), strict=True)
    ]


@each_optimizer
def test_the_weights_move_and_no_two_optimizers_go_the_same_way(name: str) -> None:
    trained = Trained(name)
    start = trained.judged()
    trained.move(gradients(name, 3))
    for before, now in zip(start, trained.judged(), strict=True):
        assert not torch.equal(before, now)


@each_optimizer
def test_saved_and_restored_it_goes_on_bit_for_bit(name: str, tmp_path: Path, device: str = "cpu") -> None:
    moves = gradients(name)
    straight, stopped, resumed = (Trained(name, device=device) for _ in range(3))
    straight.move(moves)
    stopped.move(moves[:2])
    judged = stopped.judged()
    if hasattr(stopped.optimizer, "eval"):
        stopped.optimizer.eval()
    save_file(memory_tensors([stopped.optimizer], stopped.weights), tmp_path / "memory.safetensors")
    for weight, value in zip(resumed.weights.values(), judged, strict=True):
        weight.data.copy_(value)
    strangers = load_memory([resumed.optimizer], resumed.weights, load_file(tmp_path / "memory.safetensors"))
    assert strangers == ()
    resumed.move(moves[2:])
    for here, there in zip(straight.weights.values(), resumed.weights.values(), strict=True):
        assert torch.equal(here, there)
    memories = [memory_tensors([trained.optimizer], trained.weights) for trained in (straight, resumed)]
    assert memories[0].keys() == memories[1].keys()
    assert all(torch.equal(memories[0][key], memories[1][key]) for key in memories[0])


def test_every_optimizer_has_its_case() -> None:
    assert CASES.keys() == OPTIMIZERS.keys()


def test_memory_of_what_is_not_trained_now_is_named() -> None:
    trained = Trained("torch-adamw")
    trained.move(gradients("torch-adamw", 1))
    tensors = memory_tensors([trained.optimizer], trained.weights)
    fresh = Trained("torch-adamw")
    del fresh.weights["vector"]
    assert load_memory([fresh.optimizer], fresh.weights, tensors) == ("vector",)


@each_optimizer
def test_options_reach_the_optimizer(name: str) -> None:
    option = {"torch-sgd": "momentum=0.5", "torch-adafactor": "weight_decay=0.3"}.get(
        name, "beta1=0.5,weight_decay=0.3"
    )
    plain, other = Trained(name), Trained(name, optimizer_config=option)
    for trained in (plain, other):
        trained.move(gradients(name, 2))
    assert not torch.equal(plain.judged()[0], other.judged()[0])


def test_bf16_weights_move_by_less_than_their_own_digits() -> None:
    """Two hundred steps of a two-thousandth: lost one by one in bf16, kept by the compensated update."""
    plain = nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    kept = nn.Parameter(torch.ones(8, dtype=torch.bfloat16))
    config = Config.from_dict({"optimizer": "adamw_bf16", "learning_rate": 5e-4, "adam_weight_decay": 0.0})
    optimizer = build_optimizer(config, [("kept", kept)])
    without = torch.optim.AdamW([plain], lr=5e-4, weight_decay=0.0)
    for _ in range(200):
        for weight, stepper in ((plain, without), (kept, optimizer)):
            weight.grad = torch.ones_like(weight)
            stepper.step()
    assert torch.equal(plain.detach(), torch.ones(8, dtype=torch.bfloat16))
    assert kept.detach().float() == pytest.approx(0.9, abs=0.004)


def test_bf16_wants_bf16_weights() -> None:
    from engine.contract.errors import ConfigError

    config = Config.from_dict({"optimizer": "adamw_bf16"})
    with pytest.raises(ConfigError, match=r"torch\.float32 instead of bfloat16"):
        build_optimizer(config, nn.Linear(2, 2).named_parameters())


def test_schedule_free_changes_modes_without_losing_a_bit() -> None:
    trained = Trained("adamw_schedulefree")
    trained.move(gradients("adamw_schedulefree", 3))
    at = [weight.detach().clone() for weight in trained.weights.values()]
    judged = trained.judged()
    for y, x, now in zip(at, judged, trained.weights.values(), strict=True):
        assert torch.equal(y, now) and not torch.equal(x, y)
