"""The words of the review: a row for each page, what to know before, what to change when it does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.paths import shown
from acestep_tui.widgets.paint import ERROR, MUTED, WARNING, Part, join, text, wrap
from acestep_tui.wizard import forms
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.features_field import with_features
from acestep_tui.wizard.fields import STEP_IDS, label
from acestep_tui.wizard.look import WizardFacts
from acestep_tui.wizard.planning import clips_per_step
from acestep_tui.wizard.setting_field import DraftValues
from engine.contract.feature_models import LICENCE_SENTENCE
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.fields_base import WizardStep
from engine.contract.model_files import DEMO_MODEL, RELEASED_MODEL
from engine.contract.prompt_library import asks_for_clips
from engine.planning.sizes import published_sizes

_MOST_NOTES = 4
_SHORT_PIECE_S = 60.0
_GOAL_WORDS = {
    "voice": "for a voice", "style": "for a style", "instrumental": "without voice", "language": "for a language",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the review. ``step``: the page that Enter goes to; None = it is changed here."""

    name: str
    label: str
    value: str
    detail: str = ""
    step: WizardStep | None = None


def review_rows(draft: Draft, facts: WizardFacts) -> list[Row]:
    """Everything chosen, a row a page."""
    return [
        Row("name", "Name", draft.name or fmt.UNKNOWN, _folder_words(draft)),
        Row("hardware", "Hardware", _device_name(facts), _hardware_words(draft), "hardware"),
        Row("model", "Model", model_name(draft), model_words(facts), "model"),
        Row("dataset", "Songs", *_song_words(facts), step="dataset"),
        Row("method", "Method", *_method_words(draft), step="method"),
        Row("schedule", "Schedule", *_schedule_words(draft, facts), step="schedule"),
    ]


def _show(draft: Draft, key: str) -> str:
    return forms.show(SETTINGS_BY_KEY[key], draft.value(key), DraftValues(draft))


def _folder_words(draft: Draft) -> str:
    folder = Path(str(draft.value("output_dir")))
    if draft.is_yours("output_dir"):
        return f"in {shown(folder)}"
    if not draft.name or draft.origin("output_dir") == "default":
        return "↵ gives it one"
    return f"becomes the folder {folder.parent.name}/…_{folder.name.partition('_')[2].partition('_')[2] or folder.name}"


def _device_name(facts: WizardFacts) -> str:
    return facts.device.name if facts.device is not None else fmt.UNKNOWN


def _hardware_words(draft: Draft) -> str:
    parts = [_show(draft, "base_model_precision")]
    if draft.value("gradient_checkpointing"):
        parts.append(_show(draft, "gradient_checkpointing"))
    if draft.value("compile") == "on":
        parts.append("compiled")
    return ", ".join(parts)


def model_name(draft: Draft) -> str:
    """The model as people call it."""
    name = str(draft.value("pretrained_model_name_or_path"))
    if name == RELEASED_MODEL:
        return published_sizes().name
    if name == DEMO_MODEL:
        return "the demo's own"
    return name.rstrip("/").rpartition("/")[2] or name


def model_words(facts: WizardFacts) -> str:
    """Whether the model is here."""
    model = facts.model
    if model is None:
        return "not looked at yet"
    if model.problem:
        return model.problem
    if model.is_whole:
        return "complete on this computer"
    if model.is_ready:
        return "made when it is needed"
    missing = fmt.size(model.missing_bytes) if model.missing_bytes is not None else "size not known"
    return f"downloading, {missing} left" if facts.is_downloading else f"not here yet: {missing} to download"


def _song_words(facts: WizardFacts) -> tuple[str, str]:
    songs = facts.songs
    if songs is None:
        return fmt.UNKNOWN, "being looked at" if facts.is_scanning else "none chosen yet"
    parts = [fmt.duration(songs.total_s)]
    if songs.num_left_out:
        parts.append(f"{fmt.count(songs.num_left_out)} left out")
    if songs.without_lyrics:
        parts.append(f"{fmt.count(len(songs.without_lyrics))} without lyrics")
    return fmt.part_of(songs.num_usable, songs.num_files), ", ".join(parts)


def _method_words(draft: Draft) -> tuple[str, str]:
    goal = _GOAL_WORDS.get(draft.value("goal"), "")
    if draft.value("model_type") == "full":
        return "whole model", ", ".join(part for part in (goal, "every part of it learns") if part)
    return f"LoRA {goal}".strip(), f"rank {_show(draft, 'lora_rank')}, {_show(draft, 'acestep_lora_target')}"


def _schedule_words(draft: Draft, facts: WizardFacts) -> tuple[str, str]:
    passes = draft.value("num_train_epochs")
    if passes:
        length = fmt.plural(passes, "pass", "passes")
    else:
        length = fmt.plural(facts.plan.num_steps if facts.plan else draft.value("max_train_steps"), "step")
    parts = [f"{fmt.plural(clips_per_step(draft), 'song')} a step"]
    clips, saves = draft.value("validation_step_interval"), draft.value("checkpointing_steps")
    has_clips = bool(clips and asks_for_clips(draft.value))
    if has_clips and saves == clips:
        parts.append(f"test clip and save every {clips:,}")
    else:
        parts += [f"test clip every {clips:,}"] if has_clips else ["no test clips"]
        parts += [f"save every {saves:,}"] if saves else []
    return length, ", ".join(parts)


def notes(draft: Draft, facts: WizardFacts, failure: tuple[str, str] | None, width: int) -> list[Content]:
    """What one should know before, the worst first."""
    found: list[Content] = []
    if failure is not None:
        message, hint = failure
        found.append(join(("✗ ", ERROR), (message.replace("\n", " "), ERROR), f". {hint}" if hint else ""))
    for said in _warnings(draft, facts):
        found.append(join(("▲ ", WARNING), said))
    lines: list[Content] = []
    for note in found[:_MOST_NOTES]:
        lines += wrap(note, width, indent=2)
    if len(found) > _MOST_NOTES:
        lines.append(text(f"  and {len(found) - _MOST_NOTES} more: step 3 shows them", MUTED))
    return lines


def _warnings(draft: Draft, facts: WizardFacts) -> Sequence[Part]:
    said: list[Part] = []
    songs = facts.songs
    if songs is not None and songs.num_usable:
        silent = [_stem(name) for name in songs.without_lyrics]
        if len(silent) == songs.num_usable and draft.value("goal") != "instrumental":
            said.append("No song has lyrics. If this is instrumental music, choose that goal in step 4.")
        elif silent and draft.value("goal") != "instrumental":
            verb = "trains as an instrumental" if len(silent) == 1 else "train as instrumentals"
            said.append(f"{_listed(silent)} {verb} (no lyrics).")
        said += [f"{name} is left out: {reason}." for name, reason in songs.unusable]
    if facts.is_downloading:
        said.append("The model is still on its way; Start waits for it.")
    if with_features(draft, facts):
        said.append(f"{LICENCE_SENTENCE}: the LoRA learns from what they hear.")
    if facts.plan is not None and facts.plan.verdict == "tight":
        said.append("It just fits: close what else uses this card and this disk.")
    if (
        facts.device is not None
        and facts.device.kind == "cpu"
        and draft.value("pretrained_model_name_or_path") != DEMO_MODEL
        and facts.recommendation is not None
    ):
        said.append(facts.recommendation.sentence)
    return said


def _stem(name: str) -> str:
    base = name.rpartition("/")[2]
    return base.rpartition(".")[0] or base


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    if len(names) <= 3:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"


def too_big_words(draft: Draft, facts: WizardFacts) -> tuple[str, str] | None:
    """The page and the first field to change when the plan does not fit; None when it does."""
    plan = facts.plan
    if plan is None or plan.verdict != "too big":
        return None
    if plan.memory.verdict != "too big":
        over = fmt.size(plan.disk.over)
        return "schedule", f"Too big for this disk by {over}: free some, or keep fewer save points."
    key = _first_to_change(draft)
    step = SETTINGS_BY_KEY[key].wizard_step
    number = STEP_IDS.index(step) + 1
    return step, f"Too big by {fmt.size(plan.memory.over)}. Change {label(SETTINGS_BY_KEY[key])} first (step {number})."


def _first_to_change(draft: Draft) -> str:
    """What costs most memory for what it gives."""
    if draft.value("train_batch_size") > 1:
        return "train_batch_size"
    if not draft.value("gradient_checkpointing"):
        return "gradient_checkpointing"
    if draft.value("model_type") == "full":
        return "model_type"
    piece = draft.value("audio_max_duration_seconds")
    if piece is None or piece > _SHORT_PIECE_S:
        return "audio_max_duration_seconds"
    if draft.is_yours("lora_rank"):
        return "lora_rank"
    return "base_model_precision"
