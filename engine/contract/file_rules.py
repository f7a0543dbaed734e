"""Rules about what a configuration names outside itself: a LoRA to start from, programs, prompts, trackers.

Looked at before anything is prepared or loaded, so that a wrong path costs a second and not an hour.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.byte_size import parse_size
from engine.contract.errors import ModelError
from engine.contract.lora_header import LoraHeader, find_lora, read_lora_header
from engine.contract.paths import expanded
from engine.contract.run_dir import ADAPTER_FILE, RunDir
from engine.contract.trackers import TRACKERS, is_installed, known_trackers

if TYPE_CHECKING:
    from engine.contract.rules import Draft

STEP_OF_FILE = "file"
"""``init_lora_step`` that stands for what the LoRA's file says."""

_LORA_FORMS = "a .safetensors file, a folder that holds one, or the id of a hub repository fetched before"
_PROGRAM_FORMS = "a program that may be run (chmod +x)"


def apply_file_rules(draft: Draft, *, cwd: Path) -> None:
    """Apply every rule of this module."""
    _init_lora(draft, cwd=cwd)
    _low_disk(draft, cwd=cwd)
    _program(draft, "post_checkpoint_script", cwd=cwd)
    _prompts(draft, cwd=cwd)
    _trackers(draft)


def _init_lora(draft: Draft, *, cwd: Path) -> None:
    """The file is there and is a LoRA; its rank counts, unless a checkpoint is there to go on from."""
    values = draft.values
    if values["init_lora"] is None:
        for key in ("init_lora_step", "init_lora_ema"):
            if values[key] is not None:
                draft.error(key, "init_lora is not set", "null (leave it out), or set init_lora as well")
        return
    if values["model_type"] == "full":
        return  # without effect, which is said elsewhere
    resumed = _resumed_adapter(values, cwd=cwd)
    try:
        header = read_lora_header(resumed or find_lora(values["init_lora"], cwd=cwd))
    except ModelError as error:
        if resumed is None:
            draft.error("init_lora", error.message, _LORA_FORMS)
        return  # a damaged checkpoint: the start itself says so
    if header.rank != values["lora_rank"]:
        if resumed is None:
            message = f"the rank {header.rank} of {header.path} is used instead of lora_rank {values['lora_rank']}"
            draft.notice("init_lora_rank", "init_lora", message)
        values["lora_rank"] = header.rank
    _first_step(draft, None if resumed else header)
    if values["init_lora_ema"] is not None and resumed is None:
        _average(draft, cwd=cwd)


def _resumed_adapter(values: dict[str, Any], *, cwd: Path) -> Path | None:
    """The adapter of the checkpoint that a start will go on from; None = it starts fresh."""
    wanted = values["resume_from_checkpoint"]
    run = RunDir(cwd / expanded(values["output_dir"]))
    if not wanted:
        return None
    if wanted == "latest":
        whole = run.whole_checkpoints()
        return whole[-1] / ADAPTER_FILE if whole else None
    places = (cwd / expanded(wanted), run.path / Path(wanted).name)
    return next((place / ADAPTER_FILE for place in places if place.is_dir()), None)


def _first_step(draft: Draft, header: LoraHeader | None) -> None:
    """A word instead of a number is filled in from the file; the run must end after it."""
    values = draft.values
    step, key = values["init_lora_step"], "init_lora_step"
    if step is None or header is None:
        return
    if values["resume_from_checkpoint"] not in ("", "latest"):
        draft.error(key, "resume_from_checkpoint names a checkpoint, which has a step of its own", "one of the two")
        return
    if step == STEP_OF_FILE:
        if header.step is None:
            draft.error(key, f"{header.path} does not say its step", "a whole number")
            return
        step = values[key] = header.step
    if values["max_train_steps"] and step >= values["max_train_steps"]:
        draft.error(key, f"the run ends at step {values['max_train_steps']:,} (max_train_steps)", "a smaller number")


def _average(draft: Draft, *, cwd: Path) -> None:
    values = draft.values
    if not values["use_ema"]:
        draft.error("init_lora_ema", "use_ema is not set", "null (leave it out), or set use_ema as well")
        return
    try:
        read_lora_header(find_lora(values["init_lora_ema"], cwd=cwd))
    except ModelError as error:
        draft.error("init_lora_ema", error.message, _LORA_FORMS)


def _low_disk(draft: Draft, *, cwd: Path) -> None:
    values = draft.values
    threshold = values["disk_low_threshold"]
    if threshold is not None:
        try:
            parse_size(threshold)
        except ValueError as error:
            draft.error("disk_low_threshold", str(error), "a number with K, M, G or T, such as 5G or 500MB")
    elif "disk_low_action" in draft.written and values["disk_low_action"] != "stop":
        draft.notice("no_effect", "disk_low_action", "disk_low_action has no effect without disk_low_threshold")
    if values["disk_low_action"] == "script" and values["disk_low_script"] is None:
        draft.error("disk_low_action", "script needs disk_low_script", "stop, wait, or set disk_low_script as well")
    _program(draft, "disk_low_script", cwd=cwd)


def _program(draft: Draft, key: str, *, cwd: Path) -> None:
    wanted = draft.values[key]
    if wanted is None:
        return
    path = cwd / expanded(wanted)
    if not path.is_file():
        draft.error(key, f"no such file: {path}", _PROGRAM_FORMS)
    elif not os.access(path, os.X_OK):
        draft.error(key, f"may not be run: {path}", _PROGRAM_FORMS)


def _prompts(draft: Draft, *, cwd: Path) -> None:
    values = draft.values
    wanted = values["user_prompt_library"]
    if wanted is not None:
        # Imported here: it needs the configuration, which needs these rules.
        from engine.contract.prompt_library import LIBRARY_FORMS, read_library

        try:
            read_library(cwd / expanded(wanted))
        except ValueError as error:
            draft.error("user_prompt_library", str(error), LIBRARY_FORMS)
    has_prompts = values["validation_prompt"] is not None or values["validation_prompt_library"] or wanted
    if not has_prompts and not values["validation_disable"]:
        draft.notice("no_clips", "validation_prompt", "validation_prompt is not set, so no test clips are made")


def _trackers(draft: Draft) -> None:
    """Names become those of ours; what is not here is said and left out: a tracker never stops a run."""
    values = draft.values
    names, others = known_trackers(values["report_to"])
    missing = [name for name in names if not is_installed(name)]
    if others:
        known = ", ".join(TRACKERS)
        message = f"report_to: {', '.join(others)} is not available here (there is {known}); the run goes on without"
        draft.notice("unknown_tracker", "report_to", message)
    for name in missing:
        message = (
            f"report_to: {name} is not installed; the run goes on without. Install: pip install acestep-tui[{name}]"
        )
        draft.notice("tracker_missing", "report_to", message)
    values["report_to"] = ",".join(name for name in names if name not in missing) or "none"
