from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from acestep_tui.runs.kernel_log import find_kill, read_kernel_log

PAGE = os.sysconf("SC_PAGE_SIZE")
DIED_T = 1_763_821_268.0
# As journalctl -o short-unix prints it (kernel 6.x).
JOURNAL = f"""\
{DIED_T - 1:.6f} studio-pod kernel: blender invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0
{DIED_T - 1:.6f} studio-pod kernel: Tasks state (memory values in pages):
{DIED_T - 1:.6f} studio-pod kernel: [  pid  ]   uid  tgid total_vm      rss rss_anon rss_file oom_score_adj name
{DIED_T - 1:.6f} studio-pod kernel: [    412]     0   412    12345     2000     1000     1000             0 sshd
{DIED_T - 1:.6f} studio-pod kernel: [  40771]  1000 40771 12000000 10747904 10747000      904             0 blender
{DIED_T - 1:.6f} studio-pod kernel: [  48213]  1000 48213  8000000  2359296  2359000      296             0 python
{DIED_T:.6f} studio-pod kernel: Out of memory: Killed process 48213 (python) total-vm:32000000kB, anon-rss:9437184kB
""".splitlines()


def test_the_kernels_words_and_the_largest_other_programs() -> None:
    kill, is_readable = find_kill(48213, died_t=DIED_T, lines=JOURNAL)
    assert is_readable
    assert kill is not None
    assert kill.line.startswith("Out of memory: Killed process 48213 (python)")
    assert (kill.t, kill.name, kill.bytes) == (DIED_T, "python", 9437184 * 1024)
    assert [(other.name, other.pid, other.bytes) for other in kill.others] == [
        ("blender", 40771, 10747904 * PAGE),
        ("sshd", 412, 2000 * PAGE),
    ]


def test_another_process_another_time_or_nothing_is_no_kill() -> None:
    assert find_kill(7, died_t=DIED_T, lines=JOURNAL) == (None, True)
    assert find_kill(48213, died_t=DIED_T + 86_400, lines=JOURNAL) == (None, True), "a number used again since"
    assert find_kill(48213, died_t=DIED_T - 86_400, lines=JOURNAL) == (None, True)
    assert find_kill(48213, died_t=DIED_T, lines=[]) == (None, True)


def test_a_containers_own_limit_and_dmesgs_clock() -> None:
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    line = f"[{since_boot - 5:.6f}] Memory cgroup out of memory: Killed process 48213 (python) total-vm:1kB"
    kill, _ = find_kill(48213, died_t=time.time() - 6, lines=[line])
    assert kill is not None
    assert kill.line.startswith("Memory cgroup out of memory")
    assert kill.t == pytest.approx(time.time() - 5, abs=1.0)
    assert kill.bytes is None


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_log_is_read_from_the_journal_else_from_the_buffer_else_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_kernel_log(since_t=DIED_T) is None
    assert find_kill(1, died_t=DIED_T) == (None, False)
    fake(tmp_path, "dmesg", "echo from the buffer")
    assert read_kernel_log(since_t=DIED_T) == ["from the buffer"]
    fake(tmp_path, "journalctl", 'echo "$@"')
    (asked,) = read_kernel_log(since_t=DIED_T) or []
    assert "-k" in asked
    assert f"--since=@{DIED_T:.0f}" in asked
    fake(tmp_path, "journalctl", "exit 1")
    assert read_kernel_log(since_t=DIED_T) == ["from the buffer"]
