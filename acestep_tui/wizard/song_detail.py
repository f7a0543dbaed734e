"""One song in full: what the model will hear and read of it, how it is used, what is good to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from acestep_tui import format as fmt
from acestep_tui.wizard.song_text import CaptionText, LyricsText, language_name, read_caption, read_lyrics_text
from acestep_tui.wizard.songs import SongRow, State
from engine.contract.backends import LocalBackend
from engine.contract.config import Config
from engine.dataset.captions import caption_file
from engine.dataset.doctor_duplicates import same_files
from engine.dataset.report import Song
from engine.planning.data_facts import SongUse, num_held_out, song_uses
from engine.planning.disk import audio_entry_bytes


@dataclass(frozen=True, slots=True)
class SongDetail:
    """Everything but the sound, which takes longer (`engine.dataset.sound_facts.listen`).

    Attributes:
        row: The file.
        caption: Its first caption with its tokens.
        caption_source: Where it stands: ``11 夜の港.txt, 1 of 3 captions; one is drawn each time``.
        lyrics: Its lines.
        use: How it is trained; None when it is not.
        group: ``songs of 3:33 (2 songs)``; empty when it is not trained.
        prepared_bytes: Its size once prepared.
        heard: How often it is heard in the run; None before that is known.
    """

    row: SongRow
    caption: CaptionText
    caption_source: str
    lyrics: LyricsText
    use: SongUse | None = None
    group: str = ""
    prepared_bytes: int = 0
    heard: int | None = None

    @property
    def length_words(self) -> str:
        """``3:36, trained whole``, ``4:10, cut at 4:00``, ``3:36, in 3 pieces of 60 s``."""
        song = self.row.song
        if song is None:
            return fmt.UNKNOWN
        length = fmt.song_length(song.duration_s)
        if self.use is None:
            return f"{length}, left out"
        if self.use.num_pieces > 1:
            return f"{length}, in {self.use.num_pieces} pieces of {fmt.duration(self.use.length_s)}"
        # Grouping takes a little off the end; that is no cut that anybody would hear of.
        if self.use.length_s >= 0.9 * song.duration_s:
            return f"{length}, trained whole" if song.duration_s <= 240 else f"{length}, cut at {_cut(self.use)}"
        return f"{length}, cut at {_cut(self.use)}"

    def notes(self, *, is_short: bool = False) -> list[tuple[State, str]]:
        """What is good to know, each with ``ready`` or ``warning``; shorter where a row is all there is."""
        said: list[tuple[State, str]] = []
        if self.caption.cut_at is not None:
            said.append(("warning", f"The caption is cut after {self.caption.max_tokens} tokens."))
        said += [("warning", f"{problem[:1].upper()}{problem[1:]}.") for problem in self.lyrics.problems]
        unknown, total = self.lyrics.num_unknown, self.lyrics.num_tokens
        if unknown:
            are = "is a sign" if unknown == 1 else "are signs"
            said.append(("warning", f"{unknown:,} of {total:,} tokens {are} the model does not know."))
        return said + self._language_notes(is_short=is_short)

    def _language_notes(self, *, is_short: bool) -> list[tuple[State, str]]:
        said: list[tuple[State, str]] = []
        # Short lines are often taken for another language; only most of them together tell one that has no token.
        foreign = Counter((line.detected, line.language) for line in self.lyrics.lines if line.detected)
        for (detected, language), number in foreign.most_common(1):
            if number > self.lyrics.num_sung / 2:
                read_as = language_name(language)
                said.append(
                    ("ready", f"The model has no {language_name(detected)} of its own and reads it as {read_as}.")
                )
        main = self.lyrics.language
        # Counted as an editor counts them, headings and blank lines with the others.
        others = [
            (number, line.language)
            for number, line in enumerate(self.lyrics.lines, start=1)
            if line.language and line.language != main
        ]
        if others:
            number, language = others[0]
            among = "" if is_short else f" among {language_name(main)}"
            which = f"Line {number} is {language_name(language)}{among}."
            if len(others) > 1:
                which = f"{len(others):,} lines are not {language_name(main)}."
            fine = "Fine" if is_short else "That is fine"
            said.append(("ready", f"{which} {fine}: every line is read in its own language."))
        return said


def song_detail(
    row: SongRow,
    *,
    songs: Sequence[Song],
    config: Config,
    backends: Sequence[LocalBackend] = (),
    model_path: Path | None = None,
    num_steps: int | None = None,
) -> SongDetail:
    """Read one song in full. For a thread: tokenizers are loaded once, a line takes a millisecond.

    Args:
        row: The file.
        songs: All songs that are trained (`SongTable.usable`), for its group and how often it is heard.
        config: Of the draft.
        backends: Of the scan.
        model_path: The model's folder; None while it is not here.
        num_steps: Steps of the run; None while they are not known.
    """
    backend = next((one for one in backends if one.id == row.backend_id), None)
    caption = read_caption(row.caption, model_path=model_path, max_tokens=config.tokenizer_max_length)
    lyrics = read_lyrics_text(row.song.lyrics if row.song else None, detection=config.lyrics_language_detection)
    audio = {one.id: one.audio for one in backends}
    uses = song_uses(songs, config, audio)
    place = next((index for index, song in enumerate(songs) if row.song is not None and _is_same(song, row.song)), None)
    use = uses[place] if place is not None else None
    return SongDetail(
        row=row,
        caption=caption,
        caption_source=_caption_source(row, backend),
        lyrics=lyrics,
        use=use,
        group=_group(use, uses),
        prepared_bytes=audio_entry_bytes(use.length_s) * use.num_pieces if use is not None else 0,
        heard=_heard(config, uses, num_steps),
    )


def find_duplicates(rows: Sequence[SongRow], *, should_stop: Callable[[], bool]) -> dict[tuple[str, str], str]:
    """Files with the very same content as an earlier one, by data set and name, with the earlier one's name.

    Only files of equal length and size are read. For a thread; what is found so far is returned when stopped.
    """
    return same_files((row.song for row in rows if row.song is not None), should_stop=should_stop)


def _caption_source(row: SongRow, backend: LocalBackend | None) -> str:
    song = row.song
    if song is None:
        return ""
    strategy = backend.caption_strategy if backend is not None else "textfile"
    source = {
        "textfile": caption_file(song.path).name,
        "filename": "from the file's name",
        "instanceprompt": "one caption for all songs",
        "huggingface": "from its row",
    }[strategy]
    number = len(song.captions)
    return source if number < 2 else f"{source}, 1 of {number} captions; one is drawn each time"


def _group(use: SongUse | None, uses: Sequence[SongUse | None]) -> str:
    if use is None:
        return ""
    number = sum(other is not None and other.length_s == use.length_s for other in uses)
    return f"songs of {fmt.clip_length(use.length_s)} ({fmt.plural(number, 'song')})"


def _heard(config: Config, uses: Sequence[SongUse | None], num_steps: int | None) -> int | None:
    used = sum(use is not None for use in uses)
    trained = used - num_held_out(config, used)
    if not num_steps or trained <= 0:
        return None
    per_step: int = config.train_batch_size * config.gradient_accumulation_steps
    return round(num_steps * per_step / trained)


def _is_same(one: Song, other: Song) -> bool:
    return (one.backend_id, one.relative_path) == (other.backend_id, other.relative_path)


def _cut(use: SongUse) -> str:
    return fmt.song_length(use.length_s)
