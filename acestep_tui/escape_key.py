"""Escape answered as quickly as any other key, on terminals that send it as the beginning of every longer key, too."""

from __future__ import annotations

import os
import selectors
import sys
from types import SimpleNamespace

from textual import constants

# What follows within this time belongs to the same key: terminals send a key's bytes in one piece. Textual waits
# 100 ms, and up to 100 more before it looks at its watch, which is felt.
ESCAPE_S = 0.03


class BriskSelector(selectors.SelectSelector):
    """Waits only a moment after something was typed, so that a lone escape is told from a longer key by then."""

    _num_short = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for input as asked, or for the rest of a key."""
        is_short = self._num_short > 0 and (timeout is None or timeout > ESCAPE_S)
        found = super().select(1.1 * ESCAPE_S if is_short else timeout)
        self._num_short = 2 if found else max(self._num_short - 1, 0)
        return found


def answer_escape_soon() -> None:
    """Let the app's driver wait no longer than needed; who sets ``ESCDELAY`` (milliseconds) is obeyed."""
    if sys.platform == "win32" or os.environ.get("ESCDELAY"):
        return
    from textual.drivers import linux_driver

    vars(constants)["ESCAPE_DELAY"] = ESCAPE_S
    vars(linux_driver)["selectors"] = SimpleNamespace(
        SelectSelector=BriskSelector, EVENT_READ=selectors.EVENT_READ, SelectorKey=selectors.SelectorKey
    )
