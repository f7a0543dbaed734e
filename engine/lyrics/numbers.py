"""Numbers, money and ordinals in words for every language but Chinese (spec 8.6, "Numbers")."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from engine.contract.errors import UserError
from engine.lyrics.libraries import load_library

# English and Russian group thousands by commas. The others group them by dots; that any character passes as their group
# separator is a slip of the original which hardly shows, because only dots are then removed.
_GROUPED_BY_COMMAS = re.compile(r"\b\d{1,3}(,\d{3})*(\.\d+)?\b")
_GROUPED_BY_DOTS = re.compile(r"\b\d{1,3}(.\d{3})*(\,\d+)?\b")
_COMMA_LANGUAGES = frozenset({"en", "ru"})

_AMOUNT = r"[0-9.,]*[0-9]+"
_CURRENCIES = tuple(
    (code, re.compile(rf"{re.escape(sign)}{_AMOUNT}|{_AMOUNT}{re.escape(sign)}"))
    for code, sign in (("GBP", "£"), ("USD", "$"), ("EUR", "€"))
)
_CENTS_JOINERS = {"es": " con ", "fr": " et ", "de": " und ", "pt": " e ", "it": " e "}
_DEFAULT_CENTS_JOINER = ", "

_DECIMAL = re.compile(r"[0-9]+[.,][0-9]+")
_INTEGER = re.compile(r"[0-9]+")

_DOT_AT_WORD_END = r"\.(?=\s|$)"
_ORDINAL_SUFFIXES = {
    "en": "st|nd|rd|th",
    "es": "º|ª|er|o|a|os|as",
    "fr": "º|ª|er|re|e|ème",
    "de": f"st|nd|rd|th|º|ª|{_DOT_AT_WORD_END}",
    "pt": "º|ª|o|a|os|as",
    "it": "º|°|ª|o|a|i|e",
    "pl": "º|ª|st|nd|rd|th",
    "ar": "ون|ين|ث|ر|ى",
    "cs": _DOT_AT_WORD_END,
    "ru": "-й|-я|-е|-ое|-ье|-го",
    "nl": "de|ste|e",
    "tr": r"\.|inci|nci|uncu|üncü",
    "hu": r"\.|adik|edik|odik|ödik|ödike|ik",
    "ko": "번째|번|차|째",
}
_ORDINALS = {language: re.compile(f"([0-9]+)(?:{suffixes})") for language, suffixes in _ORDINAL_SUFFIXES.items()}

# The original asks num2words for "cz", which it does not know: for Czech the whole step fails and digits stay digits.
_NUM2WORDS_CODES = {"cs": "cz"}


def expand_numbers(text: str, *, language: str) -> str:
    """Puts numbers into words, step by step as spec 8.6 lists them.

    Args:
        text: Lower-case text.
        language: A language with a row in the table of ordinal suffixes.

    Raises:
        Exception: Whatever num2words raises for a number that it cannot read; the caller then keeps its text.
    """
    if language in _COMMA_LANGUAGES:
        text = _GROUPED_BY_COMMAS.sub(lambda match: match[0].replace(",", ""), text)
    else:
        text = _GROUPED_BY_DOTS.sub(lambda match: match[0].replace(".", ""), text)
    text = _expand_money(text, language)
    if language != "tr":
        text = _DECIMAL.sub(lambda match: _words(float(match[0].replace(",", ".")), language), text)
    text = _ORDINALS[language].sub(lambda match: _words(int(match[1]), language, to="ordinal"), text)
    return _INTEGER.sub(lambda match: _words(int(match[0]), language), text)


def _expand_money(text: str, language: str) -> str:
    """Replaces pounds, then dollars, then euros; stops quietly at the first amount that num2words cannot read."""
    for code, pattern in _CURRENCIES:
        try:
            text = pattern.sub(partial(_money_words, language=language, code=code), text)
        except UserError:
            raise
        except Exception:
            break
    return text


def _money_words(match: re.Match[str], *, language: str, code: str) -> str:
    value = float(re.sub(r"[^\d.]", "", match[0].replace(",", ".")))
    words = _words(value, language, to="currency", currency=code)
    joiner = _CENTS_JOINERS.get(language, _DEFAULT_CENTS_JOINER)
    if value.is_integer() and joiner in words:
        return words[: words.rindex(joiner)]
    return words


def _words(number: float, language: str, **options: Any) -> str:
    num2words = load_library("num2words", purpose="Lyrics with numbers").num2words
    return str(num2words(number, lang=_NUM2WORDS_CODES.get(language, language), **options))
