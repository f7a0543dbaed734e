"""A value that is proposed, with its reason: what recommendations, goals and drafts are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Advice:
    """A proposed value and why, in at most 55 characters."""

    value: Any
    reason: str
