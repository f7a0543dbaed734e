"""The lines of page 3: counts, table, what is said below. Pure functions of a scan and the draft's marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.widgets.paint import ACCENT, BOLD, ERROR, MUTED, SUCCESS, WARNING, Part, fit, join, spread, text, wrap
from acestep_tui.wizard.song_messages import long_songs, messages, nothing_usable
from acestep_tui.wizard.song_scan import SongScan
from acestep_tui.wizard.songs import GLYPHS, Counts, ShownRow, SongTable, State, total_words

WIDE = 100
# Below this the note, which has what matters most, takes the room of lyrics and language.
_LEAST_FOR_LYRICS = 74
_SONG, _LENGTH, _CAPTION, _LYRICS, _LANGUAGE = 23, 6, 33, 12, 4
STYLES: dict[State, str] = {"ready": SUCCESS, "warning": WARNING, "error": ERROR, "left out": MUTED}
_NO_BREAK = "\u00a0"
_SELECTED = "on $block-cursor-background"


def counts_line(counts: Counts, scan: SongScan, width: int) -> Content:
    """``24 songs  1 h 29 min   ✓ 21 ready   ▲ 2 no lyrics   ✗ 1 unreadable    in 0.8 s``."""
    took = fmt.duration(scan.seconds)
    if not scan.is_done:
        right = f"scanning {fmt.part_of(scan.num_done, scan.num_total or None)}"
    else:
        right = f"scanned in {took}" if width >= WIDE else f"in {took}"
    whole, folded = counts.words(), _folded(counts)
    total, files = total_words(counts), fmt.plural(counts.num_files, "song")
    said = Content("")
    for head, words, gap, end in (
        (total, whole, 3, right),
        (total, whole, 3, ""),
        (total, whole, 2, ""),
        (total, folded, 3, ""),
        (total, folded, 2, ""),
        (files, folded, 2, ""),
    ):
        said = _counted(head, words, gap)
        if said.cell_length + (len(end) + 1 if end else 0) <= width:
            return spread(said, (end, MUTED), width)
    return fit(said, width)


def _counted(head: str, words: Sequence[tuple[State, str]], gap: int) -> Content:
    said: list[Content] = [text(head, BOLD)]
    for state, one in words:
        glyph, _, rest = one.partition(" ")
        said.append(join((glyph, STYLES[state]), f" {rest}"))
    return Content(" " * gap).join(said)


def _folded(counts: Counts) -> list[tuple[State, str]]:
    """All that cannot be used in one number, where there is no room for each reason."""
    number = sum(one for one, _ in counts.errors)
    words = [(state, one) for state, one in counts.words() if state != "error"]
    unusable: list[tuple[State, str]] = [("error", f"{GLYPHS['error']} {number:,} unusable")] if number else []
    place = next((index for index, (state, _) in enumerate(words) if state == "left out"), len(words))
    return [*words[:place], *unusable, *words[place:]]


def header_line(width: int) -> Content:
    """The names of the columns."""
    names: list[Part] = ["", "Song", "Length", "Caption", "Lyrics", "Lang", "Note"]
    return fit(_columns(names, width).stylize(MUTED), width)


def row_line(shown: ShownRow, width: int, *, is_selected: bool) -> Content:
    """One song."""
    is_out = shown.state in ("left out", "error")
    muted = MUTED if shown.state == "left out" else ""
    caption = shown.caption or (fmt.UNKNOWN if shown.state != "error" else "")
    lyrics = shown.lyrics if not (shown.lyrics == fmt.UNKNOWN and width < WIDE) else ""
    note_style = STYLES[shown.state] if shown.state in ("warning", "error") else MUTED
    cells: list[Part] = [
        (shown.glyph, STYLES[shown.state]),
        (shown.row.file_name, f"{BOLD} {muted}" if is_selected else muted),
        (shown.length, MUTED if is_out else ""),
        (caption, MUTED),
        (lyrics, MUTED if lyrics in ("none", "instrumental") else ""),
        (shown.language, MUTED),
        (shown.note, note_style),
    ]
    # The cursor stands in the gap, so that it is seen without colours too and no column moves for it.
    line = fit(_columns(cells, width, gap=("❯", f"{BOLD} {ACCENT}") if is_selected else " "), width)
    return line.stylize(_SELECTED) if is_selected else line


def _columns(cells: Sequence[Part], width: int, *, gap: Part = " ") -> Content:
    glyph, song, length, caption, lyrics, language, note = cells
    parts: list[Part] = [fit(glyph, 1), gap, fit(song, _SONG), " ", fit(length, _LENGTH, align="right"), "   "]
    if width >= WIDE:
        parts += [fit(caption, _CAPTION), "  "]
    if width >= _LEAST_FOR_LYRICS:
        parts += [fit(lyrics, _LYRICS), "  ", fit(language, _LANGUAGE), "  "]
    parts.append(note)
    return join(*parts)


def place_line(first: int, last: int, total: int, table: SongTable, width: int, *, wanted: str = "") -> Content:
    """``1–10 of 24   ↓ more``, and on a wide page what will be cut."""
    if not total:
        said = f"Nothing matches “{wanted}”. esc clears." if wanted else ""
        return fit((said, MUTED), width)
    arrows = [arrow for arrow, is_there in (("↑ more", first > 0), ("↓ more", last < total)) if is_there]
    left = f"{first + 1:,}–{last:,} of {total:,}   {'   '.join(arrows)}".rstrip()
    return spread((left, MUTED), (long_songs(table) if width >= WIDE else "", MUTED), width)


def message_lines(table: SongTable, scan: SongScan | None, width: int, *, most: int = 6) -> list[Content]:
    """What must be said: problems with their names, consequences and cures."""
    if scan is None:
        return []
    if scan.error is not None:
        hint = [text(scan.error.hint, MUTED)] if scan.error.hint else []
        return [line for part in (_said("error", scan.error.message), *hint) for line in wrap(part, width, indent=2)]
    if not scan.is_done:
        return []
    nothing = nothing_usable(table)
    names = {name for row in table.rows for name in (row.lyrics_name, row.file_name) if " " in name}
    lines = _wrapped(_said("error", nothing), width, names, indent=2) if nothing else []
    for message in [] if nothing else messages(table):
        first, follows = _in_two(message.text, width) if width >= WIDE else (message.text, "")
        cure = f" {message.cure}" if message.cure and width >= WIDE else ""
        lines += _wrapped(_said(message.state, first + ("" if follows else cure)), width, names, indent=2)
        more = _wrapped(text(f"{follows}{cure}"), width - 2, names) if follows else []
        lines += [line.pad_left(2) for line in more]
    lines += [line for notice in scan.notices for line in wrap(_said("warning", notice), width, indent=2)]
    return lines[:most]


def _wrapped(content: Content, width: int, names: Iterable[str], *, indent: int = 0) -> list[Content]:
    """Wrapped, each name of a file in one piece: its blanks break no line."""
    held = content.plain
    for name in names:
        held = held.replace(name, name.replace(" ", _NO_BREAK))
    lines = wrap(Content(held, spans=list(content.spans)), width, indent=indent)
    return [Content(line.plain.replace(_NO_BREAK, " "), spans=list(line.spans)) for line in lines]


def _said(state: State, words: str) -> Content:
    return join((GLYPHS[state], STYLES[state]), f" {words}")


def _in_two(words: str, width: int) -> tuple[str, str]:
    """Facts and cure apart, where both together take more than a row."""
    if len(words) + 2 <= width:
        return words, ""
    place = words.rfind(". ", 0, width - 2)
    return (words[: place + 1], words[place + 2 :]) if place > 0 else (words, "")
