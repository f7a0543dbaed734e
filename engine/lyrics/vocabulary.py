"""The lyric vocabulary: a `tokenizers` file that ships with the package (spec 8.5; origin and licence in NOTICE)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from engine.contract.errors import ModelError
from engine.lyrics.libraries import load_library

VOCABULARY_FILE = Path(__file__).with_name("vocab.json")
VOCABULARY_SHA256 = "c2a66ea48c478c0bb9acb5497144b926acdeaa37128faa799508d40f2b9cc558"
"""Hash of the file without newlines at its end."""


def load_vocabulary(path: Path = VOCABULARY_FILE) -> Any:
    """Loads the vocabulary as a `tokenizers.Tokenizer` (20 ms).

    Raises:
        ModelError: The file is missing, or it is not the one that the model was trained with.
    """
    hint = "Install acestep-tui again: the file is part of the package."
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The lyric vocabulary cannot be read: {path}: {error.strerror}", hint=hint) from error
    found = hashlib.sha256(data.rstrip(b"\r\n")).hexdigest()
    if found != VOCABULARY_SHA256:
        raise ModelError(
            f"The lyric vocabulary is not the model's own: {path} has SHA-256 {found}, expected {VOCABULARY_SHA256}",
            hint=hint,
        )
    return load_library("tokenizers", purpose="Lyrics").Tokenizer.from_str(data.decode())
