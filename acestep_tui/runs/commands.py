"""Commands as viewers see them: asked, then answered, or late; and what is worth a toast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from acestep_tui.runs.log import Severity

# An answer that takes longer than this is said to be late: the worker is in a long step.
LATE_S = 30.0


@dataclass(slots=True)
class AskedCommand:
    """A command sent from here. `ok` is None until the worker has answered."""

    id: str
    kind: str
    asked_t: float
    ok: bool | None = None
    message: str = ""
    is_late: bool = False

    def becomes_late(self, now: float) -> bool:
        """True once: when the answer has been waited for too long."""
        if self.ok is not None or self.is_late or now - self.asked_t < LATE_S:
            return False
        self.is_late = True
        return True


class News(NamedTuple):
    """Something for a toast: glyph, one sentence, and under it what it means (may be empty).

    `kind` is that of the event behind it.
    """

    kind: str
    glyph: str
    severity: Severity
    title: str
    detail: str = ""
