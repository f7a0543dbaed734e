"""Self-supervised features of a clip, as they stand in its audio entry (spec config-formats.md 5.1, 5.2).

An entry made with features holds ``ssl.<name>``, (frames, width) float16, for each encoder; names without the dash of
the checkpoint's ``ssl_names`` (``mert``, ``mhubert``). An entry without them is whole too: its sample adds nothing to
the projection loss.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from engine.cache.store import AudioEntry


def stored_name(ssl_name: str) -> str:
    """Name in the cache of one of the checkpoint's ``ssl_names``: ``m-hubert`` is kept as ``mhubert``."""
    return ssl_name.replace("-", "")


def ssl_of(entry: AudioEntry, ssl_names: Sequence[str]) -> dict[str, Tensor | None]:
    """Features by the checkpoint's own names; None where the entry has none."""
    return {name: entry.ssl.get(stored_name(name)) for name in ssl_names}
