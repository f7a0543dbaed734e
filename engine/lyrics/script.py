"""A better language detector than the original's: scripts decide, and Latin lines are read in the context of their song."""

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
_LATIN = re.compile("[A-Za-z\u00aa-\u024f\u1e00-\u1eff]")
_LATIN_LANGUAGES = tuple(code for code in SUPPORTED if code not in ("zh", "ja", "ko", "ru", "ar", "hi"))
_TAG = re.compile(r"^\s*\[.*?\]", re.MULTILINE)

_OWN_LANGUAGE_LETTERS = 16
"""Latin lines shorter than this take the language of the song: the classifier guesses on two or three words."""
_OWN_LANGUAGE_PROBABILITY = 0.95
"""How sure the classifier must be that a line is not in the language of its song."""


class SongContext:
    """What the whole song says about the language of its lines; nothing is computed before it is asked for."""

    def __init__(self, lyrics: str) -> None:
        self._lyrics = _TAG.sub("", lyrics)

    def detect(self, line: str) -> str:
        """The language of one line: by its letters, then by its words, then by its song; "th" for Thai, which has no token."""
        scripts = {name: len(pattern.findall(line)) for name, pattern in _SCRIPTS.items()}
        if scripts["kana"] or (scripts["han"] and self._is_japanese):
            scripts["ja"] = scripts["kana"] + scripts["han"]
        else:
            scripts["zh"] = scripts["han"]
        del scripts["kana"], scripts["han"]
        language, letters = max(scripts.items(), key=lambda item: item[1])
        # A few Han, kana or Hangul letters decide for a line of many Latin ones: only their normaliser can spell them, and
        # it leaves Latin words as they are. The vocabulary spells the other scripts under any language.
        if letters and (language in ("zh", "ja", "ko") or letters >= len(_LATIN.findall(line))):
            return language
        return self._latin_language(line)

    @cached_property
    def _is_japanese(self) -> bool:
        return bool(_SCRIPTS["kana"].search(self._lyrics))

    @cached_property
    def _main_language(self) -> str:
        words = " ".join(re.findall(r"\w+", self._lyrics))
        return _classify_latin(words)[0] if _LATIN.search(words) else "en"

    def _latin_language(self, line: str) -> str:
        if len(_LATIN.findall(line)) < _OWN_LANGUAGE_LETTERS:
            return self._main_language
        language, probability = _classify_latin(line)
        return language if probability >= _OWN_LANGUAGE_PROBABILITY else self._main_language


def _classify_latin(text: str) -> tuple[str, float]:
    """The most probable of the supported languages in Latin letters, and its probability among them."""
    language, probability = load_classifier(_LATIN_LANGUAGES).classify(text.lower())
    return str(language), float(probability)
