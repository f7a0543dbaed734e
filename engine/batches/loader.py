"""Batches ahead of the training: read in background threads, handed over in the sampler's order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from engine.batches.collate import Batch, Sample, collate
from engine.batches.sampler import Group, Visit

StepBatches = tuple[Group, tuple[Batch, ...]]
"""A group and its micro-batches."""


def load_batches(
    groups: Iterable[Group],
    read: Callable[[Visit], Sample],
    *,
    num_workers: int,
    prefetch: int = 2,
    pin: bool = False,
    condition_multiple: int = 1,
) -> Generator[StepBatches, None, None]:
    """Give each group with its micro-batches, in order; the same for any number of workers.

    Threads, not processes: an entry is a small memory-mapped file whose reading releases the interpreter lock, while a
    forked worker would inherit the run's lock (and keep a dead run alive), and a spawned one would import torch anew.

    Close the iterator when done with an endless stream (``contextlib.closing``): that ends the threads.

    Args:
        groups: The stream, endless or not. Drawn from the consumer's thread only, ahead of what is handed over.
        read: Makes a sample of a visit; called from the workers. What it raises is raised here, at the group's turn.
        num_workers: Threads; 0 reads in the consumer's thread, when asked.
        prefetch: Micro-batches kept ready beyond one per worker.
        pin: Put tensors into page-locked memory (CUDA).
        condition_multiple: As for `collate`.
    """

    def load(visits: tuple[Visit, ...], bucket: str) -> Batch:
        batch = collate([read(visit) for visit in visits], bucket=bucket, condition_multiple=condition_multiple)
        return batch.pin() if pin else batch

    if num_workers == 0:
        for group in groups:
            yield group, tuple(load(visits, group.bucket) for visits in group.micro_batches)
        return

    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="loader")
    try:
        ahead: deque[tuple[Group, list[Future[Batch]]]] = deque()
        num_ahead = 0
        for group in groups:
            ahead.append((group, [pool.submit(load, visits, group.bucket) for visits in group.micro_batches]))
            num_ahead += len(group.micro_batches)
            while num_ahead > num_workers + prefetch:
                yield _finished(ahead)
                num_ahead = sum(len(futures) for _, futures in ahead)
        while ahead:
            yield _finished(ahead)
    finally:
        # Also on the way out of an error or of a closed iterator: no thread outlives it.
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(ahead: deque[tuple[Group, list[Future[Batch]]]]) -> StepBatches:
    group, futures = ahead.popleft()
    return group, tuple(future.result() for future in futures)
