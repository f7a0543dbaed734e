"""A tiny real run: real songs on disk, the tiny checkpoint, the real worker, in this process or its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from engine.__main__ import main as worker_main
from engine.contract.run_dir import RunDir
from engine.model.tiny import write_tiny_checkpoint
from tests.worker import forked

SONG_SECONDS = 2.0


def write_song(path: Path, *, seconds: float = SONG_SECONDS, rate: int = 44_100, seed: int = 0) -> None:
    """A chord with some noise, its caption and its lyrics."""
    generator = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    pitches = 220 * 2 ** (np.array([0, 4, 7]) / 12) * (1 + seed / 10)
    tone = sum(np.sin(2 * np.pi * pitch * t) for pitch in pitches) / 6
    audio = np.stack([tone, tone]) + 0.05 * generator.standard_normal((2, len(t)))
    soundfile.write(path, audio.T.astype(np.float32), rate)
    path.with_suffix(".txt").write_text(f"warm synth chord{', louder' * seed}\n", encoding="utf-8")
    path.with_suffix(".lyrics").write_text("[verse]\n" + "hold the line\n" * (seed + 1), encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def _imported() -> None:
    """The heavy imports at once: nearly every test here would come to them."""
    forked.import_what_is_heavy()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, written once a session."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all runs of the session, as a user has: content-keyed, so runs do not disturb each other."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four songs of one length and two of another."""
    folder = tmp_path_factory.mktemp("songs")
    for seed in range(6):
        write_song(folder / f"song_{seed}.wav", seconds=2.0 if seed < 4 else 3.0, seed=seed)
    return folder


@dataclass
class Workshop:
    """Makes run folders and runs the worker in them."""

    root: Path
    checkpoint: Path
    songs: Path
    cache: Path

    def run_dir(self, name: str = "run", **settings: Any) -> RunDir:
        """A run folder with a complete config.json."""
        from engine.contract.config import resolve

        folder = self.root / name
        preset = {
            "pretrained_model_name_or_path": str(self.checkpoint),
            "instance_data_dir": str(self.songs),
            "cache_dir": str(self.cache),
            "output_dir": str(folder),
            "mixed_precision": "no",
            "lora_rank": 4,
            "lora_dropout": 0.0,
            "learning_rate": 2e-3,
            "train_batch_size": 2,
            "max_train_steps": 4,
            "checkpointing_steps": 0,
            "checkpoint_minutes_interval": 0,
            "validation_step_interval": 0,
            "dataloader_num_workers": 0,
            "compile": "off",
            **settings,
        }
        file = self.root / f"{name}.json"
        file.write_text(json.dumps(preset), encoding="utf-8")
        config = resolve(file, [], cwd=self.root).config
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
        return RunDir(folder)

    def train(self, run_dir: RunDir) -> int:
        """Run the worker in this process; its signal handlers are taken down again."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        try:
            return worker_main(["train", str(run_dir.path)])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def spawn(self, run_dir: RunDir, *, is_real: bool = False) -> subprocess.Popen[bytes]:
        """Start the worker as a process of its own, in a session of its own; forked off unless it must be real."""
        return (subprocess.Popen if is_real else forked.popen)(
            [sys.executable, "-m", "engine", "train", str(run_dir.path)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=run_dir.worker_log.open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@pytest.fixture
def workshop(tmp_path: Path, checkpoint: Path, songs: Path, cache: Path) -> Workshop:
    """A fresh root with the shared model, songs and cache."""
    return Workshop(tmp_path, checkpoint, songs, cache)


def events(run_dir: RunDir, *kinds: str) -> list[dict[str, Any]]:
    """Events of a run, of all kinds or of some."""
    lines = [json.loads(line) for line in run_dir.events_jsonl.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if not kinds or line["kind"] in kinds]
