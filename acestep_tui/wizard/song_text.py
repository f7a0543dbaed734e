"""What the model reads of one song: its caption in tokens, its lyrics line by line. For a thread."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from engine.contract.errors import UserError

_TOKENIZER = "umt5-base/tokenizer.json"

LANGUAGE_NAMES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "la": "Latin", "lt": "Lithuanian",
    "lv": "Latvian", "nb": "Norwegian", "nl": "Dutch", "nn": "Norwegian", "no": "Norwegian", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CaptionText:
    """A caption as the text encoder reads it.

    Attributes:
        text: The caption.
        num_tokens: Its tokens; None while the model is not on this computer.
        max_tokens: Where captions are cut (``tokenizer_max_length``).
        cut_at: Index of the first character that is cut off; None when nothing is.
    """

    text: str
    num_tokens: int | None
    max_tokens: int
    cut_at: int | None = None


@dataclass(frozen=True, slots=True)
class LyricLine:
    """One line of lyrics.

    Attributes:
        text: As written; empty between verses.
        language: In which the model reads it; empty for a blank line and for a tag.
        detected: The language found, where the model has no token for it and reads another; else empty.
        num_tokens, num_unknown: Its tokens, and those that stand for signs which the model does not know.
        problem: Why the line is left out; empty when it is not.
        unknown: The signs of it that the model does not know, each once; may be empty although there are some.
    """

    text: str
    language: str = ""
    detected: str = ""
    num_tokens: int = 0
    num_unknown: int = 0
    problem: str = ""
    unknown: str = ""

    @property
    def is_tag(self) -> bool:
        """Whether it is a heading such as ``[verse]``."""
        return bool(self.text) and not self.language and not self.problem


@dataclass(frozen=True, slots=True)
class LyricsText:
    """All lines of a song."""

    lines: tuple[LyricLine, ...] = ()
    num_tokens: int = 0
    problems: tuple[str, ...] = ()

    @property
    def num_sung(self) -> int:
        """Lines that are sung."""
        return sum(bool(line.text) and not line.is_tag for line in self.lines)

    @property
    def num_unknown(self) -> int:
        """Tokens that the model does not know."""
        return sum(line.num_unknown for line in self.lines)

    @property
    def language(self) -> str:
        """The language most lines are read in; empty without lines."""
        counts = Counter(line.language for line in self.lines if line.language)
        return counts.most_common(1)[0][0] if counts else ""

    def summary(self) -> str:
        """``29 lines, 412 tokens, Japanese``."""
        if not self.num_sung:
            return "none"
        lines = "1 line" if self.num_sung == 1 else f"{self.num_sung:,} lines"
        return f"{lines}, {self.num_tokens:,} tokens, {language_name(self.language)}"


def read_caption(caption: str, *, model_path: Path | None, max_tokens: int) -> CaptionText:
    """A caption with its tokens counted, where the model's tokenizer is on this computer.

    Args:
        caption: The text.
        model_path: The model's folder; None while it is not here.
        max_tokens: ``tokenizer_max_length``.
    """
    tokenizer = load_tokenizer(model_path / _TOKENIZER) if model_path is not None else None
    if tokenizer is None:
        return CaptionText(caption, None, max_tokens)
    encoding = tokenizer.encode(caption)
    cut_at = None
    if len(encoding.ids) > max_tokens:
        # The last of the tokens kept is the end mark.
        cut_at = int(encoding.offsets[max(max_tokens - 1, 0)][0])
    return CaptionText(caption, len(encoding.ids), max_tokens, cut_at)


@functools.lru_cache(maxsize=2)
def load_tokenizer(path: Path) -> Any:
    """The text encoder's tokenizer (about a second, once); None where it is missing or damaged."""
    if not path.is_file():
        return None
    from tokenizers import Tokenizer  # 20 ms

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception:  # tokenizers raises a bare Exception for a damaged file
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def read_lyrics_text(lyrics: str | None, *, detection: str = "upstream") -> LyricsText:
    """Lyrics as the model reads them, each line in its own language.

    Args:
        lyrics: Of a song; None = it has none.
        detection: ``lyrics_language_detection``.
    """
    if not lyrics or not lyrics.strip():
        return LyricsText()
    tokenizer = _lyric_tokenizer(detection)
    lines = tuple(_line(one, lyrics, tokenizer, detection) for one in lyrics.splitlines())
    try:
        encoded = tokenizer.encode(lyrics)
    except UserError as error:
        return LyricsText(lines, 0, (error.message,))
    return LyricsText(lines, len(encoded.ids), encoded.problems)


def count_lyrics(lyrics: str, *, language: str) -> LyricsText:
    """About the same in a fifth of the time: every line is read in one language, tags in English.

    Args:
        lyrics: Of a song.
        language: Of the whole song, as a two-letter code.
    """
    from engine.lyrics.languages import supported_or_english
    from engine.lyrics.tokenizer import MAX_IDS, UNKNOWN_ID

    tokenizer, main = _lyric_tokenizer("upstream"), supported_or_english(language)
    lines: list[LyricLine] = []
    for stripped in map(str.strip, lyrics.splitlines()):
        is_tag = stripped.startswith("[") and stripped.endswith("]")
        try:
            ids = tokenizer.encode_line(stripped, "en" if is_tag else main) if stripped else ()
        except Exception as error:  # as the tokenizer: a line that cannot be read is left out and named
            reason = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            lines.append(LyricLine(stripped, problem=reason))
            continue
        lines.append(
            LyricLine(
                stripped,
                language="" if is_tag or not stripped else main,
                num_tokens=len(ids),
                num_unknown=ids.count(UNKNOWN_ID),
            )
        )
    # One token begins the song, one ends each line.
    total = 1 + sum(line.num_tokens + 1 for line in lines)
    problems = [f"line {place} is left out: {line.problem}" for place, line in enumerate(lines, 1) if line.problem]
    if total > MAX_IDS:
        problems.append(f"lyrics are cut: {total} tokens, the model takes {MAX_IDS}")
    return LyricsText(tuple(lines), min(total, MAX_IDS), tuple(problems))


def language_name(code: str) -> str:
    """A language in English, or its code."""
    return LANGUAGE_NAMES.get(code, code)


@functools.lru_cache(maxsize=2)
def _lyric_tokenizer(detection: str) -> Any:
    from engine.lyrics.tokenizer import LyricTokenizer

    return LyricTokenizer(cast("Literal['upstream', 'script']", detection))


def _line(text: str, lyrics: str, tokenizer: Any, detection: str) -> LyricLine:
    from engine.lyrics.language import detect
    from engine.lyrics.languages import supported_or_english
    from engine.lyrics.script import SongContext
    from engine.lyrics.tokenizer import UNKNOWN_ID

    stripped = text.strip()
    if not stripped:
        return LyricLine("")
    try:
        if stripped.startswith("[") and stripped.endswith("]"):
            return LyricLine(stripped, num_tokens=len(tokenizer.encode_line(stripped, "en")))
        found = SongContext(lyrics).detect(stripped) if detection == "script" else detect(stripped).language
        language = supported_or_english(found)
        ids = tokenizer.encode_line(stripped, language)
    except Exception as error:  # as the tokenizer: a line that cannot be read is left out and named
        reason = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return LyricLine(stripped, problem=reason)
    num_unknown = ids.count(UNKNOWN_ID)
    return LyricLine(
        stripped,
        language=language,
        detected="" if found == language else found,
        num_tokens=len(ids),
        num_unknown=num_unknown,
        unknown=_unknown_signs(stripped, language, tokenizer) if num_unknown else "",
    )


def _unknown_signs(text: str, language: str, tokenizer: Any) -> str:
    """The signs of a line that have no token by themselves."""
    from engine.lyrics.tokenizer import UNKNOWN_ID

    found = ""
    for sign in dict.fromkeys(text):
        try:
            is_known = sign.isspace() or UNKNOWN_ID not in tokenizer.encode_line(sign, language)
        except Exception:  # a sign alone may be nothing to spell, although its line is
            is_known = True
        found += "" if is_known else sign
    return found
