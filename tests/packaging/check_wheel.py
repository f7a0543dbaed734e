"""`make package-test`: the wheel alone, in a new environment outside the checkout, runs the demo from an empty folder.

The wheel is installed without its dependencies; those are read from `.venv`'s site-packages through a path file. Path
files inside an added folder are not followed, so the editable install of the checkout stays out of sight.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command and fail loudly, with its output, when it fails."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def main() -> None:
    """Build, install, run, compare."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="acestep-wheel-") as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", cwd=CHECKOUT)
        (wheel,) = (folder / "dist").glob("*.whl")
        run(sys.executable, "-m", "venv", folder / "env", cwd=folder)
        python = folder / "env" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
        site = Path(
            run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip()
        )
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

        where = "import acestep_tui, engine; print(acestep_tui.__file__); print(engine.__file__)"
        for line in run(python, "-c", where, cwd=folder).stdout.split():
            assert Path(line).is_relative_to(folder), f"{line} is not the installed wheel"

        empty = folder / "empty"
        empty.mkdir()
        cache = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_STATE_HOME": str(folder / "state")}
        done = run(folder / "env" / "bin" / "acestep-tui", "--run", "demo", cwd=empty, **cache)
        assert "finished" in done.stdout, done.stdout
        adapter = empty / "output" / "demo" / "export" / "demo" / "pytorch_lora_weights.safetensors"
        assert adapter.stat().st_size > 0
        events = [json.loads(line) for line in (empty / "output" / "demo" / "events.jsonl").open(encoding="utf-8")]
        assert events[-1]["kind"] == "run_ended" and events[-1]["exit_code"] == 0
        print(done.stdout)
    print(f"package-test: 1 passed, 0 failed in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
