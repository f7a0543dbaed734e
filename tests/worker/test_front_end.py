"""The life of front end and worker: who starts whom, who outlives whom, and what Ctrl-C means (architecture.md)."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from pathlib import Path

import pytest

from tests.worker.front_end import Place, finish, is_alive, place, wait_for

__all__ = ["place"]

RUN = ("--run", "demo.json")


def test_run_starts_a_worker_follows_it_and_returns_its_exit_code(place: Place) -> None:
    done = place.call(*RUN)
    assert done.code == 0, done.err
    assert "✓ finished in 1 min 32 s" in done.out
    assert json.loads(place.run.config_json.read_text())["max_train_steps"] == 6
    origins = json.loads(place.run.origins_json.read_text())
    assert origins["origins"]["max_train_steps"] == "file"
    assert origins["cwd"] == str(place.cwd)
    assert origins["command"] == ["acestep-tui", *RUN]
    facts = json.loads(place.run.worker_json.read_text())
    assert facts["cwd"] == str(place.cwd)
    assert facts["pgid"] == facts["pid"], "the worker has a session of its own"


def test_config_json_of_a_run_folder_starts_the_same_run_again(place: Place) -> None:
    place.call(*RUN)
    before = json.loads(place.run.config_json.read_text())
    done = place.call("--run", "output/demo/config.json", "--output_dir=output/demo")
    assert done.code == 0, done.err
    assert json.loads(place.run.config_json.read_text()) == before


def test_failed_run_returns_its_code_and_says_why_on_stderr(place: Place) -> None:
    done = place.call(*RUN, fail=[4, "no caption anywhere", "Put a .txt next to each song."])
    assert done.code == 4
    assert "✗ no caption anywhere\n  Put a .txt next to each song." in done.err
    assert "save point      none yet" in done.err


def test_second_start_on_a_live_folder_follows_that_worker(place: Place) -> None:
    first = place.start(*RUN, steps=30)
    place.wait_for_step(1)
    second = place.call(*RUN)
    assert second.code == 0
    assert "already trains in output/demo" in second.err
    assert "step=30" in second.out
    assert "run_started" in second.out, "the start that is followed is shown from its beginning"
    assert finish(first).code == 0
    assert place.kinds().count("run_started") == 1


def test_second_start_with_another_configuration_touches_nothing(place: Place) -> None:
    first = place.start(*RUN, steps=200)
    place.wait_for_step(1)
    before = {path: path.read_bytes() for path in (place.run.config_json, place.run.origins_json)}
    second = place.call(*RUN, "--learning_rate=0.5", "--seed", "7")
    assert second.code == 2
    assert "learning_rate: 0.0001 → 0.5" in second.err
    assert "seed: 42 → 7" in second.err
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not list(place.run.control.glob("*"))
    assert first.poll() is None


def test_two_starts_at_the_same_moment_make_one_worker(place: Place) -> None:
    starts = [place.start(*RUN, steps=20, start_s=0.5) for _ in range(2)]
    assert [finish(process).code for process in starts] == [0, 0]
    assert place.kinds().count("run_started") == 1


def test_front_end_whose_worker_lost_the_folder_follows_the_other(place: Place) -> None:
    # Without a state folder nothing holds the second front end off: the worker's own lock is the last word.
    (place.cwd / "state").write_text("a file where the folder should be")
    # Longer than a worker waits for the lock: the second one must give up, not take its turn.
    starts = [place.start(*RUN, steps=100, start_s=0.3) for _ in range(2)]
    ends = [finish(process) for process in starts]
    assert [end.code for end in ends] == [0, 0]
    assert place.kinds().count("run_started") == 1
    assert all("will be missing from `acestep-tui runs`" in end.err for end in ends[:1])


def test_killed_front_end_leaves_the_worker_running(place: Place) -> None:
    front = place.start(*RUN, steps=20)
    place.wait_for_step(1)
    front.send_signal(signal.SIGKILL)
    finish(front)
    wait_for(lambda: "run_ended" in place.kinds(), "the worker's own end")
    assert place.records()[-1].data["outcome"] == "finished"


def test_hangup_leaves_the_worker_running(place: Place) -> None:
    front = place.start(*RUN, steps=20)
    place.wait_for_step(1)
    front.send_signal(signal.SIGHUP)
    assert finish(front).code == -signal.SIGHUP
    wait_for(lambda: "run_ended" in place.kinds(), "the worker's own end")
    assert place.records()[-1].data["outcome"] == "finished"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_interrupt_stops_with_a_save_and_the_same_command_goes_on(place: Place, number: signal.Signals) -> None:
    front = place.start(*RUN, steps=400)
    place.wait_for_step(2)
    front.send_signal(number)
    done = finish(front)
    assert done.code == 130
    assert "finished and saved" in done.err
    assert "■ stopped at step" in done.out
    (saved,) = place.run.whole_checkpoints()
    assert f"output/demo/{saved.name}/" in done.out

    num_before = len(place.records())
    again = place.call(*RUN, steps=int(saved.name.split("-")[1]) + 2)
    assert again.code == 0
    shown = [line for line in again.out.splitlines() if line.startswith("20")]
    assert "resumed_step=" in shown[0], "only the new part is shown"
    assert sum(" step step=" in line for line in shown) == 2
    seqs = [record.seq for record in place.records()]
    assert seqs == list(range(len(seqs)))
    assert len(seqs) > num_before


def test_second_interrupt_kills_the_worker(place: Place) -> None:
    front = place.start(*RUN, steps=400, save_s=60)
    place.wait_for_step(1)
    pid = place.worker_pid()
    front.send_signal(signal.SIGINT)
    wait_for(lambda: not list(place.run.control.glob("*.json")) and place.run.control.is_dir(), "the command taken")
    assert is_alive(pid)
    front.send_signal(signal.SIGINT)
    done = finish(front)
    assert done.code == 130
    assert "without saving" in done.err
    wait_for(lambda: not is_alive(pid), "the worker's death")
    assert "run_ended" not in place.kinds()


def test_second_interrupt_kills_a_worker_of_another_front_end(place: Place) -> None:
    first = place.start(*RUN, steps=400, ignore_commands=True)
    place.wait_for_step(1)
    second = place.start(*RUN)
    wait_for(lambda: "run_started" in second.stdout.readline(), "the second front end")  # type: ignore[union-attr]
    second.send_signal(signal.SIGINT)
    wait_for(lambda: list(place.run.control.glob("*.json")), "the stop command")
    second.send_signal(signal.SIGINT)
    assert finish(second).code == 130
    done = finish(first)
    assert done.code == 1
    assert "SIGKILL" in done.err


def test_commands_nobody_took_do_not_end_the_next_start(place: Place) -> None:
    front = place.start(*RUN, steps=400, ignore_commands=True)
    place.wait_for_step(1)
    front.send_signal(signal.SIGINT)
    wait_for(lambda: list(place.run.control.glob("*.json")), "the stop command")
    front.send_signal(signal.SIGINT)
    assert finish(front).code == 130
    again = place.call(*RUN, steps=3)
    assert again.code == 0, again.err


def test_worker_dying_in_the_middle_is_told_with_the_end_of_its_log(place: Place) -> None:
    done = place.call(*RUN, die_at_step=3)
    assert done.code == 1
    assert "exit code 1" in done.err
    assert "RuntimeError: something broke inside" in done.err
    assert "acestep-tui --run demo.json" in done.err


def test_worker_dying_at_its_start_is_told_at_once(place: Place) -> None:
    done = place.call(*RUN, die_at_start="ModuleNotFoundError: No module named 'torch'")
    assert done.code == 1
    assert "No module named 'torch'" in done.err


def test_worker_killed_while_another_watches_is_told(place: Place) -> None:
    front = place.start(*RUN, steps=400)
    place.wait_for_step(1)
    watcher = place.start("attach", "demo", "--plain")
    wait_for(lambda: "run_started" in watcher.stdout.readline(), "the watcher")  # type: ignore[union-attr]
    os.kill(place.worker_pid(), signal.SIGKILL)
    assert finish(front).code == 1
    done = finish(watcher)
    assert done.code == 1
    assert "✗ The worker is gone" in done.err


def test_log_of_an_earlier_start_is_not_shown_again(place: Place) -> None:
    place.call(*RUN, die_at_start="the first trouble")
    done = place.call(*RUN, die_at_start="the second trouble")
    assert "the second trouble" in done.err
    assert "the first trouble" not in done.err


def test_fresh_renames_the_old_run_and_deletes_nothing(place: Place) -> None:
    place.call(*RUN)
    events_before = place.run.events_jsonl.read_bytes()
    for number in (1, 2):
        done = place.call(*RUN, "--fresh")
        assert done.code == 0, done.err
        assert f"The old run is now output/demo.{number}." in done.err
        assert "--fresh" not in done.out, "the way to go on is not to start anew once more"
    assert (place.cwd / "output/demo.1/events.jsonl").read_bytes() == events_before
    assert (place.cwd / "output/demo.2/checkpoint-6").is_dir()
    assert place.kinds().count("run_started") == 1


def test_fresh_on_a_live_folder_is_refused(place: Place) -> None:
    front = place.start(*RUN, steps=400)
    place.wait_for_step(1)
    done = place.call(*RUN, "--fresh")
    assert done.code == 2
    assert "acestep-tui stop demo" in done.err
    assert front.poll() is None


def test_foreground_keeps_the_worker_in_the_front_ends_group(place: Place) -> None:
    front = place.start(*RUN, "--foreground", steps=400)
    place.wait_for_step(1)
    assert os.getpgid(place.worker_pid()) == os.getpgid(front.pid)
    front.send_signal(signal.SIGINT)
    assert finish(front).code == 130


def test_second_interrupt_in_the_foreground_kills_only_the_worker(place: Place) -> None:
    front = place.start(*RUN, "--foreground", steps=400, ignore_commands=True)
    place.wait_for_step(1)
    pid = place.worker_pid()
    front.send_signal(signal.SIGINT)
    wait_for(lambda: list(place.run.control.glob("*.json")), "the stop command")
    front.send_signal(signal.SIGINT)
    assert finish(front).code == 130
    wait_for(lambda: not is_alive(pid), "the worker's death")


def test_yes_is_handed_to_the_worker(place: Place) -> None:
    place.call(*RUN, "--yes")
    assert json.loads(place.run.worker_json.read_text())["argv"][-1] == "--yes"


def test_empty_resume_on_a_folder_with_checkpoints_is_refused(place: Place) -> None:
    place.call(*RUN)
    before = place.run.config_json.read_bytes()
    done = place.call(*RUN, "--resume_from_checkpoint=")
    assert done.code == 2
    assert "--output_dir" in done.err
    assert "--fresh" in done.err
    assert place.run.config_json.read_bytes() == before


def test_changed_values_are_named_on_resume(place: Place) -> None:
    place.call(*RUN)
    done = place.call(*RUN, "--max_train_steps=9", "--learning_rate=0.0002", steps=9)
    assert done.code == 0
    assert "changed since the last start: learning_rate: 0.0001 → 0.0002" in done.err
    assert "changed since the last start: max_train_steps: 6 → 9" in done.err


def test_values_that_cannot_change_within_a_run_are_refused(place: Place) -> None:
    place.call(*RUN)
    before = place.run.config_json.read_bytes()
    done = place.call(*RUN, "--lora_rank=3")
    assert done.code == 2
    assert "lora_rank" in done.err
    assert "--fresh" in done.err
    assert place.run.config_json.read_bytes() == before


def test_a_drawn_seed_is_kept_when_the_run_goes_on(place: Place) -> None:
    place.call(*RUN, "--seed=-1")
    drawn = json.loads(place.run.config_json.read_text())["seed"]
    assert drawn > 0
    assert place.call(*RUN, "--seed=-1").code == 0
    assert json.loads(place.run.config_json.read_text())["seed"] == drawn


def test_output_below_a_file_is_a_disk_error(place: Place) -> None:
    (place.cwd / "output").write_text("not a folder")
    done = place.call(*RUN)
    assert done.code == 5
    assert "--output_dir" in done.err


def test_read_only_output_is_a_disk_error(place: Place) -> None:
    # Root may write anywhere, except where the kernel itself makes the files.
    done = place.call(*RUN, "--output_dir=/proc/sys/kernel/acestep")
    assert done.code == 5
    assert "/proc/sys/kernel/acestep" in done.err


def test_a_foreign_config_json_is_not_overwritten(place: Place) -> None:
    config = place.cwd / "config" / "mine"
    config.mkdir(parents=True)
    (config / "config.json").write_text((place.cwd / "demo.json").read_text())
    before = (config / "config.json").read_bytes()
    done = place.call("train", "env=mine", "--output_dir=config/mine")
    assert done.code == 2
    assert (config / "config.json").read_bytes() == before


def test_train_env_and_run_env_are_the_same_run(place: Place) -> None:
    config = place.cwd / "config" / "mine"
    config.mkdir(parents=True)
    (config / "config.json").write_text((place.cwd / "demo.json").read_text())
    assert place.call("train", "env=mine").code == 0
    assert place.call("--run", "env=mine").code == 0
    assert place.call("train", "--env", "mine", "--max_train_steps", "6").code == 0
    records = (place.cwd / "output/mine/events.jsonl").read_text()
    assert records.count('"kind":"run_started"') == 3


def test_worker_closing_its_folder_is_waited_for(place: Place) -> None:
    place.call(*RUN)
    with place.run.lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        front = place.start(*RUN, "--json")
        # It looks at the folder, finds it held after run_ended, and must not start a second worker yet.
        with pytest.raises(Exception, match="timed out"):
            front.communicate(timeout=1.5)
        assert place.kinds().count("run_started") == 1
    assert finish(front).code == 0
    assert place.kinds().count("run_started") == 2


def test_reader_going_away_leaves_the_training_running(place: Place) -> None:
    front = place.start(*RUN, steps=20)
    place.wait_for_step(1)
    front.stdout.close()  # type: ignore[union-attr]
    front.stdout = None
    _, err = front.communicate(timeout=20)
    assert front.returncode == 1
    assert "Training goes on: demo" in err
    wait_for(lambda: "run_ended" in place.kinds(), "the worker's own end")


def test_full_state_folder_costs_only_the_listing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    done = place.call(*RUN)
    assert done.code == 0
    assert "will be missing from `acestep-tui runs`" in done.err
