"""The one line that mends a card, a driver and a PyTorch that do not fit together: it must work as it is typed."""

from __future__ import annotations

import pytest

from engine.hardware.cuda_support import build_problem, card_problem, driver_problem

OLDER = "pip install torch==2.11.0+cu126 --index-url https://download.pytorch.org/whl/cu126"
NEWEST = "pip install torch==2.11.0+cu130 --index-url https://download.pytorch.org/whl/cu130"


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (driver_problem("13.0", driver="560.35", driver_cuda="12.6"), OLDER),
        (card_problem("13.0", (7, 0), name="Tesla V100"), OLDER),
        (build_problem("", driver_cuda="12.6"), OLDER),
        (build_problem("", driver_cuda="13.0", capability=(7, 0)), OLDER),
        (build_problem("", driver_cuda="13.0", capability=(8, 9)), NEWEST),
    ],
)
def test_the_line_names_the_index_that_has_the_build(problem, line):
    assert problem.endswith(line)


def test_a_card_that_no_build_computes_on_is_offered_none():
    assert card_problem("13.0", (3, 7)).endswith("Use a newer card.")


def test_a_driver_too_old_for_any_build_is_to_be_updated():
    assert driver_problem("13.0", driver="470.1", driver_cuda="11.4").endswith("Update it to 580 or newer.")
