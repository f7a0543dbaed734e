"""What is said below the table of songs: a problem, what follows from it, and what to do (screens.md section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acestep_tui import format as fmt
from acestep_tui.wizard.look import SongFacts
from acestep_tui.wizard.songs import ERROR_WORDS, SongRow, SongTable, State
from engine.dataset.report import WHOLE_SONG_SHARE

_MAX_NAMED = 2
_CAPTIONS_FROM = "set “captions from file names” in More settings (^t)"


@dataclass(frozen=True, slots=True)
class Message:
    """Something to say below the table; ``cure`` follows where there is room."""

    state: State
    text: str
    cure: str = ""


def messages(table: SongTable) -> list[Message]:
    """Everything to be said, in its order."""
    said = [_without_lyrics(table), _with_lyrics(table), _without_words(table), *_left_out(table)]
    return [one for one in said if one is not None]


def long_songs(table: SongTable) -> str:
    """How many songs are longer than what is trained; empty when none is."""
    longer = sum(
        table.is_used(row) and row.song is not None and row.song.duration_s > table.longest_s for row in table.rows
    )
    if not longer:
        return ""
    what = "used in pieces" if table.in_pieces else "cut there"
    verb = "is" if longer == 1 else "are"
    return f"{fmt.plural(longer, 'song')} {verb} longer than {fmt.song_length(table.longest_s)} and will be {what}"


def nothing_usable(table: SongTable) -> str:
    """Why nothing can be trained; empty while something can, or while no file was found."""
    if not table.rows or any(table.is_used(row) for row in table.rows):
        return ""
    counts = table.counts()
    total = len(table.rows)
    head = f"None of the {total:,} files can be used" if total > 1 else "The one file cannot be used"
    reasons = [f"{number:,} {_HAVE[what][number == 1]}" for number, what in counts.errors]
    cures = [cure for what, cure in _CURES.items() if any(what == word for _, word in counts.errors)]
    if counts.num_left_out:
        reasons.append(f"{counts.num_left_out:,} {'is' if counts.num_left_out == 1 else 'are'} left out by you")
        cures.append("take some back with space")
    return f"{head}, so nothing starts. {', '.join(reasons)}: {'; '.join(cures)}."


def song_facts(table: SongTable) -> SongFacts:
    """The songs in a few numbers and names, as the review needs them."""
    counts = table.counts()
    return SongFacts(
        num_files=counts.num_files,
        num_usable=counts.num_usable,
        total_s=counts.total_s,
        num_left_out=counts.num_files - counts.num_usable,
        without_lyrics=tuple(row.file_name for row in table.rows if table.is_used(row) and table.misses_lyrics(row)),
        unusable=tuple(
            (row.file_name, reason_words(row))
            for row in table.rows
            if row.song is None and row.name not in table.left_out
        ),
    )


def reason_words(row: SongRow) -> str:
    """Why a file cannot be used, as the end of a sentence: ``the file is damaged after 0.4 s``."""
    problem = next((one for one in row.problems if one.severity == "error"), None)
    if problem is None:
        return "it cannot be used"
    reason = problem.reason.removeprefix("left out: ").partition(": the file is cut off")[0]
    if reason.startswith("damaged"):
        return f"the file is {reason}"
    if reason.startswith(("no caption", "no sound", "no audio")):
        return f"it has {reason}"
    if reason.startswith(("empty file", "empty caption")):
        return f"it {'is' if reason.startswith('empty file') else 'has'} an {reason}"
    if reason.startswith(("not ", "a broken link")) or " long, " in reason:
        return f"it is {reason}"
    return reason


def _without_lyrics(table: SongTable) -> Message | None:
    used = [row for row in table.rows if table.is_used(row)]
    missing = [row for row in used if table.misses_lyrics(row)]
    if not missing:
        return None
    if len(missing) == len(used) and len(used) > 1:
        return Message(
            "warning",
            "No song has lyrics. If this is instrumental music, choose that goal in step 4. If not, the LoRA "
            "cannot learn how words are sung.",
        )
    names = _listed([row.lyrics_name for row in missing])
    in_rows = all(row.is_of_rows for row in missing)
    if len(missing) == 1:
        add = "Write them into its row" if in_rows else f"Add {names} next to the song"
        return Message(
            "warning",
            "1 song has no lyrics. It trains as an instrumental, so the voice in it is learned as an instrument. "
            f"{add}, or press i if it has no voice.",
        )
    add = "Write them into their rows" if in_rows else f"Add {names} next to the songs"
    return Message(
        "warning",
        f"{len(missing):,} songs have no lyrics. They train as instrumentals, so the voice in them is learned as "
        f"an instrument. {add}, or press i if they have no voice.",
    )


def _with_lyrics(table: SongTable) -> Message | None:
    """Lyrics that are there are used, whatever the goal."""
    if table.goal != "instrumental":
        return None
    sung = sum(table.is_used(row) and bool(row.num_lines) and row.name not in table.no_voice for row in table.rows)
    if not sung:
        return None
    has, them = ("has", "it") if sung == 1 else ("have", "them")
    return Message(
        "warning", f"{fmt.plural(sung, 'song')} {has} lyrics, and the lyrics are used. Press i on {them} if not."
    )


def _without_words(table: SongTable) -> Message | None:
    """Pieces of a song whose lyrics have no times train without words: nobody knows which are sung there."""
    if not table.in_pieces:
        return None
    wordless = sum(
        table.is_used(row)
        and row.song is not None
        and bool(row.num_lines)
        and not row.song.timed_lines
        and row.name not in table.no_voice
        and row.song.duration_s > table.longest_s / WHOLE_SONG_SHARE
        for row in table.rows
    )
    if not wordless:
        return None
    verb = "trains" if wordless == 1 else "train"
    return Message(
        "warning",
        f"{fmt.plural(wordless, 'song')} {verb} without words: in pieces of {fmt.duration(table.longest_s)} nobody "
        "knows which lines are sung, because the lyrics have no times.",
        "Put [mm:ss] before each line, or choose a longer piece in step 1.",
    )


def _left_out(table: SongTable) -> list[Message]:
    """Songs that cannot be used: those without caption together, each other one with its reason."""
    bad = [row for row in table.rows if row.song is None and row.name not in table.left_out]
    bare = [row for row in bad if ERROR_WORDS.get(row.worst) == "without caption"]
    others = [row for row in bad if ERROR_WORDS.get(row.worst) != "without caption"]
    said: list[Message] = []
    if bare:
        have, are = ("has", "is") if len(bare) == 1 else ("have", "are")
        said.append(
            Message(
                "warning",
                f"{fmt.plural(len(bare), 'song')} {have} no caption and {are} set aside.",
                _COLUMNS if all(row.is_of_rows for row in bare) else _TEXT_FILES,
            )
        )
    said += [
        Message("error", f"{row.file_name} is left out: {reason_words(row)}.", _CURE_OF_ONE.get(row.worst, ""))
        for row in others[:_MAX_NAMED]
    ]
    if len(others) > _MAX_NAMED:
        more = fmt.plural(len(others) - _MAX_NAMED, "more file")
        said.append(Message("error", f"{more} cannot be used; ! shows them first."))
    return said


_TEXT_FILES = f"Put a .txt with the same name next to each, or {_CAPTIONS_FROM}."
_COLUMNS = "Set audio_caption_fields of the data set to the columns that describe the songs."
# By what is counted: of several, of one.
_HAVE = {
    "unreadable": ("cannot be read", "cannot be read"),
    "not found": ("are not where their rows say", "is not where its row says"),
    "without caption": ("have no caption", "has no caption"),
    "too short": ("are too short", "is too short"),
    "too long": ("are too long", "is too long"),
}
_CURES = {
    "without caption": f"put a .txt with the same name next to each song, or {_CAPTIONS_FROM}",
    "unreadable": "export the damaged songs again",
    "not found": "set audio_root of the data set to the folder where the paths start",
    "too short": "lower the shortest duration in More settings (^t)",
    "too long": "choose a longer piece in step 1",
}
_CURE_OF_ONE = {
    "unreadable": "Export it again from your editor.",
    "not_found": "Set audio_root of the data set to the folder where the paths start.",
    "too_short": "Lower the shortest duration in More settings (^t), or leave it.",
    "too_long": "Let long songs be cut or used in pieces: More settings (^t).",
}


def _listed(names: Sequence[str]) -> str:
    if len(names) <= 2:
        return " and ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2:,} more"
