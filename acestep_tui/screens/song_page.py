"""The lines of one song's page: caption, lyrics, how it is used, what is good to know. Pure functions."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.screens.song_sound import SongView, flow, head_lines, sound_lines
from acestep_tui.widgets.paint import BOLD, ERROR, MUTED, WARNING, Part, fit, join, spread, text, title, wrap
from acestep_tui.wizard.song_text import LyricLine
from acestep_tui.wizard.songs import GLYPHS, State
from acestep_tui.wizard.songs_page import STYLES
from engine.dataset.report import Problem

# From this size on caption and lyrics stand beside each other.
WIDE_COLUMNS, WIDE_ROWS = 120, 32
_GAP = 3
_LABEL_WIDTH = 18
_SHORT_WAVE, _TALL_WAVE = 2, 4
# Rows that what scrolls keeps for itself before what stands still begins to scroll, too.
_LEAST_ROWS = 8
_ABOUT_TOKENS = "A token is a small piece of text"
_NOT_HERE = "– tokens: the model is not here yet"


@dataclass(frozen=True, slots=True)
class Picture:
    """The page at one place.

    Attributes:
        lines: At most as many as there are rows.
        offset: Lines that are scrolled away, kept within what there is.
        page: Lines that one page further is.
    """

    lines: list[Content]
    offset: int
    page: int


def is_wide(width: int, height: int) -> bool:
    """Whether a terminal of this size has caption and lyrics beside each other."""
    return width >= WIDE_COLUMNS and height >= WIDE_ROWS


def narrow_page(view: SongView, width: int, height: int, offset: int = 0) -> Picture:
    """Everything below each other; caption and lyrics scroll between what stands still.

    Args:
        view: The song.
        width, height: Of the page.
        offset: Lines of caption and lyrics that are scrolled away.
    """
    tall = height >= WIDE_ROWS
    top = [*head_lines(view, width, _TALL_WAVE if tall else _SHORT_WAVE), *sound_lines(view, width)]
    middle = [_caption_title(view, width), *caption_lines(view, width)]
    middle += [_lyrics_title(view, width), *lyric_lines(view, width)]
    hint = f"{_ABOUT_TOKENS}. Captions over {_max_tokens(view)} tokens are cut."
    bottom = [title(width, "How it is used"), *_use_flow(view, width), *note_lines(view, width, is_short=True)]
    bottom += [Content(""), *wrap((hint, MUTED), width), Content("")]
    if height - len(top) - len(bottom) <= _LEAST_ROWS:
        middle, bottom = [*middle, Content(""), *bottom], []
    if height - len(top) <= _LEAST_ROWS:
        top, middle = [], [*top, *middle]
    room = max(height - len(top) - len(bottom) - 1, 1)
    offset = min(max(offset, 0), max(len(middle) - room, 0))
    seen = _filled(middle[offset : offset + room], room)
    place = place_line(offset, room, len(middle), width)
    return Picture([*top, *seen, place, *bottom][:height], offset, max(room - 1, 1))


def wide_page(view: SongView, width: int, height: int, offset: int = 0) -> Picture:
    """Caption and use at the left, lyrics at the right; both scroll where they are longer than the page.

    Args:
        view: The song.
        width, height: Of the page.
        offset: Lines of both that are scrolled away.
    """
    blank = Content("")
    name, *drawing = head_lines(view, width, _TALL_WAVE)
    top = [blank, name, blank, *drawing, blank, *sound_lines(view, width, is_wide=True), blank]
    left_width = (width - _GAP) // 2
    right_width = width - _GAP - left_width
    titles = [_caption_title(view, left_width), _lyrics_title(view, right_width)]
    top += [_beside(titles[0], titles[1], left_width), blank]
    left = _left_column(view, left_width)
    right = lyric_lines(view, right_width)
    room = max(height - len(top) - 1, 1)
    offset = min(max(offset, 0), max(len(left) - room, len(right) - room, 0))
    lefts = _filled(_scrolled(left, offset, room), room)
    rights = _filled(_scrolled(right, offset, room), room)
    seen = [_beside(one, other, left_width) for one, other in zip(lefts, rights, strict=True)]
    longest = max(len(left), len(right))
    place = _beside(blank, place_line(offset, room, longest, right_width), left_width)
    return Picture([*top, *seen, place][:height], offset, max(room - 1, 1))


def _left_column(view: SongView, width: int) -> list[Content]:
    lines = caption_lines(view, width)
    source = view.detail.caption_source if view.detail is not None else ""
    lines += wrap((source, MUTED), width) if source else []
    lines += [Content("")] * 2
    lines += [title(width, "How it is used"), Content(""), *_use_rows(view, width)]
    notes = note_lines(view, width)
    lines += [Content("")] * 2
    if notes:
        lines += [title(width, "Good to know"), Content(""), *notes, Content("")]
    lines += wrap((f"{_ABOUT_TOKENS}, often a syllable.", MUTED), width)
    return lines + wrap((f"Captions over {_max_tokens(view)} tokens are cut; lyrics are not.", MUTED), width)


def _scrolled(lines: Sequence[Content], offset: int, room: int) -> list[Content]:
    """A column stops at its own end."""
    start = min(offset, max(len(lines) - room, 0))
    return list(lines[start : start + room])


def _filled(lines: Sequence[Content], room: int) -> list[Content]:
    return [*lines, *[Content("")] * (room - len(lines))]


def _beside(left: Content, right: Content, left_width: int) -> Content:
    return fit(left, left_width) + Content(" " * _GAP) + right


def place_line(offset: int, room: int, total: int, width: int) -> Content:
    """What is scrolled away, with the keys that bring it back; blank where all is in sight."""
    above, below = offset, max(total - offset - room, 0)
    said = [f"↑ {above:,} above: pgup"] if above else []
    said += [f"↓ {below:,} more: pgdn"] if below else []
    return fit(("   ".join(said), MUTED), width)


# -- caption --


def _max_tokens(view: SongView) -> int:
    return view.detail.caption.max_tokens if view.detail is not None else 256


def _caption_title(view: SongView, width: int) -> Content:
    live: Part = (fmt.UNKNOWN, MUTED)
    if view.detail is not None and view.shown.row.song is not None:
        caption = view.detail.caption
        if caption.num_tokens is None:
            live = (_NOT_HERE, MUTED)
        else:
            style = WARNING if caption.cut_at is not None else MUTED
            live = (f"{caption.num_tokens:,} of {caption.max_tokens:,} tokens", style)
    return title(width, "Caption", live=live)


def caption_lines(view: SongView, width: int) -> list[Content]:
    """The caption; the part that the model does not see is struck."""
    whole = view.shown.row.caption
    if not whole:
        return [text(fmt.UNKNOWN, MUTED)]
    cut_at = view.detail.caption.cut_at if view.detail is not None else None
    lines: list[Content] = []
    start = 0
    for line in whole.split("\n"):
        keep = len(line) if cut_at is None else min(max(cut_at - start, 0), len(line))
        lines += wrap(join(line[:keep], (line[keep:], f"strike {MUTED}")), width)
        start += len(line) + 1
    return lines


# -- lyrics --


def _lyrics_title(view: SongView, width: int) -> Content:
    live = fmt.UNKNOWN
    if view.has_no_voice:
        live = "no voice, as you marked it"
    elif view.detail is not None:
        live = view.detail.lyrics.summary()
    return title(width, "Lyrics", live=(live, MUTED))


def lyric_lines(view: SongView, width: int) -> list[Content]:
    """Line by line, with the language each is read in and its tokens in a straight column at the right."""
    song = view.shown.row.song
    if view.detail is None:
        return [text(fmt.UNKNOWN, MUTED)] if song is not None and song.lyrics else []
    lines = view.detail.lyrics.lines
    digits = max([2, *(len(f"{line.num_tokens:,}") for line in lines)])
    return [part for line in lines for part in _lyric_line(line, width, digits)]


def _lyric_line(line: LyricLine, width: int, digits: int) -> list[Content]:
    words = _visible(line.text)
    if line.is_tag or not line.text:
        return wrap((words, MUTED), width)
    if line.problem:
        end = text("left out", ERROR)
    else:
        end = join((f"{line.language:>2} ", MUTED), f"{line.num_tokens:>{digits},}")
    room = max(width - end.cell_length - 2, 4)
    first, *rest = wrap(_marked(words, line), room)
    return [spread(first, end, width), *rest]


def _marked(words: str, line: LyricLine) -> Content:
    """The line with what the model does not know in warning colour."""
    if not line.num_unknown:
        return text(words)
    if not line.unknown:
        return text(words, WARNING)
    return join(*((sign, f"bold {WARNING}" if sign in line.unknown else "") for sign in words))


def _visible(words: str) -> str:
    """Without signs that take no place (joiners, direction marks): they would only bend the column at the right."""
    return "".join(sign for sign in words if unicodedata.category(sign) != "Cf")


# -- how it is used, what is good to know --


def _duplicate(view: SongView) -> str:
    if view.duplicate_of is None:
        return fmt.UNKNOWN
    return view.duplicate_of.rpartition("/")[2] or "none"


def _use_flow(view: SongView, width: int) -> list[Content]:
    detail = view.detail
    length = detail.length_words.replace(", trained whole", ", whole") if detail is not None else view.shown.length
    heard = f"about {detail.heard:,} times" if detail is not None and detail.heard is not None else fmt.UNKNOWN
    pairs = [
        ("Length", length),
        ("seen", heard),
        ("prepared", _prepared(view)),
        ("duplicate of", _duplicate(view)),
    ]
    return flow([join((f"{name} ", MUTED), (value, BOLD)) for name, value in pairs], width)


def _use_rows(view: SongView, width: int) -> list[Content]:
    detail = view.detail
    seen = unknown = fmt.UNKNOWN
    if detail is not None and detail.heard is not None and view.num_steps:
        seen = f"about {detail.heard:,} times in {view.num_steps:,} steps"
    if detail is not None and detail.lyrics.num_tokens:
        unknown = f"{detail.lyrics.num_unknown:,} of {detail.lyrics.num_tokens:,} tokens"
    pairs = [
        ("Length", detail.length_words if detail is not None else view.shown.length),
        ("Group", (detail.group if detail is not None else "") or fmt.UNKNOWN),
        ("Prepared size", _prepared(view)),
        ("Seen", seen),
        ("Duplicate of", _duplicate(view)),
        ("Unknown signs", unknown),
    ]
    lines: list[Content] = []
    for name, value in pairs:
        first, *rest = wrap((value, BOLD if value != fmt.UNKNOWN else MUTED), width - _LABEL_WIDTH)
        lines.append(fit((name, MUTED), _LABEL_WIDTH) + first)
        lines += [line.pad_left(_LABEL_WIDTH) for line in rest]
    return lines


def _prepared(view: SongView) -> str:
    return fmt.size(view.detail.prepared_bytes) if view.detail is not None and view.detail.use else fmt.UNKNOWN


def note_lines(view: SongView, width: int, *, is_short: bool = False) -> list[Content]:
    """Problems of the song and what else is good to know, each with its sign."""
    notes = [_of_problem(one) for one in view.shown.row.problems if not _is_meant(one, view)]
    if view.detail is not None:
        notes += view.detail.notes(is_short=is_short)
    lines: list[Content] = []
    for state, words in notes:
        lines += wrap(join((GLYPHS[state], STYLES[state]), f" {words}"), width, indent=2)
    return lines


def _is_meant(problem: Problem, view: SongView) -> bool:
    """Without voice there is nothing to miss."""
    return (view.has_no_voice or view.is_instrumental) and problem.code in ("no_lyrics", "empty_lyrics")


def _of_problem(problem: Problem) -> tuple[State, str]:
    reason = problem.reason.rstrip(".")
    state: State = problem.severity if problem.code != "long_clip" else "ready"
    return state, f"{reason[:1].upper()}{reason[1:]}."
