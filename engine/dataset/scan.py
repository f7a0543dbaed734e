"""Scanning a folder of songs: which files can be trained on, and what is wrong with the others."""

from __future__ import annotations

from engine.dataset.report import Problem, ScanReport, Song, merge_reports

__all__ = ["Problem", "ScanReport", "Song", "merge_reports"]
