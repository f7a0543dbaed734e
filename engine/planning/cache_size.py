"""How much disk preparing takes, in words, before it begins (spec config-formats.md 5.2)."""

from __future__ import annotations

from pathlib import Path

from engine.contract.byte_size import size_words

SEED_BYTES_PER_MINUTE = 89_000_000
"""What SimpleTuner's quickstart warns of for 60 s of music. Its own arithmetic gives 28 MB, nearly all of it features
in fp32; here a minute takes 0.33 MB, or 14 MB with features."""

SEED_WARNING = (
    f"SimpleTuner's quickstart warns that 60 s of music may take up to ~{SEED_BYTES_PER_MINUTE // 1_000_000} MB with "
    "its settings"
)

LARGE_BYTES = 2**30
LARGE_SHARE = 0.1


def is_large(num_bytes: float, free_bytes: float | None) -> bool:
    """Whether preparing takes so much that a user should hear of it: a gigabyte, or a tenth of what is free."""
    return num_bytes >= LARGE_BYTES or (free_bytes is not None and num_bytes >= LARGE_SHARE * free_bytes)


def cache_words(num_bytes: float, *, seconds: float, folder: Path, free_bytes: float | None) -> str:
    """The estimate, what is free there, and the quickstart's warning, as one sentence or two.

    Args:
        num_bytes: What will be written.
        seconds: Of sound, of what is not prepared yet.
        folder: Where.
        free_bytes: Free on its disk; None = unknown.
    """
    free = "" if free_bytes is None else f"; {size_words(free_bytes)} are free"
    return (
        f"preparing {_length(seconds)} of music takes about {size_words(num_bytes)} in {folder}{free}. "
        f"({SEED_WARNING}; with vae_cache_disable no songs are kept, only captions)"
    )


def _length(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
