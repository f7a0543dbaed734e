"""What is said of the disk that preparing takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.planning.cache_size import cache_words


@pytest.mark.parametrize(("seconds", "length"), [(14.2, "14 s of"), (60.0, "1 min of"), (7200.0, "120 min of")])
def test_the_length_is_never_no_minutes(seconds, length):
    words = cache_words(1e6, seconds=seconds, folder=Path("/cache"), free_bytes=2e9)
    assert f"preparing {length} music takes about" in words and "/cache; " in words


def test_what_is_kept_without_a_cache_is_not_nothing():
    words = cache_words(1e6, seconds=60.0, folder=Path("/cache"), free_bytes=None)
    assert "with vae_cache_disable no songs are kept, only captions" in words
