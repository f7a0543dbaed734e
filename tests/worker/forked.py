"""Programs of ours as processes of their own, without importing torch and its friends again: forked off this one.

A start of the worker is seven to nine seconds of a processor, nearly all of them imports that are done here already. A
fork has them too, and all else is as in a process that was started: its own pid, session, signals, exit code,
environment, working directory and streams. Some tests start the real thing all the same (`Desk.is_real`): a fork cannot
show that a worker finds what it must import.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import io
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import torch

from acestep_tui.runs import launch

_REAL_POPEN = subprocess.Popen
# What a worker imports when it trains, prepares songs and hears clips.
_HEAVY = ("engine.train.run", "engine.train.cache_task", "engine.verify.task", "transformers.models.umt5.modeling_umt5")


def can_fork() -> bool:
    """Not where a fork would hang or fail: in the threads that torch computes with, and on a card already in use."""
    return sys.platform == "linux" and torch.get_num_threads() == 1 and not torch.cuda.is_initialized()


def popen(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen`, forked where the command is a module or a piece of code for our own interpreter.

    Args:
        command: ``[sys.executable, "-m", MODULE, …]``, ``[sys.executable, "-c", CODE, …]`` or
            ``[sys.executable, FILE.py, …]``; anything else is started as ever.
        options: As `subprocess.Popen` takes them.
    """
    program = _program(list(command))
    if program is None or not can_fork():
        return _REAL_POPEN(command, **options)
    import_what_is_heavy()
    environment, before = options.pop("env", None), options.pop("preexec_fn", None)

    def become_the_program() -> None:
        # Between fork and exec, with session, streams and working directory as asked for; it never comes to the exec.
        code = 1
        try:
            _let_go_of_the_parent(environment)
            if before is not None:
                before()
            code = _exit_code_of(program)
        finally:
            os._exit(code)

    return _REAL_POPEN(command, preexec_fn=become_the_program, **options)


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """`popen` to its end, with what it says; nothing is checked."""
    process = popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    out, err = process.communicate()
    return subprocess.CompletedProcess(list(command), process.returncode, out, err)


def starting_forks(module: types.ModuleType) -> types.SimpleNamespace:
    """What stands in for ``subprocess`` in a module so that it starts workers by `popen`."""
    return types.SimpleNamespace(**{**vars(module.subprocess), "Popen": popen})


def _program(command: list[str]) -> Callable[[], Any] | None:
    """What the command would run, in this interpreter; None for other commands."""
    if command[:1] != [sys.executable] or len(command) < 3:
        return None
    kind, what, *arguments = command[1:]

    def run_code() -> None:
        sys.argv[:] = ["-c", *arguments]
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})

    def run_module() -> None:
        sys.argv[:] = [what, *arguments]
        runpy.run_module(what, run_name="__main__", alter_sys=True)

    def run_file() -> None:
        sys.argv[:] = [kind, what, *arguments]
        runpy.run_path(kind, run_name="__main__")

    ways = {"-c": run_code, "-m": run_module}
    return ways.get(kind, run_file if kind.endswith(".py") else None)


@functools.cache
def import_what_is_heavy() -> None:
    """What a worker imports, kept from now on out of every collection of garbage: a run frees memory by collecting."""
    for name in _HEAVY:
        importlib.import_module(name)
    from diffusers import AutoencoderDC
    from transformers import AutoTokenizer

    del AutoencoderDC, AutoTokenizer
    gc.freeze()


def _let_go_of_the_parent(environment: Mapping[str, str] | None) -> None:
    """Nothing of the tests is left: their files, signal handlers, streams, environment."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in {int(entry.name) for entry in Path("/proc/self/fd").iterdir()} - {0, 1, 2, nothing}:
        # Taken, not closed: an object of the tests that closes its file later must not close one of the program's.
        with contextlib.suppress(OSError):
            os.fstat(number)
            os.dup2(nothing, number)
    gc.enable()
    gc.freeze()
    fresh = dict.fromkeys(
        (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH), signal.SIG_DFL
    )
    for number, handler in {signal.SIGINT: signal.default_int_handler, **fresh}.items():
        if signal.getsignal(number) != signal.SIG_IGN:  # what is ignored stays so in what is started (nohup, `&`)
            signal.signal(number, handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)  # as Python does at its start
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)
        # It reads its variables when it is imported.
        importlib.reload(huggingface_hub.constants)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding="utf-8")
    errors = io.BufferedWriter(io.FileIO(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(errors, encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
    # A front end starts its worker in the same way.
    launch.subprocess = starting_forks(launch)  # type: ignore[attr-defined]
    launch._children.clear()


def _exit_code_of(program: Callable[[], Any]) -> int:
    """Run to the end, as an interpreter does: an interrupt that nobody catches ends it by its signal."""
    code = 0
    try:
        program()
    except SystemExit as ended:
        if ended.code is not None and not isinstance(ended.code, int):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        traceback.print_exc()
        code = 1
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    threading._shutdown()  # type: ignore[attr-defined]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code & 0xFF
