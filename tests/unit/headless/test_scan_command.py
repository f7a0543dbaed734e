"""`acestep-tui scan`: what it says of made-up folders, as text and as data, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tokenizers import Tokenizer, models, pre_tokenizers

from acestep_tui.cli import run_command_line
from acestep_tui.headless import scan_checks
from acestep_tui.headless.scan_checks import check_songs, lyrics_facts
from acestep_tui.headless.scan_command import diagnose
from acestep_tui.headless.scan_source import read_scan_source

RATE = 16_000


class Album:
    """A folder that songs are put into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def add(
        self, name: str, *, seconds: float = 2.0, level: float = 0.3, caption: str | None = "rock", **text: str
    ) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name) + sum(map(ord, name))).standard_normal(round(seconds * RATE))
        soundfile.write(path, np.clip(level * noise, -1, 1), RATE, subtype="PCM_16")
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        if "lyrics" in text:
            path.with_suffix(".lyrics").write_text(text["lyrics"], encoding="utf-8")
        return path


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Album:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("ENV", "ACESTEP_CACHE", "CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)
    return Album(tmp_path / "album")


@pytest.fixture
def scanned(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command; gives the exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = run_command_line(["scan", *arguments])
        out = capfd.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def data(scanned: Callable[..., tuple[int, str, str]]) -> Callable[..., dict[str, Any]]:
    """The same as data."""

    def run(*arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(scanned(*arguments, "--json")[1])
        return found

    return run


LYRICS = "[verse]\nthe river runs to the sea\nand the night is long\n"


def troubled(album: Album) -> None:
    """A folder with one of everything."""
    album.add("good.wav", lyrics=LYRICS)
    album.add("sub/bare.wav")
    album.add("quiet.wav", level=0.0, lyrics=LYRICS)
    album.add("loud.wav", level=20.0, lyrics=LYRICS)
    album.add("mute.wav", caption=None)
    (album.folder / "copy.wav").write_bytes((album.folder / "good.wav").read_bytes())
    (album.folder / "copy.txt").write_text("pop", encoding="utf-8")
    (album.folder / "copy.lyrics").write_text("☃ ☃ ☃ ☃ ☃ ☃ ☃\n", encoding="utf-8")
    (album.folder / "broken.mp3").write_bytes(b"no sound" * 100)
    (album.folder / "broken.txt").write_text("rock", encoding="utf-8")


def test_everything_that_is_wrong_is_said_by_name_within_80_columns(
    album: Album, scanned: Callable[..., tuple[int, str, str]]
) -> None:
    troubled(album)
    code, out, err = scanned("album")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "album: 7 songs, 10 s: 4 ready, 1 without lyrics, 1 unreadable, 1 without caption"
    told = [line for line in lines if line[:1] in "✗▲"]
    assert [line for line in told if line] == [
        "✗ 2 songs are left out",
        "▲ 1 song has no lyrics and trains as an instrumental",
        "▲ 1 song is there twice",
        "▲ 1 song is silent",
        "▲ 1 song clips",
        "▲ 1 song has lyrics that the model cannot spell",
    ]
    for name in ("    sub/bare.wav", "    quiet.wav"):
        assert name in lines
    for beginning in (
        "    broken.mp3: not audio",
        "    mute.wav: no caption",
        "    loud.wav: clips ",
        "    good.wav: the",
    ):
        assert any(line.startswith(beginning) for line in lines), beginning
    assert "needs\n  more steps" in out or "needs more\n" in out or "needs more steps" in out
    assert "Rate       5 at 16 kHz; 5 below 32 kHz" in out


def test_a_folder_without_trouble_says_so(album: Album, scanned: Callable[..., tuple[int, str, str]]) -> None:
    album.add("good.wav", lyrics=LYRICS)
    code, out, _ = scanned("album", "--thorough")
    assert code == 0
    assert "✓ nothing is wrong" in out
    assert "Captions   1 different, about 2 to 2 tokens of 256 (estimated" in out
    assert "Lyrics     1 of 1 songs, 2 lines" in out
    assert "English" in out


def test_the_same_as_data(album: Album, data: Callable[..., dict[str, Any]]) -> None:
    troubled(album)
    found = data("album")
    assert (found["scan_version"], found["depth"], found["error"]) == (1, "standard", None)
    assert found["totals"] == {
        "num_files": 7,
        "num_songs": 5,
        "num_ready": 4,
        "num_without_lyrics": 1,
        "num_left_out": 2,
        "num_excluded": 0,
        "num_beyond_limit": 0,
        "num_duplicates": 1,
        "duration_s": 10.0,
        "bytes": sum(
            (album.folder / f"{name}.wav").stat().st_size for name in ("good", "sub/bare", "quiet", "loud", "copy")
        ),
    }
    assert found["without_lyrics"] == ["sub/bare.wav"]
    codes = {(one["song"], one["code"]) for one in found["problems"]}
    assert codes == {
        ("broken.mp3", "unreadable"),
        ("mute.wav", "no_caption"),
        ("sub/bare.wav", "no_lyrics"),
        ("good.wav", "duplicate"),
        ("quiet.wav", "silent"),
        ("loud.wav", "clipped"),
        ("copy.wav", "unknown_signs"),
    }
    songs = {one["song"]: one for one in found["songs"]}
    assert songs["good.wav"]["duplicate_of"] == "copy.wav"
    assert songs["good.wav"]["lyrics"]["language"] == "en"
    assert songs["good.wav"]["lyrics"]["num_unknown"] == 0
    assert songs["quiet.wav"]["sound"]["is_silent"] is True
    assert songs["sub/bare.wav"]["lyrics"] is None
    assert songs["good.wav"]["training"] == {"length_s": 2.0, "num_pieces": 1}
    assert found["cache"]["bytes"] > 0
    assert found["cache"]["is_enough"] is True
    assert found["durations"]["histogram"] == [{"from_s": 0, "to_s": 15, "num_songs": 5}]


def test_a_quick_scan_hears_nothing_and_estimates_lyrics_closely(
    album: Album, data: Callable[..., dict[str, Any]]
) -> None:
    troubled(album)
    quick, full = data("album", "--quick"), data("album")
    songs = {one["song"]: one for one in quick["songs"]}
    exact = {one["song"]: one for one in full["songs"]}
    assert all(one["sound"] is None for one in quick["songs"])
    assert songs["good.wav"]["duplicate_of"] == "copy.wav"
    assert songs["good.wav"]["lyrics"]["is_estimate"] is True
    assert songs["good.wav"]["lyrics"]["num_tokens"] == exact["good.wav"]["lyrics"]["num_tokens"]
    assert songs["copy.wav"]["lyrics"]["num_unknown"] == exact["copy.wav"]["lyrics"]["num_unknown"]
    assert songs["sub/bare.wav"]["lyrics"] is None


def test_nothing_usable_ends_with_the_data_code(album: Album, scanned: Callable[..., tuple[int, str, str]]) -> None:
    album.add("mute.wav", caption=None)
    code, out, _ = scanned("album")
    assert code == 4
    assert "✗ 1 song is left out" in out
    assert "✗ The one file in" in out
    assert "Put a .txt with the same name" in " ".join(out.split())
    code, out, _ = scanned("album", "--json")
    assert (code, json.loads(out)["totals"]["num_songs"]) == (4, 0)
    assert json.loads(out)["error"].startswith("The one file in")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no such configuration"),
        (["owner/name"], "There is no folder owner/name here"),
        (["env=nothing"], "env=nothing: no configuration of this name"),
        (["album", "--quick", "--thorough"], "--quick and --thorough exclude each other"),
        (["album", "--show"], "--show needs the name of a song"),
        (["album", "--show", "god"], "--show god: there is no such song"),
        (["album", "--long_clip=maybe"], "long_clip"),
        (["album/good.wav"], "good.wav is one song"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    arguments: list[str], said: str, album: Album, scanned: Callable[..., tuple[int, str, str]]
) -> None:
    album.add("good.wav", lyrics=LYRICS)
    code, out, err = scanned(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_configuration_is_looked_at_as_a_run_would_use_it(
    album: Album, data: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    troubled(album)
    folder = tmp_path / "config" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps(
            {
                "instance_data_dir": "album",
                "exclude_files": ["loud.wav"],
                "instrumental_files": ["sub/bare.wav"],
            }
        ),
        encoding="utf-8",
    )
    for source in ("env=mine", "config/mine", "config/mine/config.json"):
        found = data(source)
        assert found["totals"]["num_excluded"] == 1
        assert found["without_lyrics"] == []
        assert "loud.wav" not in {one["song"] for one in found["songs"]}
    listed = tmp_path / "sets.json"
    entry = {"id": "one", "type": "local", "dataset_type": "audio", "instance_data_dir": str(album.folder)}
    listed.write_text(json.dumps([{**entry, "caption_strategy": "filename"}]), encoding="utf-8")
    found = data("sets.json")
    assert "mute.wav" in {one["song"] for one in found["songs"]}
    assert {one["data_set"] for one in found["songs"]} == {"one"}


def test_captions_are_counted_by_the_models_own_tokenizer_where_it_is_here(
    album: Album, data: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    album.add("a.wav", caption="rock drums rock drums")
    part = tmp_path / "model" / "umt5-base"
    part.mkdir(parents=True)
    tokenizer = Tokenizer(models.WordLevel({"rock": 0, "drums": 1, "<unk>": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(part / "tokenizer.json"))
    arguments = ("album", "--pretrained_model_name_or_path=model", "--tokenizer_max_length=3")
    found = data(*arguments)
    assert found["captions"] == {
        "num_distinct": 1,
        "num_songs_with_several": 0,
        "max_tokens": 3,
        "most_tokens": 4,
        "num_cut": 1,
        "is_estimate": False,
    }
    assert ("a.wav", "caption_cut") in {(one["song"], one["code"]) for one in found["problems"]}


def test_show_tells_what_the_model_gets_of_one_song(
    album: Album, scanned: Callable[..., tuple[int, str, str]], data: Callable[..., dict[str, Any]]
) -> None:
    album.add("sub/good.wav", seconds=7.0, lyrics="[00:00.50]one ☃\n[00:05.00]two rivers run\n", caption="rock\npop")
    album.add("other.wav", lyrics=LYRICS)
    pieces = ("--long_clip=pieces", "--audio_max_duration_seconds=3", "--show", "good")
    code, out, _ = scanned("album", *pieces)
    assert code == 0
    assert out.startswith("sub/good.wav\n")
    assert "one of 2 is drawn each time" in out
    assert "Pieces     " in out
    assert "(unknown: ☃)" in out
    seen = data("album", *pieces)
    assert [one["text"] for one in seen["captions"]] == ["rock", "pop"]
    assert len(seen["pieces"]) >= 2
    assert seen["pieces"][0]["lyrics"] == "one ☃"
    assert "two rivers run" in [one["lyrics"] for one in seen["pieces"]]
    assert all(one["num_frames"] == int(one["length_s"] * 44_100 / 4096) for one in seen["pieces"])
    assert seen["lyrics"]["lines"][0]["unknown"] == "☃"
    assert seen["prepared_bytes"] > 0


def test_show_of_a_song_that_is_left_out_says_why(album: Album, scanned: Callable[..., tuple[int, str, str]]) -> None:
    album.add("good.wav", lyrics=LYRICS)
    (album.folder / "broken.mp3").write_bytes(b"no sound" * 100)
    (album.folder / "broken.txt").write_text("rock", encoding="utf-8")
    code, out, _ = scanned("album", "--show", "broken")
    assert code == 4
    assert "✗ left out: not audio" in out


def test_several_songs_of_one_name_are_told_apart(album: Album, scanned: Callable[..., tuple[int, str, str]]) -> None:
    for name in ("a/one.wav", "b/one.wav"):
        album.add(name, lyrics=LYRICS)
    code, _, err = scanned("album", "--show", "one")
    assert code == 2
    assert "2 songs are called so" in err
    assert scanned("album", "--show", "b/one")[0] == 0


def test_many_songs_are_looked_at_by_processes_with_the_same_result(album: Album, monkeypatch: Any) -> None:
    for number in range(13):
        album.add(f"{number:02}.wav", seconds=0.5 + number / 20, lyrics=LYRICS if number % 2 else "o rio corre\n")
    source = read_scan_source("album", (), cwd=Path.cwd())
    together = diagnose(source, depth="standard")
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(scan_checks, "_ALONE_BELOW", 1000)
    alone = check_songs(
        together.songs, detection="upstream", depth="standard", on_progress=lambda *step: told.append(step)
    )
    assert list(together.checks) == alone
    assert told[-1] == (13, 13)


def test_a_process_that_dies_costs_its_songs_a_note_and_nothing_else(monkeypatch: Any) -> None:
    class Broken:
        def result(self) -> Any:
            raise scan_checks.BrokenProcessPool

    tasks: Any = [object(), object()]
    checks = scan_checks._results(tasks, Broken())  # type: ignore[arg-type]
    assert len(checks) == 2
    assert all("--show" in one.unheard for one in checks)


def test_ctrl_c_ends_a_scan_without_a_traceback(
    album: Album, scanned: Callable[..., tuple[int, str, str]], monkeypatch: Any
) -> None:
    album.add("good.wav", lyrics=LYRICS)

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(scan_checks, "check_songs", interrupted)
    assert scanned("album") == (130, "", "Stopped. Nothing was changed.\n")


def test_lyrics_in_numbers() -> None:
    facts = lyrics_facts(LYRICS, detection="upstream")
    assert facts is not None
    assert (facts.language, facts.read_as, facts.num_lines, facts.num_unknown) == ("en", "en", 2, 0)
    assert lyrics_facts(" \n", detection="upstream") is None
    assert lyrics_facts(None, detection="script", is_quick=True) is None
    long = lyrics_facts("the night is long\n" * 1500, detection="upstream", is_quick=True)
    assert long is not None
    assert long.num_tokens == 4096
    assert any("lyrics are cut" in problem for problem in long.problems)
