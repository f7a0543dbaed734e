"""Panel 4, Data: which pass over the songs it is, how many take part, which one is heard just now."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from rich.cells import cell_len
from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.base import Panel
from acestep_tui.panels.pieces import BLOCK, LABEL, TWO_BLOCKS, beside, fact, is_over
from acestep_tui.panels.throughput import is_preparing
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import BOLD, ERROR, MUTED, WARNING, Part, fit, join, text, wrap
from engine.contract.events import FileProblem

_BY_YOU = "by you"
# Codes of problems in words that fit behind a count.
_WORDS = {
    "no_caption": "without caption",
    "no_lyrics": "without lyrics",
    "too_short": "too short",
    "too_long": "too long",
    "not_finite": "broken",
    "left_out": _BY_YOU,
}


def live(state: RunState) -> str:
    """What the songs are called: their folder, or the data set's own name."""
    folder = state.config.get("instance_data_dir")
    source = state.config.get("data_backend_config")
    if not folder and isinstance(source, list):
        named = [entry for entry in source if isinstance(entry, dict) and entry.get("dataset_type") != "text_embeds"]
        folders = [entry.get("instance_data_dir") or entry.get("dataset_name") or entry.get("id") for entry in named]
        if len(folders) > 1:
            return f"{len(folders)} data sets"
        folder = folders[0] if folders else None
    if not folder and isinstance(source, str):
        return PurePath(source).stem
    return PurePath(str(folder)).name if folder else ""


def body(state: RunState, width: int, height: int) -> list[Content]:
    """The rows under the title, for one block or two."""
    block = min(width, BLOCK)
    rows = _preparing(state, block) if is_preparing(state) else _training(state, block)
    if width >= TWO_BLOCKS:
        rows = beside(rows, _more(state), width)
    elif not is_preparing(state):
        rows = [*rows, *_more(state)[:2]]
    return rows[:height]


def page(state: RunState, width: int, height: int) -> list[Content]:
    """The zoomed panel: all that is known of the songs, and each problem with its reason."""
    lines = [*body(state, width, 5)]
    if width < TWO_BLOCKS:
        lines += _more(state)
    if not state.problems:
        return [*lines, Content(""), text("✓ No song has a problem.", MUTED)][:height]
    lines += [Content(""), join(("Songs with a problem", BOLD), (f"   {len(state.problems)}", MUTED))]
    for problem in sorted(state.problems, key=lambda problem: problem.severity != "error"):
        is_error = problem.severity == "error"
        head = join(("✗ " if is_error else "▲ ", ERROR if is_error else WARNING), problem.file, "  ")
        lines += wrap(head + text(problem.reason, MUTED), width, indent=2)
    if len(lines) > height:
        lines = [*lines[: height - 1], fit((f"… {len(lines) - height + 1} more lines, 7 has them all", MUTED), width)]
    return lines[:height]


def num_by_you(state: RunState) -> int:
    """Songs left out because you said so: no problem names them, they are the rest of all that take no part."""
    if state.data is None:
        return 0
    return max(state.data.num_left_out - len({problem.file for problem in state.left_out}), 0)


def left_out(problems: Sequence[FileProblem], num_more: int = 0) -> Part:
    """How many songs are left out, and why: ``1 unreadable, 1 by you``; ``none`` where all take part.

    Args:
        problems: What keeps songs out.
        num_more: Songs that you left out.
    """
    if not problems and not num_more:
        return ("none", MUTED)
    counts = Counter(_WORDS.get(problem.code, problem.code.replace("_", " ")) for problem in problems)
    if num_more:
        counts[_BY_YOU] += num_more
    parts: list[Part] = []
    for word, num in sorted(counts.items(), key=lambda item: (item[0] == _BY_YOU, -item[1])):
        parts += [", "] if parts else []
        parts += [(f"{num}", "" if word == _BY_YOU else ERROR), (f" {word}", MUTED)]
    return join(*parts)


def song_now(state: RunState, width: int) -> Part:
    """The song of the newest step with its length; of several the first, and how many more."""
    step = state.step
    if step is None or not step.files:
        return (fmt.UNKNOWN, MUTED)
    name = PurePath(step.files[0]).stem
    rest = ""
    if len(step.files) > 1:
        rest = f" and {len(step.files) - 1} more"
    elif step.audio_s > 0:
        rest = f", {fmt.song_length(step.audio_s)}"
    shown = fit(name, max(min(cell_len(name), width - len(rest)), 1))
    return join(shown, (rest, MUTED if len(step.files) > 1 else ""))


def _training(state: RunState, width: int) -> list[Content]:
    return [
        fact("Pass", _passes(state), width),
        fact("Songs", _songs(state), width),
        fact("Left out", left_out(state.left_out, num_by_you(state)), width),
        fact("Last song" if is_over(state) else "Just now", song_now(state, width - LABEL), width),
        fact("Lengths", _lengths(state), width),
    ]


def _passes(state: RunState) -> Part:
    epoch = state.step.epoch if state.step is not None else None
    if epoch is None or not math.isfinite(epoch):
        return (fmt.UNKNOWN, MUTED)
    total = math.ceil(state.plan.num_epochs) if state.plan is not None and state.plan.num_epochs > 0 else None
    # Halfway through the 57th pass the epoch is 56.5; at its very end it is 57.0.
    now = max(math.ceil(epoch), 1)
    return join((fmt.count(now), BOLD), (f" of {fmt.count(max(total, now))}" if total is not None else "", MUTED))


def _songs(state: RunState) -> Part:
    data = state.data
    if data is not None:
        train = join((fmt.count(data.num_train), BOLD), (" train", MUTED))
        if not data.num_held_out:
            return join(train, (", none held out", MUTED))
        return join(train, ", ", (fmt.count(data.num_held_out), BOLD), (" held out", MUTED))
    if state.num_files is None:
        return (fmt.UNKNOWN, MUTED)
    return join((fmt.count(state.num_files - len(state.left_out)), BOLD), (f" of {fmt.count(state.num_files)}", MUTED))


def _lengths(state: RunState) -> Part:
    data = state.data
    if data is None or not data.num_groups:
        return (fmt.UNKNOWN, MUTED)
    shortest, longest = fmt.song_length(data.shortest_s), fmt.song_length(data.longest_s)
    span = shortest if shortest == longest else f"{shortest}–{longest}"
    return join(span, (f" in {fmt.plural(data.num_groups, 'group')}", MUTED))


def _preparing(state: RunState, width: int) -> list[Content]:
    total = state.num_files
    if state.data is not None:
        total = state.data.num_files
    usable = total - len(state.left_out) - num_by_you(state) if total is not None else None
    songs: Part = (fmt.UNKNOWN, MUTED)
    if total is not None and usable is not None:
        songs = join((fmt.count(usable), BOLD), (f" of {fmt.count(total)}", MUTED))
    if state.phase == "scan" and state.phase_done is not None:
        songs = join((fmt.count(state.phase_done), BOLD), (f" of {fmt.count(state.phase_total)} looked at", MUTED))
    return [
        fact("Songs", songs, width),
        fact("Left out", left_out(state.left_out, num_by_you(state)), width),
        fact("No lyrics", _without_lyrics(state), width),
        fact("Already there", _already_there(state), width),
    ]


def _without_lyrics(state: RunState) -> Part:
    num = sum(problem.code == "no_lyrics" for problem in state.problems)
    if state.data is not None:
        num = state.data.num_without_lyrics
    if not num:
        return ("none", MUTED) if state.data is not None or "scan" in state.phases else (fmt.UNKNOWN, MUTED)
    return join((f"{num}", WARNING), (" as instrumentals" if num > 1 else " as an instrumental", MUTED))


def _already_there(state: RunState) -> Part:
    num = state.prepared.num_there
    return text(fmt.count(num), BOLD if num is not None else MUTED)


def _more(state: RunState) -> list[Content]:
    data = state.data
    music = fmt.duration(data.total_s) if data is not None else fmt.UNKNOWN
    rows = [fact("Music", (music, BOLD), BLOCK)]
    if not is_preparing(state):
        rows.insert(0, fact("No lyrics", _without_lyrics(state), BLOCK))
    steps = state.steps_total
    if data is not None and data.num_train and steps and state.step is not None and state.step.epoch > 0:
        heard = state.step.epoch
        rows.append(fact("Heard so far", join((f"{heard:.1f}", BOLD), (" times each", MUTED)), BLOCK))
    return rows


class DataPanel(Panel):
    """Panel 4."""

    number = "4"
    name = "Data"

    def live(self, state: RunState, width: int, now: float) -> Part:
        """The songs' folder."""
        del width, now
        return (live(state), MUTED)

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """Pass and songs; each problem too when zoomed."""
        del now
        return (page if self.is_zoomed else body)(state, width, height)
