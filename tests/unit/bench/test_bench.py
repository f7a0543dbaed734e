"""`make bench`: which parts a machine is given, what is left of one that fails, the table, and what its page says."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as bench
from bench import sample
from bench.child import run_logged
from bench.figures import CLIP_GOAL, read
from bench.machine import Machine, read_machine
from bench.parts import PARTS, Part, Place, choose, part_named, size_for, speed_rows
from bench.report import kept_parts, markdown, new_report, write_report
from bench.speed import ROWS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
CPU = Machine("cpu", "a processor", cores=2, system="Linux", versions={"python": "3.11", "torch": "2.14", "peft": None})
CARD = replace(CPU, kind="cuda", device="a card", free_gib=79.0, driver="580.1")


class TestChoosing:
    def test_a_card_with_room_is_given_everything_at_the_released_sizes(self):
        size, _ = size_for(CARD, disk_gib=100.0)
        parts, left_out = choose([], size, "")
        assert (size, parts, left_out) == ("released", list(PARTS), {})
        assert speed_rows(CARD) == []

    @pytest.mark.parametrize(
        ("machine", "disk_gib", "is_tiny", "reason"),
        [
            (CPU, 100.0, False, "no CUDA card"),
            (replace(CPU, kind="mps"), 100.0, False, "no CUDA card"),
            (replace(CARD, free_gib=11.0), 100.0, False, "11 GiB free on the card"),
            (CARD, 10.0, False, "10 GiB free in the work folder"),
            (CARD, 100.0, True, "asked for"),
        ],
    )
    def test_any_other_machine_is_given_the_tiny_model_and_told_why(self, machine, disk_gib, is_tiny, reason):
        size, why = size_for(machine, disk_gib=disk_gib, is_tiny=is_tiny)
        parts, left_out = choose([], size, why)
        assert size == "tiny" and reason in why
        assert list(left_out) == ["memory"] and reason in left_out["memory"]
        assert [part.name for part in parts] == [part.name for part in PARTS if part.name != "memory"]

    def test_parts_are_chosen_by_name_and_run_in_their_order(self):
        parts, left_out = choose(["scan", "step"], "tiny", "")
        assert ([part.name for part in parts], left_out) == (["step", "scan"], {})

    def test_rows_that_find_no_room_on_a_card_are_left_out(self):
        rows = speed_rows(replace(CARD, free_gib=23.0))
        assert {row.name for row in ROWS} - set(rows) == {
            "8x60",
            "8x60-eager",
            "1x60-eager-fp32",
            "1x60-held-eager-fp32",
        }

    @pytest.mark.parametrize("size", ["released", "tiny"])
    @pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
    def test_a_call_is_one_that_its_program_takes(self, part: Part, size: str, tmp_path: Path):
        if size == "tiny" and part.tiny is None:
            return
        words = part.arguments(CARD, size, Place(tmp_path / "out", tmp_path / "work", tmp_path / "checkpoint"))
        source = (ROOT / "bench" / f"{part.module.partition('.')[2]}.py").read_text(encoding="utf-8")
        assert all(f'"{word}"' in source for word in words if word.startswith("--"))
        assert "{" not in " ".join(words)
        reads = any(str(tmp_path / "checkpoint") in word for word in words)
        assert reads <= (size in part.reads_checkpoint)

    def test_the_list_is_of_this_machine_and_measures_nothing(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("ACESTEP_DEVICE", "cpu")
        monkeypatch.setattr(bench, "set_environment", lambda: None)
        assert bench.main(["--list", "scan", "memory", "--out", str(tmp_path / "out")]) == 0
        told = capsys.readouterr().out
        assert "python -m bench.scan --songs 40" in told and "memory    not here: " in told
        assert not (tmp_path / "out").exists()

    def test_a_machine_that_cannot_be_measured_says_why(self, monkeypatch, capsys):
        monkeypatch.setenv("ACESTEP_DEVICE", "abacus")
        monkeypatch.setattr(bench, "set_environment", lambda: None)
        assert bench.main(["scan"]) == 2
        assert "ACESTEP_DEVICE = abacus: not available" in capsys.readouterr().err

    def test_a_name_that_is_no_part_is_refused_with_those_there_are(self, capsys):
        with pytest.raises(SystemExit) as ended:
            bench.main(["speed", "sped"])
        assert ended.value.code == 2
        assert "no such part: sped; there are speed, step, prepare" in capsys.readouterr().err


class TestRunning:
    @pytest.fixture
    def desk(self, tmp_path: Path, monkeypatch) -> bench.Bench:
        """Its parts are small programs: `scan` writes figures, `step` fails halfway, `features` writes nothing."""
        programs = {
            "scan": "import json, sys; found = {'songs': 4, 'seconds_a_song': 2.0, 'quick_s': 1.5, 'standard_s': 2.5};"
            " json.dump(found, open(sys.argv[1] + '/scan.json', 'w'))",
            "step": "print('measuring'); raise ValueError('no such kernel')",
            "features": "pass",
        }
        monkeypatch.setattr(
            Part, "arguments", lambda part, machine, size, place: ["-c", programs[part.name], str(place.out)]
        )
        monkeypatch.setattr(bench.Bench, "_write_checkpoint", lambda self: None)
        (tmp_path / "work").mkdir()
        return bench.Bench(tmp_path / "out", tmp_path / "work", CPU, "tiny")

    def parts(self, *names: str) -> list[Part]:
        return [part for part in PARTS if part.name in names]

    def report(self, desk: bench.Bench) -> dict[str, Any]:
        return json.loads((desk.out / "bench.json").read_text(encoding="utf-8"))

    def test_a_failing_part_is_named_with_its_last_line_and_the_others_go_on(self, desk, capsys):
        assert desk.run(self.parts("step", "features", "scan"), {"memory": "needs a card"}) == 1
        parts = self.report(desk)["parts"]
        assert parts["step"]["failure"] == "ValueError: no such kernel (exit code 1)"
        assert parts["features"]["failure"] == "it wrote no features.json"
        assert (parts["scan"]["failure"], parts["scan"]["exit_code"]) == ("", 0)
        assert [figure["values"] for figure in parts["scan"]["figures"]] == [{"s": 1.5}, {"s": 2.5}]
        assert "measuring" in (desk.out / "step" / "log.txt").read_text(encoding="utf-8")
        table = (desk.out / "bench.md").read_text(encoding="utf-8")
        assert (
            "| **step** | **failed:** ValueError: no such kernel (exit code 1) | – | `python -m bench step` |" in table
        )
        assert "| memory | not measured: needs a card | – | – |" in table
        told = capsys.readouterr()
        assert "[3/3] scan" in told.out and "Failed: step, features" in told.err

    def test_all_is_well_where_nothing_fails(self, desk):
        assert desk.run(self.parts("scan"), {}) == 0
        assert desk.run([], {"memory": "needs a card"}) == 2

    def test_a_part_that_is_run_again_leaves_the_others_in_the_table(self, desk):
        desk.run(self.parts("scan", "features"), {})
        desk.run(self.parts("features"), {})
        assert list(self.report(desk)["parts"]) == ["features", "scan"]

    def test_figures_of_other_versions_are_not_kept(self, desk):
        desk.run(self.parts("scan"), {})
        newer = replace(CPU, versions={**CPU.versions, "torch": "2.15"})
        assert list(kept_parts(desk.out, CPU)) == ["scan"]
        assert kept_parts(desk.out, newer) == {}
        (desk.out / "bench.json").write_text("{", encoding="utf-8")
        assert kept_parts(desk.out, CPU) == {}

    def test_a_part_that_takes_too_long_is_stopped_with_what_it_started(self, tmp_path):
        started = tmp_path / "started"
        inner = f"import pathlib, time; time.sleep(3); pathlib.Path({str(started)!r}).touch()"
        words = [
            "-c",
            f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', {inner!r}])",
        ]
        ended = run_logged(words, tmp_path / "log.txt", patience_s=1.5, tell=lambda seconds: None)
        assert ended.exit_code is None and ended.failure.startswith("begun (stopped after ")
        subprocess.run([sys.executable, "-c", "import time; time.sleep(2.5)"], check=True)
        assert not started.exists()


def test_this_machine_is_described_with_its_versions(monkeypatch):
    monkeypatch.setenv("ACESTEP_DEVICE", "cpu")
    machine = read_machine()
    assert (machine.kind, machine.free_gib, machine.driver) == ("cpu", None, None)
    assert machine.cores >= 1 and "processor" in machine.device
    assert set(machine.versions) == {"python", "torch", "cuda", "diffusers", "transformers", "peft", "optimum-quanto"}
    assert machine.versions["torch"] and machine.versions["peft"]


def speed_result() -> list[dict[str, Any]]:
    def row(name: str, step_ms: float, losses: dict[str, float], *, is_compiled: bool, **more: Any) -> dict[str, Any]:
        goal = next(one.goal for one in ROWS if one.name == name)
        told = [{"is_compiled": True, "has_graphs": True}] if is_compiled else []
        usual = {"exit_code": 0, "audio_s_per_s": 1875.0, "peak_gib": 8.0, "phases": {}, "first_step_s": 9.0}
        return {"row": name, "goal": goal, "step_ms": step_ms, "losses": losses, "compiled": told, **usual, **more}

    return [
        row("1x60", 32.0, {"1": 1.0, "2": 1.0}, is_compiled=True, phases={"warmup": 27.0}),
        row("1x60-eager", 218.0, {"1": 1.0, "2": 1.002}, is_compiled=False),
        row("1x60-eager-fp32", 400.0, {"1": 1.0, "2": 1.006}, is_compiled=False),
        row("1x60-eager-again", 218.0, {"1": 1.0, "2": 1.005}, is_compiled=False),
        row("1x60-held", 32.0, {"1": 1.0, "2": 1.0}, is_compiled=True),
        row("1x60-held-eager", 218.0, {"1": 1.0, "2": 1.0002}, is_compiled=False),
        row("1x60-held-eager-fp32", 400.0, {"1": 1.004, "2": 1.0002}, is_compiled=False),
        row("1x60-warm", 32.1, {}, is_compiled=True, phases={"warmup": 5.1}),
        {"row": "8x60", "goal": "", "exit_code": 3, "phases": {}, "compiled": [], "losses": {}, "first_step_s": None},
    ]


class TestTable:
    def test_steps_have_their_goals_and_say_what_became_of_compile(self):
        reading = read("speed", speed_result(), size="released", kind="cuda")
        found = {figure.what: figure for figure in reading.figures}
        first = found["training step, 1 × 60 s, compiled, graphs"]
        assert first.values == {"ms/step": 32.0, "audio-s/s": 1875.0, "GiB": 8.0, "s warm-up": 27.0}
        assert first.goal == "≤ 35 ms, aim 30"
        assert found["training step, 1 × 60 s, fp32, eager"].values["ms/step"] == 400.0
        warm = found["training step, 1 × 60 s, compiled, graphs, compiled code on disk"]
        assert warm.values["s warm-up"] == 5.1 and "20 s" in warm.goal
        assert found["start of the worker to the first step, compiled on disk"].values == {"s": 9.0}
        losses = found["losses of compiled and eager steps, on average"]
        assert losses.values == {"apart": pytest.approx(0.001)} and losses.goal.startswith("≤ 0.002 ")
        held = found["losses of compiled and eager steps, on average, weights held"]
        assert held.values == {"apart": pytest.approx(0.0001)} and held.goal.startswith("≤ 0.002 ")
        assert found["losses of eager steps and the same again"].values == {"apart": pytest.approx(0.0015)}
        assert reading.problems == ["row 8x60 ended with exit code 3"]

    def test_what_a_card_measured_is_read_as_it_was_written_down(self):
        folder = ROOT / "docs" / "measured"
        result = json.loads((folder / "2026-11-26-h100-prepare.json").read_text(encoding="utf-8"))
        found = {figure.what: figure for figure in read("prepare", result, size="released", kind="cuda").figures}
        assert found["whole preparation, 100 mp3 songs of 240 s"].values == {"s": 31.47, "× real time": 762.6}
        assert found["codec's encoder, as used"].values["× real time"] == 3876.8
        result = json.loads((folder / "2026-11-26-h100-sample.json").read_text(encoding="utf-8"))
        found = {figure.what: figure for figure in read("sample", result, size="released", kind="cuda").figures}
        assert found["clip of 60 s, 27 steps, compiled + graphs"].values["× real time"] == 165.4
        rows = json.loads((folder / "2026-11-26-h100-rows.json").read_text(encoding="utf-8"))
        reading = read("memory", rows, size="released", kind="cuda")
        assert len(reading.figures) == len(rows) and reading.problems == []
        assert reading.figures[0].what == "whole run with 12 GB: 12gb" and reading.figures[0].goal == "≤ 7 GiB"

    def test_a_processor_shows_no_clip_twice(self):
        clips = [
            {"steps": 27, "calls": calls, "seconds": 0.5, "real_time": 8.0, "fallbacks": []}
            for calls in ("eager", "graphs")
        ]
        calls = [{"branches": 2, "calls": "eager", "ms": 3.0}]
        parts = [{"form": "as used", "part": "vocoder", "ms": 2.0, "real_time": 90.0, "relative_error": 0.0}]
        result = {"clips": clips, "network": calls, "decoding": parts}
        on_processor = read("sample", result, size="tiny", kind="cpu").figures
        assert [figure.what for figure in on_processor] == [
            *("clip of 4 s, 27 steps, eager", "network call, both branches, eager", "vocoder, as used")
        ]
        assert len(read("sample", result, size="tiny", kind="cuda").figures) == 4
        assert CLIP_GOAL.removesuffix(", codec included") in sample.GOAL

    def test_the_table_is_whole_markdown_with_device_and_versions(self, tmp_path):
        report = new_report(CARD, "2026-11-26T08:00:00+00:00")
        figures = [{"what": "a|b", "values": {"ms/step": 32.04, "audio-s/s": 1875.4}, "goal": ""}]
        part = {"name": "speed", "size": "released", "command": "python -m bench speed", "failure": "", "problems": []}
        report["parts"]["speed"] = {**part, "figures": figures}
        write_report(tmp_path, report)
        text = (tmp_path / "bench.md").read_text(encoding="utf-8")
        assert json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["parts"]["speed"]["figures"] == figures
        assert "| a\\|b | 32 ms/step, 1,875 audio-s/s | – | `python -m bench speed` |" in text
        assert "- a card, driver 580.1, 2 cores" in text and "torch 2.14, peft not installed" in text
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
        assert "tiny" not in text
        report["parts"]["speed"]["size"] = "tiny"
        assert "Measured with the tiny model: speed." in markdown(report)


class TestPage:
    def test_every_program_it_names_is_there_and_takes_the_switches_named(self):
        calls = re.findall(r"python -m (bench(?:\.\w+)?)([^`\n]*)", PAGE)
        assert {"bench", "bench.compare", "bench.speed"} <= {module for module, _ in calls}
        for module, words in calls:
            name = "bench.__main__" if module == "bench" else module
            found = importlib.util.find_spec(name)
            assert found and found.origin, module
            source = Path(found.origin).read_text(encoding="utf-8")
            for switch in re.findall(r"(?<![\w-])--[a-z-]+", words):
                assert f'"{switch}"' in source, f"{module} {switch}"

    def test_every_part_has_its_row_and_no_other(self):
        assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [part.name for part in PARTS]
        (named,) = re.findall(r"^\$ .venv/bin/python -m bench ([a-z ]+)$", PAGE, re.MULTILINE)
        assert all(part_named(name) for name in named.split())

    def test_the_make_targets_are_there(self):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = re.findall(r"^\$ make (\S+)$", PAGE, re.MULTILINE)
        assert targets == ["bench", "bench-tui"]
        assert all(f"\n{target}: env\n" in makefile for target in targets)

    def test_the_reference_trainers_line_becomes_the_run_that_is_compared(self, tmp_path, monkeypatch):
        from acestep_tui.migrate.upstream import migrate_command

        monkeypatch.chdir(tmp_path)
        (lora,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        (tmp_path / "lora64.json").write_text(lora, encoding="utf-8")
        (tmp_path / "songs_60s").mkdir()
        (line,) = re.findall(r"^\$ (python trainer\.py .*)$", PAGE, re.MULTILINE)
        made = migrate_command(line.split(), cwd=tmp_path).config
        wanted = {"lora_rank": 64, "lora_dropout": 0.1, "mixed_precision": "bf16", "gradient_checkpointing": True}
        assert {key: made[key] for key in wanted} == wanted
        assert made["max_train_steps"] < made["checkpointing_steps"]
