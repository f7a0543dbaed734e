"""Sizes as people write them: ``5G``, ``500MB`` (config-formats.md section 1.9, ``disk_low_threshold``)."""

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
