"""The languages that the lyric tokenizer knows and those that its detector may answer with."""

from __future__ import annotations

import re

from engine.contract.errors import DataError

SUPPORTED = ("en", "de", "fr", "ru", "es", "it", "pt", "cs", "pl", "tr", "nl", "ar", "zh", "ja", "hu", "ko", "hi")
"""Languages with a prefix token and a normaliser (spec 8.1)."""

DETECTABLE = frozenset(
    re.findall(
        r"\w+",
        "af am an ar as az be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr ga gl gu he hi hr "
        "ht hu hy id is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mk ml mn mr ms mt nb ne nl nn no oc "
        "or pa pl ps pt qu ro ru rw se si sk sl sq sr sv sw ta te th tl tr ug uk ur vi vo wa xh zh zu",
    )
)
"""The 97 ISO 639-1 codes that the segmenter keeps (spec 8.4)."""


class UnsupportedLanguageError(DataError):
    """A line was to be encoded in a language that the tokenizer has no prefix token for."""

    def __init__(self, language: str) -> None:
        super().__init__(
            f"The lyric tokenizer has no language {language!r}",
            hint=f"Supported languages: {', '.join(SUPPORTED)}.",
        )


def prefix_token(language: str) -> str:
    """The vocabulary's token for a supported language; Chinese alone is written with its region."""
    return "[zh-cn]" if language == "zh" else f"[{language}]"


def supported_or_english(language: str) -> str:
    """The language itself, or English when there is no prefix token for it."""
    return language if language in SUPPORTED else "en"
