"""Triton kernels run by Triton's interpreter, which has to be asked for before they are imported."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys


def assert_equal(comparison: str) -> None:
    """Run a comparison in a process of its own; it prints "equal" at its end."""
    if importlib.util.find_spec("triton") is None:  # it comes with torch on Linux alone, and none is asked for then
        assert "triton" not in sys.modules
        return
    done = subprocess.run(
        [sys.executable, "-c", comparison],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "equal", done.stderr[-2000:]
