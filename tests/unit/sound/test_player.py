"""A player that is here is found and started; over SSH its sound would come out elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from acestep_tui.sound.player import Player, find_player, play


def program(folder: Path, name: str, text: str = "exec sleep 60") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_first_of_them_is_taken_unless_one_is_named(tmp_path):
    environ = {"PATH": str(tmp_path)}
    assert find_player("auto", environ) is None
    program(tmp_path, "aplay")
    assert find_player("auto", environ) == Player("aplay", str(tmp_path / "aplay"))
    program(tmp_path, "mpv")
    found = find_player("auto", environ)
    assert found is not None and found.name == "mpv"
    named = find_player("aplay", environ)
    assert named is not None and named.name == "aplay"
    assert find_player("ffplay", environ) is None


def test_over_ssh_nothing_plays_here_unless_the_user_says_so(tmp_path):
    program(tmp_path, "mpv")
    for name in ("SSH_CONNECTION", "SSH_TTY"):
        environ = {"PATH": str(tmp_path), name: "x"}
        assert find_player("auto", environ) is None
        assert find_player("mpv", environ) is not None


def test_only_a_known_player_is_started(tmp_path):
    program(tmp_path, "rm")
    assert find_player("rm", {"PATH": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("name", "start_s", "wanted"),
    [
        ("mpv", 12.0, ["--no-video", "--really-quiet", "--no-terminal", "--start=12.00", "--", "-a.wav"]),
        ("ffplay", 12.0, ["-nodisp", "-autoexit", "-loglevel", "quiet", "-ss", "12.00", "{cwd}/-a.wav"]),
        ("aplay", 12.0, ["-q", "{cwd}/-a.wav"]),
        ("afplay", 0.0, ["{cwd}/-a.wav"]),
    ],
)
def test_the_command_is_quiet_and_takes_no_file_for_a_switch(name, start_s, wanted):
    command = Player(name, f"/x/{name}").command(Path("-a.wav"), start_s=start_s)
    assert command == [f"/x/{name}", *(word.replace("{cwd}", str(Path.cwd())) for word in wanted)]


def test_it_plays_from_a_place_and_stops(tmp_path):
    player = Player("mpv", str(program(tmp_path, "mpv")))
    playing = play(player, tmp_path / "a.wav", now=100.0, start_s=12.0, length_s=30.0)
    assert (playing.position_s(100.0), playing.position_s(103.5), playing.position_s(1e6)) == (12.0, 15.5, 30.0)
    assert playing.position_s(99.0) == 12.0  # a clock that was set back
    assert playing.result() is None
    playing.stop()
    assert playing.result() is not None
    with pytest.raises(ProcessLookupError):
        os.kill(playing.process.pid, 0)
    playing.stop()


def test_a_player_that_cannot_seek_begins_at_the_beginning(tmp_path):
    player = Player("aplay", str(program(tmp_path, "aplay", "exit 3")))
    playing = play(player, tmp_path / "a.wav", now=0.0, start_s=12.0, length_s=30.0)
    assert playing.start_s == 0.0
    deadline = time.monotonic() + 10
    while playing.result() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert playing.result() == 3


def test_one_that_ignores_the_asking_is_ended(tmp_path, monkeypatch):
    stubborn = program(tmp_path, "mpv", "trap '' TERM; : > ready; while :; do sleep 0.1; done")
    monkeypatch.chdir(tmp_path)
    playing = play(Player("mpv", str(stubborn)), tmp_path / "a.wav", now=0.0, length_s=30.0)
    deadline = time.monotonic() + 10
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    playing.stop()
    assert playing.result() == -9


def test_a_program_that_is_gone_is_an_os_error(tmp_path):
    with pytest.raises(OSError):
        play(Player("mpv", str(tmp_path / "nothing")), tmp_path / "a.wav", now=0.0)
