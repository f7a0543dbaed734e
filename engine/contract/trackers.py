"""The trackers that a run can report to (config-formats.md section 1.2)."""

from __future__ import annotations

import importlib.util

TRACKERS = ("tensorboard", "local")
"""Names of `report_to`, beside ``none`` and ``all``."""

_ALIASES = {"simpletuner": "local"}


def known_trackers(report_to: str) -> tuple[list[str], list[str]]:
    """Trackers that a value of ``report_to`` names, in the order of `TRACKERS`, and the names unknown here."""
    names = [_ALIASES.get(name, name) for name in (part.strip().lower() for part in report_to.split(",")) if name]
    wanted = set(TRACKERS) if "all" in names else set(names)
    others = [name for name in dict.fromkeys(names) if name not in (*TRACKERS, "all", "none")]
    return [name for name in TRACKERS if name in wanted], others


def is_installed(tracker: str) -> bool:
    """Whether what a tracker needs is installed; looks for it without importing it."""
    return tracker != "tensorboard" or importlib.util.find_spec("tensorboard") is not None
