from __future__ import annotations

import math
from datetime import datetime

import pytest

from acestep_tui import format as fmt
from engine.contract.errors import UserError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0.2 s"), (0.96, "1 s"), (9.1, "9 s"), (59.4, "59 s"), (59.6, "1 min"), (94, "1 min 34 s"),
        (161, "2 min 41 s"), (120, "2 min"), (599.7, "10 min"), (3480, "58 min"), (3599, "1 h"), (3900, "1 h 05 min"),
        (7_800, "2 h 10 min"), (34 * 86_400, "34 days"), (None, "–"), (math.nan, "–"), (-1, "0.0 s"),
        (0.02, "< 0.1 s"),
    ],
)  # fmt: skip
def test_duration(seconds: float | None, text: str) -> None:
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (6.5 * 2**30, "6.5 GB"), (41 * 2**30, "41 GB"), (429_496_730, "0.4 GB"), (125 * 2**20, "125 MB"),
        (6_291_456, "6 MB"), (0.2 * 2**20, "0.2 MB"), (12 * 1024, "12 KB"), (100, "100 bytes"), (0, "0 bytes"),
        (None, "–"),
    ],
)  # fmt: skip
def test_size(num_bytes: float | None, text: str) -> None:
    assert fmt.size(num_bytes) == text


def test_counts() -> None:
    assert fmt.part_of(1240, 2000) == "1,240 of 2,000"
    assert fmt.part_of(7, None) == "7"
    assert fmt.count(None) == "–"
    assert (fmt.plural(1, "song"), fmt.plural(1200, "song")) == ("1 song", "1,200 songs")


def test_losses_and_speeds() -> None:
    assert (fmt.loss(0.41281), fmt.loss(None), fmt.loss(math.nan)) == ("0.4128", "–", "not a number")
    assert (fmt.pace(0.625), fmt.pace(1.48), fmt.pace(75.0), fmt.pace(0)) == (
        "1.6 steps/s", "1.48 s a step", "1 min 15 s a step", "–"
    )  # fmt: skip
    assert (fmt.clip_length(4.0), fmt.clip_length(232), fmt.song_length(232)) == ("4.0 s", "3:52", "3:52")


def test_ago() -> None:
    now = datetime(2026, 11, 22, 14, 42).timestamp()
    assert fmt.ago(now - 3, now) == "3 s ago"
    assert fmt.ago(now - 240, now) == "4 min ago"
    assert fmt.ago(datetime(2026, 11, 22, 9, 5).timestamp(), now) == "09:05"
    assert fmt.ago(datetime(2026, 11, 21, 23, 10).timestamp(), now) == "yesterday 23:10"
    assert fmt.ago(datetime(2026, 11, 12, 9, 5).timestamp(), now) == "12 Nov"
    assert fmt.ago(datetime(2025, 11, 12, 9, 5).timestamp(), now) == "12 Nov 2025"


@pytest.mark.parametrize(
    ("ahead_s", "text"),
    [
        (0.01, "just now"), (5, "just now"), (60, "just now"), (61, "1 min ahead"), (600, "10 min ahead"),
        (3590, "1 h ahead"), (5 * 3600, "5 h ahead"), (3 * 86_400, "3 days ahead"), (2000 * 86_400, "2,000 days ahead"),
        (math.inf, "–"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_what_another_clock_wrote_is_not_told_as_past(ahead_s: float, text: str) -> None:
    now = datetime(2026, 11, 22, 14, 42).timestamp()
    assert fmt.ago(now + ahead_s, now) == text


def test_a_time_that_no_calendar_holds() -> None:
    assert fmt.ago(-1e18, 0.0) == "–"


def test_few_words_for_a_header() -> None:
    assert fmt.few_words(OSError(28, "No space left on device", "/x")) == "disk full"
    assert fmt.few_words(OSError(13, "Permission denied", "/x")) == "permission denied"
    assert fmt.few_words(UserError("saving the draft failed: /x: Read-only file system")) == "read-only file system"


def test_ascii_form_keeps_the_letters_of_names() -> None:
    assert fmt.to_ascii("✓ 1.0 → 0.6 – fin…  ━╸─") == "+ 1.0 -> 0.6 - fin...  ##-"
    assert fmt.to_ascii("Måne") == "Måne"
