"""Clips decoded ahead in threads while an encoder works on the main one."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from engine.batches.bucket import Clip
from engine.cache.audio_latents import load_clip_audio
from engine.dataset.audio_file import UnreadableAudioError

# Decoded audio waiting for the encoder takes 384 kB a second: this bounds it to about half a gigabyte.
_MAX_WAITING_S = 1200.0


def decoded_clips(
    clips: Sequence[Clip], *, num_workers: int
) -> Generator[tuple[Clip, Tensor | UnreadableAudioError], None, None]:
    """Decode and resample in threads; in order, with bounded memory.

    Decoders and torch's convolutions release the interpreter lock, so threads suffice.

    Yields:
        Each clip with its (2, n) float32 at 48 kHz, or with why it has none.
    """

    def load(clip: Clip) -> Tensor | UnreadableAudioError:
        try:
            return load_clip_audio(clip)
        except UnreadableAudioError as error:
            return error

    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="decode")
    try:
        waiting: deque[tuple[Clip, Future[Tensor | UnreadableAudioError]]] = deque()
        waiting_s = 0.0
        for clip in clips:
            while waiting and (len(waiting) > num_workers or waiting_s + clip.length_s > _MAX_WAITING_S):
                oldest, future = waiting.popleft()
                waiting_s -= oldest.length_s
                yield oldest, future.result()
            waiting.append((clip, pool.submit(load, clip)))
            waiting_s += clip.length_s
        while waiting:
            oldest, future = waiting.popleft()
            yield oldest, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
