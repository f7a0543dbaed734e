"""Where the lyrics of a song are, and what is in them (spec config-formats.md 2.4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.dataset.lyrics_text import Lyrics, parse_lyrics
from engine.dataset.report import Problem
from engine.dataset.text_file import NotTextError, read_text, short_name

if TYPE_CHECKING:
    from engine.contract.backends import AudioBlock

DEFAULT_PATTERN = "{filename}.lyrics"


def read_lyrics(path: Path, song: str, audio: AudioBlock) -> tuple[Lyrics | None, list[Problem]]:
    """Lyrics of one song, None when it has none; missing and empty ones are warnings.

    Args:
        path: The audio file.
        song: Its relative path, for problems.
        audio: The backend's patterns.
    """
    problems: list[Problem] = []
    for candidate in lyrics_paths(path, audio):
        try:
            raw, problems = read_text(candidate, song, "lyrics")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            reason = (
                f"lyrics {short_name(candidate)} cannot be read, {(error.strerror or str(error)).lower()}: "
                "trains as an instrumental"
            )
            return None, [Problem(song, "warning", "no_lyrics", reason)]
        except NotTextError as error:
            reason = f"lyrics {short_name(candidate)} are {error}: trains as an instrumental"
            return None, [Problem(song, "warning", "no_lyrics", reason)]
        lyrics = parse_lyrics(raw)
        if lyrics.text:
            return lyrics, problems
        reason = f"empty lyrics file {short_name(candidate)}: trains as an instrumental"
        return None, [*problems, Problem(song, "warning", "empty_lyrics", reason)]
    return None, [Problem(song, "warning", "no_lyrics", "no lyrics: trains as an instrumental")]


def lyrics_of_row(written: str | None, song: str) -> tuple[Lyrics | None, list[Problem]]:
    """Lyrics out of the row of a hub data set.

    Args:
        written: As they stand there; None = missing, empty = it says that it is an instrumental.
        song: Its name, for problems.
    """
    if written is None:
        return None, [Problem(song, "warning", "no_lyrics", "no lyrics: trains as an instrumental")]
    lyrics = parse_lyrics(written)
    return (lyrics if lyrics.text else None), []


def names_lyrics(audio: AudioBlock) -> bool:
    """Whether the user said how lyrics files are called."""
    return bool(audio.lyrics_filename_format or audio.lyrics_suffix or audio.lyrics_extension)


def lyrics_paths(path: Path, audio: AudioBlock) -> list[Path]:
    """Where to look for the lyrics of an audio file, in order; the first file that is there wins."""
    folder = path.parent.absolute()
    names = []
    if audio.lyrics_filename_format:
        names.append(_fill(audio.lyrics_filename_format, path))
    if audio.lyrics_suffix or audio.lyrics_extension:
        stem = path.stem + (audio.lyrics_suffix or "")
        extension = audio.lyrics_extension or ("" if Path(stem).suffix else Path(DEFAULT_PATTERN).suffix)
        names.append(f"{stem}.{extension.lstrip('.')}" if extension else stem)
    # An absolute name replaces the folder.
    return [folder / name for name in names or [_fill(DEFAULT_PATTERN, path)]]


def _fill(pattern: str, path: Path) -> str:
    """Put the song's names into a pattern; braces that are no token stay."""
    folder = path.parent.absolute()
    extension = path.suffix.lstrip(".")
    tokens = {
        "{filename}": path.stem,
        "{stem}": path.stem,
        "{name}": path.name,
        "{suffix}": "".join(path.suffixes),
        "{ext}": extension,
        "{extension}": extension,
        "{parent}": str(folder),
        "{dirname}": folder.name,
    }
    # One pass over the pattern: a song whose name has braces in it is not filled a second time.
    filled = pattern.split("{")
    parts = [filled[0]]
    for piece in filled[1:]:
        token, brace, rest = piece.partition("}")
        parts.append(tokens.get(f"{{{token}}}", f"{{{token}{brace}") + rest)
    return "".join(parts)
