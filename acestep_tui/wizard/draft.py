"""A run that is being set up: its values in layers, each knowing where it came from. No screen, no disk.

Layers, a later one over an earlier: default, recommended (for this computer and these songs), goal, preset (a file that
was opened), yours. Emptying a field takes yours away, and what lay beneath comes back.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from acestep_tui.paths import absolute
from engine.contract.fields import SETTINGS, SETTINGS_BY_KEY
from engine.contract.fields_base import WizardStep
from engine.planning.advice import Advice

Origin = Literal["default", "recommended", "goal", "preset", "yours"]
LAYERS: tuple[Origin, ...] = ("recommended", "goal", "preset", "yours")
UNNAMED = "new run"
_MAX_SLUG_LENGTH = 40
# Ways to name the songs: one replaces the other.
SOURCE_KEYS = ("instance_data_dir", "data_backend_config")


@dataclass(frozen=True, slots=True)
class Marks:
    """What was said about the songs of one folder, by relative path."""

    left_out: tuple[str, ...] = ()
    no_voice: tuple[str, ...] = ()


@dataclass
class Draft:
    """A run under way to its start.

    Attributes:
        name: The run's name; empty until one is known.
        is_named: The user gave the name, so a new folder does not change it.
        step: The page reached.
        visited: Pages seen, in order.
        device: Identifier of what trains (``cuda:0``, ``mps``, ``cpu``); empty = the best one.
        source: The songs as typed.
        hub_folder: Where models are kept, as typed; empty = where the hub client keeps them by itself.
        layers: Values with their reasons by layer.
        marks: Songs left out and songs without voice, by source: another folder does not lose them.
        following: Keys in your layer that only follow from another one of yours.
    """

    name: str = ""
    is_named: bool = False
    step: WizardStep = "hardware"
    visited: list[WizardStep] = field(default_factory=lambda: ["hardware"])
    device: str = ""
    source: str = ""
    hub_folder: str = ""
    layers: dict[Origin, dict[str, Advice]] = field(default_factory=lambda: {layer: {} for layer in LAYERS})
    marks: dict[str, Marks] = field(default_factory=dict)
    following: set[str] = field(default_factory=set)

    # -- reading --

    @property
    def shown_name(self) -> str:
        """The name, or "new run"."""
        return self.name or UNNAMED

    @property
    def has_choices(self) -> bool:
        """Whether anything in it is yours (or of a file you opened).

        What is recommended comes back by itself, as do the device and the usual goal, settled without being asked.
        """
        told = (self.is_named, self.source, self.hub_folder, self.marks)
        return any(told) or any(self.layers[layer] for layer in ("preset", "yours"))

    def value(self, key: str) -> Any:
        """The value that counts."""
        for layer in reversed(LAYERS):
            if key in self.layers[layer]:
                return self.layers[layer][key].value
        return SETTINGS_BY_KEY[key].default

    def origin(self, key: str) -> Origin:
        """Where the value that counts came from."""
        return next((layer for layer in reversed(LAYERS) if key in self.layers[layer]), "default")

    def recommended(self, key: str) -> Any:
        """What stands there when nothing of yours does: of the goal, the recommendation, or the default."""
        for layer in ("goal", "recommended"):
            if key in self.layers[layer]:
                return self.layers[layer][key].value
        return SETTINGS_BY_KEY[key].default

    def is_yours(self, key: str) -> bool:
        """Whether you (or the file you opened) chose another value than the recommended one."""
        if key in self.following or self.origin(key) not in ("preset", "yours"):
            return False
        return bool(self.value(key) != self.recommended(key))

    def reason(self, key: str) -> str:
        """Why the value that counts is proposed; empty for one of yours and for a bare default."""
        if self.is_yours(key):
            return ""
        for layer in ("goal", "recommended"):
            if key in self.layers[layer]:
                return self.layers[layer][key].reason
        return ""

    def values(self) -> dict[str, Any]:
        """Every setting's value, as a configuration holds them: songs in the one key that names them."""
        return {setting.key: self.value(setting.key) for setting in SETTINGS}

    @property
    def cache_dir(self) -> Path | None:
        """The hub client's cache, where it is not its usual one: in the folder typed for it."""
        if not self.hub_folder:
            return None
        folder = absolute(self.hub_folder)
        return folder if folder.name == "hub" else folder / "hub"

    @property
    def left_out(self) -> frozenset[str]:
        """Relative paths of the songs left out."""
        return frozenset(self.value("exclude_files") or ())

    @property
    def no_voice(self) -> frozenset[str]:
        """Relative paths of the songs marked as without voice."""
        return frozenset(self.value("instrumental_files") or ())

    # -- changing --

    def set(self, key: str, value: Any, *, layer: Origin = "yours", reason: str = "") -> None:
        """Choose a value; others that hang on it follow, where they are not yours.

        Raises:
            KeyError: No such setting.
        """
        SETTINGS_BY_KEY[key]
        if key == "audio_max_duration_seconds" and value is not None and value >= 240:
            value = None  # the model's own limit
        self.layers[layer][key] = Advice(value, reason)
        if layer != "yours":
            return
        self.following.discard(key)
        for other, follows in _followers(key, value):
            is_chosen = other in self.layers["yours"] and other not in self.following
            if not is_chosen or other in _REPLACED.get(key, ()):
                self.layers["yours"][other] = Advice(follows, "")
                self.following.add(other)

    def unset(self, key: str) -> None:
        """Take your value (or the opened file's) away, and what followed from it: the recommendation comes back."""
        held = self.layers["yours"].pop(key, None)
        self.layers["preset"].pop(key, None)
        self.following.discard(key)
        for other, _ in _followers(key, held.value) if held is not None else ():
            if other in self.following:
                self.following.discard(other)
                self.layers["yours"].pop(other, None)

    def visit(self, step: WizardStep) -> None:
        """Go to a page."""
        self.step = step
        if step not in self.visited:
            self.visited.append(step)

    def recommend(self, advice: Mapping[str, Advice]) -> None:
        """Take recommendations over those of before; what is yours stays over them."""
        self.layers["recommended"].update(advice)

    def apply_goal(self, goal_id: str, advice: Mapping[str, Advice]) -> int:
        """Choose a goal with its values; returns how many of yours are kept in spite of it."""
        self.layers["goal"] = dict(advice)
        self.layers["yours"]["goal"] = Advice(goal_id, "")
        return sum(self.is_yours(key) for key in advice)

    def name_it(self, name: str) -> None:
        """Give the run a name of your own; an empty one brings the proposed one back."""
        self.name, self.is_named = name.strip(), bool(name.strip())

    def set_source(self, text: str, key: str, value: Any, *, album: str = "") -> None:
        """Choose other songs; what was said about those of before is kept for when they come back.

        Args:
            text: As typed.
            key: ``instance_data_dir`` or ``data_backend_config``.
            value: Its value, with absolute paths.
            album: The name proposed for the run.
        """
        if self.source and self.source != text:
            self.marks[self.source] = Marks(tuple(sorted(self.left_out)), tuple(sorted(self.no_voice)))
            known = self.marks.get(text, Marks())
            self._set_marks(known)
        for other in SOURCE_KEYS:
            for layer in LAYERS:
                self.layers[layer].pop(other, None)
        self.source = text
        self.layers["yours"][key] = Advice(value, "")
        if not self.is_named:
            self.name = slug(album)

    def toggle_left_out(self, relative_path: str) -> bool:
        """Leave a song out, or take it back; returns whether it is out now."""
        return self._toggle("exclude_files", relative_path)

    def toggle_no_voice(self, relative_path: str) -> bool:
        """Mark a song as without voice, or not; returns whether it is marked now."""
        return self._toggle("instrumental_files", relative_path)

    def propose_output_dir(self, runs_folder: Path, moment: str) -> None:
        """Propose a run folder that does not exist yet.

        Args:
            runs_folder: Where runs are kept.
            moment: Date and time as they stand in its name: ``2026-11-22_1349``.
        """
        base = runs_folder / f"{moment}_{slug(self.name) or 'run'}"
        folder, number = base, 2
        while folder.exists():
            folder, number = base.with_name(f"{base.name}-{number}"), number + 1
        self.layers["recommended"]["output_dir"] = Advice(str(folder), "A new folder; everything of the run is in it.")

    def _toggle(self, key: str, relative_path: str) -> bool:
        there = set(self.value(key) or ())
        there ^= {relative_path}
        self.layers["yours"][key] = Advice(tuple(sorted(there)), "")
        return relative_path in there

    def _set_marks(self, marks: Marks) -> None:
        for key, paths in (("exclude_files", marks.left_out), ("instrumental_files", marks.no_voice)):
            for layer in LAYERS:
                self.layers[layer].pop(key, None)
            if paths:
                self.layers["yours"][key] = Advice(paths, "")


# Keys that another one replaces even where they are yours: the last one typed counts.
_REPLACED = {
    "max_train_steps": ("num_train_epochs",),
    "num_train_epochs": ("max_train_steps",),
}


def _followers(key: str, value: Any) -> Sequence[tuple[str, Any]]:
    """What follows from a value: other keys with theirs."""
    if key == "audio_max_duration_seconds":
        return (("long_clip", None if value is None else "pieces"),)
    if key == "validation_step_interval" and value:
        return (("checkpointing_steps", value),)
    if key == "max_train_steps" and value:
        return (("num_train_epochs", 0),)
    if key == "num_train_epochs" and value:
        return (("max_train_steps", 0),)
    return ()


def slug(text: str) -> str:
    """A name for a folder or a command line out of any text: ``Night Ferry (live)`` becomes ``night-ferry-live``."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = re.sub(r"[^\w]+", "-", plain).strip("-_")
    return words[:_MAX_SLUG_LENGTH].rstrip("-_")
