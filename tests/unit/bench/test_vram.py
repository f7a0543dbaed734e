"""The measuring of memory on a card, tried with the tiny model on a processor."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.vram import PARTS, Bench
from bench.vram_cells import CELLS_FILE, LEVELS, every_combination, feasible_pairs, is_feasible, pairs_of, read_cells
from bench.vram_device import GIB, Peaks, PhaseMeter
from bench.vram_grid import Grid, comparisons
from bench.vram_ladder import FAULTS, largest_difference
from bench.vram_rows import ROWS, Rows, verdict
from bench.vram_songs import NUM_LYRIC_TOKENS, lyrics_of
from bench.vram_tests import FILES, LEFT_OUT, outcomes_of
from engine.contract.feature_models import CONFIG_FILE, FEATURE_MODELS, SAFETENSORS_WEIGHTS
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.tiny import write_tiny_checkpoint
from engine.model.tiny_features import TINY_WIDTHS
from engine.planning.measured import MEASURED_FILE, Cell, measured_cells
from tests.worker import forked

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


class TestCells:
    def test_every_pair_of_levels_that_can_occur_does(self):
        cells = read_cells()
        assert len(cells) >= 120
        left_out = set(json.loads(CELLS_FILE.read_text(encoding="utf-8"))["left_out"])
        open_ones = [levels for levels in every_combination() if Cell(**levels).name not in left_out]
        held = {pair for wanted in cells for pair in pairs_of(wanted.levels)}
        assert feasible_pairs(open_ones) <= held
        # What is left out is large, and no level is lost with it.
        assert len(open_ones) > 0.9 * len(every_combination())
        assert {(kind, level) for kind, levels in LEVELS.items() for level in levels} == {
            (kind, level) for wanted in cells for kind, level in wanted.levels.items()
        }

    def test_each_cell_is_possible_and_there_once(self):
        cells = read_cells()
        assert all(is_feasible(wanted.levels) for wanted in cells)
        assert len({wanted.cell.name for wanted in cells}) == len(cells)

    def test_each_model_is_built_once(self):
        builds = [wanted.build for wanted in read_cells()]
        changes = sum(one != other for one, other in itertools.pairwise(builds))
        assert len(set(builds)) == changes + 1 == 10


CELLS = [wanted for wanted in read_cells() if wanted.build == ("no_change", 64)]


class TestGrid:
    def test_it_goes_on_with_what_is_missing(self, checkpoint, tmp_path):
        featured = next(wanted for wanted in CELLS if wanted.levels["ssl"] and not wanted.levels["swap"])
        timed = next(wanted for wanted in CELLS if wanted.timed)
        first = Grid(checkpoint, tmp_path / "grid.json", is_tiny=True).run([timed])
        table = Grid(checkpoint, tmp_path / "grid.json", is_tiny=True).run([timed, featured])
        assert table == json.loads((tmp_path / "grid.json").read_text(encoding="utf-8"))
        assert table["cells"][0] == first["cells"][0]
        assert [row["name"] for row in table["cells"]] == [timed.cell.name, featured.cell.name]
        assert len(table["builds"]) == 2 and table["missing"] == 0
        assert all(row["step_s"] > 0 and not row["oom"] and row["loss"] > 0 for row in table["cells"])
        # The planner reads the table, once a card has filled it.
        table["cells"][0] |= {"peak_bytes": 5 * GIB, "reserved_bytes": 6 * GIB, "nvml_bytes": 7 * GIB}
        (tmp_path / "filled.json").write_text(json.dumps(table), encoding="utf-8")
        (cell,) = measured_cells(tmp_path / "filled.json")
        assert (cell.name, cell.peak_bytes, cell.projectors_held) == (timed.cell.name, 5 * GIB, True)

    def test_it_goes_on_with_the_table_of_another_machine(self, checkpoint, tmp_path):
        before = json.loads(MEASURED_FILE.read_text(encoding="utf-8"))
        before["cells"] = before["cells"][:100]
        (tmp_path / "grid.json").write_text(json.dumps(before), encoding="utf-8")
        (tmp_path / "grid.json").chmod(0o444)
        wanted = read_cells()
        done = {row["name"] for row in before["cells"]}
        table = Grid(checkpoint, tmp_path / "grid.json", is_tiny=True, until=0.0).run(wanted)
        assert table["cells"] == before["cells"] and len(done) > 80
        assert table["missing"] == len(wanted) - len(done) > 0
        missing = [one for one in wanted if one.cell.name not in done]
        table = Grid(checkpoint, tmp_path / "grid.json", is_tiny=True).run(missing[:1])
        assert [row["name"] for row in table["cells"]] == [row["name"] for row in before["cells"]] + [
            missing[0].cell.name
        ]
        assert table["cells"][-1]["date"] == table["date"]

    def test_nothing_is_begun_after_the_end(self, checkpoint, tmp_path):
        table = Grid(checkpoint, tmp_path / "grid.json", is_tiny=True, until=0.0).run(CELLS[:2])
        assert (table["cells"], table["missing"]) == ([], 2)

    def test_a_cell_without_memory_is_recorded_and_the_next_is_measured(self, checkpoint, tmp_path, monkeypatch):
        grid = Grid(checkpoint, tmp_path / "grid.json", is_tiny=True)
        step, calls = grid._step, []

        def fail_first(*arguments: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return step(*arguments, **named)

        monkeypatch.setattr(grid, "_step", fail_first)
        plain = [wanted for wanted in CELLS if not wanted.levels["swap"] and not wanted.levels["offload"]][:2]
        rows = grid.run(plain)["cells"]
        assert [row["oom"] for row in rows] == [True, False]
        assert "20.00 GiB" in rows[0]["why"] and "step_s" not in rows[0]


def timed_row(**changes: Any) -> dict[str, Any]:
    levels = {"precision": "no_change", "rank": 64, "seconds": 60.0, "batch": 1, "recompute": "full"}
    levels |= {"ssl": False, "swap": 0, "offload": False}
    return {"name": "it", "timed": True, **levels, "swapped_bytes": 0, "peak_bytes": 6000, "step_s": 0.5, **changes}


def test_steps_and_peaks_are_compared_with_what_differs_in_one_thing():
    rows = [
        timed_row(),
        timed_row(precision="int8-quanto", step_s=0.6),
        timed_row(swap=16, swapped_bytes=3000, peak_bytes=3300, step_s=0.55),
        timed_row(timed=False),
    ]
    plain, quantised, swapped = comparisons(rows)
    assert plain["of_bf16"] == 1.0 and "fall_share" not in plain
    assert quantised["of_bf16"] == 1.2
    assert swapped["fall_share"] == 0.9 and swapped["of_unswapped_step"] == 1.1


class TestVerdict:
    ROW = next(row for row in ROWS if row.name == "8gb")

    def verdict(self, *, peak: float = 4.0, nvml: float = 7.0, exit_code: int = 0, events: tuple = ()) -> list[str]:
        whole = {"peak_bytes": peak * GIB, "nvml_bytes": nvml * GIB}
        found = verdict(self.ROW, {"exit_code": exit_code, "whole": whole, "events": events})
        assert found["holds"] == (not found["problems"])
        return found["problems"]

    def test_a_row_that_keeps_its_promise(self):
        assert self.verdict() == []

    def test_a_run_without_a_card_holds_nothing(self):
        assert verdict(self.ROW, {"exit_code": 0, "whole": {}, "events": []})["holds"] is None
        assert verdict(self.ROW, {"exit_code": 1, "whole": {}, "events": []})["holds"] is False

    def test_each_breach_is_named(self):
        stepped = {"kind": "memory_stepped_down", "rung": "recompute"}
        no_clip = {"kind": "warning", "code": "clip_failed", "message": "test clip failed: no memory"}
        other = {"kind": "warning", "code": "no_erg", "message": "without ERG"}
        assert self.verdict(peak=4.6) == ["peak 4.60 GiB, promised 4.5"]
        assert self.verdict(nvml=7.6) == ["the driver counts 7.60 GiB"]
        assert self.verdict(exit_code=3) == ["exit code 3"]
        assert len(self.verdict(events=(stepped, no_clip, other))) == 2


class TestMeter:
    @pytest.fixture
    def card(self, monkeypatch):
        """torch's counters as they would be; `peak` falls to `held` at each reset."""

        class Card:
            held, peak, used = 1, 1, 2

        def reset() -> None:
            Card.peak = Card.held

        for name, value in {
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "max_memory_allocated": lambda: Card.peak,
            "max_memory_reserved": lambda: Card.peak + 1,
            "memory_allocated": lambda: Card.held,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr("bench.vram_device._reset_peaks", reset)

        class Process:
            def read(self) -> int:
                return Card.used

        return Card, PhaseMeter(Process())  # type: ignore[arg-type]

    def test_a_phase_inside_another_counts_for_both(self, card):
        counters, meter = card
        meter.enter("train")
        counters.peak = 5
        meter.enter("validate")
        counters.peak, counters.used = 9, 20
        meter.leave("validate")
        counters.used = 3
        meter.leave("train")
        assert meter.phases["validate"] == Peaks(peak_bytes=9, reserved_bytes=10, nvml_bytes=20, start_bytes=1)
        assert meter.phases["train"].peak_bytes == meter.whole.peak_bytes == 9

    def test_what_is_before_a_phase_is_not_its_own(self, card):
        counters, meter = card
        counters.peak = 9
        meter.enter("load")
        counters.held, counters.peak = 3, 4
        meter.leave("load")
        assert meter.phases["load"].peak_bytes == 4 and meter.whole.peak_bytes == 9

    def test_a_reset_by_others_loses_nothing(self, card):
        counters, meter = card
        with meter.watching():
            meter.enter("warmup")
            counters.peak = 7
            torch.cuda.reset_peak_memory_stats()
            assert counters.peak == 1
            meter.leave("warmup")
        assert meter.phases["warmup"].peak_bytes == 7


class TestFeatureModels:
    def written(self, work: Path, *, is_tiny: bool) -> dict[str, dict[str, Any]]:
        """What a row's settings name, as it was written for it: by model, config.json."""
        rows = Rows(work / "checkpoint", work, is_tiny=is_tiny, on_card=False)
        rows.write_feature_models()
        paths = rows.features(next(row for row in ROWS if row.name == "prepare-ssl"))
        folders = {model.name: Path(paths[model.path_key]) for model in FEATURE_MODELS}
        assert all((folder / SAFETENSORS_WEIGHTS).stat().st_size > 0 for folder in folders.values())
        return {
            name: json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")) for name, folder in folders.items()
        }

    def test_those_of_a_real_run_are_as_wide_as_published_whatever_was_tried_before(self, tmp_path, monkeypatch):
        tiny = self.written(tmp_path, is_tiny=True)
        assert {name: values["hidden_size"] for name, values in tiny.items()} == TINY_WIDTHS
        # The weights of the published sizes are 1.6 GB: what is written of them is not what this is about.
        monkeypatch.setattr("bench.features._module", lambda model, **sizes: torch.nn.Linear(1, 1))
        released = self.written(tmp_path, is_tiny=False)
        assert {name: values["hidden_size"] for name, values in released.items()} == {"mert": 1024, "mhubert": 768}
        assert released["mert"]["num_hidden_layers"] == 24 and released["mhubert"]["num_hidden_layers"] == 12

    def test_those_that_are_there_stay(self, tmp_path, monkeypatch):
        self.written(tmp_path, is_tiny=True)
        monkeypatch.setattr("bench.features._module", None)
        self.written(tmp_path, is_tiny=True)


def test_the_tiny_model_and_the_real_one_share_no_folder(tmp_path):
    tiny, real = (Bench(tmp_path / "out", tmp_path / "work", checkpoint=None, is_tiny=it) for it in (True, False))
    assert tiny.work != real.work and tiny.out != real.out and tiny.checkpoint != real.checkpoint


def test_what_is_least_sure_is_measured_first():
    names = [row.name for row in ROWS]
    assert names[:6] == ["12gb", "prepare-ssl", "6gb-int4", "6gb-swap", "8gb", "24gb"]
    assert PARTS == ("rows", "ladder", "grid", "tests")
    phases = [phase for phase, _ in FAULTS]
    assert set(phases[:6]) == set(phases) == {"train", "cache", "load", "validate", "save", "finish"}


def test_the_outcomes_of_tests_that_were_cut_off_are_read():
    report = """collecting ... collected 4 items
tests/gpu/test_memory.py::TestBlockSwap::test_the_peak_falls PASSED [ 25%]
tests/gpu/test_memory.py::test_a[no_change-full] FAILED           [ 50%]
tests/gpu/test_memory.py::test_b """
    assert outcomes_of(report) == {"PASSED": 1, "FAILED": 1}


def test_the_tests_for_a_card_are_there():
    assert all((ROOT / "tests" / "gpu" / f"test_{name}.py").is_file() for name in FILES)
    assert LEFT_OUT in (ROOT / "tests" / "gpu" / "test_memory.py").read_text(encoding="utf-8")


def test_losses_are_compared_step_by_step():
    assert largest_difference({"1": 1.0, "2": 2.2}, {"1": 1.0, "2": 2.0}) == pytest.approx(0.1)
    assert largest_difference({"1": 1.0}, {"1": 1.0, "2": 2.0}) is None
    assert largest_difference({}, {}) is None


def test_the_lyrics_have_the_tokens_that_are_wanted():
    count = len(LyricTokenizer("script").train_ids(lyrics_of(NUM_LYRIC_TOKENS)))
    assert NUM_LYRIC_TOKENS - 32 < count <= NUM_LYRIC_TOKENS


def test_the_command_runs_the_worker_under_its_rows_and_faults(tmp_path, checkpoint):
    """One row, one fault; on a processor no cap applies, so the disturbed run's losses are the undisturbed run's."""
    environment = {**os.environ, "ACESTEP_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bench.vram", "all", str(checkpoint), "--tiny", "--cells", "1"]
    command += ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--only", "8gb", "save"]
    done = forked.run(command, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads((tmp_path / "out" / "tiny" / "rows.json").read_text(encoding="utf-8"))
    assert (row["row"], row["problems"], row["holds"]) == ("8gb", [], None), "no card, so nothing is said to hold"
    assert len(row["losses"]) == 3
    assert {"scan", "cache", "load", "train", "validate", "save", "finish"} <= row["phases"].keys()
    assert [event["kind"] for event in row["events"]].count("sample_saved") == 2
    undisturbed, fault = json.loads((tmp_path / "out" / "tiny" / "ladder.json").read_text(encoding="utf-8"))
    assert undisturbed["fault"] is None and fault["fault"][0] == "save"
    assert fault["largest_difference"] == 0.0 and len(fault["losses"]) == 4
    assert len(json.loads((tmp_path / "out" / "tiny" / "grid.json").read_text(encoding="utf-8"))["cells"]) == 1
