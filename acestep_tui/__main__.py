"""`python -m acestep_tui` and the console script."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return the exit code."""
    from acestep_tui.cli import run_command_line

    return run_command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
