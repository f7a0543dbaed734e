"""A process that decodes clips for the one that encodes them: ``python -m engine.cache.decode_worker``.

One order a line on stdin, as JSON; the answer on stdout is a head, then the sound as bytes. It imports no torch, so it
starts in a third of a second, and ends when its stdin does: with the process that started it, however that ends.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from typing import BinaryIO

# Each process has one core to itself; read when numpy is imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402 - after the number of its threads is set

from engine.cache.clip_sound import ClipOrder, UnusableSoundError, read_sound  # noqa: E402

HEAD = struct.Struct("<16sq")
"""Of an answer: ``sound`` or why there is none (a code of `UnusableSoundError`), and how many bytes follow."""

SOUND = "sound"


def main() -> None:
    """Answer orders until there are no more."""
    # Signals to the whole group mean the process that encodes: it says when this one ends, and by then has saved.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    # What a library prints must not land among the sound.
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        _answer(ClipOrder(**json.loads(line)), answers)


def _answer(order: ClipOrder, answers: BinaryIO) -> None:
    try:
        sound = np.ascontiguousarray(read_sound(order))
    except UnusableSoundError as error:
        _write(answers, error.code, error.reason.encode("utf-8", "replace"))
    else:
        _write(answers, SOUND, memoryview(sound).cast("B"))


def _write(answers: BinaryIO, what: str, content: bytes | memoryview) -> None:
    whole = memoryview(content)
    for part in (memoryview(HEAD.pack(what.encode(), len(whole))), whole):
        num_written = 0
        while num_written < len(part):
            num_written += answers.write(part[num_written:])


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os._exit(1)
