"""What a user should know about the state that a run begins with, beside what its loading itself says."""

from __future__ import annotations

from pathlib import Path

from engine.contract.config import Config
from engine.dataset.doctor_duplicates import same_files
from engine.dataset.report import ScanReport
from engine.train.foreign_checkpoint import foreign_warning, is_foreign
from engine.train.init_lora import Start
from engine.train.lyrics_embedder import embedder_warning

# From this share of songs without lyrics on, the quickstart's advice is given.
_MANY = 0.25
_MAX_NAMED = 3


def start_warnings(config: Config, report: ScanReport, checkpoint: Path | None, start: Start) -> list[tuple[str, str]]:
    """Codes and messages.

    Args:
        config: The run's.
        report: Of the songs.
        checkpoint: What the run goes on from.
        start: What a fresh run starts from.
    """
    warnings = []
    if config.lyrics_embedder_train and report.num_without_lyrics == len(report.songs):
        told = "no song has lyrics, so the lyrics embedder learns nothing. Put lyrics beside the songs, or set"
        warnings.append(("no_lyrics", f"{told} lyrics_embedder_train false"))
    elif report.num_without_lyrics and report.num_without_lyrics >= _MANY * len(report.songs):
        told = f"{report.num_without_lyrics:,} of {len(report.songs):,} songs have no lyrics and train as instrumentals"
        advice = "the model learns their sound from them, not how words are sung, and needs more steps for it"
        warnings.append(("songs_without_lyrics", f"{told}: {advice} (max_train_steps)"))
    warnings += _twice(report)
    if checkpoint is not None and is_foreign(checkpoint):
        warnings.append(foreign_warning(checkpoint))
    source = checkpoint if checkpoint is not None else start.lora.path.parent if start.lora is not None else None
    if source is not None and (warning := embedder_warning(config, source)) is not None:
        warnings.append(warning)
    return warnings


def _twice(report: ScanReport) -> list[tuple[str, str]]:
    """Files of the very same content: only those of equal size and length are read."""
    found = [f"{key[1]} is the same as {other}" for key, other in same_files(report.songs).items()]
    if not found:
        return []
    more = f" and {len(found) - _MAX_NAMED:,} more" if len(found) > _MAX_NAMED else ""
    told = f"{'; '.join(found[:_MAX_NAMED])}{more}: such songs are heard twice as often"
    return [("duplicates", f"{told} (exclude_files leaves one out)")]
