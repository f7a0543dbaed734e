"""All 40 rows are there, and each names tests that exist."""

from __future__ import annotations

import ast
import functools

import pytest

from tests.acceptance.row import Row
from tests.acceptance.section10 import PAGE, ROOT, ROWS, page


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """Names of the tests of a file, as pytest collects them: functions of the module itself."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_"))


_OFF = frozenset({"skip", "skipif", "xfail", "importorskip", "skipIf", "skipUnless", "expectedFailure"})
_OFF_OWNERS = frozenset({"pytest", "mark", "unittest"})
_OFF_NAMES = frozenset({"collect_ignore", "collect_ignore_glob", "pytest_ignore_collect", "__test__"})


def off_switches(source: str) -> list[str]:
    """Everything in a module that keeps tests from running or from failing, wherever it stands in it.

    Marks on a test, on its parameters or on the whole module (``pytestmark``), calls in its body or in what it calls,
    and names with which pytest leaves modules out. No test of the list may lean on a module that has such a thing.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = getattr(node.value, "attr", getattr(node.value, "id", ""))
            if owner in _OFF_OWNERS and (node.attr in _OFF or (owner, node.attr) == ("mark", "gpu")):
                found.append(f"{owner}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module in _OFF_OWNERS:
            found += [f"{node.module}.{alias.name}" for alias in node.names if alias.name in _OFF]
        elif getattr(node, "id", getattr(node, "name", "")) in _OFF_NAMES:
            found.append(getattr(node, "id", getattr(node, "name", "")))
    return found


@functools.cache
def switched_off_in(path: str) -> tuple[str, ...]:
    """`off_switches` of a file and of the conftest.py files that it stands under."""
    folders = [folder for folder in (ROOT / path).parents if folder.is_relative_to(ROOT)]
    files = [ROOT / path, *(folder / "conftest.py" for folder in folders)]
    return tuple(
        f"{file.relative_to(ROOT)}: {switch}"
        for file in files
        if file.is_file()
        for switch in off_switches(file.read_text(encoding="utf-8"))
    )


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
        assert not switched_off_in(path), f"{test} may not run: {switched_off_in(path)}"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.acceptance.section10"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('@pytest.mark.skip(reason="later")\ndef test_a(): ...', ["mark.skip"]),
        ("@pytest.mark.skipif(True, reason='')\ndef test_a(): ...", ["mark.skipif"]),
        ("@pytest.mark.xfail\ndef test_a(): ...", ["mark.xfail"]),
        ("pytestmark = pytest.mark.skip", ["mark.skip"]),
        ("pytestmark = [pytest.mark.usefixtures('a'), pytest.mark.gpu]", ["mark.gpu"]),
        (
            "@pytest.mark.parametrize('a', [pytest.param(1, marks=pytest.mark.xfail)])\ndef test_a(a): ...",
            ["mark.xfail"],
        ),
        ("def test_a():\n    pytest.skip('later')", ["pytest.skip"]),
        ("def helper():\n    if slow:\n        pytest.xfail('later')", ["pytest.xfail"]),
        ("def test_a():\n    torch = pytest.importorskip('torch')", ["pytest.importorskip"]),
        ("from pytest import skip\ndef test_a():\n    skip('later')", ["pytest.skip"]),
        ("@unittest.skipIf(True, '')\ndef test_a(): ...", ["unittest.skipIf"]),
        ("collect_ignore = ['test_a.py']", ["collect_ignore"]),
        ("def pytest_ignore_collect(path): ...", ["pytest_ignore_collect"]),
        # What only looks alike.
        (
            "pytestmark = pytest.mark.usefixtures('eight_bit')\ndef test_skip():\n    rows.skip('a')\n    gpu = 'skip'",
            [],
        ),
    ],
)
def test_whatever_switches_a_test_off_is_found(source: str, found: list[str]) -> None:
    assert off_switches(source) == found
