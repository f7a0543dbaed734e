"""Which language a line of lyrics is in (spec 8.2, 8.4)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from engine.lyrics.libraries import load_library
from engine.lyrics.segment import Counts, segment


class Detection(NamedTuple):
    """What the segmenter makes of a text: the language it decides for and the characters counted per language."""

    language: str
    counts: Counts


@lru_cache(maxsize=2)
def load_classifier(languages: tuple[str, ...] = ()) -> Any:
    """The py3langid classifier with probabilities instead of log-likelihoods; loading takes 0.2 s.

    Args:
        languages: Restricts the answers to these; all 97 by default.
    """
    langid = load_library("py3langid.langid", purpose="Lyrics")
    classifier = langid.LanguageIdentifier.from_pickled_model(langid.MODEL_FILE, norm_probs=True)
    if languages:
        classifier.set_languages(languages)
    return classifier


@lru_cache(maxsize=4096)
def classify(text: str) -> tuple[str, float]:
    """The most probable of 97 languages and its probability, to three decimals like the original (0.2 ms)."""
    language, probability = load_classifier().classify(text)
    return str(language), round(float(probability), 3)


def detect(text: str) -> Detection:
    """Detects the language of one line as the original does at inference: "upstream" mode.

    The most-counted language wins, except that English makes room for a second one. The answer may be a language that
    the tokenizer has no prefix for.

    Args:
        text: One line, stripped.

    Raises:
        UserError: The classifier's package is missing.
    """
    counts = segment(text, classify).counts
    language = counts[0][0]
    if language == "en" and len(counts) > 1:
        language = counts[1][0]
    return Detection(language, counts)
