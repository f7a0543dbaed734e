"""`report_to`: a table and a page of our own, TensorBoard, and a tracker that fails."""

from __future__ import annotations

import json
import re

import pytest

from engine.contract.config import Config
from engine.contract.event_lines import decode
from engine.contract.events import CheckpointSaved, Hardware, RunEnded, Step, ValidationLoss
from engine.contract.run_dir import RunDir
from engine.telemetry import reports
from engine.telemetry.emitter import Emitter
from engine.telemetry.report_page import MOST_POINTS, render_page
from engine.telemetry.reports import numbers_of, open_reports


def step_of(number: int, loss: float = 1.0) -> Step:
    return Step(step=number, total=9, loss=loss, lr=1e-4, grad_norm=0.5, files=("a.wav",))


@pytest.fixture
def run(tmp_path):
    """A run that reports; returns what it wrote below the run folder."""

    def with_reports(*events, from_step: int = 0, **settings) -> list[dict]:
        settings = {"tracker_run_name": "{name}", "tracker_project_name": "songs", **settings}
        run_dir = RunDir(tmp_path / "night-ferry")
        with Emitter(run_dir.events_jsonl) as emitter:
            open_reports(Config.from_dict(settings), run_dir, emitter, from_step=from_step)
            for event in events:
                emitter.emit(event)
        lines = run_dir.events_jsonl.read_text(encoding="utf-8").splitlines()
        return [{"kind": record.kind, **record.data} for record in map(decode, lines)]

    with_reports.folder = tmp_path / "night-ferry"
    return with_reports


def table(run, name: str = "logs/night-ferry.jsonl") -> list[dict]:
    return [json.loads(line) for line in (run.folder / name).read_text(encoding="utf-8").splitlines()]


def test_numbers_of_events_have_a_group_and_a_name():
    numbers = numbers_of(step_of(3, loss=0.25))
    assert numbers["train/loss"] == 0.25 and numbers["train/lr"] == 1e-4 and "train/step" not in numbers
    assert numbers_of(ValidationLoss(step=3, loss=0.5, num_songs=2)) == {"validation/loss": 0.5}
    assert numbers_of(Hardware(ram_bytes=5)) == {"hardware/ram_bytes": 5.0}
    assert "train/loss" not in numbers_of(step_of(3, loss=float("nan")))


def test_the_local_report_is_a_table_and_a_page(run):
    run(
        step_of(1),
        step_of(2, loss=0.5),
        ValidationLoss(step=2, loss=0.7, num_songs=1),
        RunEnded(outcome="finished", exit_code=0),
        report_to="local",
    )
    rows = table(run)
    assert [row["step"] for row in rows] == [1, 2, 2]
    assert rows[1]["train/loss"] == 0.5 and rows[2] == {"step": 2, "validation/loss": 0.7}
    page = (run.folder / "logs" / "night-ferry.html").read_text(encoding="utf-8")
    assert "<title>songs: night-ferry</title>" in page and '"train/loss":[[1,1.0],[2,0.5]]' in page
    assert not re.search(r"https?://|src=|href=", page), "a page that needs nothing from anywhere"


def test_a_run_that_goes_on_drops_what_lies_beyond_its_checkpoint(run):
    run(step_of(1), step_of(2), step_of(3), report_to="local")
    with (run.folder / "logs" / "night-ferry.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "torn')
    run(step_of(3, loss=9.0), from_step=2, report_to="local")
    assert [(row["step"], row["train/loss"]) for row in table(run)] == [(1, 1.0), (2, 1.0), (3, 9.0)]


def test_the_page_is_drawn_with_each_checkpoint(run):
    run(step_of(1), CheckpointSaved(step=1, path="x", bytes=1, verified=True), report_to="simpletuner")
    assert "train/loss" in (run.folder / "logs" / "night-ferry.html").read_text(encoding="utf-8")


def test_folder_and_names_are_those_that_were_set(run):
    run(step_of(1), report_to="local", logging_dir="curves", tracker_run_name="my run/1")
    assert table(run, "curves/my-run-1.jsonl")[0]["step"] == 1


def test_nothing_is_written_unless_it_is_asked_for(run):
    run(step_of(1))
    assert not (run.folder / "logs").exists()


def test_tensorboard_gets_every_number(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(step_of(1), step_of(2, loss=0.5), RunEnded(outcome="finished", exit_code=0), report_to="tensorboard")
    read = EventAccumulator(str(run.folder / "logs" / "songs" / "night-ferry"))
    read.Reload()
    assert [(point.step, point.value) for point in read.Scalars("train/loss")] == [(1, 1.0), (2, 0.5)]


def test_a_tracker_that_fails_is_said_once_and_left_out(run, monkeypatch):
    class Failing(reports.LocalReport):
        def log(self, step, numbers):
            raise RuntimeError("no way")

    monkeypatch.setattr(reports, "LocalReport", Failing)
    told = run(step_of(1), step_of(2), RunEnded(outcome="finished", exit_code=0), report_to="local")
    said = [event for event in told if event["kind"] == "warning"]
    assert [event["code"] for event in said] == ["report_failed"] and "local failed" in said[0]["message"]
    assert [event["step"] for event in told if event["kind"] == "step"] == [1, 2]


def test_what_is_not_here_is_said_and_the_run_goes_on(run, monkeypatch):
    monkeypatch.setattr(reports, "is_installed", lambda name: name != "tensorboard")
    told = run(step_of(1), report_to="wandb,all")
    codes = {event["code"]: event["message"] for event in told if event["kind"] == "warning"}
    assert "wandb" in codes["unknown_tracker"] and "acestep-tui[tensorboard]" in codes["report_failed"]
    assert table(run)[0]["step"] == 1


def test_a_long_curve_keeps_its_peaks_on_the_page():
    rows = [{"step": step, "loss": 1.0} for step in range(20_000)]
    rows[12_345]["loss"] = 77.0
    page = render_page("</script>", rows)
    assert "[12345,77.0]" in page and page.count("],[") <= MOST_POINTS
    assert page.count("</script>") == 1, "a title cannot end the script"
