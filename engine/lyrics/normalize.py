"""From a line of lyrics to the characters that the vocabulary spells, per language (spec 8.6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any

from engine.contract.errors import UserError
from engine.lyrics.chinese_numbers import read_chinese_numbers
from engine.lyrics.languages import UnsupportedLanguageError
from engine.lyrics.libraries import load_library
from engine.lyrics.numbers import expand_numbers
from engine.lyrics.words import ABBREVIATIONS, SYMBOL_NAMES, SYMBOLS

_CLEANED = frozenset({"ar", "cs", "de", "en", "es", "fr", "hu", "it", "nl", "pl", "pt", "ru", "tr", "zh", "ko"})
_TURKISH_CAPITALS = str.maketrans({"İ": "i", "Ö": "ö", "Ü": "ü"})


def normalize(text: str, language: str) -> str:
    """A line as the vocabulary spells it: lower case, numbers and symbols in words, Chinese and the like romanised.

    Args:
        text: One line.
        language: A supported language (spec 8.1).

    Raises:
        UnsupportedLanguageError: There is no normaliser for this language.
        UserError: A language library is missing.
    """
    if language == "ja":
        return str(_romaji().romaji(text)).lower()
    if language == "hi":
        return _collapse_space(text.lower())
    if language not in _CLEANED:
        raise UnsupportedLanguageError(language)
    text = _clean(text, language)
    if language == "zh":
        return _pinyin(text)
    if language == "ko":
        return str(_hangul().translit(text))
    return text


def _clean(text: str, language: str) -> str:
    text = text.replace('"', "")
    if language == "tr":
        text = text.translate(_TURKISH_CAPITALS)
    text = text.lower()
    numbers = read_chinese_numbers if language == "zh" else partial(expand_numbers, language=language)
    for step in (numbers, partial(_expand_abbreviations, language=language), partial(_name_symbols, language=language)):
        text = _try(step, text)
    return _collapse_space(text)


def _try(step: Callable[[str], str], text: str) -> str:
    """The text after a step, or as it was when the step fails: what the original does with numbers it cannot read."""
    try:
        return step(text)
    except UserError:
        raise
    except Exception:
        return text


def _collapse_space(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@cache
def _abbreviation_patterns(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    # Russian abbreviations are words with a hyphen; all others end in a dot.
    ending = r"\b" if language == "ru" else r"\."
    return tuple(
        (re.compile(rf"\b{short}{ending}", re.IGNORECASE), long)
        for short, long in ABBREVIATIONS.get(language, {}).items()
    )


def _expand_abbreviations(text: str, *, language: str) -> str:
    for pattern, long in _abbreviation_patterns(language):
        text = pattern.sub(long, text)
    return text


def _name_symbols(text: str, *, language: str) -> str:
    for symbol, name in zip(SYMBOLS, SYMBOL_NAMES[language], strict=True):
        # The spaces are halved once per symbol, not until none is doubled: longer gaps shrink as the original's do.
        text = text.replace(symbol, f" {name} ").replace("  ", " ")
    return text.strip()


@lru_cache(maxsize=1)
def _romaji() -> Any:
    load_library("unidic_lite", purpose="Japanese lyrics")
    return load_library("cutlet", purpose="Japanese lyrics").Cutlet()


@lru_cache(maxsize=1)
def _hangul() -> Any:
    rule = load_library("hangul_romanize.rule", purpose="Korean lyrics")
    return load_library("hangul_romanize", purpose="Korean lyrics").Transliter(rule.academic)


def _pinyin(text: str) -> str:
    pypinyin = load_library("pypinyin", purpose="Chinese lyrics")
    syllables = pypinyin.pinyin(text, style=pypinyin.Style.TONE3, heteronym=False, neutral_tone_with_five=True)
    return "".join(syllable[0] for syllable in syllables)
