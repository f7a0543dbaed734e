"""All 40 rows are there, and each names tests that exist."""

from __future__ import annotations

import ast
import functools

import pytest

from tests.acceptance.section10 import PAGE, ROOT, ROWS, Row, page


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """Names of the tests of a file, as pytest collects them: functions of the module itself."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_"))


def is_switched_off(path: str, name: str) -> bool:
    """Whether a test carries a mark that keeps it from running."""
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if getattr(node, "name", "") == name:
            marks = " ".join(ast.unparse(mark) for mark in getattr(node, "decorator_list", []))
            return any(word in marks for word in ("mark.skip", "mark.xfail", "mark.gpu"))
    return False


def test_all_rows_are_there_in_order() -> None:
    assert [row.number for row in ROWS] == list(range(1, 41))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_each_row_names_tests_that_exist_and_run(row: Row) -> None:
    assert row.statement and row.behaviour and row.tests
    assert len(set(row.tests)) == len(row.tests)
    for test in row.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).is_file(), f"{path} is not there"
        assert name in names_in(path), f"{test} is not there"
        assert not is_switched_off(path, name), f"{test} does not run"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.acceptance.section10"
