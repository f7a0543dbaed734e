"""There is no second list of keys: what the code reads of a configuration is declared, and what is declared is read."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from engine.contract.config import Config
from engine.contract.fields import SETTINGS, SETTINGS_BY_KEY

ROOT = Path(__file__).parents[2]
SOURCES = [path for package in ("engine", "acestep_tui") for path in sorted((ROOT / package).rglob("*.py"))]
OWN = {name for name in dir(Config) if not name.startswith("_")}

# Kept as a record of what the user meant; the engine does not act on them.
RECORDS = {"preset_title", "preset_description", "goal"}


def is_run_config(tree: ast.Module) -> bool:
    """Whether a module's `config` is ours: it imports `Config` (model parts have configurations of their own)."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "engine.contract.config"
        and {alias.name for alias in node.names} & {"Config", "Resolved", "resolve"}
        for node in ast.walk(tree)
    )


def attributes_of_config(tree: ast.Module) -> set[str]:
    """Names read as ``config.NAME``, ``self.config.NAME``, ``resolved.config.NAME`` and the like."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if name in ("config", "_config"):
                found.add(node.attr)
    return found


def test_every_setting_that_the_code_reads_is_declared():
    undeclared, num_read = {}, 0
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if is_run_config(tree):
            names = attributes_of_config(tree)
            num_read += len(names & SETTINGS_BY_KEY.keys())
            if unknown := names - SETTINGS_BY_KEY.keys() - OWN:
                undeclared[str(path.relative_to(ROOT))] = sorted(unknown)
    assert not undeclared
    assert num_read > 30, "the search no longer finds how the code reads a configuration"


def test_every_setting_that_is_said_to_work_is_read_somewhere():
    names = set()
    for path in SOURCES:
        if path.name.startswith("fields"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
    unread = {
        setting.key
        for setting in SETTINGS
        if setting.status == "works"
        and setting.key not in names | RECORDS
        # With a single value there is nothing to read; audio_… reach the data sets through their block's keys.
        and not (setting.choices and len(set(setting.choices) - set(setting.later_values)) == 1)
        and setting.key.removeprefix("audio_") not in names
    }
    assert not unread


def test_reading_declarations_and_configurations_imports_no_pydantic():
    code = (
        "import sys, engine.contract.config, engine.contract.backends, engine.contract.presets\n"
        "heavy = {'pydantic', 'torch', 'textual', 'numpy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
