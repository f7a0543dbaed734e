"""On a CUDA device: every optimizer's step against the one written by hand, and across a save."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.optim import test_every_optimizer as on_the_processor
from tests.unit.optim.conftest import eight_bit  # noqa: F401  a fixture

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("eight_bit")]
each_optimizer = pytest.mark.parametrize("name", list(on_the_processor.CASES))


@each_optimizer
@pytest.mark.parametrize("steps", [1, 3])
def test_a_step_is_the_one_written_by_hand(name: str, steps: int) -> None:
    on_the_processor.test_a_step_is_the_one_written_by_hand(name, steps, device="cuda")


@each_optimizer
def test_saved_and_restored_it_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    on_the_processor.test_saved_and_restored_it_goes_on_bit_for_bit(name, tmp_path, device="cuda")
