"""Clips decoded ahead while an encoder works: by processes where there is much to decode, else by threads.

FFmpeg hands sound over in frames of a fortieth of a second, and the interpreter runs between each two: threads of one
process decode no faster than one thread does (measured: docs/performance.md). So each thread here has a process of its
own that decodes and resamples, and only reads the sound that comes out of it. A file that crashes a decoder costs that
process, not the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

import engine
from engine.batches.bucket import Clip
from engine.cache.clip_sound import ClipOrder, UnusableSoundError, read_sound
from engine.cache.decode_worker import HEAD, SOUND
from engine.hardware.host import num_cores, read_host
from engine.model.card import SAMPLE_RATE

Decoded = Tensor | UnusableSoundError
"""The sound of a clip, (2, n) float32, or why it has none."""

MAX_WORKERS_PER_CORE = 4
"""Threads a core where they decode themselves; processes have one each."""

WORTH_PROCESSES_S = 600.0
"""Less sound is decoded by threads before processes have started."""

BYTES_PER_PROCESS = 500_000_000
"""A process with a song of four minutes in it: the sound as it is in the file, at 48 kHz and at the wanted rate."""

# Decoded sound that waits for the encoder: at most this much, and at most this share of the free memory.
_MAX_WAITING_BYTES = 4_000_000_000
_WAITING_SHARE = 0.25
_BYTES_PER_SAMPLE = 8  # two channels of float32
_PIPE_BYTES = 1 << 20
_END_WITHIN_S = 5.0


class ClipDecoder:
    """Decodes clips in order, beginning at once; a context manager that ends its threads and processes.

    Args:
        clips: What is decoded.
        max_workers: At most so many threads or processes (``max_workers``).
        rate: Hz wanted: `SAMPLE_RATE` or the codec's.
        pin: Put the sound where a CUDA card fetches it without a detour through other memory.
    """

    def __init__(self, clips: Sequence[Clip], *, max_workers: int, rate: int = SAMPLE_RATE, pin: bool = False) -> None:
        self._clips = deque(clips)
        self._rate, self._pin = rate, pin
        self._room = _waiting_bytes()
        self.num_processes = num_processes(clips, max_workers=max_workers)
        self._processes: list[_Process] = []
        self._mine = threading.local()
        num_threads = self.num_processes or max(1, min(max_workers, MAX_WORKERS_PER_CORE * num_cores(), len(clips)))
        # So many are under way or wait for one that is: two for each thread, that none of them has to wait.
        self._most_waiting = 2 * num_threads
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="decode")
        self._waiting: deque[tuple[Clip, Future[Decoded]]] = deque()
        self._submit()

    def __enter__(self) -> ClipDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._waiting:
            for process in self._processes:
                process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for process in self._processes:
            process.end()

    def __iter__(self) -> Iterator[tuple[Clip, Decoded]]:
        """Each clip in order, with its sound or why it has none."""
        while self._waiting:
            clip, future = self._waiting.popleft()
            decoded = future.result()
            self._room += self._bytes(clip)
            self._submit()
            yield clip, decoded

    def _submit(self) -> None:
        """Have clips decoded as long as there is room for them; one is always."""
        while self._clips and len(self._waiting) < self._most_waiting:
            size = self._bytes(self._clips[0])
            if self._waiting and size > self._room:
                return
            self._room -= size
            clip = self._clips.popleft()
            self._waiting.append((clip, self._pool.submit(self._decode, clip)))

    def _bytes(self, clip: Clip) -> int:
        return clip.num_samples * _BYTES_PER_SAMPLE

    def _decode(self, clip: Clip) -> Decoded:
        order = ClipOrder.of(clip, rate=self._rate)
        try:
            if not self.num_processes:
                return torch.from_numpy(read_sound(order))
            try:
                return self._process().decode(order, pin=self._pin)
            except _CrashError:
                # Not always the file's fault: a process may be killed to make room in memory. Only twice is too often.
                return self._process().decode(order, pin=self._pin)
        except UnusableSoundError as error:
            return error
        except _CrashError as error:
            return UnusableSoundError("unreadable", f"the decoder crashed on it, twice ({error})")

    def _process(self) -> _Process:
        """This thread's own; a new one where the last has crashed."""
        process: _Process | None = getattr(self._mine, "process", None)
        if process is None or not process.is_alive:
            process = self._mine.process = _Process()
            self._processes.append(process)
        return process


class _CrashError(Exception):
    """A decoding process ended in the middle of its work; the message says how."""


class _Process:
    """One `engine.cache.decode_worker`, asked by one thread."""

    def __init__(self) -> None:
        # The same code that runs here, wherever it was imported from.
        root = str(Path(engine.__file__).parents[1])
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._child = subprocess.Popen(
            [sys.executable, "-m", "engine.cache.decode_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
            bufsize=0,
        )
        self.is_alive = True
        assert self._child.stdout is not None
        _widen(self._child.stdout.fileno())

    def decode(self, order: ClipOrder, *, pin: bool) -> Tensor:
        """The sound of a clip.

        Raises:
            UnusableSoundError: It has none.
            _CrashError: The process ended before its answer did.
        """
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(order.to_dict()).encode() + b"\n")
            head = bytearray(HEAD.size)
            self._read(memoryview(head))
            code, size = HEAD.unpack(head)
            what = code.rstrip(b"\0").decode()
            if what != SOUND:
                reason = bytearray(size)
                self._read(memoryview(reason))
                raise UnusableSoundError(what, reason.decode())
            sound = _empty(size // _BYTES_PER_SAMPLE, pin=pin)
            self._read(memoryview(sound.numpy()).cast("B"))
        except (OSError, EOFError, ValueError) as error:
            self.is_alive = False
            raise _CrashError(f"exit code {self._child.wait()}") from error
        return sound

    def _read(self, room: memoryview) -> None:
        """Fill ``room``.

        Raises:
            EOFError: The process ended before.
        """
        assert self._child.stdout is not None
        while room:
            num_read = self._child.stdout.readinto(room)  # type: ignore[attr-defined]
            if not num_read:
                raise EOFError
            room = room[num_read:]

    def kill(self) -> None:
        """Make it end in the middle of whatever it does."""
        self._child.kill()

    def end(self) -> None:
        """Let it end by itself, which it does without orders; nobody may be reading from it."""
        assert self._child.stdin is not None and self._child.stdout is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()


def num_processes(clips: Sequence[Clip], *, max_workers: int) -> int:
    """Processes for decoding: one a core, as far as main memory and the work go round; 0 = threads do it."""
    seconds = sum(clip.length_s for clip in clips)
    if seconds < WORTH_PROCESSES_S:
        return 0
    free = read_host().free_bytes
    by_memory = num_cores() if free is None else int(free * _WAITING_SHARE * 2) // BYTES_PER_PROCESS
    return max(1, min(max_workers, num_cores(), by_memory, len(clips)))


def _waiting_bytes() -> int:
    free = read_host().free_bytes
    return _MAX_WAITING_BYTES if free is None else min(_MAX_WAITING_BYTES, int(free * _WAITING_SHARE))


def _empty(num_samples: int, *, pin: bool) -> Tensor:
    """Room for (2, num_samples) float32; pinned only where the system allows so much of that."""
    if pin:
        with contextlib.suppress(RuntimeError):
            return torch.empty(2, num_samples, pin_memory=True)
    return torch.empty(2, num_samples)


def _widen(pipe: int) -> None:
    """Let more than the usual 64 kB wait in a pipe, where the system can: the reader wakes up less often."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
