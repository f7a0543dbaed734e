"""What each entry point imports, seen from a fresh interpreter: never torch, and nothing heavy for help."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "textual", "pydantic", "rich", "numpy", "transformers", "diffusers", "soundfile", "av")
MAX_HELP_S = 0.3


def imported_after(program: str, cwd: Path) -> set[str]:
    """Top-level names in sys.modules after the program ran in a fresh interpreter."""
    tail = "import sys, json; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{tail}"],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(cwd / "state"), "HOME": str(cwd), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["--version"], ["train", "--help"], ["runs"], ["attach", "nothing"], ["stop"]]
)
def test_light_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    program = f"from acestep_tui.cli import run_command_line; run_command_line({arguments!r})"
    assert not imported_after(program, tmp_path) & set(HEAVY)


def test_a_run_never_imports_torch_or_textual(tmp_path: Path) -> None:
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "one.wav").touch()
    (tmp_path / "demo.json").write_text('{"instance_data_dir": "songs"}')
    program = (
        "import sys; from acestep_tui.cli import run_command_line;"
        "code = run_command_line(['--run', 'demo.json'], worker_command=[sys.executable, '-c', 'pass']);"
        "assert code == 1, code"
    )
    assert not imported_after(program, tmp_path) & {"torch", "textual", "numpy", "transformers", "diffusers", "peft"}


def test_every_module_of_the_front_end_imports_without_torch(tmp_path: Path) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "acestep_tui").rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    assert len(names) > 15
    program = "\n".join(f"import {name}" for name in names)
    assert not imported_after(program, tmp_path) & {"torch", "numpy", "transformers", "diffusers", "pydantic"}


def test_help_imports_no_torch_no_textual_no_pydantic_and_is_quick(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "acestep_tui", "--help"]
    took_s = []
    for _ in range(5):
        begun = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        took_s.append(time.monotonic() - begun)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "acestep_tui" in imported
    assert not imported & {"torch", "textual", "pydantic"}
    assert min(took_s) <= MAX_HELP_S
