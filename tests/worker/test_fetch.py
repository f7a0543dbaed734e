"""The download task against a hub of our own: whole, cut, killed, orphaned, refused; and never a byte twice."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.contract import control
from engine.contract.model_files import LAYOUT, SUB_FOLDERS
from engine.contract.run_dir import RunDir
from engine.fetch.hub import CHUNK_BYTES
from engine.hardware.models import model_status
from tests.worker import forked
from tests.worker.conftest import events
from tests.worker.fetch_desk import MAIN, ROOT, Desk, desk, hub
from tests.worker.front_end import wait_for
from tests.worker.loopback_hub import COMMIT, NAME

__all__ = ["desk", "hub"]

WEIGHTS = "ace_step_transformer/diffusion_pytorch_model.safetensors"
# Waits are minutes; a test has not got them.
QUICK = "import engine.fetch.download as download; download.WAITS_S = (0.1, 0.1, 0.1)"


def test_a_whole_download_without_torch_then_used_offline(desk: Desk, checkpoint: Path) -> None:
    assert not model_status(NAME, cache_dir=desk.cache).is_whole
    program = f"{MAIN}; assert not {{'torch', 'numpy', 'pydantic'}} & sys.modules.keys()"
    assert desk.fetch(program, is_real=True) == 0, desk.task.worker_log.read_text()
    desk.check_whole(checkpoint)
    assert all(desk.hub.starts(name) == [0] for name in desk.hub.files())

    kinds = [event["kind"] for event in events(desk.task)]
    assert kinds[0] == "run_started" and kinds[-1] == "run_ended" and not events(desk.task, "warning")
    assert [event["seq"] for event in events(desk.task)] == list(range(len(kinds)))
    last = events(desk.task, "download_progress")[-1]
    assert last["done_bytes"] == last["total_bytes"] == sum(path.stat().st_size for path in desk.hub.files().values())
    assert set(last["parts"]) == set(SUB_FOLDERS) and all(done == total for done, total in last["parts"].values())
    assert json.loads(desk.task.worker_json.read_text())["argv"] == ["fetch", str(desk.task.path)]

    # The trainer's own loader finds it without a network.
    load = "from engine.model.load import resolve_checkpoint; print(resolve_checkpoint(sys.argv[1]).root)"
    command = [sys.executable, "-c", f"import sys; {load}", NAME]
    done = forked.run(command, env=desk.environment(HF_HUB_OFFLINE="1"))
    assert done.stdout.strip() == str(desk.storage / "snapshots" / COMMIT)


def test_what_is_whole_needs_no_hub(desk: Desk) -> None:
    assert desk.fetch() == 0
    sent = len(desk.hub.sent)
    desk.hub.is_down = True
    assert desk.fetch() == 0
    assert len(desk.hub.sent) == sent and not events(desk.task, "warning")
    assert len(events(desk.task, "run_started")) == 2


def test_a_cut_connection_goes_on_where_it_was(desk: Desk, checkpoint: Path) -> None:
    cut = 30 * CHUNK_BYTES + 1000
    desk.hub.cut_after[WEIGHTS] = cut
    assert desk.fetch() == 0
    desk.check_whole(checkpoint)
    first, second = desk.hub.starts(WEIGHTS)
    assert first == 0 and cut - CHUNK_BYTES < second <= cut
    (warning,) = events(desk.task, "warning")
    assert warning["code"] == "connection_dropped" and "goes on from" in warning["message"]


def test_killed_and_started_again_it_goes_on(desk: Desk, checkpoint: Path) -> None:
    desk.hub.bytes_per_s = 2e6
    process = desk.start()
    wait_for(desk.is_under_way, "half of the transformer")
    process.kill()
    process.wait()
    here = desk.partial_bytes()
    status = model_status(NAME, cache_dir=desk.cache)
    assert not status.is_whole and status.partial_bytes == here
    assert [part.state for part in status.parts if part.name.startswith("music_")] == ["whole", "whole"]

    desk.hub.bytes_per_s = None
    assert desk.fetch() == 0
    desk.check_whole(checkpoint)
    assert desk.hub.starts(WEIGHTS) == [0, here]
    assert desk.hub.starts("music_dcae_f8c8/diffusion_pytorch_model.safetensors") == [0]
    assert [event["seq"] for event in events(desk.task)] == list(range(len(events(desk.task))))


def test_it_outlives_the_terminal_it_was_started_in(desk: Desk, checkpoint: Path) -> None:
    desk.hub.bytes_per_s = 2e6
    command = [sys.executable, "-m", "engine", "fetch", str(desk.task.path)]
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import subprocess, time; subprocess.Popen({command!r}, start_new_session=True); time.sleep(60)",
        ],
        env=desk.environment(),
        start_new_session=True,
    )
    desk.processes.append(starter)
    wait_for(desk.is_under_way, "the download is under way")
    os.killpg(starter.pid, signal.SIGHUP)
    starter.wait()
    pid = json.loads(desk.task.worker_json.read_text())["pid"]
    assert os.getpgid(pid) == pid, "it has a session of its own"
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: events(desk.task, "run_ended"), "the end of the download")
    assert desk.ended()["outcome"] == "finished"
    desk.check_whole(checkpoint)


@pytest.mark.parametrize("how", ["command", "signal"])
def test_a_stop_ends_it_at_once_and_keeps_what_is_here(desk: Desk, checkpoint: Path, how: str) -> None:
    desk.hub.bytes_per_s = 1e6
    process = desk.start()
    wait_for(desk.is_under_way, "the download is under way")
    if how == "command":
        control.send(desk.task.control, "stop_now")
    else:
        process.terminate()
    assert process.wait(timeout=5) == 130
    ended = desk.ended()
    assert (ended["outcome"], ended["exit_code"]) == ("stopped", 130)
    assert "goes on from there" in ended["hint"]
    assert [event["command"] for event in events(desk.task, "command_done")] == ["stop_now"] * (how == "command")
    here = desk.partial_bytes()
    assert here > 0
    desk.hub.bytes_per_s = None
    assert desk.fetch() == 0
    assert desk.hub.starts(WEIGHTS) == [0, here]
    desk.check_whole(checkpoint)


def test_progress_is_told_at_most_twice_a_second(desk: Desk) -> None:
    desk.hub.bytes_per_s = 3e6
    assert desk.fetch() == 0
    progress = events(desk.task, "download_progress")
    gaps = [after["t"] - before["t"] for before, after in itertools.pairwise(progress)]
    assert len(progress) >= 5 and min(gaps[:-2]) > 0.45, gaps
    done = [event["done_bytes"] for event in progress]
    assert done == sorted(done)
    rates = [event["bytes_per_s"] for event in progress[1:-2]]
    assert all(0.5e6 < rate < 6e6 for rate in rates), rates


def test_a_second_start_of_one_task_leaves_the_first_alone(desk: Desk) -> None:
    desk.hub.bytes_per_s = 2e6
    first = desk.start()
    wait_for(desk.is_under_way, "the download is under way")
    assert desk.fetch() == 2
    assert "another worker is downloading in this folder" in desk.task.worker_log.read_text()
    desk.hub.bytes_per_s = None
    assert first.wait(timeout=30) == 0
    assert len(events(desk.task, "run_started")) == 1


def test_two_tasks_for_one_model_fetch_every_byte_once(desk: Desk, checkpoint: Path) -> None:
    desk.hub.bytes_per_s = 5e6
    other = Desk(desk.hub, desk.root)
    first = desk.start()
    second_task = RunDir(desk.root / "second")
    shutil.copytree(desk.task.path, second_task.path, ignore=shutil.ignore_patterns("events*", "lock", "control"))
    second = forked.popen(
        [sys.executable, "-m", "engine", "fetch", str(second_task.path)], env=desk.environment(), cwd=ROOT
    )
    other.processes.append(second)
    assert (first.wait(timeout=60), second.wait(timeout=60)) == (0, 0)
    desk.check_whole(checkpoint)
    assert desk.hub.num_bytes(WEIGHTS) == (checkpoint / WEIGHTS).stat().st_size


def test_a_folder_of_ones_own_is_a_cache_too(desk: Desk) -> None:
    desk.order(cache_dir=str(desk.root / "mine"))
    assert desk.fetch() == 0
    assert model_status(NAME, cache_dir=desk.root / "mine").is_whole
    assert not desk.storage.exists()


def test_a_named_revision(desk: Desk) -> None:
    desk.order(revision=COMMIT)
    assert desk.fetch() == 0
    assert model_status(NAME, COMMIT, desk.cache).is_whole
    assert not (desk.storage / "refs").exists()


def refuse_revision(desk: Desk) -> None:
    desk.order(revision="no-such-branch")


def refuse_repository(desk: Desk) -> None:
    desk.order(model="someone/not-there")


def refuse_name(desk: Desk) -> None:
    desk.order(model="/a/folder/that/is/not/there")


def refuse_terms(desk: Desk) -> None:
    desk.hub.gated = True


@pytest.mark.parametrize(
    ("prepare", "error", "hint"),
    [
        (refuse_repository, "someone/not-there is not on the hub, or it is private", "hf auth login"),
        (refuse_revision, "has no such revision", "branch, tag or commit"),
        (refuse_name, "is not the id of a hub repository", "put the model on this machine yourself"),
        (refuse_terms, "is gated", "Accept them on its page"),
    ],
)
def test_a_refusal_ends_at_once_with_6_and_says_what_to_do(
    desk: Desk, prepare: Callable[[Desk], None], error: str, hint: str
) -> None:
    prepare(desk)
    assert desk.fetch() == 6
    ended = desk.ended()
    assert (ended["outcome"], ended["exit_code"]) == ("failed", 6)
    assert error in ended["error"] and hint in ended["hint"]
    assert not desk.hub.sent and not events(desk.task, "warning")
    assert "Traceback" not in desk.task.worker_log.read_text()


def test_offline_the_exact_layout_is_named(desk: Desk) -> None:
    assert desk.fetch(env=desk.environment(HF_HUB_OFFLINE="1")) == 6
    ended = desk.ended()
    assert "HF_HUB_OFFLINE" in ended["error"]
    for name, files in LAYOUT.items():
        assert f"{name}/ ({', '.join(files)})" in ended["hint"]


def test_another_kind_of_model_is_refused_before_its_gigabytes_are_here(desk: Desk, checkpoint: Path) -> None:
    root = desk.root / "other"
    shutil.copytree(checkpoint, root, ignore=shutil.ignore_patterns("music_vocoder"))
    desk.hub.root = root
    assert desk.fetch() == 6
    assert "has no music_vocoder: it is not an ACE-Step v1 model" in desk.ended()["error"]
    assert not desk.hub.sent


def test_a_repository_without_a_tokenizer_is_said_at_the_end(desk: Desk, checkpoint: Path) -> None:
    root = desk.root / "other"
    shutil.copytree(checkpoint, root, ignore=shutil.ignore_patterns("tokenizer.json"))
    desk.hub.root = root
    assert desk.fetch() == 6
    assert "umt5-base is incomplete (umt5-base has no tokenizer" in desk.ended()["error"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": 3}', '{"model": "a/b", "revision": 1}'])
def test_a_damaged_order_is_a_usage_error(desk: Desk, content: str) -> None:
    desk.task.config_json.write_text(content)
    assert desk.fetch() == 2
    assert "config.json" in desk.ended()["error"]


def test_a_hub_that_comes_back_is_waited_for(desk: Desk, checkpoint: Path) -> None:
    desk.hub.is_down = True
    process = desk.start("import engine.fetch.download as download; download.WAITS_S = (0.1,) * 300; " + MAIN)
    wait_for(lambda: desk.task.events_jsonl.exists() and len(events(desk.task, "warning")) >= 2, "two retries")
    desk.hub.is_down = False
    assert process.wait(timeout=30) == 0
    desk.check_whole(checkpoint)
    assert {event["code"] for event in events(desk.task, "warning")} == {"download_retry"}
    assert "the next try is in 0.1 s" in events(desk.task, "warning")[0]["message"]


def test_a_hub_that_stays_away_ends_with_6(desk: Desk) -> None:
    desk.hub.is_down = True
    assert desk.fetch(f"{QUICK}; {MAIN}") == 6
    assert len(events(desk.task, "warning")) == 3
    assert "could not be downloaded" in desk.ended()["error"]
    assert "it goes on from its beginning" in desk.ended()["hint"]


def test_what_arrives_damaged_is_fetched_again(desk: Desk, checkpoint: Path) -> None:
    desk.hub.corrupt[WEIGHTS] = 1
    assert desk.fetch(f"{QUICK}; {MAIN}") == 0
    desk.check_whole(checkpoint)
    (warning,) = events(desk.task, "warning")
    assert f"{WEIGHTS} is not what the hub announced" in warning["message"]


def test_what_arrives_damaged_every_time_is_given_up(desk: Desk) -> None:
    desk.hub.corrupt[WEIGHTS] = 99
    assert desk.fetch(f"{QUICK}; {MAIN}") == 6
    assert desk.hub.starts(WEIGHTS) == [0, 0], "not gigabytes again and again"
    assert "is not what the hub announced" in desk.ended()["error"]
    assert desk.partial_bytes() == 0


def test_a_disk_too_small_is_said_before_anything_is_fetched(desk: Desk) -> None:
    assert desk.fetch(f"import engine.fetch.download as d; d.disk_free_bytes = lambda folder: 1000; {MAIN}") == 5
    ended = desk.ended()
    assert "the download needs 7.0 MB more" in ended["error"] and "HF_HOME" in ended["hint"]
    assert not desk.hub.sent


def test_a_disk_that_fills_up_ends_with_5_and_what_is_here_counts(desk: Desk, checkpoint: Path) -> None:
    limit = 2_000_000

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    assert desk.fetch(preexec_fn=limited) == 5
    assert "File too large" in desk.ended()["error"] and desk.ended()["hint"]
    here = desk.partial_bytes()
    assert limit - CHUNK_BYTES < here <= limit
    assert desk.fetch() == 0
    assert desk.hub.starts(WEIGHTS)[-1] == here
    desk.check_whole(checkpoint)
