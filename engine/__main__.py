"""The worker: ``python -m engine train RUN_DIR [--yes]``. Started by the front end; answers through events."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.contract.errors import ExitCode, UserError
from engine.contract.run_dir import RunDir

USAGE = """usage: python -m engine train RUN_DIR [--yes]

Trains in a run folder that holds config.json. People start it with: acestep-tui --run FILE"""


def main(argv: list[str] | None = None) -> int:
    """Parse and run one task; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    words = [word for word in arguments if not word.startswith("--")]
    flags = {word for word in arguments if word.startswith("--")}
    if len(words) != 2 or words[0] != "train" or flags - {"--yes"}:
        print(USAGE, file=sys.stderr)
        return ExitCode.USAGE
    run_dir = RunDir(Path(words[1]).absolute())
    if not run_dir.config_json.is_file():
        print(f"{run_dir.config_json}: no such file", file=sys.stderr)
        return ExitCode.USAGE

    # Threads that wait asleep, not spinning: beside other programs on the same cores a spinning worker is five times
    # slower than a sleeping one (measured: docs/performance.md). Read by OpenMP when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from engine.train.worker import run_worker

    def work(emitter, inbox):  # type: ignore[no-untyped-def]
        # torch takes seconds to import: the lock is held by then, and a second start is told at once.
        from engine.train.run import train_run

        return train_run(run_dir, assume_yes="--yes" in flags, emitter=emitter, inbox=inbox)

    try:
        return run_worker(run_dir, argv=arguments, work=work)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
