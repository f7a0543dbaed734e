"""Where the time of some steps of a real run goes, kernel by kernel."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.contract.events import Event, Step
from engine.telemetry.emitter import Emitter

FIRST, LAST = 20, 23
VARIABLE = "ACESTEP_BENCH_PROFILE"


@contextlib.contextmanager
def profiled() -> Iterator[None]:
    """Profile steps `FIRST` to `LAST` of a worker that runs inside, when `VARIABLE` names a file for the table."""
    path = os.environ.get(VARIABLE)
    if not path:
        yield
        return
    made: Callable[..., None] = Emitter.__init__
    hearing = _Profile(Path(path))

    def make(emitter: Emitter, *arguments: Any, **named: Any) -> None:
        made(emitter, *arguments, **named)
        emitter.listen(hearing)

    Emitter.__init__ = make  # type: ignore[method-assign]
    try:
        yield
    finally:
        Emitter.__init__ = made  # type: ignore[method-assign]


class _Profile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._profile: Any = None

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Step):
            return
        import torch
        from torch.profiler import ProfilerActivity, profile

        if event.step == FIRST:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._profile = profile(activities=activities)
            self._profile.__enter__()
        elif event.step == LAST and self._profile is not None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self._profile.__exit__(None, None, None)
            averages = self._profile.key_averages()
            device = averages.table(sort_by="self_device_time_total", row_limit=45, max_name_column_width=90)
            host = averages.table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=60)
            self._path.write_text(f"{LAST - FIRST} steps\n\n{device}\n\n{host}", encoding="utf-8")
            self._profile = None
