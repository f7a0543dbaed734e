"""How the cache entries of a run come to be: before training, when they are first needed, or never on disk.

The keys of config.json and those of each data set are OR-ed (spec config-formats.md 1.9, 2.1, 5.5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.contract.backends import Backends
from engine.contract.config import Config


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which entries are made how.

    Attributes:
        ondemand: Data sets (by id) whose songs are encoded when they are first needed.
        unwritten: Of these, those of which nothing is written: each visit encodes anew.
        cleared: Data sets whose random cuts are drawn and encoded anew in each epoch.
        text_ondemand: Captions are encoded when they are first needed.
        text_unwritten: And not written.
        follows_entries: A prepared song of another length than planned is used as it is (``sync``), not made anew.
    """

    ondemand: frozenset[str] = frozenset()
    unwritten: frozenset[str] = frozenset()
    cleared: frozenset[str] = frozenset()
    text_ondemand: bool = False
    text_unwritten: bool = False
    follows_entries: bool = False

    @property
    def needs_encoders(self) -> bool:
        """Whether an encoder may be wanted in the middle of training."""
        return bool(self.ondemand or self.cleared or self.text_ondemand)

    def words(self, *, num_songs: int) -> str:
        """What a preparation that leaves ``num_songs`` songs for later says of them."""
        kept = "" if self.ondemand - self.unwritten else "; nothing is written"
        return f"{num_songs:,} songs are prepared when they are first needed{kept}"


def cache_policy(config: Config, backends: Backends) -> CachePolicy:
    """The policy of a configuration and its data sets.

    Captions are shared by the data sets that use them, so one place of prepared captions that wants none written (or
    none prepared) decides for all of the run.
    """

    def those(wanted: Iterable[tuple[str, bool]]) -> frozenset[str]:
        return frozenset(identity for identity, is_wanted in wanted if is_wanted)

    unwritten = those((one.id, config.vae_cache_disable or one.vae_cache_disable) for one in backends.training)
    ondemand = those((one.id, config.vae_cache_ondemand or one.vae_cache_ondemand) for one in backends.training)
    places = [backends.text_embeds[0], *(one.text_embeds for one in backends.training)]
    text_unwritten = config.text_cache_disable or any(place.text_cache_disable for place in places)
    text_ondemand = config.text_cache_ondemand or any(place.text_cache_ondemand for place in places)
    return CachePolicy(
        ondemand=ondemand | unwritten,
        unwritten=unwritten,
        cleared=those((one.id, one.vae_cache_clear_each_epoch) for one in backends.training),
        text_ondemand=bool(text_unwritten or text_ondemand),
        text_unwritten=bool(text_unwritten),
        follows_entries=config.vae_cache_scan_behaviour == "sync",
    )
