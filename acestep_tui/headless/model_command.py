"""`acestep-tui model fetch|status|verify`: what is here of a model, bringing the rest, proving it right."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from acestep_tui import consent
from acestep_tui import format as fmt
from acestep_tui.headless import streams
from acestep_tui.headless.cache_care import put_json
from acestep_tui.headless.command_help import unknown_option
from acestep_tui.headless.interrupts import Interrupts
from acestep_tui.headless.options import Options, take_options
from acestep_tui.paths import shown
from acestep_tui.wizard.download import FETCH_COMMAND, DownloadTask, Order, Seen, offline_variable, with_progress
from engine.contract.errors import ConfigError, ExitCode, ModelError
from engine.contract.feature_models import FEATURE_MODELS, FeatureModel, feature_model_of, labels
from engine.contract.feature_models import FETCH_COMMAND as FEATURES_COMMAND
from engine.contract.model_files import RELEASED_MODEL
from engine.hardware.feature_models import status_of
from engine.hardware.models import ModelStatus, PartStatus

ACTIONS = ("status", "fetch", "verify")
OPTIONS = ("json", "quiet", "plain")
SYNOPSIS = "model status|fetch|verify [DIR|NAME]"
CONSENT = "--accept-non-commercial"

_POLL_S = 0.2
_REDRAW_S = 0.5
_BAR_WIDTH = 30
_GLYPHS = {"whole": "✓", "incomplete": "▲", "missing": "✗"}


def model(arguments: Sequence[str], *, fetch_command: Sequence[str] = FETCH_COMMAND) -> int:
    """Do what was asked about models.

    Args:
        arguments: The action, then names or folders; the released model where none is given.
        fetch_command: How a download is started.

    Raises:
        UserError: As the action.
    """
    options, rest = take_options(arguments, OPTIONS)
    has_agreed = CONSENT in rest
    names = [item for item in rest if item != CONSENT]
    if not names or names[0] not in ACTIONS:
        what = f"not {names[0]}" if names else "one of"
        raise ConfigError(f"model: {what}: {', '.join(ACTIONS)}", hint=f"For example: acestep-tui {SYNOPSIS}")
    action, names = names[0], names[1:]
    if unknown := next((item for item in names if item.startswith("-")), None):
        raise unknown_option("model", unknown)
    if action == "status":
        return status(names, options)
    if action == "fetch":
        return fetch(names or [RELEASED_MODEL], options, has_agreed=has_agreed, command=fetch_command)
    if len(names) > 1:
        raise ConfigError(f"One model at a time, not {len(names)}: {' '.join(names)}")
    from acestep_tui.headless.model_verify import verify

    return verify(names[0] if names else RELEASED_MODEL, options)


def status(names: Sequence[str], options: Options) -> int:
    """What is here of the models: the named ones, else the released one and those for musical features.

    Returns:
        MODEL when a named one (or the released one) is not whole, else DONE.
    """
    wanted = list(names) or [RELEASED_MODEL]
    looked = [looked_at(name) for name in wanted]
    # Musical features are a choice: without their models a run trains all the same.
    extra = [] if names else [looked_at(one.name) for one in FEATURE_MODELS]
    if options.json:
        put_json({"models": [status_json(one) for one in (*looked, *extra)]})
    else:
        for one in (*looked, *extra):
            for line in status_lines(one):
                streams.put(line)
    return ExitCode.DONE if all(one.is_ready for one in looked) else ExitCode.MODEL


def looked_at(name: str) -> ModelStatus:
    """What is here of a model, with the sizes that its download has learned from the hub."""
    found = status_of(name)
    if found.kind != "hub" or found.is_whole:
        return found
    return with_progress(found, DownloadTask(Order(found.name)).look())


def status_lines(found: ModelStatus) -> list[str]:
    """One model in a few lines: each part with what is missing of it."""
    feature = feature_model_of(found.name)
    where = "" if found.path is None else f"   {shown(found.path)}"
    title = f"{feature.label} for musical features, {feature.licence}" if feature is not None else found.name
    lines = [f"{title}{where}"]
    if found.kind == "nowhere":
        return [*lines, f"  ✗ {found.problem}"]
    if found.kind == "demo":
        return [*lines, "  ✓ written when it is first needed"]
    width = max(len(part.name) for part in found.parts)
    lines += [f"  {_GLYPHS[part.state]} {part.name:<{width}}   {_part_words(part)}" for part in found.parts]
    if found.is_whole:
        return lines
    missing = found.missing_bytes
    size = f", {fmt.size(missing)} to go" if missing else ""
    if feature is not None:
        return [*lines, f"  optional; fetch both: {FEATURES_COMMAND}"]
    name = "" if found.name == RELEASED_MODEL else f" {found.name}"
    what = f"acestep-tui model fetch{name}{size}" if found.kind == "hub" else "copy the missing files into the folder"
    return [*lines, f"  to complete it: {what}"]


def _part_words(part: PartStatus) -> str:
    total = f" of {fmt.size(part.total_bytes)}" if part.total_bytes and part.state != "whole" else ""
    if part.state == "whole":
        return f"whole, {fmt.size(part.bytes)}"
    if part.state == "missing":
        return f"missing{f', {fmt.size(part.total_bytes)}' if part.total_bytes else ''}"
    why = f": {part.problem}" if part.problem else ""
    return f"incomplete, {fmt.size(part.bytes)}{total}{why}"


def status_json(found: ModelStatus) -> dict[str, Any]:
    """The same as data."""
    feature = feature_model_of(found.name)
    return {
        "name": found.name,
        "kind": found.kind,
        "path": None if found.path is None else str(found.path),
        "is_whole": found.is_whole,
        "is_ready": found.is_ready,
        "is_optional": feature is not None,
        "licence": None if feature is None else feature.licence,
        "problem": found.problem,
        "bytes": found.bytes,
        "missing_bytes": found.missing_bytes,
        "parts": [
            {
                "name": part.name,
                "state": part.state,
                "bytes": part.bytes,
                "total_bytes": part.total_bytes,
                "problem": part.problem,
            }
            for part in found.parts
        ],
    }


def fetch(names: Sequence[str], options: Options, *, has_agreed: bool, command: Sequence[str] = FETCH_COMMAND) -> int:
    """Download models, one after the other. Ctrl-C stops; what arrived stays, and the same command goes on.

    Raises:
        ConfigError: A folder was given, or a model for non-commercial use without the agreement.
        ModelError: The hub refuses or cannot be reached.
    """
    features = [one for one in map(feature_model_of, names) if one is not None]
    if features and not (has_agreed or consent.has_agreed()):
        raise _needs_agreement(features)
    if features:
        consent.agree()
    for name in names:
        code = _fetch_one(name, options, has_agreed=bool(features), command=command)
        if code != ExitCode.DONE:
            return code
    return ExitCode.DONE


def _needs_agreement(features: Sequence[FeatureModel]) -> ConfigError:
    licences = "\n".join(f"  {one.label}: {one.licence}, {one.licence_url}" for one in features)
    names = " ".join(one.name for one in features)
    return ConfigError(
        f"{labels([one.name for one in features])} may be used for non-commercial purposes only:\n{licences}",
        hint=f"If you agree to that: acestep-tui model fetch {names} {CONSENT}",
    )


def _fetch_one(name: str, options: Options, *, has_agreed: bool, command: Sequence[str]) -> int:
    found = status_of(name)
    if found.kind in ("folder", "nowhere") or Path(name).is_dir():
        what = "a folder here" if found.kind == "folder" else "not the id of a hub repository (OWNER/NAME)"
        raise ConfigError(
            f"{name} is {what}; nothing can be fetched",
            hint="Without a name the released model is fetched: acestep-tui model fetch",
        )
    if found.is_whole:
        _say_whole(found, options)
        return ExitCode.DONE
    if variable := offline_variable():
        raise ModelError(f"{variable} forbids to download {found.name}", hint=f"Unset {variable}, then try again.")
    task = DownloadTask(Order(found.name, accept_non_commercial=has_agreed), command=command)
    with Interrupts() as interrupts:
        task.start()
        seen = _follow(task, options, stop=lambda: interrupts.count > 0)
    if seen.state == "stopped":
        streams.say(f"■ {seen.message}. {seen.hint}")
        return ExitCode.STOPPED
    if seen.state != "finished":
        raise ModelError(seen.message or f"the download of {found.name} ended without a word", hint=seen.hint)
    _say_whole(status_of(name), options)
    return ExitCode.DONE


def _say_whole(found: ModelStatus, options: Options) -> None:
    if options.json:
        put_json(status_json(found))
    else:
        where = "" if found.path is None else f" in {shown(found.path)}"
        streams.put(
            f"✓ {found.name} is whole: {fmt.size(found.bytes)}{where}; it is used without a network from now on"
        )


def _follow(task: DownloadTask, options: Options, *, stop: Callable[[], bool]) -> Seen:
    """Watch a download to its end; asks it to stop once ``stop`` says so."""
    is_asked, told, drawn_t, said = False, -1, 0.0, ""
    while True:
        seen = task.look()
        if not seen.is_running:
            _clear_line()
            return seen
        if stop() and not is_asked:
            is_asked = True
            task.stop()
        if seen.message and seen.message != said:
            said = seen.message
            _clear_line()
            streams.say(f"▲ {said}")
        now = time.monotonic()
        if not (options.json or options.quiet):
            if streams.is_screen() and not options.plain:
                if now - drawn_t >= _REDRAW_S:
                    drawn_t = now
                    _draw(progress_line(task.order.model, seen))
            elif (tenth := _tenth(seen)) > told:
                told = tenth
                streams.say(progress_line(task.order.model, seen))
        time.sleep(_POLL_S)


def progress_line(name: str, seen: Seen) -> str:
    """How far a download is: ``◐ NAME  ━━━╸────  3.1 GB of 8.2 GB  42 MB a second  2 min left``."""
    from acestep_tui.headless.terminal import bar  # rich: 60 ms, only while something is downloaded

    progress = seen.progress
    if progress is None:
        return f"◐ {name}   asking the hub …"
    share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 0.0
    parts = [f"{fmt.size(progress.done_bytes)} of {fmt.size(progress.total_bytes)}"]
    if progress.bytes_per_s:
        parts.append(f"{fmt.size(progress.bytes_per_s)} a second")
    if seen.seconds_left is not None:
        parts.append(f"{fmt.duration(seen.seconds_left)} left")
    return f"◐ {name}   {bar(share, _BAR_WIDTH)}   {'   '.join(parts)}"


def _tenth(seen: Seen) -> int:
    progress = seen.progress
    return 0 if progress is None or not progress.total_bytes else 10 * progress.done_bytes // progress.total_bytes


def _draw(text: str) -> None:
    print(f"\r\x1b[2K{streams.fitted(text, sys.stderr)}", end="", file=sys.stderr, flush=True)


def _clear_line() -> None:
    if streams.is_screen():
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
