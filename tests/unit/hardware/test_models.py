"""What of a model is here: whole, incomplete, missing, partly downloaded; never an exception, never the network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.contract.errors import ModelError
from engine.contract.model_files import (
    DEMO_MODEL,
    RELEASED_MODEL,
    SUB_FOLDERS,
    TEXT_ENCODER_FOLDER,
    TRANSFORMER_FOLDER,
    default_weights,
)
from engine.contract.paths import demo_model
from engine.hardware.models import PUBLISHED_BYTES, check_weights, model_status

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def weights(num_values: int = 100) -> bytes:
    """A safetensors file with one tensor."""
    header = {"w": {"dtype": "F32", "shape": [num_values], "data_offsets": [0, 4 * num_values]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(4 * num_values)


def write_model(folder: Path) -> Path:
    for name in SUB_FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
        (folder / name / default_weights(name)).write_bytes(weights())
    (folder / TEXT_ENCODER_FOLDER / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_whole_folder(model: Path) -> None:
    (model / TRANSFORMER_FOLDER / "pytorch_model.bin").write_bytes(bytes(1000))
    status = model_status(model)
    assert (status.kind, status.path, status.problem) == ("folder", model, "")
    assert status.is_whole and status.is_ready and status.missing_bytes == 0
    assert [part.name for part in status.parts] == list(SUB_FOLDERS)
    assert status.bytes == status.total_bytes == bytes_in(model) - 1000, "weights in another format are not read"


@pytest.mark.parametrize("name", SUB_FOLDERS)
def test_a_missing_sub_folder_is_missing(model: Path, name: str) -> None:
    shutil.rmtree(model / name)
    status = model_status(model)
    assert {part.name: part.state for part in status.parts} == {
        part: "missing" if part == name else "whole" for part in SUB_FOLDERS
    }
    assert not status.is_whole and status.total_bytes is None and status.missing_bytes is None


@pytest.mark.parametrize("name", SUB_FOLDERS)
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder, file: file.unlink(), f"holds no .safetensors file; {'{file}'} is expected"),
        (lambda folder, file: file.write_bytes(file.read_bytes()[:-10]), "{file} is cut off: "),
        (lambda folder, file: file.write_bytes(file.read_bytes() + b"more"), "{file} is too long: "),
        (lambda folder, file: file.write_bytes(b"no header"), "{file}: not a readable safetensors file"),
        (lambda folder, file: file.write_bytes(b""), "{file}: not a readable safetensors file"),
        (lambda folder, file: (folder / "config.json").unlink(), "config.json cannot be read"),
        (lambda folder, file: (folder / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda folder, file: (folder / "config.json").write_text("[]"), "config.json is not a JSON object"),
    ],
)
def test_damage_is_named(model: Path, name: str, damage, problem: str) -> None:
    damage(model / name, model / name / default_weights(name))
    status = model_status(model)
    part = next(part for part in status.parts if part.name == name)
    assert part.state == "incomplete" and not status.is_whole
    assert problem.format(file=default_weights(name)) in part.problem
    assert str(model) not in part.problem.replace(name, ""), "a place is named by its own folder, not by a long path"


@pytest.mark.parametrize(
    "header", [{"w": {}}, {"w": {"data_offsets": ["a", "b"]}}, {"w": 3}, {"w": {"data_offsets": 1}}]
)
def test_a_header_without_offsets_is_damage(tmp_path: Path, header: object) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "file").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ModelError, match="no usable header"):
        check_weights(tmp_path / "file")


def test_a_missing_tokenizer_is_named(model: Path) -> None:
    (model / TEXT_ENCODER_FOLDER / "tokenizer.json").unlink()
    assert "tokenizer.json is missing" in model_status(model).parts[-1].problem


def test_a_missing_shard_is_named(model: Path) -> None:
    folder = model / TRANSFORMER_FOLDER
    index = {"weight_map": {"w": default_weights(TRANSFORMER_FOLDER), "v": "second.safetensors"}}
    (folder / f"{default_weights(TRANSFORMER_FOLDER)}.index.json").write_text(json.dumps(index))
    assert model_status(model).parts[0].problem.startswith("second.safetensors is missing")


def test_nothing_of_the_released_model_is_here_yet(tmp_path: Path) -> None:
    status = model_status(RELEASED_MODEL, cache_dir=tmp_path)
    assert (status.kind, status.path, status.bytes) == ("hub", None, 0)
    assert [part.state for part in status.parts] == ["missing"] * 4
    assert status.total_bytes == status.missing_bytes == sum(PUBLISHED_BYTES.values())
    assert {part.name: part.total_bytes for part in status.parts} == PUBLISHED_BYTES


def test_the_size_of_another_repository_is_unknown_before_it_is_asked(tmp_path: Path) -> None:
    status = model_status("someone/else", cache_dir=tmp_path)
    assert status.total_bytes is None and status.missing_bytes is None


@pytest.mark.parametrize(("asked", "ref"), [(None, "main"), ("v2", "v2"), ("refs/pr/1", "refs/pr/1"), (COMMIT, None)])
def test_a_snapshot_is_found_by_its_revision(tmp_path: Path, asked: str | None, ref: str | None) -> None:
    storage = tmp_path / "models--someone--else"
    snapshot = write_model(storage / "snapshots" / COMMIT)
    if ref is not None:
        (storage / "refs" / ref).parent.mkdir(parents=True)
        (storage / "refs" / ref).write_text(COMMIT)
    status = model_status("someone/else", asked, tmp_path)
    assert (status.kind, status.path, status.is_whole) == ("hub", snapshot, True)
    assert model_status("someone/else", "another", tmp_path).path is None


def test_broken_off_downloads_count_as_here(tmp_path: Path) -> None:
    blobs = tmp_path / "models--ACE-Step--ACE-Step-v1-3.5B" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{'a' * 64}.incomplete").write_bytes(bytes(1000))
    (blobs / f"{'b' * 40}.incomplete").write_bytes(bytes(10))
    (blobs / f"{'c' * 64}.0a1b2c3d.incomplete").write_bytes(bytes(5000))  # the client's own: it cannot be gone on from
    (blobs / ("d" * 64)).write_bytes(bytes(7))
    status = model_status(RELEASED_MODEL, cache_dir=tmp_path)
    assert status.partial_bytes == status.bytes == 1010
    assert status.missing_bytes == sum(PUBLISHED_BYTES.values()) - 1010


def test_links_whose_targets_are_gone_are_incomplete(tmp_path: Path, model: Path) -> None:
    storage = tmp_path / "models--a--b"
    snapshot = storage / "snapshots" / COMMIT
    shutil.copytree(model, snapshot)
    lost = snapshot / TRANSFORMER_FOLDER / default_weights(TRANSFORMER_FOLDER)
    lost.unlink()
    lost.symlink_to(storage / "blobs" / ("a" * 64))
    status = model_status("a/b", COMMIT, tmp_path)
    assert status.parts[0].state == "incomplete" and "no .safetensors file" not in status.parts[0].problem


def test_the_demos_model_needs_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACESTEP_CACHE", str(tmp_path))
    before = model_status(DEMO_MODEL)
    assert (before.kind, before.path, before.is_whole) == ("demo", None, False)
    assert before.is_ready and before.missing_bytes == 0
    write_model(demo_model())
    assert model_status(DEMO_MODEL).is_whole and model_status(DEMO_MODEL).path == demo_model()


@pytest.mark.parametrize("name", ["", "nowhere/at/all", "./here", "no model", "a\0b", "x" * 5000])
def test_what_is_neither_folder_nor_hub_id_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status = model_status(name)
    assert (status.kind, status.path) == ("nowhere", None)
    assert status.problem and all(sub_folder in status.problem for sub_folder in SUB_FOLDERS)


@pytest.mark.parametrize("revision", ["../../elsewhere", "a\0b", "x" * 5000])
def test_a_revision_that_is_none_finds_nothing(tmp_path: Path, revision: str) -> None:
    assert model_status("a/b", revision, tmp_path).path is None


def test_a_folder_that_may_not_be_read_is_incomplete(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert all("Permission denied" in part.problem for part in model_status(model).parts)
