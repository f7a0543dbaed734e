"""`cache status|verify|prune` on entries made by hand: what belongs to whom, what is damaged, what may go."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acestep_tui.cli import run_command_line
from acestep_tui.headless import asking, cache_care
from acestep_tui.runs import registry
from acestep_tui.runs.caches import cache_folders, take_stock
from engine.contract.config import resolve
from engine.contract.paths import quantised_models
from engine.contract.run_dir import RunDir
from engine.hardware.cache_files import CacheUse, DataSetUse, entry_problem, read_use, remove_entry, write_use

DAY_S = 86_400.0


def safetensors(values: np.ndarray, dtype: str = "F32") -> bytes:
    """A file of one tensor."""
    raw = values.tobytes()
    header = json.dumps(
        {"latents": {"dtype": dtype, "shape": list(values.shape), "data_offsets": [0, len(raw)]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + raw


class Place:
    """A cache, a state folder, and runs that take something of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.audio, self.text = root / "cache/acestep-tui/audio", root / "cache/acestep-tui/text/ace_step"
        self.num_made = 0

    def entry(self, folder: Path, *, age_days: float = 0.0, values: Any = (1.0, 2.0), dtype: str = "F32") -> Path:
        self.num_made += 1
        path = folder / f"{self.num_made:064x}.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        kind = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64}[dtype]
        path.write_bytes(safetensors(np.array(values, dtype=kind), dtype))
        moment = time.time() - age_days * DAY_S
        os.utime(path, (moment, moment))
        return path

    def run(self, name: str, *, songs: list[Path], captions: list[Path] = [], age_days: float = 0.0) -> RunDir:  # noqa: B006
        run = RunDir(self.root / "runs" / name)
        run.path.mkdir(parents=True)
        run.events_jsonl.write_text("", encoding="utf-8")
        moment = time.time() - age_days * DAY_S
        os.utime(run.events_jsonl, (moment, moment))

        def names(folder: Path, paths: list[Path]) -> tuple[str, ...]:
            return tuple(str(path.relative_to(folder)) for path in paths)

        write_use(
            run,
            CacheUse(
                t=moment,
                data_sets=(DataSetUse("my-songs", str(self.root / "songs"), self.audio, names(self.audio, songs)),),
                captions=(DataSetUse("", "", self.text, names(self.text, captions)),),
                folders=(self.audio, self.text),
            ),
        )
        registry.remember(run)
        return run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ACESTEP_CACHE", raising=False)
    return Place(tmp_path)


def call(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command_line(["cache", *arguments])
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def test_an_empty_cache_says_so(place, capfd):
    code, out, _ = call(capfd, "status")
    assert code == 0 and out == "Nothing is prepared in cache/acestep-tui/audio, cache/acestep-tui/text.\n"
    code, out, _ = call(capfd, "status", "--json")
    assert json.loads(out)["num_entries"] == 0


def test_the_status_says_what_belongs_to_whom(place, capfd):
    shared, own = place.entry(place.audio / "album"), place.entry(place.audio)
    caption = place.entry(place.text)
    place.entry(place.audio), place.entry(place.text)
    (place.audio / "notes.txt").write_text("somebody's own file")
    place.run("wren", songs=[shared], age_days=3)
    place.run("gone", songs=[shared], age_days=1).events_jsonl.unlink()
    place.run("night-ferry", songs=[shared, own], captions=[caption])
    code, out, _ = call(capfd, "status")
    assert code == 0
    rows = [" ".join(line.split()) for line in out.splitlines()]
    size = shared.stat().st_size
    assert rows[0] == "Prepared songs and captions in cache/acestep-tui/audio, cache/acestep-tui/text"
    assert f"my-songs 2 {2 * size} bytes night-ferry, gone and 1 more songs" in rows
    assert f"captions 1 {size} bytes night-ferry" in rows
    assert f"of no known run 2 {2 * size} bytes –" in rows and f"in all 5 {5 * size} bytes" in rows
    data = json.loads(call(capfd, "status", "--json")[1])
    assert data["num_entries"] == 5 and data["bytes"] == 5 * size and data["free_bytes"] > 0
    assert data["data_sets"] == [
        {"id": "my-songs", "songs": str(place.root / "songs"), "num_entries": 2, "bytes": 2 * size}
        | {"runs": ["night-ferry", "gone", "wren"]}
    ]
    assert data["captions"]["num_entries"] == 1 and data["orphaned"]["num_entries"] == 2
    assert data["unused"] == {"days": 30, "num_entries": 0, "bytes": 0}


def test_models_with_fewer_digits_are_counted_and_go_once_they_are_unused(place, capfd):
    entry = place.entry(quantised_models())
    size = entry.stat().st_size
    rows = [" ".join(line.split()) for line in call(capfd, "status")[1].splitlines()]
    assert f"smaller models 1 {size} bytes –" in rows and not any("no known run" in row for row in rows)
    assert json.loads(call(capfd, "status", "--json")[1])["models"] == {"num_entries": 1, "bytes": size}
    assert call(capfd, "prune", "--yes")[0] == 0 and entry.exists()
    os.utime(entry, (1, 1))
    assert call(capfd, "prune", "--yes")[0] == 0 and not entry.exists()


def test_a_folder_of_a_run_is_looked_at_wherever_it_is_and_none_twice(place, capfd):
    place.audio = place.root / "elsewhere"
    place.run("away", songs=[place.entry(place.audio / "sub")])
    assert json.loads(call(capfd, "status", "--json")[1])["num_entries"] == 1
    folders = cache_folders()
    assert place.root / "elsewhere" in folders and len(folders) == len(set(folders))
    assert not any(one != other and one.is_relative_to(other) for one in folders for other in folders)


def test_a_configuration_names_its_own_cache(place, capfd):
    (place.root / "songs").mkdir()
    config = {"instance_data_dir": "songs", "cache_dir": "here"}
    (place.root / "a.json").write_text(json.dumps(config), encoding="utf-8")
    place.entry(place.root / "here/audio"), place.entry(place.root / "here/text/ace_step"), place.entry(place.audio)
    assert json.loads(call(capfd, "status", "a.json", "--json")[1])["num_entries"] == 2
    backends = [{"id": "one", "instance_data_dir": "songs", "cache_dir_vae": "other/vae"}]
    backends.append({"id": "t", "dataset_type": "text_embeds", "cache_dir": "other/text"})
    (place.root / "sets.json").write_text(json.dumps(backends), encoding="utf-8")
    config = {"data_backend_config": "sets.json"}
    (place.root / "b.json").write_text(json.dumps(config), encoding="utf-8")
    resolved = resolve("b.json", [], cwd=place.root)
    assert cache_folders(resolved) == [place.root / "other/vae", place.root / "other/text"]
    code, _, err = call(capfd, "status", "nothing.json")
    assert code == 2 and "no such configuration" in err


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("F32", (1.0, -2.0), (1.0, np.nan)),
        ("F16", (1.0, 65504.0), (np.inf, 1.0)),
        ("BF16", (0x7F7F, 0x8000), (0x3F80, 0xFF80)),  # the largest number; minus infinity
        ("BF16", (0x3F80, 0x0001), (0x7FC0, 0x3F80)),  # not a number
        ("I64", (1, 2), None),
    ],
)
def test_numbers_of_every_kind_are_looked_at(place, dtype, good, bad):
    assert entry_problem(place.entry(place.audio, values=good, dtype=dtype)) == ""
    if bad is not None:
        assert (
            entry_problem(place.entry(place.audio, values=bad, dtype=dtype))
            == "latents holds numbers that are not finite"
        )


def test_damaged_entries_are_named_and_removed_once_that_is_agreed_to(place, capfd, monkeypatch):
    whole = place.entry(place.audio)
    nan, cut, empty = (
        place.entry(place.audio / "sub", values=(np.nan,)),
        place.entry(place.audio),
        place.entry(place.text),
    )
    cut.write_bytes(cut.read_bytes()[:-2])
    empty.write_bytes(b"")
    code, _, err = call(capfd, "verify")
    assert code == 4 and "3 entries of 4 damaged. Remove: acestep-tui cache verify --yes" in err
    assert f"{nan.name}: latents holds numbers that are not finite" in err and f"{cut.name}: is cut off" in err
    assert f"{empty.name}: not a readable safetensors file" in err
    data = json.loads(call(capfd, "verify", "--json")[1])
    assert data["num_entries"] == 4 and data["num_removed"] == 0
    assert {one["path"] for one in data["damaged"]} == {str(nan), str(cut), str(empty)}
    monkeypatch.setattr(cache_care, "agrees", lambda question, *, is_said: False)
    assert call(capfd, "verify", "--yes")[0] == 4 and nan.exists()
    monkeypatch.undo()
    monkeypatch.chdir(place.root)
    scope = str(_config(place))
    assert f"Remove: acestep-tui cache verify {scope} --yes" in call(capfd, "verify", scope)[2]
    assert call(capfd, "verify", "--yes", str(_config(place)))[:2] == (
        0,
        "✓ 3 entries removed; the other 1 is whole\n",
    )
    assert whole.exists() and not nan.parent.exists()
    assert call(capfd, "verify", str(_config(place)))[1] == "✓ 1 entry: all whole, every number finite\n"


def _config(place: Place) -> Path:
    (place.root / "songs").mkdir(exist_ok=True)
    path = place.root / "whole.json"
    cache = place.root / "cache/acestep-tui"
    path.write_text(json.dumps({"instance_data_dir": "songs", "cache_dir": str(cache)}), encoding="utf-8")
    return path


def test_only_what_no_known_run_took_for_thirty_days_may_go(place, capfd):
    old, young = place.entry(place.audio, age_days=40), place.entry(place.audio, age_days=20)
    kept, forgotten = place.entry(place.audio, age_days=40), place.entry(place.text, age_days=40)
    place.run("alive", songs=[kept], age_days=10)
    place.run("asleep", songs=[], captions=[forgotten], age_days=35)
    stock = take_stock(cache_folders(), now=time.time())
    assert {entry.path for entry in stock.unused} == {old, forgotten}
    code, out, err = call(capfd, "prune")
    assert (
        code == 0 and out == "" and "Nothing was touched. Remove: acestep-tui cache prune --yes" in err and old.exists()
    )
    assert "2 entries" in err and "that no known run took for 30 days" in err
    assert "Remove: acestep-tui cache prune" in call(capfd, "status")[1]
    data = json.loads(call(capfd, "prune", "--json", "--yes")[1])
    assert data["num_unused"] == data["num_removed"] == 2 and data["bytes_freed"] == data["bytes"] > 0
    assert not old.exists() and not forgotten.exists() and young.exists() and kept.exists()
    assert "nothing to remove" in call(capfd, "prune", "--yes")[1]


def test_a_run_whose_folder_is_gone_keeps_nothing(place):
    entry = place.entry(place.audio, age_days=40)
    run = place.run("gone", songs=[entry])
    assert take_stock(cache_folders(), now=time.time()).unused == ()
    for path in run.path.iterdir():
        path.unlink()
    run.path.rmdir()
    assert [found.path for found in take_stock(cache_folders(), now=time.time()).unused] == [entry]


def test_nothing_but_an_entry_is_ever_removed(place):
    other = place.audio / "song.safetensors"
    place.entry(place.audio)
    other.write_bytes(b"")
    with pytest.raises(ValueError, match="is no cache entry"):
        remove_entry(other)
    assert other.exists()


def test_a_note_that_cannot_be_read_is_none(place):
    run = place.run("x", songs=[])
    assert read_use(run) is not None
    for content in ("", "[]", '{"t": "x"}', '{"t": 1, "data_sets": [1], "captions": [], "folders": []}'):
        run.cache_json.write_text(content, encoding="utf-8")
        assert read_use(run) is None


def test_a_stop_in_the_middle_changes_nothing(place, capfd, monkeypatch):
    damaged = place.entry(place.audio, values=(np.nan,))

    def interrupted(path: Path) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache_care, "entry_problem", interrupted)
    code, _, err = call(capfd, "verify", "--yes")
    assert code == 130 and "Nothing was changed" in err and damaged.exists()


def test_what_is_typed_wrong_is_said(place, capfd):
    code, _, err = call(capfd)
    assert code == 2 and "build, status, verify, prune" in err
    assert call(capfd, "clear")[0] == 2


def test_nobody_is_asked_where_nobody_answers(monkeypatch):
    assert asking.agrees("Remove it?", is_said=True) and not asking.agrees("Remove it?", is_said=False)
