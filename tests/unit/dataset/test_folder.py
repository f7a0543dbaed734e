"""Which files are looked at: suffixes, sub-folders, hidden files, links."""

from __future__ import annotations

import os

from engine.dataset.folder import AUDIO_SUFFIXES, find_audio


def names(folder) -> list[str]:
    return [one.relative for one in find_audio(folder)[0]]


def test_every_suffix_in_any_case_and_nothing_else(tmp_path):
    for suffix in AUDIO_SUFFIXES:
        (tmp_path / f"a{suffix}").touch()
        (tmp_path / f"B{suffix.upper()}").touch()
    for name in ("a.txt", "a.lyrics", "cover.jpg", "a_lyrics.txt", "wav", "notes.wav.txt"):
        (tmp_path / name).touch()
    assert len(names(tmp_path)) == 2 * len(AUDIO_SUFFIXES) == 40


def test_sub_folders_sorted_and_hidden_ones_passed_over(tmp_path):
    for name in (
        "b.wav",
        "a/z.wav",
        "a/a/y.wav",
        "a b/x.wav",
        ".hidden.wav",
        "._b.wav",
        ".git/c.wav",
        "__MACOSX/._b.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "folder.wav" / "in.wav").touch()
    wanted = sorted(["b.wav", "a/z.wav", "a/a/y.wav", "a b/x.wav", "folder.wav/in.wav"])
    assert names(tmp_path) == wanted


def test_links(tmp_path):
    album = tmp_path / "top" / "album"
    (album / "real").mkdir(parents=True)
    (album / "real" / "song.wav").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.wav").touch()
    (tmp_path / "top" / "secret.wav").touch()
    (album / "aa").symlink_to(album / "real")  # sorts first, but the real name wins
    (album / "loop").symlink_to(album)
    (album / "real" / "loop").symlink_to(album / "real")
    (album / "far").symlink_to(tmp_path / "elsewhere")
    (album / "up").symlink_to(tmp_path / "top")
    (album / "self.wav").symlink_to(album / "self.wav")
    (album / "linked.wav").symlink_to(album / "real" / "song.wav")
    found, problems = find_audio(album)
    assert [one.relative for one in found] == ["far/far.wav", "linked.wav", "real/song.wav", "self.wav"]
    assert [(one.file, one.code) for one in problems] == [("up", "link_not_followed")]


def test_a_name_in_another_encoding_can_be_printed_and_stored(tmp_path):
    raw = os.fsdecode(b"caf\xe9.wav")
    (tmp_path / raw).touch()
    (tmp_path / "søt ♪.wav").touch()
    found, _ = find_audio(tmp_path)
    assert {one.relative for one in found} == {"caf\\xe9.wav", "søt ♪.wav"}
    assert all(one.path.exists() and one.relative.encode("utf-8") for one in found)


def test_a_folder_that_cannot_be_listed_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.wav").touch()
    (tmp_path / "shut").mkdir()
    real = os.scandir

    # Permissions would not stop root, and tests may run as root.
    def scandir(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, problems = find_audio(tmp_path)
    assert [one.relative for one in found] == ["open/a.wav"]
    assert [(one.file, one.severity, one.code) for one in problems] == [("shut", "error", "unreadable_folder")]
    assert problems[0].reason == "folder cannot be listed: permission denied"
