"""`acestep-tui migrate`: a command line of the original ACE-Step trainer becomes config/NAME."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_tui.headless import streams
from acestep_tui.headless.help import filled
from engine.contract.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from acestep_tui.migrate.upstream import Line, Migration
    from acestep_tui.migrate.write import Written

_HELP = """acestep-tui migrate [--force] [--name=NAME] [--json] "python trainer.py --learning_rate 1e-4 …"
acestep-tui migrate [--force] [--name=NAME] [--json] -- python trainer.py --learning_rate 1e-4 …

Makes config/NAME/config.json and config/NAME/multidatabackend.json of a command line of the original ACE-Step
trainer, and says what became of each option. NAME is its --exp_name unless you give one.

  --force      replace files that are there; the old ones are kept as NAME.bak1, NAME.bak2, …
  --name=NAME  another name
  --json       the result as data
"""


def migrate(arguments: Sequence[str]) -> int:
    """Convert, write and tell.

    Raises:
        ConfigError: Bad usage, a command line that is none of the trainer's, or files that would be replaced.
        DiskError: They cannot be written.
    """
    switches, names, words = _split(arguments)
    if "--help" in switches or "-h" in switches:
        streams.put(_HELP.rstrip())
        return ExitCode.DONE
    if not words:
        raise ConfigError(
            "migrate needs a command line of ACE-Step's trainer",
            hint='For example: acestep-tui migrate "python trainer.py --learning_rate 1e-4 --exp_name my_lora"',
        )
    from acestep_tui.migrate.upstream import migrate_command, split_command

    words = split_command(words)
    same = _needs_nothing(words)
    if same is not None:
        return _tell_same(same, is_json="--json" in switches)
    migration = migrate_command(words, name=names[-1] if names else None, cwd=Path.cwd())
    written = _write(migration, force="--force" in switches)
    if "--json" in switches:
        streams.put_bytes(json.dumps(_as_json(migration, written), ensure_ascii=False, indent=2).encode() + b"\n")
        return ExitCode.DONE
    for line in _lines(migration, written):
        streams.put(line)
    return ExitCode.DONE


def _split(arguments: Sequence[str]) -> tuple[set[str], list[str], list[str]]:
    """Our own switches (they stand first), the names given, and the words of the other program's command."""
    switches: set[str] = set()
    names: list[str] = []
    items = list(arguments)
    while items and items[0].startswith("-"):
        item = items.pop(0)
        if item == "--":
            break
        if item.startswith("--name="):
            names.append(item.partition("=")[2])
        elif item == "--name" and items:
            names.append(items.pop(0))
        elif item in ("--force", "--json", "--help", "-h"):
            switches.add(item)
        else:
            items.insert(0, item)  # somebody left out `python trainer.py`
            break
    # Behind a command in quotation marks our switches are still ours.
    while len(items) > 1 and " " in items[0] and items[-1] in ("--force", "--json"):
        switches.add(items.pop())
    for name in names:
        if not name or Path(name).name != name:
            raise ConfigError(f"--name={name}: not a name", hint="It becomes a folder's name, such as my-album.")
    return switches, names, items


def _needs_nothing(words: Sequence[str]) -> list[str] | None:
    """The words of `acestep-tui` that do the same, when what was given is SimpleTuner's own already; else None."""
    from engine.contract.presets import bundled

    if Path(words[0]).name in ("simpletuner", "acestep-tui") and len(words) > 1:
        return list(words[1:])
    if len(words) == 1:
        path = Path(words[0])
        if words[0].startswith(("env=", "example=")):
            return ["train", words[0]]
        if (path / "config.json").is_file() and path.parent == Path("config"):
            return ["train", f"env={path.name}"]
        if (path / "config.json").is_file() or (path.suffix == ".json" and path.is_file()) or bundled(path):
            return ["train", words[0]]
    return None


def _tell_same(command: Sequence[str], *, is_json: bool) -> int:
    """Say that nothing has to be converted, after a look whether it can be used.

    Raises:
        ConfigError: It cannot: every bad value in one message.
    """
    from acestep_tui.cli import training_source
    from engine.contract.config import resolve

    source, overrides = training_source([item for item in command[1:] if item not in ("--yes", "--json", "--quiet")])
    resolved = resolve(source, overrides, cwd=Path.cwd())
    typed = shlex.join(["acestep-tui", *command])
    if is_json:
        notices = [notice.message for notice in resolved.notices]
        result = {"needs_nothing": True, "path": str(resolved.path), "command": typed, "notices": notices}
        streams.put_bytes(json.dumps(result, ensure_ascii=False, indent=2).encode() + b"\n")
        return ExitCode.DONE
    for notice in resolved.notices:
        streams.say(f"▲ {notice.message}")
    streams.put("This is a configuration of SimpleTuner's form: it needs nothing, and is used as it is.")
    streams.put(f"  {typed}")
    return ExitCode.DONE


def _write(migration: Migration, *, force: bool) -> list[Written]:
    from acestep_tui.migrate.write import write_files

    folder = Path("config") / migration.name
    files: dict[Path, Any] = {
        folder / "config.json": migration.config,
        folder / "multidatabackend.json": migration.backends,
    }
    return write_files(files, force=force, may_replace=_ask if sys.stdin.isatty() else None)


def _ask(paths: list[Path]) -> bool:
    """Ask on the terminal; anything but a yes is a no."""
    names = ", ".join(str(path) for path in paths)
    streams.say(f"▲ {names}: there already. Replace it and keep the old one as a backup? [y/N]")
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def _lines(migration: Migration, written: Sequence[Written]) -> Iterable[str]:
    width = max((len(line.theirs) for line in migration.lines), default=0)
    width = min(width, 36)
    yield "What was typed, and what it is here"
    yield from _table(migration.lines, width)
    yield ""
    yield "What that trainer does by itself, written down so that the training is the same"
    for entry in migration.fixed:
        yield from filled(_settings_words(entry), 2)
        yield from filled("; ".join(part for part in (entry.theirs, entry.note) if part), 6)
    if migration.unused:
        yield ""
        yield "Without an equivalent"
        yield from (line for entry in migration.unused for line in filled(f"✗ {entry.theirs}: {entry.note}.", 2))
    yield ""
    for file in written:
        kept = f"; the old one is {file.backup}" if file.backup else ""
        yield f"✓ {file.path}{kept}"
    yield ""
    yield f"  acestep-tui train env={migration.name}"


def _table(entries: Sequence[Line], width: int) -> Iterable[str]:
    for entry in entries:
        text = "; ".join(part for part in (_settings_words(entry), entry.note) if part)
        if len(entry.theirs) > width:
            yield f"  {entry.theirs}"
            yield from filled(text, width + 4)
        else:
            first, *others = filled(text, width + 4) or [""]
            yield f"  {entry.theirs:<{width}}  {first.strip()}"
            yield from others


def _settings_words(entry: Line) -> str:
    from acestep_tui.headless.setting_facts import written as value_words

    return "   ".join(f"{key} {value_words(value)}" for key, value in entry.settings.items())


def _as_json(migration: Migration, written: Sequence[Written]) -> dict[str, Any]:
    def lines(entries: Sequence[Line]) -> list[dict[str, Any]]:
        return [{"theirs": entry.theirs, "settings": dict(entry.settings), "note": entry.note} for entry in entries]

    return {
        "name": migration.name,
        "config": migration.config,
        "backends": migration.backends,
        "options": lines(migration.lines),
        "by_itself": lines(migration.fixed),
        "without_equivalent": lines(migration.unused),
        "files": [
            {"path": str(entry.path), "backup": str(entry.backup) if entry.backup else None} for entry in written
        ],
    }
