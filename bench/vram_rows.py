"""What is promised for cards of 6 to 24 GB: whole runs of the real worker, with no more memory than such a card has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.features import write_published
from bench.vram_device import GIB
from bench.vram_songs import NUM_TEXT_TOKENS, caption, lyrics_of, write_songs
from bench.vram_worker import Work, run_apart
from engine.contract.feature_models import FEATURE_MODELS
from engine.train.device import choose_device

LEFT_FREE_GIB = 0.8
"""Of a card: the CUDA context, which torch's cap does not count, and what a desktop takes."""

LARGEST_NVML_GIB = 0.5
"""What the driver counts for the process must leave so much of the card."""

TINY_SECONDS = {60.0: 2.0, 240.0: 4.0}


@dataclass(frozen=True)
class Row:
    """One promise.

    Attributes:
        name: In results and on the command line.
        card_gib: Memory of the card; None = no cap (the run is measured as it is).
        seconds: Of the songs and of the test clip.
        num_songs: How many are prepared.
        limit_gib: Largest peak of torch's allocator over the whole run.
        settings: What a user sets; the rest is as it comes.
        has_features: With musical features, heard by models of the published sizes.
        task: ``train``, or ``cache``: preparation alone.
        num_channels: Of the songs.
    """

    name: str
    card_gib: float | None
    seconds: float
    num_songs: int
    limit_gib: float
    settings: Mapping[str, Any]
    has_features: bool = False
    task: str = "train"
    num_channels: int = 2


ROWS: tuple[Row, ...] = (
    Row(
        *("12gb", 12, 240.0, 2, 7.0),
        {"base_model_precision": "int8-quanto", "lora_rank": 64},
        has_features=True,
    ),
    Row("prepare-ssl", None, 240.0, 2, 4.0, {}, has_features=True, task="cache"),
    Row("6gb-int4", 6, 60.0, 2, 3.0, {"base_model_precision": "int4-quanto", "lora_rank": 16}),
    Row(
        *("6gb-swap", 6, 60.0, 2, 3.0),
        {"base_model_precision": "no_change", "lora_rank": 16, "musubi_blocks_to_swap": 20},
    ),
    Row("8gb", 8, 60.0, 2, 4.5, {"base_model_precision": "int8-quanto", "lora_rank": 16}),
    Row("24gb", 24, 60.0, 8, 8.5, {"lora_rank": 64, "train_batch_size": 8}),
    Row("prepare-plain", None, 240.0, 2, 2.5, {}, task="cache"),
)
"""In the order in which they are run: what is least sure first."""

# Few steps and a clip of few denoising steps: neither changes what memory a run takes.
SHORT = {"max_train_steps": 3, "validation_step_interval": 2, "validation_num_inference_steps": 4}
USUAL = {
    "mixed_precision": "bf16",
    "train_batch_size": 1,
    "gradient_checkpointing": True,
    "tokenizer_max_length": NUM_TEXT_TOKENS,
    "lyrics_language_detection": "script",
    "checkpointing_steps": 0,
    "checkpoint_minutes_interval": 0,
}
CPU_SETTINGS = {"mixed_precision": "no"}


class Rows:
    """Runs rows on one checkpoint.

    Args:
        checkpoint: Of `bench.checkpoint`, or the tiny one.
        work: Folder for songs, caches and runs.
        is_tiny: Short songs, small models.
        on_card: Whether there is a card.
    """

    def __init__(self, checkpoint: Path, work: Path, *, is_tiny: bool = False, on_card: bool = True) -> None:
        self.checkpoint, self.work, self.is_tiny, self.on_card = checkpoint, work, is_tiny, on_card

    def run(self, row: Row) -> dict[str, Any]:
        """One row: peaks by phase and what the limits say of them."""
        result = run_apart(self.work_of(row))
        return {"row": row.name, "card_gib": row.card_gib, "limit_gib": row.limit_gib, **verdict(row, result), **result}

    def work_of(self, row: Row) -> Work:
        """The row as a run of the worker; songs and models are written here, in front of it."""
        seconds = TINY_SECONDS[row.seconds] if self.is_tiny else row.seconds
        songs = write_songs(
            self.work / "songs" / f"{seconds:g}s-{row.num_songs}",
            seconds=seconds,
            count=row.num_songs,
            num_channels=row.num_channels,
        )
        settings = {
            **USUAL,
            **SHORT,
            "pretrained_model_name_or_path": str(self.checkpoint),
            "instance_data_dir": str(songs),
            # Of each row its own: everything is prepared anew.
            "cache_dir": str(self.work / "caches" / row.name),
            "validation_prompt": caption(),
            "validation_lyrics": lyrics_of(512),
            "validation_audio_duration": seconds,
            # A run long enough to be worth a compilation is compiled: what it holds for speed has to find room too.
            "compile": "off" if self.is_tiny else "on",
            **row.settings,
            **self.features(row),
            **({"validation_num_inference_steps": 1} if self.is_tiny else {}),
            **({"musubi_blocks_to_swap": 1} if self.is_tiny and "musubi_blocks_to_swap" in row.settings else {}),
            **({} if self.on_card else CPU_SETTINGS),
        }
        cap_bytes = None if row.card_gib is None else (row.card_gib - LEFT_FREE_GIB) * GIB
        return Work(row.task, self.work / "runs" / row.name, settings, cap_bytes=cap_bytes)

    def features(self, row: Row) -> dict[str, Any]:
        """The settings for musical features, with the folders of `write_feature_models`."""
        if not row.has_features:
            return {"ace_step_ssl_loss_weight": 0.0}
        return feature_settings(self.work)

    def write_feature_models(self) -> None:
        """Both models with random weights. Touches the card."""
        write_feature_models(self.work, is_tiny=self.is_tiny)


def feature_settings(work: Path) -> dict[str, Any]:
    """Train with musical features of the models that `write_feature_models` put there."""
    paths = {model.path_key: str(work / "feature_models" / model.name) for model in FEATURE_MODELS}
    return {"ace_step_ssl_loss_weight": 0.1, "ssl_models": "required", **paths}


def write_feature_models(work: Path, *, is_tiny: bool) -> None:
    """Both models of musical features with random weights, on the device that trains."""
    for model in FEATURE_MODELS:
        write_published(work / "feature_models" / model.name, model, is_tiny=is_tiny, device=choose_device())


def verdict(row: Row, result: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a row holds, and what is in its way; None = it ran, but not on a card whose memory can be measured."""
    whole, problems = result["whole"], []
    if result["exit_code"] != 0:
        problems.append(f"exit code {result['exit_code']}")
    problems += [f"stepped down: {event}" for event in result["events"] if event["kind"] == "memory_stepped_down"]
    problems += [
        event["message"] for event in result["events"] if event["kind"] == "warning" and event["code"] == "clip_failed"
    ]
    if whole.get("peak_bytes", 0) > row.limit_gib * GIB:
        problems.append(f"peak {whole['peak_bytes'] / GIB:.2f} GiB, promised {row.limit_gib:g}")
    if row.card_gib is not None and whole.get("nvml_bytes", 0) > (row.card_gib - LARGEST_NVML_GIB) * GIB:
        problems.append(f"the driver counts {whole['nvml_bytes'] / GIB:.2f} GiB")
    is_measured = bool(whole.get("peak_bytes"))
    return {"holds": not problems if is_measured or problems else None, "problems": problems}
