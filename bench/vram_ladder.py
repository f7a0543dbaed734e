"""What a run does when memory runs out in each of its phases, under a real cap of torch's allocator.

An undisturbed run tells how much each phase takes beyond what is held when it begins. Each other run is the same, but
in one phase it is given only a share of that. What it then says and which losses follow are set beside the undisturbed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.checkpoint import write_transformer
from bench.vram_rows import CPU_SETTINGS, USUAL
from bench.vram_songs import caption, lyrics_of, write_songs
from bench.vram_worker import Work, run_apart
from engine.contract.model_files import SUB_FOLDERS, TRANSFORMER_FOLDER

NUM_LAYERS = 4
"""Blocks of the model: width and codec are the released ones, so that memory is taken as in a real run, in seconds."""

SONG_S, NUM_SONGS = 20.0, 4
"""One step's songs: what each run takes beside its phases' memory is time."""

PATIENCE_S = 75.0
"""A run that takes longer hangs."""

# Phase, and the share of what it takes that it is given. The lower the share, the more rungs it takes. In the order in
# which they are run: each phase once, then the further rungs of a step. ("compile" comes in the first step; a fault of
# its own belongs here once a run that is compiled takes seconds.)
FAULTS: tuple[tuple[str, float], ...] = (
    ("train", 0.4),
    ("cache", 0.6),
    ("load", 0.6),
    ("validate", 0.4),
    ("save", 0.0),
    ("finish", 0.5),
    ("train", 0.15),
    ("train", 0.7),
)


class Ladder:
    """Runs the faults on a shallow copy of a checkpoint.

    Args:
        checkpoint: Of `bench.checkpoint`, or the tiny one.
        work: Folder for songs, caches, runs and the shallow checkpoint.
        is_tiny: Use the checkpoint as it is, with short songs.
        on_card: Whether there is a card whose allocator can be capped.
    """

    def __init__(self, checkpoint: Path, work: Path, *, is_tiny: bool = False, on_card: bool = True) -> None:
        self.work, self.is_tiny, self.on_card = work, is_tiny, on_card
        self.checkpoint = checkpoint if is_tiny else work / "shallow"
        self._whole = checkpoint

    def write_shallow(self) -> None:
        """The checkpoint with fewer blocks; its other parts are links. Touches the card."""
        if self.is_tiny or self.checkpoint.is_dir():
            return
        self.checkpoint.mkdir(parents=True)
        for name in SUB_FOLDERS:
            if name != TRANSFORMER_FOLDER:
                (self.checkpoint / name).symlink_to((self._whole / name).resolve(), target_is_directory=True)
        write_transformer(self.checkpoint / TRANSFORMER_FOLDER, num_layers=NUM_LAYERS)

    def baseline(self) -> dict[str, Any]:
        """The undisturbed run."""
        return {"fault": None, **run_apart(self._work("undisturbed"), patience_s=PATIENCE_S)}

    def disturbed(self, phase: str, share: float, baseline: Mapping[str, Any]) -> dict[str, Any]:
        """The run with a cap in one phase, and how its losses differ."""
        peaks = baseline["phases"].get(phase)
        if self.on_card and peaks is None:
            return {"fault": [phase, share], "skipped": "the undisturbed run had no such phase"}
        room = 0.0 if peaks is None else share * (peaks["peak_bytes"] - peaks["start_bytes"])
        work = self._work(f"{phase}-{round(100 * share)}", own_cache=phase == "cache")
        capped = replace(work, phase_rooms={phase: room} if self.on_card else {})
        result = run_apart(capped, patience_s=PATIENCE_S)
        return {
            "fault": [phase, share],
            "room_bytes": round(room),
            "steps_down": [event for event in result["events"] if event["kind"] == "memory_stepped_down"],
            "largest_difference": largest_difference(result["losses"], baseline["losses"]),
            **result,
        }

    def _work(self, name: str, *, own_cache: bool = False) -> Work:
        # The tiny model takes next to nothing of a card: with long songs there is something to be short of.
        seconds = SONG_S if not self.is_tiny else (30.0 if self.on_card else 2.0)
        songs = write_songs(self.work / "songs" / f"{seconds:g}s-{NUM_SONGS}", seconds=seconds, count=NUM_SONGS)
        settings = {
            **USUAL,
            "pretrained_model_name_or_path": str(self.checkpoint),
            "instance_data_dir": str(songs),
            "cache_dir": str(self.work / "caches" / f"ladder-{name if own_cache else 'undisturbed'}"),
            "ace_step_ssl_loss_weight": 0.0,
            "lora_rank": 16,
            "lora_dropout": 0.1,  # its draws must be those of the undisturbed run too
            "train_batch_size": NUM_SONGS,
            "gradient_checkpointing": False,
            "max_train_steps": 4,
            "validation_prompt": caption(),
            "validation_lyrics": lyrics_of(128),
            "validation_step_interval": 2,
            "validation_num_inference_steps": 1 if self.is_tiny else 4,
            "validation_audio_duration": seconds,
            **({} if self.on_card else CPU_SETTINGS),
        }
        return Work("train", self.work / "runs" / f"ladder-{name}", settings)


def largest_difference(losses: Mapping[str, float], undisturbed: Mapping[str, float]) -> float | None:
    """Of the losses of the same steps, relative; None where the runs share no step or took other steps."""
    if not losses or losses.keys() != undisturbed.keys():
        return None
    return max(abs(losses[step] - undisturbed[step]) / abs(undisturbed[step]) for step in losses)
