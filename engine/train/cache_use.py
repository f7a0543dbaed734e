"""Noting in the run's folder which cache entries it takes, so that nobody prunes what a run still needs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.contract.backends import Backends
from engine.contract.run_dir import RunDir
from engine.hardware.cache_files import CacheUse, DataSetUse, write_use
from engine.train.prepare import Caches, Songs


def note_use(run_dir: RunDir, backends: Backends, songs: Songs, caches: Caches, captions: Sequence[str]) -> None:
    """Write `RunDir.cache_json`: every entry that this start takes, those that are made later too.

    Raises:
        DiskError: The disk is full or not writable.
    """
    data_sets = []
    for backend in backends.training:
        clips = [clip for entry in songs.entries if entry.song.backend_id == backend.id for clip in entry.clips]
        # With features or without: which of the two a run reads shows only later.
        paths = [cache.path(clip) for clip in clips for cache in (caches.audio, caches.featured)]
        data_sets.append(_use(backend.id, backend.instance_data_dir, caches.audio.folder(backend.id), paths))
    texts = [caches.text.path(caption) for caption in dict.fromkeys(captions)]
    folders = sorted({path.parent for path in texts})
    use = CacheUse(
        t=time.time(),
        data_sets=tuple(data_sets),
        captions=tuple(_use("", "", folder, [path for path in texts if path.parent == folder]) for folder in folders),
        folders=tuple(dict.fromkeys([*(one.folder for one in data_sets), *folders])),
    )
    write_use(run_dir, use)


def _use(identity: str, source: str, folder: Path, paths: Iterable[Path]) -> DataSetUse:
    # A name below the folder, so that a cache that is moved as a whole is still recognised by a reader who wants to.
    names = dict.fromkeys(os.path.relpath(path, folder) for path in paths)
    return DataSetUse(identity, source, folder, tuple(names))
