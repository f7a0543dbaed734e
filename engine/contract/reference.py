"""Writes docs/settings.md from the declarations: `python -m engine.contract.reference`. A test compares."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from engine.contract.fields import NEGATED_ALIASES, SETTINGS
from engine.contract.fields_audio import AUDIO_SETTINGS
from engine.contract.fields_backend import BACKEND_SETTINGS
from engine.contract.fields_base import Setting, Value
from engine.contract.fields_hub import HUB_SETTINGS, SHUFFLE_SETTINGS
from engine.contract.files import write_atomic
from engine.contract.foreign_keys import FOREIGN_KEYS
from engine.contract.interactions import INTERACTIONS

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
_HEAD = """# Settings

Made by `python -m engine.contract.reference` from the declarations in `engine/contract/fields*.py`; do not edit.

A configuration is one flat JSON object, in the format of SimpleTuner's `config.json`. Every key has a default, so a
file holds only what it changes. A key may be written with or without leading `--`; `-` and `_` in it are the same. The
same names work on the command line: `acestep-tui --run FILE --key=value`. An empty text or `null` means "not written".

Marks: **no effect** is accepted, and reported once when it differs from the default. **later** is not available yet in
this version: the default is accepted, anything else is an error. **not supported** is the same, and not planned.
"""
_STATUS_MARKS = {"works": "", "ignored": "**no effect**", "later": "**later**", "refused": "**not supported**"}


def reference_page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for section, settings in groupby(
        sorted(SETTINGS, key=lambda setting: _order(setting.section)), key=lambda setting: setting.section
    ):
        parts.append(f"## {section}\n\n{_table(list(settings))}")
    parts.append(f"## multidatabackend.json: one data set\n\n{_table(BACKEND_SETTINGS)}")
    parts.append(
        "## multidatabackend.json: its `audio` block\n\n"
        "The names that begin with `audio_` may also stand directly on the data set, and in config.json for all.\n\n"
        f"{_table(AUDIO_SETTINGS)}"
    )
    parts.append(
        "## multidatabackend.json: a hub data set\n\n"
        "They may stand in `config`, in `huggingface` or directly on the data set; the first of these counts.\n\n"
        f"{_table(HUB_SETTINGS)}"
    )
    parts.append(f"## multidatabackend.json: its `caption_shuffle`\n\n{_table(SHUFFLE_SETTINGS)}")
    parts.append(
        "## What acts on what\n\nAlso told by `acestep-tui config explain KEY`.\n\n"
        + "".join(f"- {', '.join(f'`{key}`' for key in entry.keys)}: {entry.sentence}\n" for entry in INTERACTIONS)
    )
    parts.append(
        "## Names from SimpleTuner without effect here\n\n"
        "They are accepted and reported once. `…` stands for any ending.\n\n"
        + "".join(f"- **{group.why}**: {_foreign(group.names)}.\n" for group in FOREIGN_KEYS)
    )
    return "\n".join(parts)


def _foreign(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}…`" if name.endswith("_") else f"`{name}`" for name in names)


def _order(section: str) -> int:
    sections = list(dict.fromkeys(setting.section for setting in SETTINGS))
    return sections.index(section)


def _table(settings: Sequence[Setting]) -> str:
    rows = ["| key | default | accepted | meaning |", "|---|---|---|---|"]
    rows += [
        f"| {_names(setting)} | {_value(setting.default)} | {_accepted(setting)} | {_meaning(setting)} |"
        for setting in settings
    ]
    return "\n".join(rows) + "\n"


def _names(setting: Setting) -> str:
    turned = [f"{old} (turned round)" for old, key in NEGATED_ALIASES.items() if key == setting.key]
    others = [*setting.aliases, *turned]
    return f"`{setting.key}`" + (f"<br>also {', '.join(others)}" if others else "")


def _value(value: Value) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    return ", ".join(value) or "(empty)" if isinstance(value, tuple) else str(value)


def _accepted(setting: Setting) -> str:
    unit = f" ({setting.unit})" if setting.unit else ""
    return setting.accepted() + unit


def _meaning(setting: Setting) -> str:
    mark = _STATUS_MARKS[setting.status]
    later = f"**later**: {', '.join(setting.later_values)}" if setting.later_values else ""
    note = setting.status_note if setting.status != "works" else ""
    tail = " ".join(part for part in (mark, later, f"({note})" if note else "") if part)
    return f"{setting.help} {tail}".strip()


if __name__ == "__main__":
    write_atomic(_PAGE, reference_page().encode())
    print(_PAGE)
