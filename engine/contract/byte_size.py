"""Sizes as people write them, ``5G`` (config-formats.md section 1.9, ``disk_low_threshold``), and read them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Bytes of a number with an optional K, M, G or T (and an optional B): powers of 1024, in any case.

    Raises:
        ValueError: The text is no such size, or it is 0.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError("not a size")
    num_bytes = int(float(found[1]) * 1024 ** _POWERS[found[2].upper()])
    if num_bytes == 0:
        raise ValueError("too small")
    return num_bytes


def size_words(num_bytes: float) -> str:
    """Bytes for people, in powers of 1024: ``8.2 GB``, ``310 MB``, ``12 kB``."""
    for power, name in ((4, "TB"), (3, "GB"), (2, "MB")):
        value = num_bytes / 1024**power
        if value >= 1:
            # Tenths of a gigabyte tell two disks apart; those of megabytes are many digits for little.
            return f"{value:.1f} {name}" if value < (99.95 if power >= 3 else 9.95) else f"{value:,.0f} {name}"
    return f"{num_bytes / 1024:.0f} kB" if num_bytes >= 1024 else f"{num_bytes:.0f} B"
