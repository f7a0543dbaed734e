"""Lyric tokens of the original, matched exactly (golden/README.md, `lyric_tokens`)."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from engine.lyrics.language import classify, detect
from engine.lyrics.languages import UnsupportedLanguageError
from engine.lyrics.normalize import normalize
from engine.lyrics.segment import segment
from engine.lyrics.tokenizer import LyricTokenizer
from tests.numerics.golden_common import load_json

Case = dict[str, Any]

_CASES = load_json("lyric_tokens")
_LINES: list[Case] = _CASES["lines"]
_FORCED: list[Case] = _CASES["forced"]
_SONGS: list[Case] = _CASES["songs"]


@cache
def _tokenizer() -> LyricTokenizer:
    return LyricTokenizer(detection="upstream")


def _line_name(case: Case) -> str:
    return repr(case["text"])


@pytest.mark.parametrize("case", [case for case in _LINES if "line_ids" in case], ids=_line_name)
def test_a_line_in_its_language(case: Case) -> None:
    line = case["text"].strip()
    assert normalize(line, case["lang_used"]) == case["normalized"]
    ids = _tokenizer().encode_line(line, case["lang_used"])
    assert list(ids) == case["line_ids"]
    assert ids.count(1) == case["unk"]


@pytest.mark.parametrize("case", [case for case in _LINES if "detected" in case], ids=_line_name)
def test_the_detected_language_of_a_line(case: Case) -> None:
    detection = detect(case["text"].strip())
    assert (detection.language, [list(count) for count in detection.counts]) == (case["detected"], case["counts"])


@pytest.mark.parametrize("case", _LINES, ids=_line_name)
def test_a_line_on_the_inference_path(case: Case) -> None:
    assert list(_tokenizer().inference_ids(case["text"])) == case["inference_ids"]


@pytest.mark.parametrize("case", _FORCED, ids=lambda case: f"{case['lang']}: {case['text']!r}")
def test_a_line_in_a_given_language(case: Case) -> None:
    assert normalize(case["text"], case["lang"]) == case["normalized"]
    assert list(_tokenizer().encode_line(case["text"], case["lang"])) == case["ids"]


@pytest.mark.parametrize("case", _SONGS, ids=lambda case: case["name"])
def test_a_song_on_the_inference_path(case: Case) -> None:
    assert list(_tokenizer().inference_ids(case["lyrics"])) == case["inference_ids"]


@pytest.mark.parametrize("case", [case for case in _SONGS if "train_segments" in case], ids=lambda case: case["name"])
def test_the_segments_of_a_song(case: Case) -> None:
    segmentation = segment(case["lyrics"], classify)
    segments = [{"lang": part.language, "text": part.text} for part in segmentation.segments]
    assert segments == case["train_segments"]
    assert [list(count) for count in segmentation.counts] == case["train_counts"]


@pytest.mark.parametrize("case", _SONGS, ids=lambda case: case["name"])
def test_a_song_on_the_training_path(case: Case) -> None:
    if "train_error" in case:
        with pytest.raises(UnsupportedLanguageError):
            _tokenizer().train_ids(case["lyrics"])
    else:
        assert list(_tokenizer().train_ids(case["lyrics"])) == case["train_ids"]
        assert list(_tokenizer().train_item_ids(case["lyrics"])) == case["train_item_ids"]
