"""Hearing the songs of the set-up in the background."""

from __future__ import annotations

import numpy as np
import soundfile

from acestep_tui.wizard.song_hearing import hear_songs, with_new
from engine.dataset.report import Problem
from tests.unit.wizard.song_rows import row, table


def test_silent_and_clipping_songs_are_told_and_files_that_are_gone_are_not(tmp_path):
    noise = np.random.default_rng(0).standard_normal(16_000)
    rows = [row("gone.wav", path=tmp_path / "gone.wav"), row("x.m4a", "unreadable", used=False)]
    for name, samples in (("fine.wav", 0.1 * noise), ("quiet.wav", 0 * noise), ("loud.wav", np.clip(9 * noise, -1, 1))):
        soundfile.write(tmp_path / name, samples, 16_000)
        rows.append(row(name, path=tmp_path / name))
    news = []
    hear_songs(rows, on_news=news.append, should_stop=lambda: False)
    found = {key: problem for part in news for key, problem in part.items()}
    assert {key[1]: [one.code for one in problems] for key, problems in found.items()} == {
        "quiet.wav": ["silent"],
        "loud.wav": ["clipped"],
    }
    shown = {one.row.name: one for one in table(*rows).with_problems(found).visible()}
    assert (shown["quiet.wav"].glyph, shown["quiet.wav"].note) == ("▲", "silent")
    assert shown["loud.wav"].note.startswith("clips ")
    assert shown["fine.wav"].glyph == "✓"
    stopped = []
    hear_songs(rows, on_news=stopped.append, should_stop=lambda: True)
    assert stopped == []


def test_what_a_closer_look_says_replaces_what_was_said_of_the_same():
    key = ("songs", "a.wav")
    rough, exact = (
        Problem("a.wav", "warning", "clipped", "clips 2.0 %"),
        Problem("a.wav", "warning", "clipped", "clips 2.1 %"),
    )
    double = Problem("a.wav", "warning", "duplicate", "the same as b.wav")
    known = with_new({key: (rough, double)}, {key: (exact,)})
    assert known == {key: (double, exact)}
    assert with_new({}, {key: (rough,)}) == {key: (rough,)}
