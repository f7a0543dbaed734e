"""Panel 5, Samples: the test clips, newest first, each with its loudness over time and one word about its level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.base import Copied, Page, Panel
from acestep_tui.panels.pieces import is_over
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import ACCENT, BOLD, ERROR, MUTED, SUCCESS, WARNING, Part, bar, fit, is_ascii, join, wrap
from acestep_tui.widgets.spark import spark
from engine.contract.events import SampleSaved
from engine.contract.prompt_library import asks_for_clips

RAW = "$chart-raw"
# Verdict of a clip: glyph, word, style; runs of before the words were settled have the second pair of names.
_VERDICTS = {
    "ok": ("✓", "good level", SUCCESS),
    "clips": ("▲", "clips a little", WARNING),
    "silent": ("▲", "silent", WARNING),
    "nonfinite": ("✗", "not a number", ERROR),
    "clipped": ("▲", "clips a little", WARNING),
    "non-finite": ("✗", "not a number", ERROR),
}
_STEP = 7
_VERDICT = 14
_LEAST_SPARK = 6


def verdict(clip: SampleSaved) -> tuple[str, str, str]:
    """Glyph, word and style of a clip's verdict; a word of a newer version is shown as it is."""
    return _VERDICTS.get(clip.verdict, ("▲", clip.verdict, WARNING))


def clip_name(clip: SampleSaved) -> str:
    """The step a clip is of: ``1,000``; ``base`` before training."""
    return fmt.count(clip.step) if clip.step > 0 else "base"


def newest_first(state: RunState) -> list[SampleSaved]:
    """Clips by falling step, the newest of a step first; one that was made again counts once."""
    by_path = {clip.path: clip for clip in state.samples}
    made = sorted(enumerate(by_path.values()), key=lambda item: (-item[1].step, -item[0]))
    return [clip for _, clip in made]


def clip_path(state: RunState, clip: SampleSaved) -> Path:
    """Where a clip lies."""
    root = state.folder if state.folder is not None else Path(state.started.dir if state.started is not None else ".")
    return root / clip.path


def next_step(state: RunState) -> int | None:
    """The step of the next test clip; None when none is to come or it is not known."""
    every = state.config.get("validation_step_interval")
    if is_over(state) or not isinstance(every, int) or every < 1 or makes_none(state):
        return None
    step = (state.step_now // every + 1) * every
    total = state.steps_total
    return step if total is None or step <= total else None


def makes_none(state: RunState) -> bool:
    """Whether this run makes no clips by itself."""
    # Of a run whose settings cannot be read nothing is known.
    return "validation_prompt" in state.config and not asks_for_clips(state.config.get)


def is_finished(state: RunState) -> bool:
    """Whether the run came to its end."""
    return state.ended is not None and state.ended.outcome == "finished"


def live(state: RunState, width: int) -> str:
    """Which clip is the newest and when the next one comes; how many there are in the end."""
    clips = newest_first(state)
    if not clips:
        return ""
    if is_over(state):
        told = fmt.plural(len(clips), "clip")
        return f"{told}, space plays, a/b compares" if width >= 60 else told
    newest = f"step {clip_name(clips[0])} newest" if clips[0].step > 0 else "base only"
    coming = next_step(state)
    return f"{newest}, next at {fmt.count(coming)}" if coming is not None else newest


def body(state: RunState, width: int, height: int, now: float) -> list[Content]:
    """The rows under the title."""
    clips = newest_first(state)
    under_way = _under_way(state, width)
    if not clips:
        return [*under_way, *(wrap((empty(state, now), MUTED), width) if not under_way else [])][:height]
    if is_finished(state):
        return _summary(state, clips, width)[:height]
    room = height - len(under_way)
    shown = clips[:room]
    if len(clips) > room > 1 and clips[-1].step == 0:
        shown = [*clips[: room - 1], clips[-1]]  # what all others are compared with stays in sight
    names = {clip.name for clip in clips}
    rows = [
        clip_row(clip, width, tag=clip.name if len(names) > 1 else "", is_newest=clip is clips[0]) for clip in shown
    ]
    return [*under_way, *rows][:height]


def empty(state: RunState, now: float) -> str:
    """What the place says while there is no clip."""
    if makes_none(state):
        return "No test clips: this run has no test song."
    if is_over(state):
        return "No test clip was made."
    step = next_step(state)
    if step is None:
        return "No test clip yet. n makes one now." if state.phase == "train" else "No test clip yet."
    first = f"First test clip at step {fmt.count(step)}"
    pace_s = state.pace_s
    if state.phase != "train":
        return f"{first}."
    if not pace_s or state.is_measuring or state.paused:
        return f"{first}. n makes one now."
    spent_s = max(now - state.step_t, 0.0) if state.step_t is not None else 0.0
    left_s = max((step - state.step_now) * pace_s - spent_s, 0.0)
    return f"{first}, in about {fmt.duration(left_s)}. n makes one now."


def clip_row(clip: SampleSaved, width: int, *, tag: str = "", is_newest: bool = False, word_width: int = 0) -> Content:
    """One clip: verdict's glyph, step, what it is, loudness, length, verdict's word.

    With a `word_width` the row is one of a summary: its words stand at the left of a column of this width.
    """
    is_summary = word_width > 0
    glyph, word, style = verdict(clip)
    tag_part = fit((tag, f"bold {ACCENT}" if tag.startswith("◆") else MUTED), 8 if is_summary else 12) if tag else None
    head = join((glyph, style), fit((clip_name(clip), BOLD if is_newest else ""), _STEP, align="right"), "  ")
    if tag_part is not None:
        head += tag_part + Content("  ")
    tail = join(
        "    " if is_summary else "  ",
        fit((fmt.song_length(clip.seconds), MUTED), 4, align="right"),
        "  ",
        fit((word, MUTED), word_width or max(_VERDICT, len(word)), align="left" if is_summary else "right"),
    )
    room = width - head.cell_length - tail.cell_length
    if room < _LEAST_SPARK:
        return fit(head + tail.rstrip(), width)
    return head + loudness(clip, room, ACCENT if is_newest else RAW) + tail


def loudness(clip: SampleSaved, width: int, style: str) -> Content:
    """A clip's loudness in one row; blank where an older version did not measure it."""
    drawn = spark(clip.envelope, width, is_ascii=is_ascii()) if clip.envelope else ""
    return fit((drawn, style), width)


def _summary(state: RunState, clips: Sequence[SampleSaved], width: int) -> list[Content]:
    """The three clips that tell a finished run: of the best step, the last one, the one before training."""
    best_step = state.best.step if state.best is not None else None
    best = next((clip for clip in clips if clip.step == best_step), None)
    told: list[tuple[SampleSaved, str]] = [(best, "◆ best")] if best is not None else []
    if clips[0] is not best and clips[0].step > 0:
        told.append((clips[0], "  last"))
    if clips[-1].step == 0:
        told.append((clips[-1], "  before"))
    word_width = max((len(verdict(clip)[1]) for clip, _ in told), default=0)
    return [
        clip_row(clip, width, tag=tag, is_newest=index == 0, word_width=word_width)
        for index, (clip, tag) in enumerate(told)
    ]


def _under_way(state: RunState, width: int) -> list[Content]:
    """The clip that is being made, with its bar."""
    sampling = state.sampling
    if sampling is None or is_over(state) or not sampling.total:
        return []
    head = join(("◐", ACCENT), fit(fmt.count(state.step_now) if state.step_now else "base", _STEP, align="right"), "  ")
    tail = fit((f"  {sampling.done} of {sampling.total}", MUTED), 12)
    room = max(width - head.cell_length - tail.cell_length - 8, _LEAST_SPARK)
    share = sampling.done / sampling.total
    return [fit(join(head, bar(room, share if math.isfinite(share) else None), tail), width)]


class SamplesPanel(Panel):
    """Panel 5."""

    number = "5"
    name = "Samples"

    def live(self, state: RunState, width: int, now: float) -> Part:
        """The newest clip and the next one."""
        del now
        return (live(state, width), MUTED)

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """A row a clip."""
        return body(state, width, height, now)

    def page(self) -> Page | None:
        """The clips in full: A and B beside each other, playing."""
        from acestep_tui.screens.samples_page import SamplesPage

        return SamplesPage()

    def copied(self) -> Copied | None:
        """The path of the newest clip."""
        clips = newest_first(self.state) if self.state is not None else []
        if self.state is None or not clips:
            return None
        return Copied(str(clip_path(self.state, clips[0])), "the path of the newest test clip")
