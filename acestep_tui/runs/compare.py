"""Two or three runs side by side: the settings that differ, and what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from acestep_tui import format as fmt
from acestep_tui.runs.diary import file_size
from acestep_tui.runs.log import Severity
from acestep_tui.runs.state import RunState
from acestep_tui.wizard.fields import label
from acestep_tui.wizard.forms import show
from engine.contract.fields import SETTINGS_BY_KEY

LETTERS = "ABC"
NOT_MEASURED = "not measured yet"

# Where a run lies and how it is started says nothing about how it was trained.
_NOT_TRAINING = frozenset(
    {"output_dir", "cache_dir", "cache_dir_text", "cache_dir_vae", "resume_from_checkpoint", "i_know_what_i_am_doing",
     "disk_low_action", "instance_data_dir"}
)  # fmt: skip
_STEPS = ("max_train_steps", "num_train_epochs")
_SONGS = ("train_batch_size", "gradient_accumulation_steps")
# Shown first, in this order; the others follow as they are declared.
_FIRST = ("lora_rank", "steps", "learning_rate", "songs_per_step")
# Held-out losses are compared only where the same songs were kept aside, with the same noise.
_SAME_HELD_OUT = ("data_backend_config", "validation_split", "seed", "audio_max_duration_seconds")
# Below this share, two held-out losses are as good as equal.
_CLEAR_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Cell:
    """One run's value in a row; `note` stands behind it (``lower``)."""

    text: str
    note: str = ""
    severity: Severity = "plain"


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One line of a table: what it is, and a cell for each run."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side.

    Attributes:
        letters: ``A``, ``B``, ``C``, one for each run in the order given.
        names: Their names.
        settings: Only the settings that differ.
        num_settings: How many were looked at: those that are set in any of them, or differ.
        results: What came out.
        judgement: One sentence with its reason.
        is_clear: Whether the judgement names a better one.
    """

    letters: tuple[str, ...]
    names: tuple[str, ...]
    settings: tuple[ComparedRow, ...]
    num_settings: int
    results: tuple[ComparedRow, ...]
    judgement: str
    is_clear: bool


def compare(states: Sequence[RunState], *, now: float) -> Comparison:
    """Compare runs as they are now.

    Args:
        states: Two or three runs, loaded with their configuration (`RunWatcher.load`).
        now: For the time of those that go on.
    """
    rows, num_settings = _settings(states)
    lowest = _lowest(states)
    judgement, is_clear = _judgement(states, lowest)
    return Comparison(
        letters=tuple(LETTERS[: len(states)]),
        names=tuple(state.name for state in states),
        settings=tuple(rows),
        num_settings=num_settings,
        results=tuple(_results(states, lowest, now=now)),
        judgement=judgement,
        is_clear=is_clear,
    )


def _settings(states: Sequence[RunState]) -> tuple[list[ComparedRow], int]:
    """The differing settings, and how many are set or differ."""
    rows: dict[str, ComparedRow] = {}
    num_looked_at = 0
    merged = {
        "steps": (_STEPS, "Steps", [_steps_text(state) for state in states]),
        "songs_per_step": (_SONGS, "Songs per step", [_songs_text(state.config) for state in states]),
    }
    for name, (keys, words, texts) in merged.items():
        num_looked_at += any(_is_set(states, key) for key in keys) or len(set(texts)) > 1
        if len(set(texts)) > 1:
            rows[name] = ComparedRow(words, tuple(map(Cell, texts)))
    for key, setting in SETTINGS_BY_KEY.items():
        if key in _NOT_TRAINING or key in (*_STEPS, *_SONGS) or setting.section == "Preset":
            continue
        values = [state.config.get(key, setting.default) for state in states]
        differs = any(_plain(value) != _plain(values[0]) for value in values[1:])
        num_looked_at += differs or _is_set(states, key)
        if differs:
            texts = [_text(key, value, state.config) for value, state in zip(values, states, strict=True)]
            rows[key] = ComparedRow(label(setting), tuple(map(Cell, texts)))
    ordered = [*(name for name in _FIRST if name in rows), *(name for name in rows if name not in _FIRST)]
    return [rows[name] for name in ordered], num_looked_at


def _is_set(states: Sequence[RunState], key: str) -> bool:
    """Whether any of the runs gives the setting a value of its own."""
    for state in states:
        origins = state.origins.get("origins")
        if isinstance(origins, dict) and origins.get(key, "default") != "default":
            return True
    return False


def _text(key: str, value: Any, config: Mapping[str, Any]) -> str:
    if key == "data_backend_config" and isinstance(value, list):
        named = [entry for entry in value if isinstance(entry, dict) and entry.get("dataset_type") != "text_embeds"]
        folders = [str(entry.get("instance_data_dir") or entry.get("dataset_name") or "") for entry in named]
        return ", ".join(PurePath(folder).name or folder for folder in folders) or fmt.UNKNOWN
    try:
        return show(SETTINGS_BY_KEY[key], value, config)
    except (TypeError, ValueError, AttributeError, KeyError):
        return str(value)  # a value written by hand that is of no type of the setting's


def _steps_text(state: RunState) -> str:
    planned = state.config.get("max_train_steps")
    total = planned if isinstance(planned, int) and planned > 0 else state.steps_total
    if total is None:
        return fmt.UNKNOWN
    return fmt.count(total) if state.step_now >= total else fmt.part_of(state.step_now, total)


def _songs_text(config: Mapping[str, Any]) -> str:
    batch, accumulation = (config.get(key, SETTINGS_BY_KEY[key].default) for key in _SONGS)
    return f"{batch} × {accumulation}"


def _results(states: Sequence[RunState], lowest: int | None, *, now: float) -> list[ComparedRow]:
    return [
        ComparedRow("Best held-out loss", tuple(_heldout_cell(state, is_lowest=index == lowest)
                                                for index, state in enumerate(states))),
        ComparedRow("Style hit", (Cell(fmt.UNKNOWN),) * len(states)),
        ComparedRow("Closest song", (Cell(fmt.UNKNOWN),) * len(states)),
        ComparedRow("Time", tuple(Cell(fmt.duration(state.ran_s(now))) for state in states)),
        ComparedRow("File", tuple(Cell(file_size(_file_bytes(state))) for state in states)),
    ]  # fmt: skip


def _heldout_cell(state: RunState, *, is_lowest: bool) -> Cell:
    best = state.best
    if best is None:
        return Cell(fmt.UNKNOWN)
    return Cell(fmt.loss(best.loss), "lower", "good") if is_lowest else Cell(fmt.loss(best.loss))


def _file_bytes(state: RunState) -> int | None:
    if state.folder_facts is not None and state.folder_facts.export is not None:
        return state.folder_facts.export.bytes
    return state.exported.bytes if state.exported is not None else None


def _lowest(states: Sequence[RunState]) -> int | None:
    """Which run has the clearly lowest held-out loss; None where they cannot be compared or are as good as equal."""
    losses = [state.best.loss if state.best is not None else math.nan for state in states]
    if len(states) < 2 or not all(map(math.isfinite, losses)) or not _is_same_measure(states):
        return None
    ordered = sorted(losses)
    if ordered[1] - ordered[0] <= _CLEAR_SHARE * abs(ordered[1]):
        return None
    return losses.index(ordered[0])


def _is_same_measure(states: Sequence[RunState]) -> bool:
    """Whether the held-out losses were measured on the same songs with the same noise."""
    for key in _SAME_HELD_OUT:
        values = [_plain(state.config.get(key)) for state in states]
        if any(value != values[0] for value in values[1:]):
            return False
    num_songs = {state.best.num_songs for state in states if state.best is not None}
    return len(num_songs) == 1


def _judgement(states: Sequence[RunState], lowest: int | None) -> tuple[str, bool]:
    rest = f"Style and closeness are {NOT_MEASURED}."
    if lowest is not None:
        word = "lower" if len(states) == 2 else "lowest"
        return f"{LETTERS[lowest]} has the {word} held-out loss. {rest}", True
    if any(state.best is None for state in states):
        return f"No judgement: not every run has a held-out loss. {rest}", False
    if not _is_same_measure(states):
        return f"No judgement: the held-out losses were measured on different songs. {rest}", False
    return f"No clear difference in the held-out loss. {rest}", False


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
