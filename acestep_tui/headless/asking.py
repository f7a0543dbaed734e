"""A yes or no before something is removed or fetched: asked on a terminal, said by a flag elsewhere."""

from __future__ import annotations

import sys

from acestep_tui.headless import streams


def agrees(question: str, *, is_said: bool) -> bool:
    """Whether the user agrees.

    Args:
        question: What is asked, without the answers: ``Remove 3 entries?``
        is_said: A flag (``--yes``) said so already.

    Returns:
        False where nobody can be asked; nothing is done then.
    """
    if is_said:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(streams.fitted(f"{question} [y/N] ", sys.stderr), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")
