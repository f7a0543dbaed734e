"""Every caption strategy, and what is wrong with caption files."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.backends import LocalBackend
from engine.dataset.captions import read_captions


def captions(path: Path, **values: object) -> tuple[tuple[str, ...], list[str]]:
    """Captions and the codes of the problems."""
    found, problems = read_captions(path, "a/song.flac", LocalBackend("songs", "/music", **values))
    assert all(problem.file == "a/song.flac" and len(problem.reason) <= 100 for problem in problems)
    return found, [problem.code for problem in problems]


@pytest.mark.parametrize(
    ("content", "wanted", "codes"),
    [
        (b"rock, loud", ("rock, loud",), []),
        (b"rock\n", ("rock",), []),
        (b"\n rock, loud \r\n\r\npop\rfolk\n", ("rock, loud", "pop", "folk"), []),
        (b"\xef\xbb\xbfrock", ("rock",), []),
        ("bösa nova".encode("utf-16"), ("bösa nova",), []),
        ("bösa nova".encode("latin-1"), ("bösa nova",), ["encoding"]),
        ("日本のロック\u2028x".encode(), ("日本のロック\u2028x",), []),
        (b"", (), ["empty_caption"]),
        (b" \n\t\n", (), ["empty_caption"]),
        (None, (), ["no_caption"]),
    ],
)
def test_textfile(tmp_path, content, wanted, codes):
    if content is not None:
        (tmp_path / "song.txt").write_bytes(content)
    assert captions(tmp_path / "song.flac") == (wanted, codes)


def test_textfile_in_one_piece(tmp_path):
    (tmp_path / "01.song.txt").write_bytes(b"\nrock\r\nloud\n\nlong \n")
    found, _ = captions(tmp_path / "01.song.flac", disable_multiline_split=True)
    assert found == ("rock\nloud\n\nlong",)


def test_the_missing_file_is_named_and_long_names_are_shortened(tmp_path):
    for stem in ("03 Salt", "03 Salt and Static " * 8):
        _, problems = read_captions(tmp_path / f"{stem}.flac", "x.flac", LocalBackend("songs", "/music"))
        assert problems[0].severity == "error"
        assert problems[0].reason.startswith("left out: no caption, add 03 Salt")
        assert problems[0].reason.endswith(".txt next to it")
        assert len(problems[0].reason) <= 100


def test_a_caption_that_cannot_be_read(tmp_path):
    (tmp_path / "song.txt").mkdir()
    found, problems = read_captions(tmp_path / "song.flac", "song.flac", LocalBackend("songs", "/music"))
    assert found == ()
    assert problems[0].reason == "left out: caption song.txt cannot be read, is a directory"


def test_filename():
    assert captions(Path("/m/slow_rock__in_May.flac"), caption_strategy="filename") == (("slow rock  in May",), [])
    assert captions(Path("/m/___.flac"), caption_strategy="filename") == ((), ["no_caption"])


def test_instance_prompts(tmp_path):
    (tmp_path / "song.txt").write_text("rock\npop")
    song = tmp_path / "song.flac"
    assert captions(song, caption_strategy="instanceprompt", instance_prompt=("a", "b")) == (("a", "b"), [])
    assert captions(song, only_instance_prompt=True, instance_prompt=("mara",)) == (("mara",), [])
    assert captions(song, prepend_instance_prompt=True, instance_prompt=("mara",)) == (("mara rock", "mara pop"), [])
    assert captions(song, caption_strategy="filename", prepend_instance_prompt=True, instance_prompt=("x", "y")) == (
        ("x song", "y song"),
        [],
    )
    # The caption file is not looked at when only the prompt counts.
    assert captions(tmp_path / "none.flac", only_instance_prompt=True, instance_prompt=("mara",)) == (("mara",), [])
    assert captions(tmp_path / "none.flac", prepend_instance_prompt=True, instance_prompt=("m",)) == (
        (),
        ["no_caption"],
    )
