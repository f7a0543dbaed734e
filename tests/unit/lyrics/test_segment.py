"""The segmenter's rules with a classifier of our own, so that no case hangs on what a statistical model thinks."""

import pytest

from engine.lyrics.passes import Kind, extract
from engine.lyrics.segment import Segment, segment

ENGLISH = {"hello", "you", "love", "the", "world"}
SPANISH = {"hola", "mundo", "mañana"}


def classify(text: str) -> tuple[str, float]:
    """Han text is Chinese; a probability stands in for "how long is it", as with a real classifier."""
    if any("\u3040" <= letter <= "\u30ff" for letter in text):
        return "ja", 0.99
    if any("\u4e00" <= letter <= "\u9fff" for letter in text):
        return "zh", 0.95 if len(text) > 3 else 0.5
    words = set(text.lower().split())
    return ("es", 0.9) if words & SPANISH else ("eo", 0.2) if "eo" in words else ("en", 0.9)


def pieces(text: str) -> list[tuple[str, str]]:
    return [(part.language, part.text) for part in segment(text, classify).segments]


def counts(text: str) -> dict[str, int]:
    return dict(segment(text, classify).counts)


@pytest.mark.parametrize(
    ("line", "kind", "text", "inner"),
    [
        ("<ja>夢</ja>", Kind.MARKUP, "<ja>夢</ja>", "夢"),
        ("夢<zh>人<zh>夢", Kind.MARKUP, "<zh>人<zh>", "人"),
        ("夢 사랑, 해 夢", Kind.HANGUL, "사랑, 해 ", "사랑, 해 "),
        ("夢 “사랑” 夢", Kind.HANGUL, "“사랑” ", "“사랑” "),
        ("夢ไทย夢", Kind.THAI, "ไทย", "ไทย"),
        ("夢Ёж, да!夢", Kind.RUSSIAN, "Ёж, да!", "Ёж, да!"),
        ("夢 20, 夢", Kind.NUMBER, " 20, ", " 20, "),
        ("夢don't夢", Kind.LATIN, "don't", "don't"),
        ("夢ça và ñ夢", Kind.LATIN, "ça và ñ", "ça và ñ"),
        ("夢'星空'夢", Kind.QUOTED, "'星空'", "星空"),
        ("夢（星と空）夢", Kind.QUOTED, "（星と空）", "星と空"),
    ],
)
def test_each_pass_takes_its_spans(line: str, kind: Kind, text: str, inner: str) -> None:
    spans = list(extract(line)[1].values())
    assert [(span.kind, span.text, span.inner) for span in spans] == [(kind, text, inner)]


@pytest.mark.parametrize("line", ["夢20夢", "夢（星空）夢", "Ç", "ß", "夢20"])
def test_what_no_pass_takes(line: str) -> None:
    # Digits glued to a word, two characters in brackets, an accented capital, a sharp s.
    assert extract(line) == (line, {})


def test_text_that_looks_like_a_place_holder_is_removed() -> None:
    assert pieces("hello ꙮ000000ꙮ world") == [("en", "hello  world ")]


def test_english_is_respaced() -> None:
    assert pieces("iPhone NLP-") == [("en", "i Phone N L P ")]


def test_chinese_counts_double_and_a_leading_bracket_counts_as_chinese() -> None:
    assert counts("我们大家") == {"zh": 8}
    # "[" waits as Chinese (2), then goes with the English piece (8 = "[Verse] ").
    assert counts("[Verse]") == {"en": 8, "zh": 2}


def test_a_number_takes_the_language_of_the_first_word() -> None:
    assert pieces("hola 20 mundo") == [("es", "hola 20 mundo")]
    assert counts("20 hola") == {"zh": 6, "es": 7}


def test_latin_text_is_cut_after_each_sentence() -> None:
    assert pieces("hola mundo! hello you.\n") == [("es", "hola mundo!"), ("en", " hello you.\n ")]


def test_languages_outside_the_list_are_voted_on_word_by_word() -> None:
    def odd(text: str) -> tuple[str, float]:
        return ("xx", 1.0) if " " in text else ("es", 1.0) if text == "Mundo" else ("fr", 1.0)

    # Words longer than three characters, split at capitals too: "Hola", "Mundo", "Mundo" -> two votes for es.
    assert segment("HolaMundo y Mundo", odd).counts == (("es", 17),)
    assert segment("a la y", odd).counts == (("zh", 0),)


def test_mark_up_gives_the_language_or_a_chinese_reading() -> None:
    assert pieces("<es>hello</es>") == [("es", "hello")]
    assert pieces("<telephone>110</telephone>") == [("zh", "幺幺零")]
    assert pieces("<strong>hello</strong>") == []


def test_few_han_characters_wait_for_the_next_word() -> None:
    # Two characters, probability below 0.89: "Japanese or Chinese"; the first, unless what follows says Chinese.
    assert pieces("天空 hello") == [("ja", "天空 "), ("en", "hello ")]
    assert pieces("'天空'我们大家") == [("zh", "'天空'我们大家")]
    assert pieces("'天空'さくら") == [("ja", "'天空'さくら")]
    # A full stop settles it at once by the word before.
    assert pieces("hello 天空。 hello") == [("en", "hello  "), ("ja", "天空。 "), ("en", "hello ")]
    # At the end of the line a single character is Chinese, two stay what the probability said.
    assert pieces("天") == [("zh", "天")]
    assert pieces("天空") == [("ja", "天空")]


def test_a_piece_that_still_waits_at_the_very_end_is_lost_as_in_the_original() -> None:
    assert pieces("我们大家'天空'") == [("zh", "我们大家")]


def test_small_bits_are_glued_to_what_follows() -> None:
    assert pieces("あ、いろは、さくら") == [("ja", "あ、いろは、さくら")]
    assert counts("あ、いろは、さくら") == {"ja": 9}


def test_lines_keep_their_newlines_and_blank_ones_are_skipped() -> None:
    result = segment("hola\n\nmundo\n \n", classify)
    assert result.segments == (Segment("es", "hola\n\nmundo\n"),)
    assert segment(" \n\n", classify).counts == (("zh", 0),)


def test_counts_are_sorted_and_stable() -> None:
    assert segment("hola 我们是的 hello", classify).counts == (("zh", 10), ("en", 6), ("es", 5))
    assert segment("hola\nhello", classify).counts == (("en", 6), ("es", 5))
