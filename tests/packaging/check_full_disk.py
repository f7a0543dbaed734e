"""`make disk-test`: a cache on a disk that really is full, then on the same disk made larger. Root mounts a tmpfs.

Run by `.ci/run`. Where no file system can be mounted (not root, a container without the right) it says so and ends
well: `make test` has the same case with a limit on file sizes and with a failing file layer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SMALL, LARGE = "size=2500k", "size=200m"


def mount(options: str, folder: Path) -> bool:
    """Mount (or remount) a tmpfs; whether it worked."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    return done.returncode == 0


def start(folder: Path, disk: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo for two steps with its songs and model on the large disk and its prepared songs on the small one."""
    command = [
        sys.executable,
        "-m",
        "acestep_tui",
        "--run",
        "demo",
        "--max_train_steps=2",
        "--validation_step_interval=0",
    ]
    command += [f"--cache_dir_vae={disk / 'audio'}", f"--output_dir={folder / 'run'}", "--yes"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "XDG_STATE_HOME": str(folder / "state")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def main() -> None:
    """Fill the disk, see the error, enlarge it, go on."""
    with tempfile.TemporaryDirectory(prefix="acestep-disk-") as name:
        folder = Path(name)
        disk = folder / "disk"
        disk.mkdir()
        if os.geteuid() != 0 or not mount(SMALL, disk):
            print("disk-test: no tmpfs can be mounted here; `make test` covers a full disk by other means")
            return
        try:
            (disk / "ballast").write_bytes(b"\0" * (2_300 * 1024))
            full = start(folder, disk)
            assert full.returncode == 5, f"exit {full.returncode}\n{full.stdout}\n{full.stderr}"
            assert "No space left" in full.stdout + full.stderr, full.stderr
            kept = {path.name for path in (disk / "audio").rglob("*.safetensors")}
            assert not list((disk / "audio").rglob("*.tmp")), "a torn file was left behind"
            assert subprocess.run(["mount", "-o", f"remount,{LARGE}", disk], check=False).returncode == 0
            mended = start(folder, disk)
            assert mended.returncode == 0, f"exit {mended.returncode}\n{mended.stdout}\n{mended.stderr}"
            assert kept <= {path.name for path in (disk / "audio").rglob("*.safetensors")}, "a finished entry was lost"
            lines = (folder / "run" / "events.jsonl").read_text(encoding="utf-8").splitlines()
            ends = [event["exit_code"] for event in map(json.loads, lines) if event["kind"] == "run_ended"]
            assert ends == [5, 0], ends
        finally:
            subprocess.run(["umount", disk], check=False)
    print("disk-test: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
