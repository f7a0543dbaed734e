"""Commands from viewers to a worker: one file each, renamed in; the worker deletes it after acting."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.files import write_json

# stop_now finishes the step under way and saves it; abort finishes it and saves nothing.
COMMANDS = ("pause", "resume", "save", "sample", "stop_after_save", "stop_now", "abort")


@dataclass(frozen=True, slots=True)
class Command:
    """One command found in a run's control folder."""

    kind: str
    id: str
    path: Path
    arguments: dict[str, Any] = field(default_factory=dict)


def send(control: Path, kind: str, **arguments: Any) -> str:
    """Put a command into ``control`` and return its id, which comes back in the `command_done` event.

    Raises:
        ValueError: Not one of `COMMANDS`.
        DiskError: The folder cannot be written.
    """
    if kind not in COMMANDS:
        raise ValueError(f"{kind} is not a command; one of {', '.join(COMMANDS)}")
    # Time first, so that names sort in the order of sending; the process id keeps two senders apart.
    command_id = f"{time.time_ns()}-{os.getpid()}-{kind}"
    write_json(
        control / f"{command_id}.json", {"kind": kind, "id": command_id, **arguments}, action="sending a command"
    )
    return command_id


def pending(control: Path) -> list[Command]:
    """Commands waiting in ``control``, oldest first; an unreadable file comes as kind ``invalid`` to be answered."""
    commands = []
    try:
        names = sorted(
            entry for entry in control.iterdir() if entry.suffix == ".json" and not entry.name.startswith(".")
        )
    except FileNotFoundError:
        return []
    for path in names:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            kind = data.pop("kind")
            command_id = data.pop("id", path.stem)
        except (OSError, ValueError, KeyError, AttributeError):
            commands.append(Command(kind="invalid", id=path.stem, path=path))
            continue
        commands.append(Command(kind=str(kind), id=str(command_id), path=path, arguments=data))
    return commands
