"""The runner of many cases can fail, names what failed, and leaves fixtures to pytest."""

from __future__ import annotations

import inspect

import pytest

from tests.each import of_each


@of_each("number, word", [(1, "one"), (2, "two")])
def test_cases_and_fixtures_come_together(number, word, tmp_path):
    assert len(word) == 3 and number < 3 and tmp_path.is_dir()


def test_every_case_that_fails_is_named_with_its_words():
    seen = []

    @of_each("number", range(4), ids=lambda number: f"case {number}")
    def odd(number):
        seen.append(number)
        assert number % 2, "even"

    with pytest.raises(AssertionError, match=r"(?s)2 of 4 cases fail.*case 0: AssertionError: even.*case 2: "):
        odd()
    assert seen == [0, 1, 2, 3] and not inspect.signature(odd).parameters


def test_no_case_is_no_test():
    with pytest.raises(AssertionError, match="no case at all"):
        of_each("number", [])
