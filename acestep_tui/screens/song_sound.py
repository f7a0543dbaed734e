"""The head of one song's page: its name, its wave, how it sounds. Pure functions, and what the page is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.widgets import paint
from acestep_tui.widgets.paint import ACCENT, ERROR, MUTED, fit, join, spread, text, title, wrap
from acestep_tui.widgets.spark import wave
from acestep_tui.wizard.song_detail import SongDetail
from acestep_tui.wizard.songs import GLYPHS, ShownRow, State
from acestep_tui.wizard.songs_page import STYLES
from engine.dataset.doctor_sound import CLIPPED_SHARE
from engine.dataset.sound_facts import SoundFacts
from engine.planning.lengths import SAMPLE_RATE

_NO_CLIPPING_SHARE = 0.0005
_SILENT_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class SongView:
    """What is known of the song on the page.

    Attributes:
        shown: Its row of the table.
        detail: What the model reads of it; None while that is being looked at.
        sound: How it sounds; None while it is being decoded.
        sound_problem: Why it cannot be decoded; empty while nobody knows of a reason.
        duplicate_of: The file that it is the same as; empty for none, None while that is not known.
        num_steps: Steps of the run; None while they are not known.
        has_no_voice: You marked it as without voice.
        is_instrumental: The goal is instrumental music, so that nobody misses lyrics.
    """

    shown: ShownRow
    detail: SongDetail | None = None
    sound: SoundFacts | None = None
    sound_problem: str = ""
    duplicate_of: str | None = None
    num_steps: int | None = None
    has_no_voice: bool = False
    is_instrumental: bool = False


def head_lines(view: SongView, width: int, num_rows: int) -> list[Content]:
    """Title, wave, times."""
    shown = view.shown
    word: str = shown.note if shown.state in ("warning", "error") and shown.note else shown.state
    live = join((f"{shown.glyph} ", STYLES[shown.state]), word, "   ", ("what the model will see", MUTED))
    if shown.row.file_name and width - live.cell_length < 20:
        live = join((f"{shown.glyph} ", STYLES[shown.state]), word)
    room = max(width - live.cell_length - 4, 8)
    name = shown.row.file_name
    if text(name).cell_length > room:
        name = fit(text(name), room).plain.rstrip()
    return [title(width, name, live=live), *_wave_lines(view, width, num_rows), _times(view, width)]


def _wave_lines(view: SongView, width: int, num_rows: int) -> list[Content]:
    if view.sound is None:
        return [Content("")] * num_rows
    rows = wave(view.sound.envelope, width, num_rows, top=max(1.0, view.sound.peak), is_ascii=paint.is_ascii())
    return [fit((row, ACCENT), width) for row in rows]


def _times(view: SongView, width: int) -> Content:
    song = view.shown.row.song
    if song is None:
        return fit("", width)
    middle, end = fmt.song_length(song.duration_s / 2), fmt.song_length(song.duration_s)
    at = (width - len(middle)) // 2
    return spread(join((f"{fmt.song_length(0):<{at}}{middle}", MUTED)), (end, MUTED), width)


def sound_lines(view: SongView, width: int, *, is_wide: bool = False) -> list[Content]:
    """``Sound 44.1 → 48 kHz stereo   loudness −11.2 LUFS   ✓ no clipping, no silence``."""
    label = join(("Sound", MUTED), "  " if is_wide else " ")
    if view.sound_problem:
        return wrap(label + join(("✗ ", ERROR), view.sound_problem), width, indent=label.cell_length)
    sound = view.sound
    loudness = f"{sound.loudness_lufs:.1f} LUFS".replace("-", "−") if sound and sound.loudness_lufs is not None else "–"
    items: list[Content] = [
        label + text(_kind_of_sound(view, is_wide=is_wide)),
        join(("loudness ", MUTED), loudness),
    ]
    clipping, silence = _clipping(sound), _silence(sound)
    if is_wide or clipping[0] != silence[0]:
        items += [_judged(*clipping), _judged(*silence)]
    else:
        items.append(_judged(clipping[0], f"{clipping[1]}, {silence[1]}"))
    if sound is not None and sound.problem:
        items.append(_judged("warning", sound.problem))
    return flow(items, width)


def _kind_of_sound(view: SongView, *, is_wide: bool) -> str:
    song = view.shown.row.song
    if song is None:
        return fmt.UNKNOWN
    rate, full = f"{song.sample_rate / 1000:g}", f"{SAMPLE_RATE / 1000:g} kHz"
    channels = {1: "mono", 2: "stereo"}.get(song.num_channels, f"{song.num_channels} channels")
    same = song.sample_rate == SAMPLE_RATE
    if is_wide:
        becomes = [] if same else [full]
        becomes += [] if song.num_channels == 2 else ["stereo"]
        return f"{rate} kHz {channels} {song.format}" + (f" → {' '.join(becomes)}" if becomes else "")
    if song.num_channels != 2:
        return f"{rate} kHz {channels} → {full} stereo"
    return f"{full} stereo" if same else f"{rate} → {full} stereo"


def _clipping(sound: SoundFacts | None) -> tuple[State | None, str]:
    if sound is None:
        return None, f"clipping {fmt.UNKNOWN}"
    if sound.clipped_share < _NO_CLIPPING_SHARE:
        return "ready", "no clipping"
    said = f"clips {100 * sound.clipped_share:.1f} %"
    return ("warning" if sound.clipped_share >= CLIPPED_SHARE else "ready"), said


def _silence(sound: SoundFacts | None) -> tuple[State | None, str]:
    if sound is None:
        return None, f"silence {fmt.UNKNOWN}"
    if sound.is_silent:
        return "warning", "all of it silent"
    if sound.silent_share < _SILENT_SHARE:
        return "ready", "no silence"
    return "ready", f"{100 * sound.silent_share:.0f} % silence"


def _judged(state: State | None, words: str) -> Content:
    return text(words, MUTED) if state is None else join((f"{GLYPHS[state]} ", STYLES[state]), words)


def flow(items: Sequence[Content], width: int) -> list[Content]:
    """Items side by side, three blanks between them, over as many lines as they need; one too long is wrapped."""
    lines: list[Content] = []
    line = Content("")
    for item in items:
        if line.cell_length and line.cell_length + 3 + item.cell_length > width:
            lines.append(line)
            line = Content("")
        line = line + Content("   ") + item if line.cell_length else item
    lines.append(line)
    return [part for one in lines for part in wrap(one, width)]
