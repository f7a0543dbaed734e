"""A desk to fetch at: a task folder, a cache of the hub client's, a hub of our own, and the processes started."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.contract.run_dir import RunDir
from engine.fetch.hub import CHUNK_BYTES
from engine.hardware.models import model_status
from tests.worker import forked
from tests.worker.conftest import events
from tests.worker.loopback_hub import COMMIT, NAME, LoopbackHub, serving

ROOT = Path(__file__).parents[2]
MAIN = "import sys; from engine.__main__ import main; code = main(['fetch', sys.argv[1]])"


@pytest.fixture
def hub(checkpoint: Path) -> Iterator[LoopbackHub]:
    with serving(checkpoint) as hub:
        yield hub


@dataclass
class Desk:
    """A task folder, a cache of the hub client, and the processes started here."""

    hub: LoopbackHub
    root: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def task(self) -> RunDir:
        return RunDir(self.root / "task")

    @property
    def cache(self) -> Path:
        return self.root / "hf" / "hub"

    @property
    def storage(self) -> Path:
        return self.cache / f"models--{NAME.replace('/', '--')}"

    def order(self, model: str = NAME, revision: str | None = None, cache_dir: str | None = None) -> None:
        self.task.path.mkdir(exist_ok=True)
        order = {"model": model, "revision": revision, "cache_dir": cache_dir}
        self.task.config_json.write_text(json.dumps(order))

    def environment(self, **more: str) -> dict[str, str]:
        others = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        return {**others, **self.hub.environment(self.root / "hf"), "PYTHONPATH": str(ROOT), **more}

    def start(self, program: str = MAIN, *, is_real: bool = False, **options: Any) -> subprocess.Popen[bytes]:
        """Start the task; forked off unless it must be real."""
        process: subprocess.Popen[bytes] = (subprocess.Popen if is_real else forked.popen)(
            [sys.executable, "-c", f"{program}; sys.exit(code)", str(self.task.path)],
            env=options.pop("env", None) or self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.task.worker_log.open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
        self.processes.append(process)
        return process

    def fetch(self, program: str = MAIN, **options: Any) -> int:
        return self.start(program, **options).wait(timeout=60)

    def partial_bytes(self) -> int:
        """Bytes of the file under way; a file that is finished between the listing and the look counts nothing."""
        total = 0
        for path in (self.storage / "blobs").glob("*.incomplete"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def is_under_way(self) -> bool:
        return self.partial_bytes() > 20 * CHUNK_BYTES

    def ended(self) -> dict[str, Any]:
        return events(self.task, "run_ended")[-1]

    def check_whole(self, checkpoint: Path) -> None:
        """The cache holds the repository byte for byte, and nothing is left aside."""
        snapshot = self.storage / "snapshots" / COMMIT
        for name, path in self.hub.files().items():
            assert (snapshot / name).read_bytes() == path.read_bytes()
        assert not list(self.storage.rglob("*.incomplete")) and not list(self.storage.rglob("*.tmp"))
        assert (self.storage / "refs" / "main").read_text() == COMMIT
        status = model_status(NAME, cache_dir=self.cache)
        assert status.is_whole and status.path == snapshot and status.partial_bytes == 0
        assert status.bytes == sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())


@pytest.fixture
def desk(hub: LoopbackHub, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(hub, tmp_path)
    desk.order()
    yield desk
    for process in desk.processes:
        if process.poll() is None:
            process.kill()
            process.wait()
