"""Whether Triton's kernels can be made and run here, for all layers that have some."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable

import torch

from engine.hardware.machine import has_c_compiler

HAS_TRITON = torch.version.hip is None and importlib.util.find_spec("triton") is not None and has_c_compiler()
"""A constant, because torch's compiler does not follow the asking. Triton makes a kernel's start with the system's."""


def run_right(device: torch.device, is_right: Callable[[], bool]) -> bool:
    """Whether a trial of kernels runs on a card and is right; says why not. Whoever calls it keeps the answer.

    Args:
        device: A CUDA card, the current one during the trial.
        is_right: The trial: starts kernels and looks at what they gave.

    Raises:
        torch.OutOfMemoryError: The trial found no memory, which tells nothing.
    """
    try:
        with torch.cuda.device(device):
            reason = "" if is_right() else "their results are wrong"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of the system's compiler, of Triton, of the driver: other layers do the same
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    if reason:
        warnings.warn(f"the codec works more slowly: Triton kernels do not run on {device} ({reason})", stacklevel=2)
    return not reason
