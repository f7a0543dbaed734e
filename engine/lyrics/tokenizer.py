"""Lyrics to token ids (spec 8.1-8.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from engine.contract.errors import UserError
from engine.lyrics.language import classify, detect
from engine.lyrics.languages import prefix_token, supported_or_english
from engine.lyrics.normalize import normalize
from engine.lyrics.script import SongContext
from engine.lyrics.segment import segment
from engine.lyrics.vocabulary import load_vocabulary

START_ID = 261
"""`[START]`: every song begins with it."""
NEWLINE_ID = 2
"""`[SPACE]`, which ends every line."""
UNKNOWN_ID = 1
MAX_IDS = 4096
"""What training cuts a song to."""

_CACHED_LINES = 16_384
"""Lines kept per tokenizer, about 10 MB: choruses come back within a song, not after hundreds of others."""

_TAG_LINE = re.compile(r"\[.*?\]")
_DESCRIPTION = re.compile(r"write a .*? song that genre is")


@dataclass(frozen=True, slots=True)
class LyricTokens:
    """The ids of a song's lyrics.

    Attributes:
        ids: Token ids; the single id 0 when there is nothing to sing.
        mask: One per id: 1 where there are lyrics.
        problems: What the user should know: lines left out and why, lyrics cut short.
    """

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    problems: tuple[str, ...] = ()


NO_LYRICS = LyricTokens((0,), (0,))


def has_lyrics(lyrics: str) -> bool:
    """Whether there is something to sing: not blank, and not the description that some data sets have in its place."""
    return bool(lyrics.strip()) and not _DESCRIPTION.search(lyrics)


class LyricTokenizer:
    """Turns lyrics into token ids, line by line, each line in its own language.

    Args:
        detection: "upstream" detects each line alone, as the original does, down to its misses on short lines; "script"
            goes by script and by the language of the whole song.
    """

    def __init__(self, detection: Literal["upstream", "script"] = "upstream") -> None:
        self.detection = detection
        self._line_ids: dict[tuple[str, str], tuple[int, ...]] = {}

    def encode(self, lyrics: str) -> LyricTokens:
        """The ids of a song with their mask: the form that the model takes, in training and in sampling alike.

        Raises:
            UserError: A language library is missing, or the vocabulary file is not the right one.
        """
        if not has_lyrics(lyrics):
            return NO_LYRICS
        ids, problems = self._encode_lines(lyrics)
        if len(ids) > MAX_IDS:
            problems.append(f"lyrics are cut: {len(ids)} tokens, the model takes {MAX_IDS}")
        ids = ids[:MAX_IDS]
        return LyricTokens(tuple(ids), (1,) * len(ids), tuple(problems))

    def inference_ids(self, lyrics: str) -> tuple[int, ...]:
        """The ids of spec 8.2, before the rules for empty and for overlong lyrics."""
        return tuple(self._encode_lines(lyrics)[0])

    def encode_line(self, text: str, language: str) -> tuple[int, ...]:
        """The ids of one line in a given language, its language token first.

        Raises:
            UnsupportedLanguageError: The vocabulary has no token for that language.
            UserError: A language library is missing, or the vocabulary file is not the right one.
        """
        key = (text, language)
        if key not in self._line_ids:
            if len(self._line_ids) >= _CACHED_LINES:
                self._line_ids.clear()
            spelled = prefix_token(language) + normalize(text, language)
            self._line_ids[key] = tuple(self._vocabulary.encode(spelled.replace(" ", "[SPACE]")).ids)
        return self._line_ids[key]

    def train_ids(self, lyrics: str) -> tuple[int, ...]:
        """The ids of spec 8.3: how the original's trainer reads a song, in segments and mostly in one language.

        Raises:
            UnsupportedLanguageError: The song's most common language has no token; the original drops such a song.
            UserError: A language library is missing, or the vocabulary file is not the right one.
        """
        segmentation = segment(lyrics, classify)
        common = segmentation.counts[0][0]
        ids = [START_ID]
        for part in segmentation.segments:
            for line in part.text.split("\n"):
                if line.strip():
                    ids += self._train_line(line, common, supported_or_english(part.language))
                ids.append(NEWLINE_ID)
        return tuple(ids)

    def train_item_ids(self, lyrics: str) -> tuple[int, ...]:
        """`train_ids` after the rules for empty and for overlong lyrics, as the original's data set holds them."""
        return self.train_ids(lyrics)[:MAX_IDS] if has_lyrics(lyrics) else NO_LYRICS.ids

    def _train_line(self, line: str, common: str, own: str) -> tuple[int, ...]:
        if _TAG_LINE.match(line):
            return self.encode_line(line, "en")
        ids = self.encode_line(line, common)
        return self.encode_line(line, own) if UNKNOWN_ID in ids else ids

    def _encode_lines(self, lyrics: str) -> tuple[list[int], list[str]]:
        ids, problems = [START_ID], []
        song = SongContext(lyrics)
        for number, line in enumerate(map(str.strip, lyrics.split("\n")), start=1):
            try:
                ids += self._inference_line(line, song) if line else ()
            except UserError:
                raise
            except Exception as error:
                # The original leaves such a line out, newline and all, without a word.
                problems.append(f"line {number} is left out: {line!r}: {type(error).__name__}: {error}")
                continue
            ids.append(NEWLINE_ID)
        return ids, problems

    def _inference_line(self, line: str, song: SongContext) -> tuple[int, ...]:
        if _TAG_LINE.match(line):
            return self.encode_line(line, "en")
        language = song.detect(line) if self.detection == "script" else detect(line).language
        return self.encode_line(line, supported_or_english(language))

    @cached_property
    def _vocabulary(self) -> Any:
        return load_vocabulary()
