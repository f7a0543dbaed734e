"""Everything `acestep-tui scan` found, summed up: what the text and the JSON say is taken from here."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from acestep_tui.headless.scan_checks import Depth, SongCheck
from acestep_tui.headless.scan_source import ScanSource
from acestep_tui.wizard.song_text import CaptionText, read_caption
from engine.contract.paths import cache_root
from engine.dataset.doctor_duplicates import SongKey, song_key
from engine.dataset.doctor_sound import sound_problems
from engine.dataset.report import Problem, ScanReport, Song
from engine.hardware.host import disk_free_bytes
from engine.planning.data_facts import SongUse, data_facts, song_uses
from engine.planning.disk import audio_entry_bytes, feature_bytes

UNKNOWN_SHARE = 0.05
"""From this share of unknown tokens on a song's lyrics are named."""
LOW_RATE_HZ = 32_000
"""Below this a file holds little of what the model hears."""
HISTOGRAM_EDGES_S = (0, 15, 30, 60, 120, 180, 240, 360, 600)
"""Where the rows of the histogram begin; the last one has no end."""

_CHARACTERS_A_TOKEN = 4.0


@dataclass(frozen=True, slots=True)
class CaptionFacts:
    """All captions in numbers.

    Attributes:
        num_distinct: Different captions, variants of shuffling counted.
        num_alternatives: Songs with several.
        max_tokens: Where captions are cut.
        tokens: Tokens of each, by caption.
        is_estimate: The model's tokenizer is not on this computer; tokens are guessed from the length.
    """

    num_distinct: int
    num_alternatives: int
    max_tokens: int
    tokens: Mapping[str, int]
    is_estimate: bool

    @property
    def num_cut(self) -> int:
        """Captions with more tokens than the model reads."""
        return sum(number > self.max_tokens for number in self.tokens.values())


@dataclass(frozen=True)
class Diagnosis:
    """What a scan found.

    Attributes:
        source: What was looked at.
        depth: How closely.
        report: Of the headers and text files.
        checks: One for each of the report's songs.
        duplicates: Songs that are there twice, with the name of the other.
        captions: All captions.
        seconds: How long the scan took.
        error: Why nothing can be trained; empty when something can.
        hint: What to do about that.
    """

    source: ScanSource
    depth: Depth
    report: ScanReport
    checks: Sequence[SongCheck]
    duplicates: Mapping[SongKey, str]
    captions: CaptionFacts
    seconds: float = 0.0
    error: str = ""
    hint: str = ""

    @property
    def songs(self) -> tuple[Song, ...]:
        """The usable ones."""
        return self.report.songs

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Of the scan, then those that a closer look found, in the order of the songs."""
        return (*self.report.problems, *(one for place in range(len(self.songs)) for one in self._problems_of(place)))

    def _problems_of(self, place: int) -> list[Problem]:
        song, check = self.songs[place], self.checks[place]
        name = song.relative_path
        said: list[Problem] = []
        if check.unheard:
            said.append(Problem(name, "warning", "damaged", check.unheard))
        if check.heard is not None:
            said += sound_problems(name, check.heard)
        if other := self.duplicates.get(song_key(song)):
            said.append(Problem(name, "warning", "duplicate", f"the same as {other}"))
        most = max(self.captions.tokens.get(caption, 0) for caption in song.captions)
        if most > self.captions.max_tokens:
            about = "about " if self.captions.is_estimate else ""
            reason = f"its caption has {about}{most:,} tokens and is cut after {self.captions.max_tokens:,}"
            said.append(Problem(name, "warning", "caption_cut", reason))
        if check.lyrics is not None:
            said += [Problem(name, "warning", "lyrics", reason) for reason in check.lyrics.problems]
            if check.lyrics.unknown_share >= UNKNOWN_SHARE:
                share = f"{100 * check.lyrics.unknown_share:.0f} %"
                reason = f"{share} of its lyric tokens are signs that the model does not know"
                said.append(Problem(name, "warning", "unknown_signs", reason))
        return said

    @cached_property
    def uses(self) -> list[SongUse | None]:
        """How each song is trained."""
        return song_uses(self.songs, self.source.config, {one.id: one.audio for one, _ in self.source.backends})

    @property
    def prepared_bytes(self) -> int:
        """What all songs take once they are prepared."""
        return sum(audio_entry_bytes(use.length_s) * use.num_pieces for use in self.uses if use is not None)

    @property
    def features_bytes(self) -> int:
        """What their musical features would take in addition, if they are used (``ssl_models``)."""
        clips = data_facts(
            self.songs, self.source.config, {one.id: one.audio for one, _ in self.source.backends}
        ).clip_s
        return sum(map(feature_bytes, clips))

    @property
    def cache_folder(self) -> Path:
        """Where prepared songs are kept."""
        return cache_root(self.source.config)

    @cached_property
    def free_bytes(self) -> int | None:
        """Free there; None where nobody knows."""
        return disk_free_bytes(self.cache_folder)

    @property
    def lacks_room(self) -> bool:
        """Whether the prepared songs do not fit."""
        keeps = not self.source.config.vae_cache_disable
        return keeps and self.free_bytes is not None and self.prepared_bytes > self.free_bytes

    @property
    def without_lyrics(self) -> list[Song]:
        """Songs that miss their lyrics, not those that were said to be instrumental."""
        missing = {one.file for one in self.report.problems if one.code in ("no_lyrics", "empty_lyrics")}
        return [song for song in self.songs if song.lyrics is None and song.relative_path in missing]

    @property
    def histogram(self) -> list[tuple[float, float | None, int]]:
        """Songs by length: from, to (None: no end), how many; rows without songs at both ends are left out."""
        edges = [*HISTOGRAM_EDGES_S, None]
        rows: list[tuple[float, float | None, int]] = []
        for low, high in itertools.pairwise(edges):
            start = low or 0
            number = sum(start <= song.duration_s and (high is None or song.duration_s < high) for song in self.songs)
            rows.append((start, high, number))
        filled = [place for place, row in enumerate(rows) if row[2]]
        return rows[filled[0] : filled[-1] + 1] if filled else []

    @property
    def median_s(self) -> float:
        """The length in the middle."""
        return statistics.median(song.duration_s for song in self.songs) if self.songs else 0.0

    def counted(self, what: str) -> dict[str, int]:
        """Songs by an attribute (``format``, ``sample_rate``, ``num_channels``), the most frequent first."""
        return {str(key): number for key, number in Counter(getattr(song, what) for song in self.songs).most_common()}

    @property
    def languages(self) -> list[LanguageFacts]:
        """Lyrics by the language they are sung in, the most frequent first."""
        found: dict[str, list[SongCheck]] = {}
        for check in self.checks:
            if check.lyrics is not None:
                found.setdefault(check.lyrics.language, []).append(check)
        summed = [
            LanguageFacts(
                language,
                len(checks),
                sum(one.lyrics.num_tokens for one in checks if one.lyrics is not None),
                sum(one.lyrics.num_unknown for one in checks if one.lyrics is not None),
            )
            for language, checks in found.items()
        ]
        return sorted(summed, key=lambda one: (-one.num_songs, one.language))


@dataclass(frozen=True, slots=True)
class LanguageFacts:
    """The songs of one language."""

    language: str
    num_songs: int
    num_tokens: int
    num_unknown: int


def caption_facts(songs: Sequence[Song], *, model_path: Path | None, max_tokens: int) -> CaptionFacts:
    """Count the tokens of all captions, with the model's own tokenizer where it is here."""
    captions = list(dict.fromkeys(caption for song in songs for caption in song.captions))
    read = [read_caption(caption, model_path=model_path, max_tokens=max_tokens) for caption in captions]
    is_estimate = any(one.num_tokens is None for one in read)
    return CaptionFacts(
        num_distinct=len(captions),
        num_alternatives=sum(len(song.captions) > 1 for song in songs),
        max_tokens=max_tokens,
        tokens={one.text: caption_tokens(one) for one in read},
        is_estimate=is_estimate,
    )


def caption_tokens(caption: CaptionText) -> int:
    """Its tokens; guessed where the tokenizer is not here: four characters each, in East Asian scripts one."""
    if caption.num_tokens is not None:
        return caption.num_tokens
    wide = sum(ord(sign) >= 0x2E80 for sign in caption.text)
    return 1 + wide + round((len(caption.text) - wide) / _CHARACTERS_A_TOKEN)
