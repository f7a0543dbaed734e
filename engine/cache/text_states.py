"""Text states of captions: encoded once each, kept unpadded (spec config-formats.md 2.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

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
    ) -> bool:
        """Encode and write captions.

        Args:
            captions: Each once.
            text_encoder: Gives the unpadded states.
            batch_size: Captions encoded together (``text_encoder_batch_size``).
            on_encoded: Called with each caption once its entry is on disk.
            should_stop: Asked between batches.

        Returns:
            Whether all were encoded; False when asked to stop.

        Raises:
            DiskError: The disk is full or not writable.
        """
        for begin in range(0, len(captions), batch_size):
            if should_stop():
                return False
            batch = captions[begin : begin + batch_size]
            for caption, states in zip(batch, text_encoder.encode(batch), strict=True):
                write_text(self.path(caption), states)
                on_encoded(caption)
        return True

    def encode_one(self, caption: str, text_encoder: TextEncoder) -> Tensor:
        """Encode and write one caption; gives its states (tokens, width) as they stand in the cache then.

        Raises:
            DiskError: The disk is full or not writable.
        """
        self.encode([caption], text_encoder, batch_size=1, on_encoded=lambda _: None, should_stop=lambda: False)
        return self.read(caption)
