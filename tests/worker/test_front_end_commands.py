"""Watching and steering a run from another terminal: attach, runs, stop, pause, resume, save."""

from __future__ import annotations

import json
import signal

from engine.contract import event_lines
from tests.worker.front_end import Place, finish, place, wait_for

__all__ = ["place"]

RUN = ("--run", "demo.json")


def test_pause_resume_save_and_stop_reach_the_worker(place: Place) -> None:
    front = place.start(*RUN, steps=4000)
    place.wait_for_step(1)
    paused = place.call("pause")
    assert (paused.code, paused.out) == (0, "demo: pauses after the step under way\n")
    assert place.records()[-1].kind == "command_done"
    assert "‖ paused" in place.call("attach", "--once").out
    assert "‖ paused" in place.call("runs").out
    assert place.call("resume", "demo").code == 0
    assert place.call("save", str(place.run.path)).code == 0
    assert place.run.whole_checkpoints()
    assert place.call("stop", "demo").code == 0
    assert finish(front).code == 130


def test_commands_to_a_run_without_a_worker_say_how_to_go_on(place: Place) -> None:
    place.call(*RUN)
    done = place.call("resume", "demo")
    assert done.code == 2
    assert "it has finished" in done.err
    assert "Go on with it: acestep-tui --run demo.json" in done.err
    assert not list(place.run.control.glob("*"))


def test_unknown_run_names_the_nearest(place: Place) -> None:
    place.call(*RUN)
    done = place.call("attach", "demmo")
    assert done.code == 2
    assert "Did you mean demo?" in done.err


def test_leaving_an_attached_run_does_not_stop_it(place: Place) -> None:
    front = place.start(*RUN, steps=40)
    place.wait_for_step(1)
    watcher = place.start("attach", "demo")
    wait_for(lambda: "run_started" in watcher.stdout.readline(), "the watcher")  # type: ignore[union-attr]
    watcher.send_signal(signal.SIGINT)
    done = finish(watcher)
    assert done.code == 0
    assert "Training goes on: demo, step" in done.err
    assert "acestep-tui stop demo" in done.err
    assert finish(front).code == 0
    assert "command_done" not in place.kinds()


def test_attach_json_gives_the_whole_history_verbatim(place: Place) -> None:
    place.call(*RUN, fail=[4, "no caption anywhere", ""])
    place.call(*RUN)
    done = place.call("attach", "demo", "--json", "--once")
    assert done.code == 0
    assert done.out == place.run.events_jsonl.read_text(encoding="utf-8")
    assert done.err == ""


def test_attach_waits_for_the_end_and_returns_its_code(place: Place) -> None:
    front = place.start(*RUN, steps=20)
    place.wait_for_step(1)
    done = place.call("attach", "--plain")
    assert done.code == 0
    assert done.out.splitlines()[0].endswith("device=cpu")
    assert "✓ finished" in done.out
    assert finish(front).code == 0


def test_json_output_is_the_events_and_nothing_else(place: Place) -> None:
    done = place.call("--json", *RUN)
    assert done.out == place.run.events_jsonl.read_text(encoding="utf-8")
    assert [event_lines.decode(line).seq for line in done.out.splitlines()] == list(range(len(place.records())))


def test_quiet_output_is_the_summary_alone(place: Place) -> None:
    done = place.call(*RUN, "--quiet")
    assert done.out.startswith("✓ finished in 1 min 32 s")
    assert " step step=" not in done.out


def test_runs_lists_live_crashed_and_finished_runs(place: Place) -> None:
    assert "No runs yet" in place.call("runs").err
    place.call(*RUN, "--output_dir=output/done")
    place.call(*RUN, "--output_dir=output/broken", die_at_step=3)
    front = place.start(*RUN, steps=400)
    place.wait_for_step(2)
    lines = place.call("runs").out.splitlines()
    assert lines[0].split() == ["STATE", "NAME", "STEPS", "LOSS", "LEFT", "LAST", "NEWS", "FOLDER"]
    assert lines[1].startswith("● training   demo")
    assert "of 400" in lines[1]
    assert "1 min 25 s" in lines[1]
    assert {line[:12] for line in lines[2:]} == {"✗ crashed   ", "✓ finished  "}
    rows = [json.loads(line) for line in place.call("runs", "--json").out.splitlines()]
    assert {row["name"]: row["state"] for row in rows} == {"demo": "running", "broken": "crashed", "done": "finished"}
    assert front.poll() is None
