"""What a check of a model comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["passed", "noted", "failed", "skipped"]
"""noted: nothing is broken, but it is not as the released model is, or was not judged."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the result.

    Attributes:
        state: Whether it is as it should be.
        words: What was found, in a sentence.
        values: The numbers behind it, units in the names.
        details: Every single finding, where there are several.
    """

    state: State
    words: str
    values: Mapping[str, float] = field(default_factory=dict)
    details: tuple[str, ...] = ()
