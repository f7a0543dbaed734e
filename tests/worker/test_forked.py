"""A program that is forked off is as one that is started: what it sees, says and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker import forked
from tests.worker.front_end import ROOT

SEEN = """
import os, signal, sys
print(sys.argv, os.getcwd(), sorted(os.environ.items()), os.getsid(0) == os.getpid())
print([signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)])
print(sys.stdin.read(), sys.stdout.isatty(), __name__)
print("é", file=sys.stderr)
"""
ENDS = {
    "returns": "pass",
    "code": "raise SystemExit(5)",
    "words": "raise SystemExit('no')",
    "true": "raise SystemExit(True)",
    "error": "1 / 0",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "interrupted": "raise KeyboardInterrupt",
    "thread": "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
}


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)


def both(code: str, *arguments: str, **options: Any) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """Exit code, output and errors: of the program that is started, and of the one that is forked off."""
    command = [sys.executable, "-c", code, *arguments]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    ended = []
    for start in (subprocess.Popen, forked.popen):
        process = start(command, text=True, encoding="utf-8", **pipes, **options)
        out, err = process.communicate("typed", timeout=60)
        ended.append((process.returncode, out, err))
    return ended[0], ended[1]


def test_it_sees_what_a_started_one_sees(one_thread: None, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "LC_CTYPE": "C.UTF-8", "ONE": "é"}
    started, forked_off = both(SEEN, "a", "-b", cwd=tmp_path, env=environment, start_new_session=True)
    assert forked_off == started and started[0] == 0, forked_off[2]


@pytest.mark.parametrize("how", ENDS)
def test_it_ends_as_a_started_one_ends(one_thread: None, how: str) -> None:
    started, forked_off = both(ENDS[how])
    assert forked_off[:2] == started[:2]
    assert forked_off[2].splitlines()[-1:] == started[2].splitlines()[-1:]


def test_it_is_killed_alone_and_takes_no_file_of_the_tests_along(one_thread: None, tmp_path: Path) -> None:
    read, write = os.pipe()
    process = forked.popen([sys.executable, "-c", "import time; time.sleep(60)"])
    os.close(write)
    assert os.read(read, 1) == b"", "the pipe has no other end left"
    os.close(read)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM


def test_only_our_own_interpreter_is_forked_and_only_where_it_works(
    one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = "import os; print(os.getpid(), 'tests.worker.forked' in __import__('sys').modules)"
    assert forked.run([sys.executable, "-c", pid]).stdout.split()[1] == "True"
    assert forked.run(["echo", "said"]).stdout == "said\n"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert forked.run([sys.executable, "-c", pid]).stdout.split()[1] == "False"
