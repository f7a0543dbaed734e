"""A better language detector than the original's: scripts decide, and Latin lines are read in their song's context."""

from __future__ import annotations

import re
from functools import cached_property

from engine.lyrics.language import load_classifier
from engine.lyrics.languages import SUPPORTED

_SCRIPTS = {
    "kana": re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]"),
    "ko": re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]"),
    "ru": re.compile("[\u0400-\u052f]"),
    "ar": re.compile("[\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
}
_LATIN_WORD = re.compile(r"[A-Za-z\u00aa-\u024f\u1e00-\u1eff'’]+")
_LATIN_LANGUAGES = tuple(code for code in SUPPORTED if code not in ("zh", "ja", "ko", "ru", "ar", "hi"))
_TAG = re.compile(r"^\s*\[.*?\]", re.MULTILINE)

_ENOUGH_LETTERS = 16
"""Fewer Latin letters take the language of the song, or English: the classifier guesses on two or three words."""
_SURE = 0.9
"""Probability, among the supported languages, below which the song decides."""


class SongContext:
    """What the whole song says about the language of its lines; nothing is computed before it is asked for."""

    def __init__(self, lyrics: str) -> None:
        self._lyrics = _TAG.sub("", lyrics)

    def detect(self, line: str) -> str:
        """The language of one line: by its letters, then by its words, then by its song; Thai ("th") has no token."""
        scripts = {name: len(pattern.findall(line)) for name, pattern in _SCRIPTS.items()}
        if scripts["kana"] or (scripts["han"] and self._is_japanese):
            scripts["ja"] = scripts["kana"] + scripts["han"]
        else:
            scripts["zh"] = scripts["han"]
        del scripts["kana"], scripts["han"]
        language, letters = max(scripts.items(), key=lambda item: item[1])
        # A few Han, kana or Hangul letters decide for a line of many Latin ones: only their normaliser can spell them,
        # and it leaves Latin words as they are. The vocabulary spells the other scripts under any language.
        if letters and (language in ("zh", "ja", "ko") or letters >= sum(map(len, _LATIN_WORD.findall(line)))):
            return language
        return self._latin_language(line)

    @cached_property
    def _is_japanese(self) -> bool:
        return bool(_SCRIPTS["kana"].search(self._lyrics))

    @cached_property
    def _main_language(self) -> str:
        return _classify_latin(self._lyrics, otherwise="en")

    def _latin_language(self, line: str) -> str:
        return _classify_latin(line, otherwise=self._main_language)


def _classify_latin(text: str, *, otherwise: str) -> str:
    """The language of a text's Latin words, or another one when they are too few or too unsure to tell."""
    words = _LATIN_WORD.findall(text.lower())
    if sum(map(len, words)) < _ENOUGH_LETTERS:
        return otherwise
    language, probability = load_classifier(_LATIN_LANGUAGES).classify(" ".join(words))
    return str(language) if probability >= _SURE else otherwise
