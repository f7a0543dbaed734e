"""Page 5, Schedule: how long, how large the steps are (with the curve), and what will be heard on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.content import Content
from textual.widget import Widget

from acestep_tui import format as fmt
from acestep_tui.widgets.chart import Curve, chart_lines, draw_chart
from acestep_tui.widgets.field_lines import Frame
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ERROR, MUTED, WARNING, Part, is_ascii, join, text
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.look import WizardFacts
from acestep_tui.wizard.planning import clips_per_step, num_clips
from acestep_tui.wizard.schedule_advice import RARELY, TOO_OFTEN, heard, suited_steps
from acestep_tui.wizard.setting_field import DraftValues, SettingField
from acestep_tui.wizard.special_fields import SongsPerStepField, StepsField
from acestep_tui.wizard.steps.base import Fact, Section, Step
from engine.contract.fields_base import WizardStep
from engine.contract.prompt_library import asks_for_clips
from engine.planning.plan_view import PlanView, Total
from engine.planning.schedule_curve import lr_points, peak_learning_rate

_NO_LENGTH = "at least 1"
_EVERY = Frame(run_width=12)
_POINTS = 240


class ScheduleStep(Step):
    """The page."""

    key: ClassVar[WizardStep] = "schedule"

    def compose_step(self) -> Iterable[Widget]:
        """Length, size of the steps, the curve; then what is heard and kept."""
        yield StepsField(self.draft, reason=lambda: steps_reason(self.draft, self.facts))
        yield SongsPerStepField(self.draft, reason=lambda: songs_reason(self.draft))
        yield SettingField("learning_rate", self.draft, reason=lambda: rate_reason(self.draft))
        yield RateCurve(self)
        yield Section("Test clips and save points", id="clips")
        yield SettingField("validation_prompt", self.draft, reason=lambda: test_song_reason(self.draft, self.facts))
        yield SettingField(
            "validation_step_interval", self.draft, frame=_EVERY, reason=lambda: text(kept_words(self.draft), MUTED)
        )

    def facts_changed(self, fact: Fact) -> None:
        """Another length, another curve."""
        if not self.is_mounted:
            return
        every = self.query_one("#field-validation_step_interval", SettingField)
        every.after = every_words(self.draft, self.facts.plan)
        super().facts_changed(fact)
        self.query_one(RateCurve).redraw()

    def problems(self) -> list[str]:
        """What is wrong with what was typed, or was in the file that was opened."""
        said = super().problems()
        return [f"Steps: {_NO_LENGTH}.", *said] if has_no_length(self.draft) and not said else said

    def on_enter(self) -> None:
        """Draw what was learned meanwhile."""
        self.facts_changed("plan")


class RateCurve(Lines):
    """The learning rate of every step."""

    DEFAULT_CSS = """
    RateCurve { height: 3; margin: 0 0 0 12; }
    """

    def __init__(self, step: ScheduleStep) -> None:
        super().__init__()
        self._step = step

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The curve, with the first and the last step under it."""
        return curve_lines(self._step.draft, self._step.facts, width, height)


def num_steps(draft: Draft, facts: WizardFacts) -> int:
    """Steps of the run; 0 where they are given in passes and the songs are not known."""
    return facts.plan.num_steps if facts.plan is not None else int(draft.value("max_train_steps"))


def has_no_length(draft: Draft) -> bool:
    """Whether neither steps nor passes are given, as a file can have it."""
    return not draft.value("max_train_steps") and not draft.value("num_train_epochs")


def curve_lines(draft: Draft, facts: WizardFacts, width: int, height: int) -> list[Content]:
    """The learning rate over the run."""
    last = num_steps(draft, facts)
    if not last:
        waits_for = "the songs are known" if draft.value("num_train_epochs") else "there are steps"
        note = text(f"The curve is drawn when {waits_for}.", MUTED)
        return [note.pad_left(6), *[text("")] * (height - 1)]
    values = DraftValues(draft)
    xs, ys = lr_points(values, last, _POINTS)
    rows = draw_chart(
        [Curve(xs, ys)],
        width=width,
        height=height,
        x_range=(0, last),
        y_range=(0.0, peak_learning_rate(values) or 1.0),
        num_grid_lines=2,
        max_x_intervals=2,
        is_ascii=is_ascii(),
    )
    return chart_lines(rows)


def steps_reason(draft: Draft, facts: WizardFacts) -> Part:
    """How often each song is heard, and how many steps suit so many songs."""
    if has_no_length(draft):
        return text(f"✗ {_NO_LENGTH}", ERROR)
    clips = num_clips(facts)
    times = heard(num_steps(draft, facts), clips, clips_per_step(draft))
    if times is None:
        return text("How often each song is heard is known after step 3.", MUTED)
    said = f"Each song is heard {fmt.plural(times, 'time')}."
    if times < RARELY:
        return _warned(f"{said} It will hardly be learned.")
    if times > TOO_OFTEN:
        return _warned(f"{said} It may be learned by heart.")
    if draft.value("num_train_epochs"):
        said = f"That is {fmt.plural(num_steps(draft, facts), 'step')}."
    _, least, most = suited_steps(clips, clips_per_step(draft))
    return text(f"{said} {least:,}–{most:,} suits {fmt.plural(clips, 'song')}.", MUTED)


def songs_reason(draft: Draft) -> Part:
    """What the two numbers mean."""
    at_once, gathered = draft.value("train_batch_size"), draft.value("gradient_accumulation_steps")
    each = at_once * gathered
    hint = "1 × 4: steadier, slower." if gathered == 1 else "1 × 1: quicker, rougher."
    return text(f"{at_once} at once, {each} before each change. {hint}", MUTED)


def rate_reason(draft: Draft) -> Part:
    """What the learning rate is, and how it goes."""
    warmup = draft.value("lr_warmup_steps")
    rises = f"rises {fmt.plural(warmup, 'step')}, then " if warmup else ""
    then = {
        "constant": "stays", "constant_with_warmup": "stays", "cosine": "falls", "linear": "falls",
        "polynomial": "falls", "cosine_with_restarts": "falls again and again", "sine": "swings",
    }.get(draft.value("lr_scheduler"), "changes")  # fmt: skip
    return text(f"How big each change is: {rises}{then}.", MUTED)


def test_song_reason(draft: Draft, facts: WizardFacts) -> Part:
    """What the test song sings, how long it is; of a prompt of yours as well."""
    if not asks_for_clips(draft.value):
        return text("Without a prompt no test clips are made.", MUTED)
    length = fmt.duration(draft.value("validation_audio_duration"))
    if draft.value("validation_prompt") is None:
        return text(f"Only the prompts of your library: {length}, same seed.", MUTED)
    lyrics = draft.value("validation_lyrics")
    if draft.is_yours("validation_prompt") or draft.is_yours("validation_lyrics") or facts.example is None:
        sung = "Sung with your lyrics" if lyrics else "Without words"
        return text(f"{sung}: {length}, same seed.", MUTED)
    if not lyrics and draft.value("goal") == "instrumental":
        return text(f"Without words: {length}, same seed.", MUTED)
    if not lyrics:
        return text(f"Without words, since no song has lyrics: {length}, same seed.", MUTED)
    room = 55 - len(f"Sung with verse 1 of : {length}, same seed.")
    song = facts.example.song if len(facts.example.song) <= room else f"{facts.example.song[: room - 1]}…"
    return text(f"Sung with verse 1 of {song}: {length}, same seed.", MUTED)


def every_words(draft: Draft, plan: PlanView | None) -> Part:
    """``steps: a clip (45 s), a save point (0.4 GB)``."""
    parts = []
    interval, saves = draft.value("validation_step_interval"), draft.value("checkpointing_steps")
    if interval and asks_for_clips(draft.value):
        clip_s = _each(plan.seconds, "clips") if plan is not None else None
        parts.append(f"a clip ({fmt.duration(clip_s)})" if clip_s else "a clip")
    if saves == interval and saves:
        num_bytes = _each(plan.disk, "checkpoints") if plan is not None else None
        parts.append(f"a save point ({fmt.size(num_bytes)})" if num_bytes else "a save point")
    elif saves:
        parts.append(f"save points every {saves:,}")
    return join((f"steps: {', '.join(parts) or 'nothing'}", ""))


def kept_words(draft: Draft) -> str:
    """Which save points stay."""
    limit = draft.value("checkpoints_total_limit")
    if not draft.value("checkpointing_steps"):
        return "Only the end of the run is saved."
    if not limit:
        return "All save points are kept."
    newest = "The newest" if limit == 1 else f"The {limit:,} newest"
    return f"{newest} and the best save point are kept."


def _each(total: Total, kind: str) -> float | None:
    part = next((one for one in total.parts if one.kind == kind), None)
    return part.amount / part.count if part is not None and part.count else None


def _warned(said: str) -> Content:
    return join(("▲ ", WARNING), (said, WARNING))
