"""`acestep-tui scan … --show SONG`: what the model will really hear and read of one song."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from acestep_tui import format as fmt
from acestep_tui.headless.help import filled
from acestep_tui.headless.scan_command import model_folder
from acestep_tui.headless.scan_report import caption_tokens
from acestep_tui.headless.scan_source import ScanSource
from acestep_tui.paths import shown
from acestep_tui.wizard.song_detail import SongDetail, song_detail
from acestep_tui.wizard.song_text import CaptionText, LyricLine, language_name, read_caption, read_lyrics_text
from acestep_tui.wizard.songs import GLYPHS, SongRow
from engine.contract.errors import ConfigError
from engine.dataset.audio_file import UnreadableAudioError
from engine.dataset.doctor_sound import Heard, hear, sound_problems
from engine.dataset.report import ScanReport, Song
from engine.dataset.scan import FileFinding
from engine.dataset.sound_facts import SoundFacts, listen
from engine.planning.cuts import piece_starts
from engine.planning.facts import num_latent_frames
from engine.planning.lengths import SAMPLE_RATE

_COLUMN = 11


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the song that is one entry of the cache, with what is sung in it (None: nothing, or nobody knows)."""

    start_s: float
    length_s: float
    num_frames: int
    lyrics: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """One song as the model gets it.

    Attributes:
        row: The file with its problems.
        detail: Its lyrics, use and size.
        captions: Each variant that may be drawn, after filters and shuffling.
        pieces: What is cut out of it.
        heard: All of it, heard; None where it cannot be decoded.
        sound: The same with its loudness.
        unheard: Why it cannot be decoded; empty when it can.
    """

    row: SongRow
    detail: SongDetail
    captions: tuple[CaptionText, ...] = ()
    pieces: tuple[Piece, ...] = ()
    heard: Heard | None = None
    sound: SoundFacts | None = None
    unheard: str = ""


def find_song(files: Sequence[FileFinding], wanted: str) -> FileFinding:
    """The file that is meant: by its path in the data set, its name, its name without suffix, or the end of its path.

    Raises:
        ConfigError: There is none, or several.
    """
    for names in (_full, _end, _bare):
        found = [one for one in files if wanted in names(one)]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(one.relative_path for one in found[:5])
            raise ConfigError(f"--show {wanted}: {len(found)} songs are called so", hint=f"Name one in full: {several}")
    holding = [one.relative_path for one in files if wanted.casefold() in one.relative_path.casefold()]
    close = holding or difflib.get_close_matches(wanted, [name for one in files for name in _bare(one)], n=1)
    hint = f"Did you mean {close[0]}?" if close else "--json lists every song."
    raise ConfigError(f"--show {wanted}: there is no such song", hint=hint)


def _full(one: FileFinding) -> tuple[str, ...]:
    return one.relative_path, str(one.path), f"{one.backend_id}/{one.relative_path}"


def _end(one: FileFinding) -> tuple[str, ...]:
    parts = one.relative_path.split("/")
    return tuple("/".join(parts[place:]) for place in range(len(parts)))


def _bare(one: FileFinding) -> tuple[str, ...]:
    return tuple(name.rpartition(".")[0] for name in _end(one))


def what_the_model_sees(file: FileFinding, *, source: ScanSource, report: ScanReport) -> Seen:
    """Look at one song in full: about two seconds.

    Args:
        file: The song.
        source: What was scanned.
        report: What was found, for the song's group.
    """
    config = source.config
    row = SongRow(file.backend_id, file.relative_path, file.song, file.problems)
    folder = model_folder(config)
    backends = [backend for backend, _ in source.backends]
    detail = song_detail(row, songs=report.songs, config=config, backends=backends, model_path=folder)
    heard, sound, unheard = None, None, ""
    try:
        heard, sound = hear(file.path, is_whole=True), listen(file.path)
    except UnreadableAudioError as error:
        unheard = error.message
    captions = file.song.captions if file.song is not None else ()
    return Seen(
        row,
        detail,
        tuple(read_caption(one, model_path=folder, max_tokens=config.tokenizer_max_length) for one in captions),
        _pieces(file.song, detail, source),
        heard,
        sound,
        unheard,
    )


def _pieces(song: Song | None, detail: SongDetail, source: ScanSource) -> tuple[Piece, ...]:
    if song is None or detail.use is None:
        return ()
    audio = next(backend.audio for backend, _ in source.backends if backend.id == song.backend_id)
    length = round(detail.use.length_s * SAMPLE_RATE)
    starts = piece_starts(
        song.num_samples * SAMPLE_RATE // song.sample_rate,
        length,
        num_pieces=detail.use.num_pieces,
        mode=audio.truncation_mode,
        key=f"{song.backend_id}/{song.relative_path}",
    )
    # The frames that are filled with sound to their end are trained.
    frames = math.floor(num_latent_frames(detail.use.length_s) + 1e-9)
    return tuple(
        Piece(
            start / SAMPLE_RATE,
            detail.use.length_s,
            frames,
            song.lyrics_between(start / SAMPLE_RATE, (start + length) / SAMPLE_RATE),
        )
        for start in starts
    )


def seen_lines(seen: Seen) -> Iterator[str]:
    """One song as a page of text."""
    song = seen.row.song
    yield seen.row.name
    if song is not None:
        rate = f"{song.sample_rate / 1000:g} kHz"
        channels = {1: "mono", 2: "stereo"}.get(song.num_channels, f"{song.num_channels} channels")
        yield from _row("File", f"{shown(song.path)}: {song.format}, {rate}, {channels}, {fmt.size(song.size_bytes)}")
    yield from _row("Training", _training_words(seen))
    yield from _row("Sound", _sound_words(seen))
    yield from _caption_lines(seen)
    yield from _lyrics_lines(seen)
    yield from _piece_lines(seen)
    notes = [f"{GLYPHS[state]} {text}" for state, text in seen.detail.notes()]
    problems = [*seen.row.problems, *(sound_problems(seen.row.name, seen.heard) if seen.heard is not None else ())]
    notes += [f"{'✗' if one.severity == 'error' else '▲'} {one.reason}" for one in problems]
    notes += [f"✗ {seen.unheard}"] if seen.unheard and song is not None else []
    if notes:
        yield ""
    for note in notes:
        yield from filled(note, 0)


def _row(name: str, words: str) -> list[str]:
    first, *others = filled(words, _COLUMN) or [""]
    return [f"{name:<{_COLUMN}}{first[_COLUMN:]}", *others]


def _training_words(seen: Seen) -> str:
    detail = seen.detail
    if not seen.pieces:
        return detail.length_words
    each = " a piece" if len(seen.pieces) > 1 else ""
    return (
        f"{detail.length_words}; grouped with {detail.group}; {seen.pieces[0].num_frames:,} latent frames{each}, "
        f"{fmt.size(detail.prepared_bytes)} prepared"
    )


def _sound_words(seen: Seen) -> str:
    heard, sound = seen.heard, seen.sound
    if heard is None or sound is None:
        return f"cannot be decoded: {seen.unheard}"
    if heard.is_silent:
        return "silent"
    said = [f"peak {20 * math.log10(max(heard.peak, 1e-9)):.1f} dBFS"]
    said += [f"loudness {sound.loudness_lufs:.1f} LUFS"] if sound.loudness_lufs is not None else []
    said.append(f"{100 * heard.clipped_share:.2f} % at full scale")
    said.append(f"silence of {heard.leading_s:.1f} s before and {heard.trailing_s:.1f} s after")
    return ", ".join(said)


def _caption_lines(seen: Seen) -> Iterator[str]:
    if not seen.captions:
        return
    number = len(seen.captions)
    drawn = f", one of {number} is drawn each time" if number > 1 else ""
    yield ""
    yield f"Caption    {seen.detail.caption_source.partition(',')[0]}{drawn}"
    for one in seen.captions:
        about = "about " if one.num_tokens is None else ""
        yield from filled(f"{about}{fmt.plural(caption_tokens(one), 'token')}: {one.text}", 2)
        if one.cut_at is not None:
            yield from filled(f"▲ cut before: {one.text[one.cut_at :]}", 4)


def _lyrics_lines(seen: Seen) -> Iterator[str]:
    yield ""
    lyrics = seen.detail.lyrics
    yield f"Lyrics     {lyrics.summary()}"
    if not lyrics.num_sung:
        yield "  The model gets no lyrics: it learns the song as an instrumental."
        return
    yield "  LANGUAGE    TOKENS  UNKNOWN  LINE"
    for line in lyrics.lines:
        yield _lyric_line(line)


def _lyric_line(line: LyricLine) -> str:
    if not line.text:
        return ""
    if line.problem:
        return f"  ✗ left out                  {line.text}  ({line.problem})"
    language = "tag" if line.is_tag else language_name(line.language)
    unknown = f"{line.num_unknown:,}" if line.num_unknown else ""
    signs = f"  (unknown: {line.unknown})" if line.unknown else ""
    return f"  {language:<10}  {line.num_tokens:>6,}  {unknown:>7}  {line.text}{signs}"


def _piece_lines(seen: Seen) -> Iterator[str]:
    """Only where the song is not simply trained as it is."""
    song = seen.row.song
    is_whole = len(seen.pieces) == 1 and song is not None and seen.pieces[0].lyrics == song.lyrics
    if not seen.pieces or is_whole:
        return
    yield ""
    yield f"Pieces     {fmt.plural(len(seen.pieces), 'piece')}; one is drawn each time"
    for piece in seen.pieces:
        place = f"{fmt.song_length(piece.start_s)} to {fmt.song_length(piece.start_s + piece.length_s)}"
        if piece.lyrics is None:
            has_times = song is not None and bool(song.timed_lines)
            why = (
                "nothing is sung"
                if has_times or song is None or not song.lyrics
                else "without words, nobody knows which"
            )
            yield f"  {place:<13}  {why}"
            continue
        first, *others = piece.lyrics.splitlines() or [""]
        yield f"  {place:<13}  {first}"
        yield from (f"  {'':<13}  {line}".rstrip() for line in others)


def seen_json(seen: Seen) -> dict[str, Any]:
    """The same as data (docs/data-doctor.md)."""
    song, lyrics, heard = seen.row.song, seen.detail.lyrics, seen.heard
    return {
        "scan_version": 1,
        "data_set": seen.row.backend_id,
        "song": seen.row.name,
        "path": None if song is None else str(song.path),
        "is_used": bool(seen.pieces),
        "group": seen.detail.group or None,
        "prepared_bytes": seen.detail.prepared_bytes,
        "captions": [
            {
                "text": one.text,
                "num_tokens": caption_tokens(one),
                "is_estimate": one.num_tokens is None,
                "cut_at": one.cut_at,
            }
            for one in seen.captions
        ],
        "lyrics": {
            "num_tokens": lyrics.num_tokens,
            "problems": list(lyrics.problems),
            "lines": [_line_json(line) for line in lyrics.lines],
        },
        "pieces": [_piece_json(piece, seen) for piece in seen.pieces],
        "sound": None
        if heard is None
        else {
            "peak": round(heard.peak, 4),
            "clipped_share": round(heard.clipped_share, 5),
            "leading_silence_s": round(heard.leading_s, 2),
            "trailing_silence_s": round(heard.trailing_s, 2),
            "loudness_lufs": None if seen.sound is None else seen.sound.loudness_lufs,
            "problem": heard.problem or None,
        },
        "problems": [
            {"severity": one.severity, "code": one.code, "reason": one.reason}
            for one in (*seen.row.problems, *(sound_problems(seen.row.name, heard) if heard is not None else ()))
        ],
    }


def _line_json(line: LyricLine) -> dict[str, Any]:
    return {
        "text": line.text,
        "language": line.language or None,
        "is_tag": line.is_tag,
        "num_tokens": line.num_tokens,
        "num_unknown": line.num_unknown,
        "unknown": line.unknown,
        "problem": line.problem or None,
    }


def _piece_json(piece: Piece, seen: Seen) -> dict[str, Any]:
    lyrics = read_lyrics_text(piece.lyrics)
    return {
        "start_s": round(piece.start_s, 3),
        "length_s": round(piece.length_s, 3),
        "num_frames": piece.num_frames,
        "lyrics": piece.lyrics,
        "num_lyric_tokens": lyrics.num_tokens,
    }
