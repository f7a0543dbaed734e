"""`acestep-tui config show|explain`: every value that counts, where it comes from, and what a setting means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_tui.headless import streams
from acestep_tui.headless.command_help import refuse_unknown_switch
from acestep_tui.headless.data_set_facts import data_set_lines, data_sets_of
from acestep_tui.headless.help import filled
from acestep_tui.headless.options import Options, take_options
from acestep_tui.headless.setting_facts import Fact, facts_of, find_setting, nearest_settings, with_unit
from engine.contract.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from engine.contract.config import Resolved

_USAGE = "For example: acestep-tui config show env=NAME --learning_rate=2e-4, or: acestep-tui config explain lora_rank"
_MARK = "●"


def config(arguments: Sequence[str]) -> int:
    """Do `show` or `explain`.

    Raises:
        ConfigError: Bad usage, an unknown setting, or a configuration that cannot be used.
    """
    options, rest = take_options(arguments, ("json",))
    words = [item for item in rest if item in ("show", "explain")]
    if not words:
        raise ConfigError("config needs to know what to do: show or explain", hint=_USAGE)
    rest.remove(words[0])
    refuse_unknown_switch("config", rest)
    return _show(rest, options) if words[0] == "show" else _explain(rest, options)


def _show(items: list[str], options: Options) -> int:
    source, overrides = take_source(items)
    resolved = _resolved(source, overrides)
    facts = facts_of(resolved)
    data_sets, told = data_sets_of(resolved)
    notices = [*resolved.notices, *told]
    for notice in notices:
        streams.say(f"▲ {notice.message}")
    if options.json:
        _put_json(
            {
                "name": resolved.name,
                "path": str(resolved.path),
                "settings": {fact.setting.key: fact.as_json() for fact in facts},
                "data_sets": data_sets.as_json(),
                "notices": [{"code": notice.code, "message": notice.message} for notice in notices],
            }
        )
        return ExitCode.DONE
    for line in (*_show_lines(resolved, facts), "", *data_set_lines(data_sets)):
        streams.put(line)
    return ExitCode.DONE


def _explain(items: list[str], options: Options) -> int:
    if not items or items[0].startswith(("env=", "example=", "--run", "--env")):
        raise ConfigError("config explain needs the name of a setting", hint=_USAGE)
    wanted, rest = items[0], items[1:]
    found = find_setting(wanted)
    if found.setting is None:
        if found.note:
            streams.put(f"{wanted}: {found.note}")
            return ExitCode.DONE
        near = ", ".join(nearest_settings(wanted))
        raise ConfigError(f"Unknown setting: {wanted}", hint=f"Near to it: {near}. docs/settings.md lists all.")
    fact, problem = Fact.of_default(found.setting), ""
    if found.is_setting_of_run and rest:
        source, overrides = take_source(rest)
        try:
            resolved = _resolved(source, overrides)
            fact = next(entry for entry in facts_of(resolved) if entry.setting.key == found.setting.key)
        except ConfigError as error:
            own = [line for line in error.message.splitlines() if found.setting.key in line]
            problem = own[0] if own else error.message.splitlines()[0]
    if options.json:
        _put_json({"key": found.setting.key, **fact.as_json(), **fact.details_as_json(), "problem": problem or None})
        return ExitCode.DONE
    for line in _explain_lines(fact, found.note, problem):
        streams.put(line)
    return ExitCode.DONE


def take_source(items: list[str]) -> tuple[str, list[str]]:
    """The configuration that the arguments name, as `train` and `--run` take it, and the values put over it."""
    from acestep_tui.cli import training_source

    for index, item in enumerate(items):
        if item == "--run" and index + 1 < len(items):
            return items[index + 1], [*items[:index], *items[index + 2 :]]
        if item.startswith("--run="):
            return item.partition("=")[2], [*items[:index], *items[index + 1 :]]
    return training_source(items)


def _resolved(source: str, overrides: Sequence[str]) -> Resolved:
    """The configuration behind a source; the name of a known run means its own frozen one."""
    from engine.contract.config import resolve

    try:
        return resolve(source, overrides, cwd=Path.cwd())
    except ConfigError as error:
        from acestep_tui.runs.registry import known_runs

        run = next((run for run in known_runs() if run.name == source), None)
        if run is None or "no such configuration" not in error.message:
            raise
        return resolve(run.path, overrides, cwd=Path.cwd())


def _put_json(value: dict[str, Any]) -> None:
    streams.put_bytes(json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n")


def _show_lines(resolved: Resolved, facts: Sequence[Fact]) -> Iterable[str]:
    from acestep_tui.paths import shown

    changed = [fact for fact in facts if fact.is_changed]
    yield f"{resolved.name}   {shown(resolved.path)}"
    count = "1 setting differs" if len(changed) == 1 else f"{len(changed)} settings differ"
    yield f"{count} from the default ({_MARK}); the right column says where a value comes from."
    column = max(len(fact.setting.key) for fact in facts)
    # What has no effect here is only of interest where somebody wrote it.
    listed = [fact for fact in facts if fact.setting.status == "works" or fact.is_written or fact.is_changed]
    for section in dict.fromkeys(fact.setting.section for fact in listed):
        yield ""
        yield section
        own = [fact for fact in listed if fact.setting.section == section]
        width = min(max(len(fact.value_words) for fact in own), 40)
        for fact in sorted(own, key=lambda fact: not fact.is_changed):
            mark = _MARK if fact.is_changed else " "
            value = fact.value_words if len(fact.value_words) <= width else f"{fact.value_words[: width - 1]}…"
            yield f"{mark} {fact.setting.key:<{column}}  {value:<{width}}  {fact.origin}".rstrip()


def _explain_lines(fact: Fact, note: str, problem: str) -> Iterable[str]:
    setting = fact.setting
    yield f"{setting.key}   {setting.label} ({setting.section})"
    if note:
        yield from filled(note, 2)
    yield from filled(setting.help, 2)
    yield ""
    rows = [
        ("Value", f"cannot be told: {problem}" if problem else f"{fact.value_words}   ({fact.origin_words})"),
        ("Default", with_unit(setting.default, setting)),
        ("Accepted", setting.accepted() + (f" ({setting.unit})" if setting.unit else "")),
        ("Also named", ", ".join(setting.aliases)),
        ("Written as", ", ".join(f"{name} = {meant}" for name, meant in setting.value_aliases if meant)),
        ("Status", fact.status_words),
        ("On resume", fact.resume_words),
    ]
    for label, text in rows:
        if text:
            yield from _row(label, text)
    for index, entry in enumerate(fact.interactions):
        yield from _row("Goes with" if index == 0 else "", entry.sentence)


def _row(label: str, text: str) -> Iterable[str]:
    """One fact: its name, and its words indented beside it."""
    lines = filled(text, 14)
    yield f"  {label:<12}{lines[0].strip()}"
    yield from lines[1:]
