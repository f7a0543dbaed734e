"""Text states of captions: encoded once each, kept unpadded (spec config-formats.md 2.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from engine.cache.behind import Behind
from engine.cache.key import text_key
from engine.cache.store import STATES, CacheStore, read_text, shapes, write_text

if TYPE_CHECKING:
    from engine.model.text_encoder import TextEncoder


class TextStates:
    """Cached states of captions, by caption.

    Args:
        store: Where they are.
        encoder_id: `text_fingerprint` of the text encoder.
    """

    def __init__(self, store: CacheStore, *, encoder_id: str) -> None:
        self._store = store
        self._encoder_id = encoder_id
        self._places: dict[str, Path] = {}

    def place(self, captions: Iterable[str], folder: Path) -> None:
        """Keep these captions in a folder of their own (``text_embeds`` of a data set); the first place of each counts.

        Equal captions have equal states, so it does not matter whose folder holds one that several data sets have.
        """
        for caption in captions:
            self._places.setdefault(caption, folder)

    @property
    def folder(self) -> Path:
        """Where entries stand that have no place of their own."""
        return self._store.text_folder

    @property
    def folders(self) -> set[Path]:
        """Every folder with entries."""
        return {self.folder, *self._places.values()}

    def path(self, caption: str) -> Path:
        """File of a caption's entry."""
        path = self._store.text_path(text_key(caption, encoder_id=self._encoder_id))
        return self._places.get(caption, path.parent) / path.name

    def missing(self, captions: Sequence[str]) -> list[str]:
        """Those of ``captions`` without a whole entry, each once, in order (told by the headers alone)."""
        return [caption for caption in dict.fromkeys(captions) if STATES not in shapes(self.path(caption))]

    def read(self, caption: str) -> Tensor:
        """States (tokens, width).

        Raises:
            DamagedEntryError: Torn or not finite, and deleted.
            FileNotFoundError: Never encoded.
        """
        return read_text(self.path(caption))

    def encode(
        self,
        captions: Sequence[str],
        text_encoder: TextEncoder,
        *,
        batch_size: int,
        on_encoded: Callable[[str], None],
        should_stop: Callable[[], bool],
        write_behind: int = 0,
    ) -> bool:
        """Encode and write captions.

        Args:
            captions: Each once.
            text_encoder: Gives the unpadded states.
            batch_size: Captions encoded together (``text_encoder_batch_size``); those of like length then meet.
            on_encoded: Called with each caption once its entry is on disk.
            should_stop: Asked between batches.
            write_behind: Batches that may be encoded and not written yet.

        Returns:
            Whether all were encoded; False when asked to stop.

        Raises:
            DiskError: The disk is full or not writable.
        """
        # Stable, and of no effect on single ones: they are encoded in the order in which they came.
        ordered = sorted(captions, key=len) if batch_size > 1 else captions

        def tell(batch: Sequence[str], _: None) -> None:
            for caption in batch:
                on_encoded(caption)

        with Behind(write_behind, tell) as behind:
            for begin in range(0, len(ordered), batch_size):
                behind.settle(write_behind)
                if should_stop():
                    behind.settle()
                    return False
                batch = ordered[begin : begin + batch_size]
                behind.submit(batch, partial(self._write, batch, text_encoder.encode(batch)))
            behind.settle()
        return True

    def _write(self, batch: Sequence[str], states: Sequence[Tensor]) -> None:
        for caption, of_caption in zip(batch, states, strict=True):
            write_text(self.path(caption), of_caption)

    def encode_one(self, caption: str, text_encoder: TextEncoder) -> Tensor:
        """Encode and write one caption; gives its states (tokens, width) as they stand in the cache then.

        Raises:
            DiskError: The disk is full or not writable.
        """
        self.encode([caption], text_encoder, batch_size=1, on_encoded=lambda _: None, should_stop=lambda: False)
        return self.read(caption)
