"""The worker: ``python -m engine train RUN_DIR [--yes]``, or ``cache``, ``fetch``, ``verify-model`` TASK_DIR.

Started by the front end; answers through events.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import ExitCode, UserError
from engine.contract.run_dir import RunDir

if TYPE_CHECKING:
    from engine.contract.events import RunEnded
    from engine.telemetry.emitter import Emitter
    from engine.train.inbox import Inbox

    Work = Callable[[Emitter, Inbox], RunEnded]

USAGE = """usage: python -m engine train RUN_DIR [--yes]
       python -m engine cache TASK_DIR [--yes]
       python -m engine fetch TASK_DIR
       python -m engine verify-model TASK_DIR

train         Trains in a run folder that holds config.json. People start it with: acestep-tui --run FILE
cache         Prepares songs and captions as train does, and ends: TASK_DIR holds a config.json as a run folder does.
fetch         Downloads a model. TASK_DIR/config.json: {"model": "OWNER/NAME", "revision": null, "cache_dir": null}
verify-model  Proves a model right. TASK_DIR/config.json: {"model": "OWNER/NAME or a folder", "revision": null}"""

# Tasks and the flags each takes.
TASKS: dict[str, set[str]] = {"train": {"--yes"}, "cache": {"--yes"}, "fetch": set(), "verify-model": set()}


def main(argv: list[str] | None = None) -> int:
    """Parse and run one task; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    words = [word for word in arguments if not word.startswith("--")]
    flags = {word for word in arguments if word.startswith("--")}
    if len(words) != 2 or words[0] not in TASKS or flags - TASKS[words[0]]:
        print(USAGE, file=sys.stderr)
        return ExitCode.USAGE
    run_dir = RunDir(Path(words[1]).absolute())
    if not run_dir.config_json.is_file():
        print(f"{run_dir.config_json}: no such file", file=sys.stderr)
        return ExitCode.USAGE

    from engine.train.worker import run_worker

    task, doing = {
        "train": (_train, "training"),
        "cache": (_cache, "preparing"),
        "fetch": (_fetch, "downloading"),
        "verify-model": (_verify_model, "verifying a model"),
    }[words[0]]
    try:
        return run_worker(run_dir, argv=arguments, work=task(run_dir, flags), doing=doing)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def set_environment() -> None:
    """What torch and its libraries read when they are imported; whatever the user has set stays."""
    # Threads that wait asleep, not spinning: beside other programs on the same cores a spinning worker is five times
    # slower than a sleeping one (measured: docs/performance.md). Read by OpenMP.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Songs of many lengths leave holes in a card's memory; segments that grow have none. The second name is the older
    # one, which torch still reads first; HIP's is that of AMD cards.
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
    if not any(name in os.environ for name in names):
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"


def _train(run_dir: RunDir, flags: set[str]) -> Work:
    set_environment()

    def work(emitter: Emitter, inbox: Inbox) -> RunEnded:
        # torch takes seconds to import: the lock is held by then, and a second start is told at once.
        from engine.train.run import train_run

        return train_run(run_dir, assume_yes="--yes" in flags, emitter=emitter, inbox=inbox)

    return work


def _cache(run_dir: RunDir, flags: set[str]) -> Work:
    set_environment()

    def work(emitter: Emitter, inbox: Inbox) -> RunEnded:
        from engine.train.cache_task import build_cache_of

        return build_cache_of(run_dir, assume_yes="--yes" in flags, emitter=emitter, inbox=inbox)

    return work


def _verify_model(run_dir: RunDir, flags: set[str]) -> Work:
    del flags
    set_environment()

    def work(emitter: Emitter, inbox: Inbox) -> RunEnded:
        from engine.verify.task import verify_model

        return verify_model(run_dir, emitter=emitter, inbox=inbox)

    return work


def _fetch(run_dir: RunDir, flags: set[str]) -> Work:
    del flags

    def work(emitter: Emitter, inbox: Inbox) -> RunEnded:
        from engine.fetch.task import fetch_model

        return fetch_model(run_dir, emitter=emitter, inbox=inbox)

    return work


if __name__ == "__main__":
    sys.exit(main())
