"""How a model calls its repeated layers: directly, or through whatever `engine.memory` puts in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Runner = Callable[..., Any]
"""``runner(function, *arguments)`` returns what ``function(*arguments)`` does."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``function`` with nothing in between."""
    return function(*arguments)
