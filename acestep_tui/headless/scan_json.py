"""What a scan found, as one JSON object; docs/data-doctor.md describes it. New keys may come, none goes or changes."""

from __future__ import annotations

from typing import Any

from acestep_tui.headless.scan_checks import SongCheck
from acestep_tui.headless.scan_report import Diagnosis
from engine.dataset.doctor_duplicates import song_key
from engine.dataset.report import Song
from engine.planning.data_facts import SongUse

VERSION = 1


def diagnosis_json(found: Diagnosis) -> dict[str, Any]:
    """The whole object."""
    report = found.report
    return {
        "scan_version": VERSION,
        "source": found.source.name,
        "depth": found.depth,
        "seconds": round(found.seconds, 2),
        "error": found.error or None,
        "hint": found.hint or None,
        "notices": list(found.source.notices),
        "data_sets": [{"id": backend.id, "folder": str(folder)} for backend, folder in found.source.backends],
        "totals": {
            "num_files": report.num_files,
            "num_songs": len(found.songs),
            "num_ready": report.num_ready if found.songs else 0,
            "num_without_lyrics": report.num_without_lyrics,
            "num_left_out": len(report.left_out),
            "num_excluded": report.num_excluded,
            "num_beyond_limit": report.num_beyond_limit,
            "num_duplicates": len(found.duplicates),
            "duration_s": round(report.total_s, 3),
            "bytes": sum(song.size_bytes for song in found.songs),
        },
        "durations": _durations(found),
        "formats": found.counted("format"),
        "sample_rates": found.counted("sample_rate"),
        "channels": found.counted("num_channels"),
        "captions": {
            "num_distinct": found.captions.num_distinct,
            "num_songs_with_several": found.captions.num_alternatives,
            "max_tokens": found.captions.max_tokens,
            "most_tokens": max(found.captions.tokens.values(), default=0),
            "num_cut": found.captions.num_cut,
            "is_estimate": found.captions.is_estimate,
        },
        "without_lyrics": [song.relative_path for song in found.without_lyrics],
        "languages": [
            {
                "language": one.language or None,
                "num_songs": one.num_songs,
                "num_tokens": one.num_tokens,
                "num_unknown": one.num_unknown,
            }
            for one in found.languages
        ],
        "cache": {
            "folder": str(found.cache_folder),
            "bytes": found.prepared_bytes,
            "feature_bytes": found.features_bytes,
            "free_bytes": found.free_bytes,
            "is_enough": not found.lacks_room,
        },
        "problems": [
            {"song": one.file, "severity": one.severity, "code": one.code, "reason": one.reason}
            for one in found.problems
        ],
        "songs": [
            _song(song, check, use, found)
            for song, check, use in zip(found.songs, found.checks, found.uses, strict=True)
        ],
    }


def _durations(found: Diagnosis) -> dict[str, Any] | None:
    if not found.songs:
        return None
    shortest = min(found.songs, key=lambda song: song.duration_s)
    longest = max(found.songs, key=lambda song: song.duration_s)
    return {
        "shortest": {"song": shortest.relative_path, "duration_s": round(shortest.duration_s, 3)},
        "longest": {"song": longest.relative_path, "duration_s": round(longest.duration_s, 3)},
        "median_s": round(found.median_s, 3),
        "histogram": [{"from_s": low, "to_s": high, "num_songs": number} for low, high, number in found.histogram],
    }


def _song(song: Song, check: SongCheck, use: SongUse | None, found: Diagnosis) -> dict[str, Any]:
    lyrics, heard = check.lyrics, check.heard
    return {
        "data_set": song.backend_id,
        "song": song.relative_path,
        "path": str(song.path),
        "format": song.format,
        "sample_rate": song.sample_rate,
        "num_channels": song.num_channels,
        "duration_s": round(song.duration_s, 3),
        "bytes": song.size_bytes,
        "num_copies": song.num_copies,
        "captions": list(song.captions),
        "caption_tokens": [found.captions.tokens[caption] for caption in song.captions],
        "lyrics": None
        if lyrics is None
        else {
            "language": lyrics.language or None,
            "read_as": lyrics.read_as or None,
            "num_lines": lyrics.num_lines,
            "num_tokens": lyrics.num_tokens,
            "num_unknown": lyrics.num_unknown,
            "is_estimate": lyrics.is_estimate,
        },
        "sound": None
        if heard is None
        else {
            "heard_s": round(heard.heard_s, 2),
            "is_whole": heard.is_whole,
            "peak": round(heard.peak, 4),
            "is_silent": heard.is_silent,
            "clipped_share": round(heard.clipped_share, 5),
            "leading_silence_s": round(heard.leading_s, 2),
            "trailing_silence_s": round(heard.trailing_s, 2),
            "problem": heard.problem or None,
        },
        "training": None if use is None else {"length_s": round(use.length_s, 3), "num_pieces": use.num_pieces},
        "duplicate_of": found.duplicates.get(song_key(song)),
    }
