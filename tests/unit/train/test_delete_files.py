"""Songs are deleted only on request, only those that the scan named, and never most of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.backends import load_backends
from engine.contract.config import Config
from engine.dataset.report import Problem, ScanReport
from engine.train.delete_files import delete_unusable

PROBLEMS = [
    Problem("broken.mp3", "error", "unreadable", "left out: not audio"),
    Problem("short.wav", "error", "too_short", "left out: 0.10 s is shorter than 1 s"),
    Problem("no_words.wav", "error", "no_caption", "left out: no caption"),
]


class Heard:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def warn(self, code: str, message: str) -> None:
        self.said.append((code, message))


class Place:
    def __init__(self, root: Path) -> None:
        self.root, self.heard = root, Heard()
        for folder in ("a", "b"):
            (root / folder).mkdir()
        for name in ("broken.mp3", "short.wav", "no_words.wav", "good.wav"):
            (root / "a" / name).write_bytes(b"x")

    @property
    def files(self) -> set[str]:
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()}

    def delete(self, *, num_files: int = 10, **keys: bool) -> list[str]:
        sets = [{"id": name, "instance_data_dir": name} for name in ("a", "b")]
        config = Config.from_dict({"data_backend_config": sets, **keys})
        report = ScanReport(songs=(), problems=tuple(PROBLEMS), num_files=num_files)
        gone = delete_unusable(config, load_backends(config, base_dir=self.root), report, self.heard)
        return [path.name for path in gone]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_nothing_is_deleted_unless_that_is_asked_for(place):
    before = place.files
    assert place.delete() == [] and place.files == before and place.heard.said == []


def test_each_key_deletes_its_own_kind_and_says_so(place):
    assert place.delete(delete_problematic_images=True) == ["broken.mp3"]
    assert place.heard.said == [("file_deleted", f"{place.root / 'a' / 'broken.mp3'} was deleted (not audio)")]
    assert place.delete(delete_unwanted_images=True) == ["short.wav"]
    assert place.files == {"a/no_words.wav", "a/good.wav"}


def test_most_of_a_folder_is_never_deleted(place):
    before = place.files
    assert place.delete(num_files=3, delete_problematic_images=True, delete_unwanted_images=True) == []
    assert place.files == before and place.heard.said[0][0] == "nothing_deleted"


def test_of_two_files_of_one_name_none_is_deleted_and_what_cannot_be_opened_stays(place):
    (place.root / "b" / "broken.mp3").write_bytes(b"x")
    assert place.delete(delete_problematic_images=True) == []
    assert place.heard.said == [("not_deleted", "broken.mp3 was not deleted: 2 data sets have such a file")]
    (place.root / "b" / "broken.mp3").unlink()
    (place.root / "a" / "broken.mp3").unlink()
    (place.root / "a" / "broken.mp3").symlink_to(place.root / "nowhere")
    assert place.delete(delete_problematic_images=True) == []
