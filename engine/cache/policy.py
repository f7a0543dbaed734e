"""How the cache entries of a run come to be: before training, when they are first needed, or never on disk.

The keys of config.json and those of each data set are OR-ed (spec config-formats.md 1.9, 2.1, 5.5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engine.contract.backend_types import TextEmbeds
from engine.contract.backends import Backends
from engine.contract.config import Config
from engine.contract.paths import cache_root

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which entries are made how.

    Attributes:
        ondemand: Data sets (by id) whose songs are encoded when they are first needed.
        unwritten: Of these, those of which nothing is written: each visit encodes anew.
        cleared: Data sets whose random cuts are drawn and encoded anew in each epoch.
        text_ondemand: Folders of captions that are encoded when they are first needed.
        text_unwritten: Of these, those in which nothing is written.
        follows_entries: A prepared song of another length than planned is used as it is (``sync``), not made anew.
    """

    ondemand: frozenset[str] = frozenset()
    unwritten: frozenset[str] = frozenset()
    cleared: frozenset[str] = frozenset()
    text_ondemand: frozenset[Path] = frozenset()
    text_unwritten: frozenset[Path] = frozenset()
    follows_entries: bool = False

    @property
    def needs_encoders(self) -> bool:
        """Whether an encoder may be wanted in the middle of training."""
        return bool(self.ondemand or self.cleared or self.text_ondemand)

    def words(self, *, num_songs: int) -> str:
        """What a preparation that leaves ``num_songs`` songs for later says of them."""
        kept = "" if self.ondemand - self.unwritten else "; none of them is kept"
        return f"{num_songs:,} songs are prepared when they are first needed{kept}"


def cache_policy(config: Config, backends: Backends) -> CachePolicy:
    """The policy of a configuration and its data sets."""

    sets = backends.training
    unwritten = _those((one.id, config.vae_cache_disable or one.vae_cache_disable) for one in sets)
    ondemand = _those((one.id, config.vae_cache_ondemand or one.vae_cache_ondemand) for one in sets)
    places = text_places(config, backends)
    text_unwritten = _those(
        (folder, config.text_cache_disable or place.text_cache_disable) for folder, place in places.items()
    )
    text_ondemand = _those(
        (folder, config.text_cache_ondemand or place.text_cache_ondemand) for folder, place in places.items()
    )
    return CachePolicy(
        ondemand=ondemand | unwritten,
        unwritten=unwritten,
        cleared=_those((one.id, one.vae_cache_clear_each_epoch) for one in sets),
        text_ondemand=text_ondemand | text_unwritten,
        text_unwritten=text_unwritten,
        follows_entries=config.vae_cache_scan_behaviour == "sync",
    )


def usual_text_folder(config: Config) -> Path:
    """Where captions are kept that no data set wants elsewhere."""
    return cache_root(config) / "text" / "ace_step"


def text_places(config: Config, backends: Backends) -> dict[Path, TextEmbeds]:
    """Every place of captions that a run uses, by its folder; the default one is that of test clips too."""
    used = [*(one.text_embeds for one in backends.training), *backends.text_embeds[:1]]
    return {place.cache_dir or usual_text_folder(config): place for place in used}


def _those(wanted: Iterable[tuple[T, bool]]) -> frozenset[T]:
    return frozenset(name for name, is_wanted in wanted if is_wanted)
