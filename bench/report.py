"""The result of `make bench`: one JSON file, and one Markdown table of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.machine import Machine
from bench.parts import PARTS

SCHEMA = 1
JSON_FILE, MARKDOWN_FILE = "bench.json", "bench.md"
_ABOUT_TINY = (
    "says that everything runs here and how the forms compare with each other, not how fast the real model is. The "
    "goals are not meant for it."
)


def new_report(machine: Machine, when: str) -> dict[str, Any]:
    """A report without figures.

    Returns:
        schema, when, machine (`Machine.identity`), parts (by name: see `bench.__main__.measure`), left_out (name →
        reason).
    """
    return {"schema": SCHEMA, "when": when, "machine": machine.identity, "parts": {}, "left_out": {}}


def kept_parts(out: Path, machine: Machine) -> dict[str, Any]:
    """The parts of the report that lies there, if it is of this machine with these versions; else none."""
    try:
        before = json.loads((out / JSON_FILE).read_text(encoding="utf-8"))
        is_same = before["schema"] == SCHEMA and before["machine"] == machine.identity
        return dict(before["parts"]) if is_same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_report(out: Path, report: Mapping[str, Any]) -> None:
    """Write both files, parts in their usual order."""
    out.mkdir(parents=True, exist_ok=True)
    parts = report["parts"]
    ordered = {**report, "parts": {part.name: parts[part.name] for part in PARTS if part.name in parts}}
    text = json.dumps(ordered, indent=1, ensure_ascii=False)
    (out / JSON_FILE).write_text(f"{text}\n", encoding="utf-8")
    (out / MARKDOWN_FILE).write_text(markdown(ordered), encoding="utf-8")


def markdown(report: Mapping[str, Any]) -> str:
    """The report for people: machine, then one table of all figures."""
    machine, parts = report["machine"], report["parts"]
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in machine["versions"].items())
    driver = f", driver {machine['driver']}" if machine["driver"] else ""
    lines = ["# What this machine does", ""]
    lines += [f"- {report['when']}, {machine['system']}", f"- {machine['device']}{driver}, {machine['cores']} cores"]
    lines += [f"- {versions}", ""]
    tiny = [name for name, part in parts.items() if part["size"] == "tiny"]
    if tiny:
        lines += [f"Measured with the tiny model: {', '.join(tiny)}. This {_ABOUT_TINY}", ""]
    lines += ["| what | figure | goal (issue 6: real sizes, one H100) | command |", "|---|---|---|---|"]
    for part in parts.values():
        lines += _rows(part)
    for name, reason in report["left_out"].items():
        lines.append(f"| {name} | not measured: {_cell(reason)} | – | – |")
    return "\n".join(lines) + "\n"


def _rows(part: Mapping[str, Any]) -> list[str]:
    command = f"`{part['command']}`"
    rows = [
        f"| {_cell(figure['what'])} | {shown(figure['values'])} | {_cell(figure['goal'] or '–')} | {command} |"
        for figure in part["figures"]
    ]
    problems = ([part["failure"]] if part["failure"] else []) + list(part["problems"])
    return rows + [f"| **{part['name']}** | **failed:** {_cell(problem)} | – | {command} |" for problem in problems]


def shown(values: Mapping[str, float]) -> str:
    """Values with their units, three digits of each."""
    return ", ".join(f"{_number(value)} {unit}" for unit, value in values.items()) or "–"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(words: str) -> str:
    """Words that break no table."""
    return " ".join(words.split()).replace("|", "\\|")
