"""The caches that this user has, and which runs take what of them: read from the run folders, without torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_tui.paths import state_dir
from acestep_tui.runs import registry
from engine.contract.paths import cache_root, expanded, quantised_models
from engine.contract.run_dir import RunDir
from engine.hardware.cache_files import CacheEntry, CacheUse, DataSetUse, find_entries, read_use

if TYPE_CHECKING:
    from engine.contract.config import Resolved

UNUSED_DAYS = 30
"""An entry that no known run took for so long may go (spec config-formats.md 1.2)."""

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class KnownUse:
    """What one run takes, and when it was last alive, seconds since 1970."""

    run: RunDir
    use: CacheUse
    t: float

    @property
    def name(self) -> str:
        """What lists call it: the run, or what was prepared alone."""
        if self.run.path.parent == preparations_folder():
            return f"{self.run.name.rpartition('-')[0]} (cache build)"
        return self.run.name


@dataclass(slots=True)
class Share:
    """Entries that belong together.

    Attributes:
        id: Of the data set; empty for captions and for what belongs to no known run.
        source: Its folder of songs.
        entries: The files.
        runs: Names of the runs that take any of them, the last one alive first.
    """

    id: str
    source: str
    entries: list[CacheEntry] = field(default_factory=list)
    runs: dict[str, None] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry.num_bytes for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Inventory:
    """A cache, sorted by what it is for.

    Attributes:
        folders: Where was looked.
        data_sets: Prepared songs, by data set.
        captions: Prepared captions of known runs.
        models: Models with fewer digits, block by block; any run may take them.
        orphaned: What no known run takes.
        unused: Of everything, what no known run took for `UNUSED_DAYS` days.
    """

    folders: tuple[Path, ...]
    data_sets: tuple[Share, ...]
    captions: Share
    models: Share
    orphaned: Share
    unused: tuple[CacheEntry, ...]

    @property
    def shares(self) -> tuple[Share, ...]:
        """All of them: together they hold each entry once."""
        return (*self.data_sets, self.captions, self.models, self.orphaned)


def preparations_folder() -> Path:
    """Where the tasks of `cache build` are. Not made here."""
    return state_dir() / "preparations"


def known_uses() -> list[KnownUse]:
    """What all known runs and preparations take, the last one alive first."""
    found = []
    for run in [*registry.known_runs(), *_preparations()]:
        use = read_use(run)
        if use is not None:
            found.append(KnownUse(run, use, max(use.t, _last_word_t(run))))
    return sorted(found, key=lambda one: one.t, reverse=True)


def _preparations() -> Iterator[RunDir]:
    with contextlib.suppress(OSError):
        for folder in sorted(preparations_folder().iterdir()):
            yield RunDir(folder)


def _last_word_t(run: RunDir) -> float:
    try:
        return run.events_jsonl.stat().st_mtime
    except OSError:
        return 0.0


def cache_folders(resolved: Resolved | None = None) -> list[Path]:
    """Folders of a configuration's cache; without one, those of this user: the usual ones and those of all known runs.

    Raises:
        ConfigError: The data sets of the configuration are not valid.
    """
    if resolved is None:
        root = cache_root()
        used = [folder for known in known_uses() for folder in known.use.folders]
        models = [folder for folder in (quantised_models(),) if folder.is_dir()]  # few runs have any
        return _outermost([root / "audio", root / "text", *models, *used])
    from engine.contract.backends import load_backends  # pydantic: 0.2 s, only where a configuration is given

    config, base = resolved.config, resolved.base_dir
    backends = load_backends(config, base_dir=base)
    root = base / cache_root(config)
    audio = base / expanded(config.cache_dir_vae) if config.cache_dir_vae else root / "audio"
    songs = [backend.cache_dir_vae or audio for backend in backends.training]
    texts = [place.cache_dir or root / "text" / "ace_step" for place in backends.text_embeds]
    return _outermost([*songs, *texts])


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """Each folder once, and none that lies in another one."""
    unique = list(dict.fromkeys(folder.absolute() for folder in folders))
    return [one for one in unique if not any(one != other and one.is_relative_to(other) for other in unique)]


def take_stock(folders: Sequence[Path], *, now: float) -> Inventory:
    """Look at every entry below these folders. Reads no entry; a cache of 10,000 takes a second."""
    uses = known_uses()
    owners = _owners(uses)
    shares: dict[tuple[str, str], Share] = {}
    captions, models, orphaned = Share("", ""), Share("", ""), Share("", "")
    models_folder = quantised_models().absolute()
    unused = []
    for entry in (entry for folder in folders for entry in find_entries(folder)):
        owned = owners.get(entry.path, ())
        share = models if entry.path.is_relative_to(models_folder) else orphaned
        if owned:
            part, _ = owned[0]
            share = shares.setdefault((part.id, part.source), Share(part.id, part.source)) if part.id else captions
        share.entries.append(entry)
        share.runs |= {known.name: None for _, known in owned}
        last_t = max([entry.written_t, *(known.t for _, known in owned)])
        if now - last_t > UNUSED_DAYS * _DAY_S:
            unused.append(entry)
    for share in (*shares.values(), captions):
        share.runs = {known.name: None for known in uses if known.name in share.runs}
    return Inventory(tuple(folders), tuple(shares.values()), captions, models, orphaned, tuple(unused))


def _owners(uses: Sequence[KnownUse]) -> Mapping[Path, list[tuple[DataSetUse, KnownUse]]]:
    """Who takes an entry, the last one alive first."""
    owners: dict[Path, list[tuple[DataSetUse, KnownUse]]] = {}
    for known in uses:
        for part in (*known.use.data_sets, *known.use.captions):
            for path in part.paths():
                owners.setdefault(path, []).append((part, known))
    return owners
