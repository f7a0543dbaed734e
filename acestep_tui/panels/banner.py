"""One or two rows under the phases for what must not be missed: cause, consequence, key. Pure functions, one widget."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.header import passed
from acestep_tui.panels.view import View, is_silent, safe_step, view_of
from acestep_tui.runs.facts import SilentFacts
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ERROR, MUTED, WARNING, join, wrap

MAX_ROWS = 2
# One megabyte that takes longer than this to be written is worth a word.
_SLOW_DISK_S = 1.0
# A card below this does nothing.
_IDLE_PERCENT = 5.0
# So many further saves must fit on the disk, or it is said.
_SAVES_TO_SPARE = 3


def banner_lines(state: RunState, width: int, silent_s: float | None) -> list[Content]:
    """The most important thing to say, wrapped to at most two rows; empty when all is well.

    Args:
        state: The run.
        width: In cells.
        silent_s: Seconds since the last event, as the header shows them.
    """
    said = _said(state, width, silent_s)
    if said is None:
        return []
    glyph, style, words = said
    lines = [line for sentence in words for line in wrap(sentence, width - 2)]
    return [join((f"{glyph} ", style) if not row else "  ", line) for row, line in enumerate(lines[:MAX_ROWS])]


def _said(state: RunState, width: int, silent_s: float | None) -> tuple[str, str, list[str]] | None:
    """Glyph, style and sentences; each sentence begins a row where two fit."""
    if state.is_gone:
        gone = f"The run folder is gone: {state.folder}."
        return "✗", ERROR, [gone, "What was last seen stays on the screen. esc goes Home."]
    if state.reading_problem:
        problem = f"{state.reading_problem[:1].upper()}{state.reading_problem[1:]}."
        return "✗", ERROR, [problem, "What was last seen stays on the screen."]
    if is_silent(state) and state.silent is not None:
        return "◌", WARNING, _silence(state, state.silent, silent_s, is_wide=width >= 100)
    view = view_of(state)
    if view is View.STOPPED:
        return "■", MUTED, [_stopped(state)]
    warning = "" if view.has_ended else _disk(state) or _overfitting(state)
    return ("▲", WARNING, [warning]) if warning else None


def _disk(state: RunState) -> str:
    low = disk_is_low(state)
    if low is None:
        return ""
    return (
        f"{fmt.size(low[0])} left on this disk. The next save needs {fmt.size(low[1])}. "
        "Older save points are not removed without your word: 6, then d."
    )


def _silence(state: RunState, facts: SilentFacts, silent_s: float | None, *, is_wide: bool) -> list[str]:
    heard = passed(silent_s if silent_s is not None else 0.0)
    measured = " ".join([*_usual(state, facts), _suspicion(facts, is_wide=is_wide)]).strip()
    verdict = state.verdict
    if verdict is None or not (verdict.by_lock and verdict.is_locked):
        doing = f"; it was {facts.was_doing}" if facts.was_doing else ""
        return [f"No news for {heard}{doing}.", "Whether the process is alive cannot be seen from here."]
    pid = f" ({facts.pid})" if is_wide and facts.pid is not None else ""
    doing = f"{' and' if is_wide else '; it'} was {facts.was_doing}" if facts.was_doing else ""
    return [f"No news for {heard}. The process is alive{pid}{doing}.", measured]


def _usual(state: RunState, facts: SilentFacts) -> list[str]:
    """How long that took before."""
    is_step = facts.was_doing.startswith("training step")
    usual_s = facts.usual_s if facts.usual_s is not None else state.pace_s if is_step else None
    if usual_s is None:
        return []
    what = "A step" if is_step else facts.was_doing.split(" ", 1)[0].capitalize()
    took = f"{usual_s:.2f} s" if is_step and usual_s < 10 else fmt.duration(usual_s)
    return [f"{what} took {took} before."]


def _suspicion(facts: SilentFacts, *, is_wide: bool) -> str:
    """One thing that was measured; a guess is never stated."""
    if facts.is_probe_stuck:
        return "The disk does not answer: 1 MB is still not written."
    if facts.probe_s is not None and facts.probe_s >= _SLOW_DISK_S:
        took = f"{fmt.duration(facts.probe_s)} to write 1 MB"
        return f"The disk answers slowly ({took}): a network folder?" if is_wide else f"The disk is slow now: {took}."
    if facts.gpu_percent is not None and facts.gpu_percent < _IDLE_PERCENT:
        return "The card was idle at the last reading."
    if facts.gpu_percent is not None:
        return f"The card was at {facts.gpu_percent:.0f} % at the last reading."
    return "The disk answers as usual." if facts.probe_s is not None else ""


def _stopped(state: RunState) -> str:
    safe = safe_step(state)
    reached = fmt.count(state.step_now)
    if safe is None:
        return f"Stopped at step {reached}; nothing is saved. r begins again."
    if safe >= state.step_now:
        return f"Stopped at step {reached}; it is saved. r goes on from there."
    return f"Stopped at step {reached}. r goes on from step {fmt.count(safe)}, which is saved."


def _overfitting(state: RunState) -> str:
    if not state.is_overfitting or state.best is None:
        return ""
    best = state.best.step
    kept = {fact.step for fact in state.folder_facts.whole} if state.folder_facts is not None else set()
    step = fmt.count(best)
    safe = f"step {step} is kept" if best in kept else "x asks how"
    return (
        f"Held-out loss was lowest at step {step} and rises since: the LoRA begins to repeat your songs. "
        f"You could stop; {safe}."
    )


def disk_is_low(state: RunState) -> tuple[int, int] | None:
    """Free bytes and what the next save needs, when hardly more saves fit; None while there is room or not known."""
    free = state.folder_facts.disk_free_bytes if state.folder_facts is not None else None
    if not state.checkpoints or free is None:
        return None
    need = max(saved.bytes for saved in state.checkpoints[-3:])
    return (free, need) if need and free < _SAVES_TO_SPARE * need else None


class Banner(Lines):
    """The rows under the phases; as high as what there is to say."""

    DEFAULT_CSS = """
    Banner { height: 2; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._state: RunState | None = None
        self._silent_s: float | None = None

    def show(self, state: RunState, silent_s: float | None) -> None:
        """Draw what has changed."""
        self._state, self._silent_s = state, silent_s
        self.redraw()

    def rows(self, width: int) -> int:
        """How many rows it needs now."""
        return len(banner_lines(self._state, width, self._silent_s)) if self._state is not None else 0

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The rows."""
        return banner_lines(self._state, width, self._silent_s)[:height] if self._state is not None else ()
