"""What a run looks like on a real (pseudo) terminal: bars that redraw, lines that stay, colour where wanted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from tests.worker.front_end import PROGRAM, Place, place

__all__ = ["place"]

RUN = ("--run", "demo.json")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What a screen shows of a line that was redrawn: the text after the last erase.
ERASE = "\r\x1b[2K"


def on_terminal(place: Place, *arguments: str, columns: int = 100, **environment: str) -> tuple[str, int]:
    """Run the front end on a terminal of its own; returns everything it wrote, and its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=place.cwd,
        env={**place.environment(steps=30, step_s=0.04), "TERM": "xterm-256color", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # EIO: the last one on the other side has gone
        while chunk := os.read(ours, 65536):
            written += chunk
    os.close(ours)
    return written.decode(sys.getfilesystemencoding(), errors="replace"), process.wait()


def screen_lines(written: str) -> list[str]:
    """The lines that are left on the screen at the end, without colour."""
    lines = COLOUR.sub("", written).split("\r\n")
    shown = (re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", line.split(ERASE)[-1]) for line in lines)
    return [line.rstrip("\r").rpartition("\r")[2] for line in shown]


def test_phases_leave_a_line_and_the_bar_redraws(place: Place) -> None:
    written, code = on_terminal(place, *RUN)
    assert code == 0
    lines = screen_lines(written)
    assert re.fullmatch(r"♪ acestep-tui \S+   demo +output/demo", lines[0])
    scan = next(index for index, line in enumerate(lines) if line.startswith("✓ scan"))
    assert re.fullmatch(r"✓ scan      2 songs: 1 ready, 1 unreadable +0\.2 s", lines[scan])
    assert lines[scan + 1] == "  ✗ 11_broken.mp3   left out: not audio (0 of 4096 bytes)"
    assert "◐ start     the worker is starting …" in written.replace("\x1b[36m", "").replace("\x1b[0m", ""), (
        "never silent"
    )
    bars = re.findall(
        r"◐ train     ━*╸?─*   .. of 30  loss \d\.\d{4}  1\.4 steps/s  1 min 25 s left", COLOUR.sub("", written)
    )
    assert len(bars) >= 2
    assert len({len(bar) for bar in bars}) == 1, "positions never jump"
    assert not any(line.startswith("◐") for line in lines), "no bar is left behind"
    assert "✓ finished in 1 min 32 s" in lines
    assert "\x1b[32m" in written


def test_no_color_and_ascii_and_eighty_columns(place: Place) -> None:
    written, code = on_terminal(
        place, *RUN, columns=80, NO_COLOR="1", PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0", LC_ALL="C"
    )
    assert code == 0
    assert not COLOUR.search(written)
    assert written.isascii()
    lines = screen_lines(written)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("+ scan      2 songs") for line in lines)
    assert "  held-out loss   1.0214 -> 0.6127   (same noise, before and after)" in lines
    assert re.search(r"~ train     #+-+   .. of 30", written)


def test_plain_on_a_terminal(place: Place) -> None:
    written, code = on_terminal(place, *RUN, "--plain")
    assert code == 0
    assert "\x1b" not in written
    assert re.search(r"^\S+Z step step=30 total=30 loss=0\.0333 lr=1\.0e-05 step_s=0\.71 eta_s=85\r$", written, re.M)


def test_lang_c_is_taken_at_its_word(place: Place) -> None:
    written, code = on_terminal(place, *RUN, LC_ALL="C", PYTHONUTF8="")
    assert code == 0
    assert written.isascii()
    assert any(line.startswith("+ scan      2 songs") for line in screen_lines(written))
