"""`python -m acestep_tui` and the console script."""

from __future__ import annotations

import sys

# As in pyproject.toml: an installer minds it, a checkout on the path does not.
OLDEST_PYTHON = (3, 10)


def main() -> int:
    """Run the command line and return the exit code."""
    problem = python_problem(sys.version_info[:3])
    if problem:
        print(problem, file=sys.stderr)
        return 2
    from acestep_tui.cli import run_command_line

    return run_command_line(sys.argv[1:])


def python_problem(version: tuple[int, ...]) -> str:
    """Why this program cannot run on a Python of that version; empty when it can."""
    if version[:2] >= OLDEST_PYTHON:
        return ""
    found, oldest = (".".join(map(str, numbers)) for numbers in (version, OLDEST_PYTHON))
    return f"acestep-tui needs Python {oldest} or newer; this is Python {found}."


if __name__ == "__main__":
    sys.exit(main())
