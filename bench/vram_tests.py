"""The tests of tests/gpu in what is left of the time on a card: which of them passed, failed, or were not begun."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]

FILES = ("memory", "quantised", "cuda", "caches", "readings", "rollout_and_average")
"""In this order; not those of the optimizers, whose libraries a bare machine lacks."""

LEFT_OUT = "test_a_memory_that_runs_out_in_a_step_ends_no_run"
"""The ladder once more, with the tiny model."""


def run_card_tests(out: Path, seconds: float) -> None:
    """Run them for so long at most, in a process of their own; writes gpu_tests.txt.

    Args:
        out: Folder of the results.
        seconds: After them no test goes on.

    Raises:
        SystemExit: One failed, or they could not be run.
    """
    report = out.resolve() / "gpu_tests.txt"
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
    command += ["-k", f"not {LEFT_OUT}", *(f"tests/gpu/test_{name}.py" for name in FILES)]
    is_over = False
    with report.open("w", encoding="utf-8") as lines:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=lines, stderr=subprocess.STDOUT, timeout=seconds, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code, is_over = 0, True
    outcomes = outcomes_of(report.read_text(encoding="utf-8"))
    print(f"tests/gpu: {dict(outcomes)}{', the time is over' if is_over else ''}", flush=True)
    if code or outcomes["FAILED"] or outcomes["ERROR"]:
        raise SystemExit(f"tests/gpu: exit {code}; see {report}")


def outcomes_of(report: str) -> Counter[str]:
    """How many tests ended how, by what `pytest -v` says line by line."""
    lines = [line for line in report.splitlines() if line.startswith("tests/gpu/") and "::" in line]
    ended = [word for line in lines for word in ("PASSED", "FAILED", "ERROR", "SKIPPED") if f" {word}" in line]
    return Counter(ended)
