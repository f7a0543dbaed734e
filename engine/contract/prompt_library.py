"""Which test clips a configuration asks for: its own prompt, the built-in ones, a file of yours (section 6)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.contract.files import read_json
from engine.contract.paths import expanded
from engine.contract.prompts import BUILT_IN_PROMPTS

PROMPT_NAME = "validation"
"""The clip of ``validation_prompt``."""

UNCONDITIONAL_NAME = "unconditional"
"""The clip of the empty prompt: it goes with a set of prompts, where there is something to compare it with."""

LIBRARY_FORMS = 'an object, {"name": "caption"} or {"name": {"prompt": "caption", "lyrics": "text"}}'


@dataclass(frozen=True, slots=True)
class ClipText:
    """What one test clip is of: a name for its files, unique and safe on every disk, the caption and the lyrics."""

    name: str
    prompt: str
    lyrics: str


def asks_for_clips(value: Callable[[str], Any]) -> bool:
    """Whether a configuration asks for any test clip; ``value`` gives its values by key."""
    sources = ("validation_prompt", "validation_prompt_library", "user_prompt_library")
    return not value("validation_disable") and any(value(key) is not None for key in sources)


def clip_texts(config: Config) -> tuple[ClipText, ...]:
    """The test clips of a configuration in their order; empty = none is made.

    Raises:
        ConfigError: ``user_prompt_library`` cannot be read.
    """
    if config.validation_disable:
        return ()
    texts = []
    if config.validation_prompt is not None:
        texts.append(ClipText(PROMPT_NAME, config.validation_prompt, config.validation_lyrics or ""))
    if config.validation_prompt_library:
        texts += [ClipText(name, *words) for name, words in BUILT_IN_PROMPTS.items()]
    if config.user_prompt_library:
        try:
            texts += read_library(expanded(config.user_prompt_library))
        except ValueError as error:
            raise ConfigError(f"user_prompt_library = {config.user_prompt_library}: {error}") from error
    has_library = config.validation_prompt_library or config.user_prompt_library
    if has_library and not config.validation_disable_unconditional:
        texts.append(ClipText(UNCONDITIONAL_NAME, "", ""))
    return _with_unique_names(texts)


def read_library(path: Path) -> list[ClipText]:
    """The prompts of a file.

    Raises:
        ValueError: Missing, not JSON, of another form, or empty; says what and where.
    """
    try:
        listed: Any = read_json(path)
    except OSError as error:
        raise ValueError(f"{path.absolute()} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from error
    if not isinstance(listed, dict):
        raise ValueError("not an object")
    if not listed:
        raise ValueError("it holds no prompt")
    return [_read_prompt(name, entry) for name, entry in listed.items()]


def _read_prompt(name: str, entry: Any) -> ClipText:
    if isinstance(entry, str):
        entry = {"prompt": entry}
    if not isinstance(entry, dict):
        raise ValueError(f"{name}: neither a text nor an object")
    prompt, lyrics = entry.get("prompt"), entry.get("lyrics")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"{name}: it has no prompt")
    if lyrics is not None and not isinstance(lyrics, str):
        raise ValueError(f"{name}: its lyrics are not a text")
    return ClipText(name, prompt, lyrics or "")


def _with_unique_names(texts: Iterable[ClipText]) -> tuple[ClipText, ...]:
    taken: set[str] = set()
    named = []
    for text in texts:
        name = base = file_name_of(text.name)
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{base}-{count}"
        taken.add(name.casefold())
        named.append(replace(text, name=name))
    return tuple(named)


def file_name_of(name: str) -> str:
    """A name as part of a file's name: letters and digits of any script, ``-`` and ``_``; at most 40 of them.

    The ends ``_base`` and ``_ema`` tell clips of one prompt apart, so no prompt may have one of its own.
    """
    plain = re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFC", name)).strip("-_")[:40]
    return re.sub(r"_(base|ema)$", r"-\1", plain, flags=re.IGNORECASE) or "prompt"
