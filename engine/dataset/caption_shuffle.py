"""Tags of a caption in other orders: every variant is prepared, one is drawn per visit (spec config-formats.md 2.1)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.contract.backends import CaptionShuffle

_SIGNS = {"comma": ",", "space": None, "period": "."}
_JOINS = {"comma": ", ", "space": " ", "period": ". "}
# So often another order is drawn before a caption of few tags is said to have no more of them.
_MAX_TRIES = 4


def shuffled(captions: tuple[str, ...], shuffle: CaptionShuffle | None) -> tuple[str, ...]:
    """Each caption and its shuffled variants, each once; the same for the same caption, seed and settings.

    A caption with fewer than two tags that may move stays as it is.
    """
    if shuffle is None:
        return captions
    found: dict[str, None] = {}
    for caption in captions:
        variants = _variants(caption, shuffle)
        if shuffle.include_original or not variants:
            found[caption] = None
        found.update(dict.fromkeys(variants))
    return tuple(found)


def _variants(caption: str, shuffle: CaptionShuffle) -> list[str]:
    tags = [tag for part in caption.split(_SIGNS[shuffle.split_on]) if (tag := part.strip())]
    fixed, movable = tags[: shuffle.position_start], tags[shuffle.position_start :]
    if len(movable) < 2:
        return []
    generator = random.Random(f"{shuffle.seed}/{caption}")
    orders: dict[tuple[str, ...], None] = {}
    for _ in range(_MAX_TRIES * shuffle.count):
        order = movable.copy()
        generator.shuffle(order)
        if order != movable:
            orders[tuple(order)] = None
        if len(orders) == shuffle.count:
            break
    return [_JOINS[shuffle.split_on].join([*fixed, *order]) for order in orders]
