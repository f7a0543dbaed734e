"""The main page while songs are looked at and prepared: a row a song. Pure functions, one panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.base import Panel
from acestep_tui.runs.diary import file_size
from acestep_tui.runs.prepared import PreparedSong
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import ACCENT, ERROR, MUTED, SUCCESS, WARNING, Part, fit, join, spread, wrap

PARTS = ("sound", "captions", "features")
_NAME = 28
# So many songs that wait are shown under the one at work.
_NUM_WAITING = 2


def parts_shown(state: RunState) -> tuple[str, ...]:
    """Parts that have a column: features only where the run has them."""
    seen = set[str]().union(*(song.parts for song in state.prepared.songs.values()))
    return tuple(part for part in PARTS if part in seen or part != "features")


def prepare_lines(state: RunState, width: int, height: int) -> list[Content]:
    """The rows under the title."""
    if state.phase == "scan" or not state.prepared.songs:
        return _looking(state, width, height)
    told = _told(parts_shown(state), width)
    room = max(height - len(told) - (1 if height > 12 else 0), 1)
    rows = song_rows(state, width, room)
    air = [Content("")] if height > 12 else []
    return [*rows, *air, *told][:height]


def song_rows(state: RunState, width: int, height: int) -> list[Content]:
    """The songs around the one at work."""
    parts = parts_shown(state)
    songs = list(state.prepared.songs.values())
    done = [song for song in songs if song.parts.issuperset(parts)]
    begun = [song for song in songs if "sound" in song.parts and not song.parts.issuperset(parts)]
    waiting = [song for song in songs if "sound" not in song.parts]
    ordered = [*done, *begun, *waiting]
    num_rows = len(ordered) + _num_waiting(state, len(ordered))
    first = max(min(len(done) - (height - _NUM_WAITING - 1), num_rows - height), 0)
    rows = []
    for place in range(first, min(first + height, num_rows)):
        if place < len(ordered):
            rows.append(_song(ordered[place], parts, width, is_at_work=place == len(done) and bool(begun)))
        else:
            rows.append(fit(join(("○ ", MUTED), ("waiting", MUTED)), width))
    return rows


def _num_waiting(state: RunState, num_heard_of: int) -> int:
    if state.data is None:
        return 0
    return max(state.data.num_train + state.data.num_held_out - num_heard_of, 0)


def _song(song: PreparedSong, parts: Sequence[str], width: int, *, is_at_work: bool) -> Content:
    name = fit(PurePath(song.file).name, _NAME)
    is_done = song.parts.issuperset(parts)
    if "sound" not in song.parts:
        # Its captions may be ready: those of all songs are made first, in a moment.
        return fit(join(("○ ", MUTED), name, ("waiting", MUTED)), width)
    glyph, style = ("✓", SUCCESS) if is_done else ("◐", ACCENT) if is_at_work else ("○", MUTED)
    cells: list[Part] = []
    for part in parts:
        waits = ("◐", ACCENT) if is_at_work else ("○", MUTED)
        cells += [(f"{part} ", MUTED), ("✓", SUCCESS) if part in song.parts else waits, "  "]
    size = (file_size(song.bytes), MUTED) if is_done and song.bytes else ""
    return spread(join((f"{glyph} ", style), name, *cells[:-1]), size, width)


def _told(parts: Sequence[str], width: int) -> list[Content]:
    what = "Sound, captions and musical features" if "features" in parts else "Sound and captions"
    words = f"{what} become numbers once and are kept, so training never waits for them. Stopping here loses nothing."
    return wrap((words, MUTED), min(width, 77))


def _looking(state: RunState, width: int, height: int) -> list[Content]:
    """While the folder is looked at: what was found so far."""
    rows = []
    if (download := state.fetching) is not None:
        so_far = f"{file_size(download.done_bytes)} of {file_size(download.total_bytes)}"
        rows.append(join(("◐ ", ACCENT), f"Downloading {download.model}: {so_far}"))
    elif state.phase == "scan":
        looked = fmt.part_of(state.phase_done, state.phase_total)
        rows.append(
            join(("◐ ", ACCENT), f"Looking at each file: {looked}" if state.phase_done else "Looking at each file")
        )
    else:
        rows.append(join(("◐ ", ACCENT), "Looking for what is already prepared"))
    for problem in reversed(state.problems):
        is_error = problem.severity == "error"
        glyph = ("✗ ", ERROR) if is_error else ("▲ ", WARNING)
        row = join(glyph, fit(PurePath(problem.file).name, _NAME), (problem.reason, MUTED))
        rows += wrap(row, width, indent=_NAME + 2)
    return rows[:height]


class PreparePage(Panel):
    """What is prepared, song by song."""

    name = "Preparing your songs"

    def heading(self, state: RunState) -> str:
        """Looking comes before preparing."""
        return "Looking at your songs" if state.phase == "scan" else self.name

    def live(self, state: RunState, width: int, now: float) -> Part:
        """Why this is worth its time."""
        del state, width, now
        return ("done once, used by every later run", MUTED)

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """The songs."""
        del now
        return prepare_lines(state, width, height)
