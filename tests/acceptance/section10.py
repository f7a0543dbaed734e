"""The acceptance list of the quickstart (config-formats.md section 10): each statement with the tests that prove it.

One row of `ROWS` is one row there. A test is named by its node id without parameters; `test_section10` checks that it
is there and runs. `python -m tests.acceptance.section10` writes docs/acceptance.md.
"""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.data_rows import DATA_ROWS
from tests.acceptance.row import Row
from tests.acceptance.setup_rows import SETUP_ROWS
from tests.acceptance.training_rows import TRAINING_ROWS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "acceptance.md"

ROWS: tuple[Row, ...] = tuple(sorted((*SETUP_ROWS, *DATA_ROWS, *TRAINING_ROWS), key=lambda row: row.number))


def page() -> str:
    """docs/acceptance.md."""
    lines = [
        "# The quickstart, statement by statement",
        "",
        "Made by `python -m tests.acceptance.section10`; do not edit. Each statement of SimpleTuner's ACE-Step",
        "quickstart, what it means here, and the tests that prove it.",
        "",
        "| # | quickstart | here | tests |",
        "|---|---|---|---|",
    ]
    for row in ROWS:
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in row.tests)
        lines.append(f"| {row.number} | {row.statement} | {row.behaviour} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
