"""The segmenter: cuts lyrics into pieces of one language each and counts characters per language (spec 8.4).

It judges by character class first and asks a statistical classifier only where a script does not decide. Its habits
(Chinese counted double, brackets counted as Chinese, English words respaced) are those of the original, because the
language token that a line begins with at inference comes from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from engine.lyrics.languages import DETECTABLE
from engine.lyrics.markup import READINGS
from engine.lyrics.passes import PLACE_HOLDER, Kind, Span, extract, remove_look_alikes

Classify = Callable[[str], tuple[str, float]]
Counts = tuple[tuple[str, int], ...]

_SURE = 0.90
_UNSURE = 0.89

_PHYSICAL_LINE = re.compile(r".+\n*|\n+")
_PUNCTUATION = re.compile(r"([^\w\s]+)")
_SENTENCE = re.compile(r"(.*?[。.?？!！]+\n?)")
_SCRIPT_LANGUAGES = {Kind.HANGUL: "ko", Kind.THAI: "th", Kind.RUSSIAN: "ru"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of lyrics in one language; English text is respaced (see `_respace_english`)."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Segments in reading order, and characters per language, most-counted first."""

    segments: tuple[Segment, ...]
    counts: Counts


@dataclass(slots=True)
class _Piece:
    """A piece on its way into the result; two languages as long as Chinese and Japanese are undecided."""

    languages: tuple[str, ...]
    text: str
    is_marked: bool = False

    @property
    def language(self) -> str:
        return self.languages[0]

    @property
    def is_undecided(self) -> bool:
        return len(self.languages) > 1


def segment(text: str, classify: Classify) -> Segmentation:
    """Cuts a text into segments of one language.

    Args:
        text: Lyrics, any number of lines.
        classify: Gives the language of a text and its probability.
    """
    walk = _Walk(classify)
    pieces: list[_Piece] = []
    for line in _PHYSICAL_LINE.findall(remove_look_alikes(text)):
        if line.strip():
            pieces += walk.read_line(line)
    counts = tuple(sorted(walk.counts.items(), key=lambda item: item[1], reverse=True))
    return Segmentation(_join_neighbours(pieces), counts or (("zh", 0),))


def _join_neighbours(pieces: list[_Piece]) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for piece in pieces:
        if segments and segments[-1].language == piece.language:
            segments[-1] = Segment(piece.language, segments[-1].text + piece.text)
        else:
            segments.append(Segment(piece.language, piece.text))
    return tuple(segments)


class _Walk:
    """Walks over the lines of one text; holds what outlives a line: the counts and an undecided piece."""

    def __init__(self, classify: Classify) -> None:
        self.classify = classify
        self.counts: Counter[str] = Counter()
        self.undecided: _Piece | None = None
        self.is_end_of_line = False
        self.spans: dict[str, Span] = {}

    def read_line(self, line: str) -> list[_Piece]:
        """The pieces of one physical line, each with its language."""
        text, self.spans = extract(line)
        pieces: list[_Piece] = []
        self._walk(pieces, text, is_whole_line=True)
        return pieces

    def _walk(self, pieces: list[_Piece], text: str, *, is_whole_line: bool) -> None:
        parts = PLACE_HOLDER.split(text)
        for index, part in enumerate(parts):
            if is_whole_line:
                self.is_end_of_line = index == len(parts) - 1
            if part in self.spans:
                self._take_span(pieces, self.spans[part])
            else:
                self._take_other(pieces, part)

    def _take_span(self, pieces: list[_Piece], span: Span) -> None:
        if span.kind in _SCRIPT_LANGUAGES:
            self._add(pieces, (_SCRIPT_LANGUAGES[span.kind],), span.text)
        elif span.kind is Kind.NUMBER:
            self._add(pieces, (pieces[0].language if pieces else "zh",), span.text)
        elif span.kind is Kind.LATIN:
            self._take_latin(pieces, span.text)
        elif span.kind is Kind.QUOTED:
            self._take_quoted(pieces, span)
        else:
            self._take_markup(pieces, span)

    def _take_latin(self, pieces: list[_Piece], text: str) -> None:
        for sentence in _SENTENCE.split(text):
            if not sentence.strip():
                continue
            cleaned = _clean(sentence)
            language: str | None = self.classify(cleaned)[0]
            if language not in DETECTABLE:
                language = self._vote(cleaned)
            if language is not None:
                self._add(pieces, (language,), sentence)

    def _vote(self, cleaned: str) -> str | None:
        """The most frequent language among the longer words, split at capitals too; None without any such word."""
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", cleaned).split(" ")
        votes = Counter(self.classify(word)[0] for word in words if len(word.strip()) > 3)
        language = votes.most_common(1)[0][0] if votes else None
        return language if language in DETECTABLE else None

    def _take_quoted(self, pieces: list[_Piece], span: Span) -> None:
        if PLACE_HOLDER.search(span.text):
            self._walk(pieces, span.text, is_whole_line=False)
            return
        cleaned = _clean(span.inner)
        if len(cleaned) <= 5:
            self._take_other(pieces, span.text)
        else:
            self._add(pieces, (self.classify(cleaned)[0],), span.text)

    def _take_markup(self, pieces: list[_Piece], span: Span) -> None:
        if span.language.lower() in DETECTABLE:
            self._add(pieces, (span.language.lower(),), span.inner, is_marked=True)
        elif span.language in READINGS:
            self._add(pieces, ("zh",), READINGS[span.language](span.inner), is_marked=True)

    def _take_other(self, pieces: list[_Piece], text: str) -> None:
        """Text that no pass took: cut at punctuation, small bits glued to what follows, then classified."""
        parts = _PUNCTUATION.split(text)
        for index, part in enumerate(parts):
            if not part:
                continue
            is_last = index == len(parts) - 1
            cleaned = _clean(re.sub(r"\d+", "", part))
            if not is_last and (_is_wordless(part) or _is_wordless(parts[index + 1]) or len(cleaned) <= 2):
                parts[index + 1] = part + parts[index + 1]
                continue
            languages = self._judge(pieces, part, cleaned, is_end=is_last and self.is_end_of_line)
            self._add(pieces, languages, part)

    def _judge(self, pieces: list[_Piece], part: str, cleaned: str, *, is_end: bool) -> tuple[str, ...]:
        """The language of other text, or two of them when a few Han characters could be Chinese or Japanese."""
        language, score = self.classify(cleaned)
        if language != "zh" and all("\u4e00" <= letter <= "\u9fff" for letter in cleaned if not letter.isspace()):
            language, score = "zh", 1.0
        if len(cleaned) > 5 or not re.search("[\u4e00-\u9fff]", cleaned):
            return (language,)
        if re.search("[\u3040-\u30ff]", cleaned):
            return ("ja",)
        if score < _UNSURE:
            language = "ja"
        if len(cleaned) > 2 and score > _SURE:
            return (language,)
        if is_end:
            return ("zh",) if len(cleaned) <= 1 else (language,)
        previous = pieces[-1].language if pieces else None
        if part.rstrip()[-1] in "。.":
            return (previous,) if previous in ("zh", "ja") else (language,)
        is_chinese_first = language == "zh" or (len(cleaned) <= 2 and previous == "zh")
        return ("zh", "ja") if is_chinese_first else ("ja", "zh")

    def _add(self, pieces: list[_Piece], languages: tuple[str, ...], text: str, *, is_marked: bool = False) -> None:
        """Appends a piece; the language of one that waits undecided is settled by this one first."""
        if text != "\n" and not text.strip():
            return
        if languages == ("en",):
            text = _respace_english(text)
        piece = _Piece(languages, text, is_marked)
        if self.undecided is not None:
            waiting, self.undecided = self.undecided, None
            if piece.languages == waiting.languages:
                piece.languages = waiting.languages = waiting.languages[:1]
            elif not piece.is_undecided and piece.language in waiting.languages:
                waiting.languages = piece.languages
            else:
                waiting.languages = waiting.languages[:1]
            self._save(pieces, waiting)
        if piece.is_undecided:
            self.undecided = piece
        else:
            self._save(pieces, piece)

    def _save(self, pieces: list[_Piece], piece: _Piece) -> None:
        """Counts a decided piece and appends it or joins it to the one before."""
        previous = pieces[-1] if pieces else None
        if previous is not None and not previous.is_marked and not piece.is_marked:
            if _is_number(piece.text):
                piece.languages = previous.languages
            if previous.language == piece.language:
                self._count(piece.language, piece.text)
                previous.text += piece.text
                return
            if _is_number(previous.text):
                piece.text = previous.text + piece.text
                pieces.pop()
        if piece.language in DETECTABLE:
            pieces.append(piece)
            self._count(piece.language, piece.text)

    def _count(self, language: str, text: str) -> None:
        self.counts[language] += len(text) * (2 if language == "zh" else 1)


def _clean(text: str) -> str:
    """Words only: punctuation becomes one space, runs of an equal character become one ("oooh" -> "oh")."""
    return re.sub(r"(.)\1+", r"\1", re.sub(r"\W+", " ", text)).strip()


def _is_wordless(text: str) -> bool:
    return not _PUNCTUATION.sub("", text).strip()


def _is_number(text: str) -> bool:
    """Whether nothing but digits and punctuation stands there; a bare newline is a piece of its own."""
    return text != "\n" and not re.sub(r"\d+", "", _PUNCTUATION.sub("", text.replace("\n", "")).strip())


def _respace_english(text: str) -> str:
    """English as the original hands it on: "iPhone" -> "i Phone ", edge hyphens off, a space at the end."""
    return re.sub(r"(?<!\b)([A-Z])", r" \1", text).strip("-") + " "
