"""The error for a data set without one usable song: the reasons, and what to do."""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import DataError
from engine.dataset.folder import AUDIO_SUFFIXES
from engine.dataset.report import ScanReport

_MAX_REASONS = 5


class NothingUsableError(DataError):
    """A folder without one usable song; `report` has what was found all the same."""

    def __init__(self, message: str, *, hint: str, report: ScanReport) -> None:
        super().__init__(message, hint=hint)
        self.report = report


def nothing_usable(folder: Path, report: ScanReport, *, is_hub: bool = False) -> NothingUsableError:
    """The error for a folder without one usable song, with the reasons and what to do."""
    if not report.num_files:
        suffixes = " ".join(suffix.removeprefix(".") for suffix in AUDIO_SUFFIXES)
        message = f"No audio file in {folder}"
        reasons = [f"  {problem.file}: {problem.reason}" for problem in report.problems[:_MAX_REASONS]]
        hint = f"Put songs there, or set instance_data_dir to another folder. Read are: {suffixes}."
        if is_hub:
            message, hint = f"No row in {folder}", "Choose another data set, or another split."
        return NothingUsableError("\n".join([message, *reasons]), hint=hint, report=report)
    if report.num_excluded == report.num_files:
        message = f"All {report.num_files:,} files in {folder} are left out by exclude_files"
        return NothingUsableError(message, hint="Take some of them back.", report=report)
    left_out = report.left_out
    files = "The one file" if report.num_files == 1 else f"None of the {report.num_files:,} files"
    verb = "cannot" if report.num_files == 1 else "can"
    counts = [*report.left_out_words(), *([f"{report.num_excluded:,} left out by you"] if report.num_excluded else [])]
    lines = [f"{files} in {folder} {verb} be used: {', '.join(counts)}"]
    lines += [f"  {problem.file}: {problem.reason.removeprefix('left out: ')}" for problem in left_out[:_MAX_REASONS]]
    if len(left_out) > _MAX_REASONS:
        lines.append(f"  … and {len(left_out) - _MAX_REASONS:,} more")
    codes = {problem.code for problem in left_out}
    known = {**_HINTS, **_HUB_HINTS} if is_hub else _HINTS
    hints = [hint for code, hint in known.items() if code in codes]
    return NothingUsableError("\n".join(lines), hint=" ".join(dict.fromkeys(hints)), report=report)


_CAPTION_HINT = (
    "Put a .txt with the same name next to each song, or take captions from the file names: caption_strategy filename."
)
_HINTS = {
    "no_caption": _CAPTION_HINT,
    "empty_caption": _CAPTION_HINT,
    "too_long": "Raise max_duration_seconds, or set long_clip to cut or pieces.",
    "too_short": "Lower min_duration_seconds.",
    "unreadable": "Export or copy the damaged songs again.",
}
_HUB_HINTS = {
    "no_caption": "Set audio_caption_fields or caption_column to the columns that describe the songs.",
    "empty_caption": "Look at caption_filter_list.",
    "not_found": "Set audio_root to the folder where the paths in the rows start.",
}
