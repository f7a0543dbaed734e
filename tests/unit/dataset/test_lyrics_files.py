"""Where lyrics are looked for: every token of the pattern, suffix and extension, the default."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.contract.backends import AudioBlock, LocalBackend
from engine.contract.fields_audio import LYRICS_TOKENS
from engine.dataset.captions import read_captions
from engine.dataset.lyrics_files import lyrics_paths, read_lyrics
from engine.dataset.text_file import NotTextError, read_text

SONG = "/music/Night Ferry/01.track {name}.flac"


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("{filename}_lyrics.txt", "/music/Night Ferry/01.track {name}_lyrics.txt"),
        ("{stem}.lrc", "/music/Night Ferry/01.track {name}.lrc"),
        ("{name}.txt", "/music/Night Ferry/01.track {name}.flac.txt"),
        ("x{suffix}", "/music/Night Ferry/x.track {name}.flac"),
        ("{stem}.{ext}.lyr", "/music/Night Ferry/01.track {name}.flac.lyr"),
        ("{stem}-{extension}", "/music/Night Ferry/01.track {name}-flac"),
        ("{parent}/words/{stem}.txt", "/music/Night Ferry/words/01.track {name}.txt"),
        ("../words/{dirname}/{stem}.txt", "/music/Night Ferry/../words/Night Ferry/01.track {name}.txt"),
        ("/words/{stem}.txt", "/words/01.track {name}.txt"),
        ("words/{other}/{stem}.txt", "/music/Night Ferry/words/{other}/01.track {name}.txt"),
        ("odd{.txt", "/music/Night Ferry/odd{.txt"),
    ],
)
def test_each_token_of_the_pattern(pattern, wanted):
    assert lyrics_paths(Path(SONG), AudioBlock(lyrics_filename_format=pattern)) == [Path(wanted)]


@pytest.mark.parametrize("token", LYRICS_TOKENS)
def test_every_token_that_is_named_to_the_user_is_filled_in(token):
    (path,) = lyrics_paths(Path("/m/a/song.mp3"), AudioBlock(lyrics_filename_format=f"x{{{token}}}"))
    assert "{" not in str(path)


@pytest.mark.parametrize(
    ("suffix", "extension", "wanted"),
    [
        ("_lyrics", "txt", "song_lyrics.txt"),
        ("_lyrics", ".txt", "song_lyrics.txt"),
        ("_lyrics.txt", None, "song_lyrics.txt"),
        ("_lyrics", None, "song_lyrics.lyrics"),
        (None, "lrc", "song.lrc"),
    ],
)
def test_suffix_and_extension(suffix, extension, wanted):
    audio = AudioBlock(lyrics_suffix=suffix, lyrics_extension=extension)
    assert lyrics_paths(Path("/m/song.mp3"), audio) == [Path("/m") / wanted]


def test_the_default_and_the_order(tmp_path):
    assert lyrics_paths(Path("/m/song.mp3"), AudioBlock()) == [Path("/m/song.lyrics")]
    audio = AudioBlock(lyrics_filename_format="{stem}.lrc", lyrics_extension="txt")
    song = tmp_path / "song.mp3"
    (tmp_path / "song.txt").write_text("second")
    assert read_lyrics(song, "song.mp3", audio)[0].text == "second"
    (tmp_path / "song.lrc").write_text("first")
    assert read_lyrics(song, "song.mp3", audio)[0].text == "first"


def test_a_relative_folder_and_a_pattern_with_parent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("album").mkdir()
    Path("album/song.words").write_text("la")
    audio = AudioBlock(lyrics_filename_format="{parent}/{stem}.words")
    assert read_lyrics(Path("album/song.mp3"), "song.mp3", audio)[0].text == "la"


@pytest.mark.parametrize(
    ("content", "text", "codes"),
    [
        ("käse".encode(), "käse", []),
        (b"\xef\xbb\xbf" + "käse".encode(), "käse", []),
        ("käse\r\nöl".encode("utf-16"), "käse\nöl", []),
        ("käse\nöl".encode("utf-16-le"), "käse\nöl", ["encoding"]),
        ("夜の船\nöl".encode("utf-16-be"), "夜の船\nöl", ["encoding"]),
        ("käse".encode("latin-1"), "käse", ["encoding"]),
        (b"", None, ["empty_lyrics"]),
        (b" \n\r\n\t", None, ["empty_lyrics"]),
        (b"[ti:x]\n[00:01.00]\n", None, ["empty_lyrics"]),
        (None, None, ["no_lyrics"]),
    ],
)
def test_encodings_empty_and_missing(tmp_path, content, text, codes):
    if content is not None:
        (tmp_path / "song.lyrics").write_bytes(content)
    lyrics, problems = read_lyrics(tmp_path / "song.mp3", "a/song.mp3", AudioBlock())
    assert (lyrics.text if lyrics else None) == text
    assert [problem.code for problem in problems] == codes
    assert all(problem.severity == "warning" and problem.file == "a/song.mp3" for problem in problems)
    if codes[-1:] in (["empty_lyrics"], ["no_lyrics"]):
        assert problems[-1].reason.endswith("trains as an instrumental")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a", ".ogg"])
def test_sound_is_not_taken_for_lyrics_or_a_caption(tmp_path, sounds, suffix):
    (tmp_path / "song.lyrics").write_bytes(sounds(suffix))
    lyrics, problems = read_lyrics(tmp_path / "song.mp3", "song.mp3", AudioBlock())
    assert lyrics is None
    assert [(one.code, one.reason) for one in problems] == [
        ("no_lyrics", "lyrics song.lyrics are not a text: trains as an instrumental")
    ]
    (tmp_path / "song.txt").write_bytes(sounds(suffix))
    captions, problems = read_captions(tmp_path / "song.mp3", "song.mp3", LocalBackend("songs", "/music"))
    assert captions == ()
    assert [(one.code, one.reason) for one in problems] == [("no_caption", "left out: caption song.txt is not a text")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bytes(range(256)), "not a text"),
        (b"\x00\x01\x02\x03", "not a text"),
        (b"\x89PNG\r\n\x1a\n" + random.Random(0).randbytes(400), "not a text"),
        (b"la " * 2_000_000, "too large for a text"),
        ("la 🎵 la\u200d\x1a".encode(), None),
        ("\x93quoted\x94 and la\r\n".encode("latin-1"), None),
    ],
)
def test_what_is_a_text(tmp_path, content, reason):
    (tmp_path / "song.lyrics").write_bytes(content)
    if reason is None:
        assert read_text(tmp_path / "song.lyrics", "song.mp3", "lyrics")[0]
    else:
        with pytest.raises(NotTextError, match=reason):
            read_text(tmp_path / "song.lyrics", "song.mp3", "lyrics")


def test_lyrics_that_cannot_be_read(tmp_path):
    (tmp_path / "song.lyrics").mkdir()
    lyrics, problems = read_lyrics(tmp_path / "song.mp3", "song.mp3", AudioBlock())
    assert lyrics is None
    assert problems[0].code == "no_lyrics"
    assert "cannot be read, is a directory" in problems[0].reason
