"""The command line: what was typed is sorted out here, and only what it needs is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acestep_tui.headless import streams
from acestep_tui.headless.options import ATTACH_OPTIONS, RUN_OPTIONS, Options, take_options
from engine.contract.errors import ConfigError, ExitCode, UserError

if TYPE_CHECKING:
    from engine.contract.run_dir import RunDir

# SimpleTuner's order of the variables that name an environment.
_ENV_VARIABLES = ("SIMPLETUNER_ENVIRONMENT", "SIMPLETUNER_ENV", "ENV")
_SOURCE_WORDS = ("env", "example")


@dataclass(frozen=True, slots=True)
class Command:
    """One word after `acestep-tui`: how it is typed, what it does in one line, who does it."""

    word: str
    synopsis: str
    help: str
    run: Callable[[Sequence[str], Sequence[str] | None], int]


def run_command_line(arguments: Sequence[str], *, worker_command: Sequence[str] | None = None) -> int:
    """Do what the arguments ask for and return the exit code (`engine.contract.errors.ExitCode`).

    Args:
        arguments: What was typed after the program's name.
        worker_command: How a worker is started; None for the engine's own.
    """
    streams.never_fail_to_encode()
    try:
        return int(_dispatch(list(arguments), worker_command))
    except UserError as error:
        streams.say(f"✗ {error.message}")
        if error.hint:
            streams.say(f"  {error.hint}")
        return int(error.exit_code)
    except BrokenPipeError:
        streams.let_reader_go()
        return int(ExitCode.INTERNAL)
    except KeyboardInterrupt:
        streams.say("Nothing was started.")
        return int(ExitCode.STOPPED)
    except Exception as error:
        return _report_bug(error)


def _report_bug(error: Exception) -> int:
    """A fault of this front end: one sentence for people, the traceback in a file for a report."""
    import traceback

    from acestep_tui.paths import state_dir

    path = state_dir() / "crash.log"
    streams.say(f"✗ acestep-tui itself failed: {type(error).__name__}: {error}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        streams.say(f"  This is a bug; the details are in {path}. A training that was started goes on.")
    except OSError:
        traceback.print_exception(error)
    return int(ExitCode.INTERNAL)


def _dispatch(arguments: list[str], worker_command: Sequence[str] | None) -> int:
    if not arguments:
        return _open_app() if streams.can_open_screens() else _help([], None)
    if arguments[0] == "migrate":
        return _migrate(arguments[1:], None)  # what stands behind it is another program's, switches and all
    if {"--help", "-h"} & set(arguments):
        return _help(arguments, None)
    if arguments[0] in ("--version", "-V"):
        return _version()
    if arguments[0] != "config" and any(item == "--run" or item.startswith("--run=") for item in arguments):
        return _run(arguments, worker_command)
    # The front end's switches may stand before the command: `acestep-tui --json attach`.
    place = next((index for index, item in enumerate(arguments) if not item.startswith("-")), None)
    if place is None:
        raise _unknown_option(arguments[0])
    word = arguments[place]
    command = next((entry for entry in COMMANDS if entry.word == word), None)
    if command is None:
        raise _unknown_command(word)
    return command.run([*arguments[:place], *arguments[place + 1 :]], worker_command)


def _run(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    """`acestep-tui [options] --run FILE|PRESET|env=NAME [--key=value …]`."""
    options, rest = take_options(arguments, RUN_OPTIONS)
    place = next(index for index, item in enumerate(rest) if item == "--run" or item.startswith("--run="))
    if place > 0:
        raise _unknown_option(rest[0])
    source = rest.pop(0).partition("=")[2]
    if not source:
        if not rest or rest[0].startswith("-"):
            raise ConfigError("--run needs a configuration", hint="For example: acestep-tui --run demo")
        source = rest.pop(0)
    return _train_on(source, rest, options, arguments, worker_command)


def _train(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    """`acestep-tui train env=NAME | FILE | --env NAME [--key=value …]`."""
    options, rest = take_options(arguments, RUN_OPTIONS)
    source, rest = training_source(rest)
    return _train_on(source, rest, options, ["train", *arguments], worker_command)


def training_source(items: list[str]) -> tuple[str, list[str]]:
    """The configuration among the arguments of `train`, and the rest of them.

    Nothing given means the environment variable, then ./config.json.
    """
    for index, item in enumerate(items):
        word, equals, name = item.removeprefix("--").partition("=")
        if word in _SOURCE_WORDS and equals:
            return f"{word}={name}", [*items[:index], *items[index + 1 :]]
        if word in _SOURCE_WORDS and item.startswith("--") and index + 1 < len(items):
            return f"{word}={items[index + 1]}", [*items[:index], *items[index + 2 :]]
    if items and not items[0].startswith("-") and "=" not in items[0]:
        return items[0], items[1:]
    named = next((os.environ[name] for name in _ENV_VARIABLES if os.environ.get(name)), "default")
    return f"env={named}", items


def _train_on(
    source: str,
    overrides: Sequence[str],
    options: Options,
    typed: Sequence[str],
    worker_command: Sequence[str] | None,
) -> int:
    from acestep_tui.headless.run import Request, run
    from acestep_tui.runs.launch import WORKER_COMMAND

    _refuse_mistyped_switch(overrides)
    request = Request(
        source=source,
        overrides=overrides,
        options=options,
        typed=["acestep-tui", *typed],
        worker_command=worker_command or WORKER_COMMAND,
    )
    return run(request)


def _refuse_mistyped_switch(overrides: Sequence[str]) -> None:
    """`--quet` is no setting: among those the nearest would be a strange one."""
    import difflib  # 5 ms, only when a training is started

    from engine.contract.fields import SETTINGS

    keys = {setting.key for setting in SETTINGS}
    for item in overrides:
        word = item.removeprefix("--")
        is_setting = not item.startswith("--") or "=" in word or word.replace("-", "_") in keys
        if not is_setting and difflib.get_close_matches(word, RUN_OPTIONS, n=1, cutoff=0.7):
            raise _unknown_option(item)


def _attach(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    from acestep_tui.headless.attach import attach

    options, rest = take_options(arguments, ATTACH_OPTIONS)
    wanted = _one_run(rest)
    if streams.can_open_screens() and not (options.plain or options.json or options.once):
        from acestep_tui.runs.registry import find_run

        return _open_app(find_run(wanted), is_readonly=options.readonly)
    return attach(wanted, options)


def _open_app(run: RunDir | None = None, *, is_readonly: bool = False) -> int:
    from acestep_tui.app import Start, run_app  # textual: 0.3 s, only when a screen is wanted

    return run_app(Start(run, is_readonly=is_readonly))


def _runs(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    from acestep_tui.headless.runs_table import runs

    options, rest = take_options(arguments, ("json",))
    if rest:
        from acestep_tui.headless.command_help import unknown_option

        raise unknown_option("runs", rest[0])
    return runs(options)


def _config(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    from acestep_tui.headless.config_command import config

    return config(arguments)


def _migrate(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    from acestep_tui.headless.migrate_command import migrate

    return migrate(arguments)


def _cache(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    from acestep_tui.headless.cache_command import cache

    return cache(arguments)


def _scan(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    from acestep_tui.headless.scan_command import scan

    return scan(arguments)


def _model(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    from acestep_tui.headless.model_command import model

    return model(arguments)


def _doctor(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    from acestep_tui.headless.doctor_command import doctor

    return doctor(arguments)


def _control(word: str) -> Callable[[Sequence[str], Sequence[str] | None], int]:
    def send(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
        from acestep_tui.headless.control import command

        return command(word, _one_run(arguments))

    return send


def _one_run(arguments: Sequence[str]) -> str | None:
    """The run named by the arguments; None for the newest."""
    for item in arguments:
        if item.startswith("-"):
            raise _unknown_option(item)
    if len(arguments) > 1:
        raise ConfigError(f"One run at a time, not {len(arguments)}: {' '.join(arguments)}")
    return arguments[0] if arguments else None


def _help(arguments: Sequence[str], worker_command: Sequence[str] | None) -> int:
    from acestep_tui.headless.command_help import PAGES, page_lines
    from acestep_tui.headless.help import short_help, training_help

    asked = next((entry for entry in COMMANDS if entry.word in arguments and entry.word != "help"), None)
    if asked is not None and asked.word == "migrate":
        return _migrate(["--help"], None)
    if asked is None or "--run" in arguments:
        lines = short_help(COMMANDS)
    else:
        lines = training_help() if asked.word == "train" else page_lines(asked, PAGES.get(asked.word))
    for line in lines:
        streams.put(line)
    return ExitCode.DONE


def _version() -> int:
    from acestep_tui import __version__

    streams.put(f"acestep-tui {__version__}")
    return ExitCode.DONE


COMMANDS: tuple[Command, ...] = (
    Command(
        "train", "train env=NAME|FILE [--key=value …]", "train as --run does; finds config/NAME/config.json", _train
    ),
    Command("runs", "runs [--json]", "list all runs and how they are", _runs),
    Command("attach", "attach [RUN] [--plain|--json] [--once]", "watch a run; leaving never stops it", _attach),
    Command("stop", "stop [RUN]", "finish the step, save, end; the same command goes on later", _control("stop")),
    Command("pause", "pause [RUN]", "stand still after the step under way", _control("pause")),
    Command("resume", "resume [RUN]", "go on after a pause", _control("resume")),
    Command("save", "save [RUN]", "make a save point (a checkpoint) now", _control("save")),
    Command("sample", "sample [RUN]", "make a test clip now", _control("sample")),
    Command(
        "config", "config show|explain KEY [FILE|env=NAME] [--json]", "every value with its origin; a setting", _config
    ),
    Command("migrate", 'migrate [--force] "COMMAND"', "a command line of ACE-Step's trainer as config/NAME", _migrate),
    Command("scan", "scan DIR|FILE|env=NAME [--show SONG]", "what is in your songs, what is wrong with them", _scan),
    Command("model", "model status|fetch|verify [DIR|NAME]", "what is here of a model; get it; prove it right", _model),
    Command("cache", "cache build|status|verify|prune [FILE]", "prepare songs alone; look after what is there", _cache),
    Command("doctor", "doctor [--json]", "this computer: card, driver, disk, what suits it", _doctor),
    Command("help", "help", "this page; `train --help` lists every setting", _help),
)


def _unknown_command(word: str) -> ConfigError:
    if os.path.exists(word) or word.startswith(("env=", "example=")):  # noqa: PTH110 - pathlib costs more than this whole file
        return ConfigError(f"{word} is not a command", hint=f"To train with it: acestep-tui --run {word}")
    return ConfigError(f"Unknown command: {word}", hint=_nearest(word, [entry.word for entry in COMMANDS]))


def _unknown_option(option: str) -> ConfigError:
    known = ["--run", "--help", "--version", *(f"--{name}" for name in (*RUN_OPTIONS, *ATTACH_OPTIONS))]
    hint = _nearest(option.partition("=")[0], known)
    if "=" in option:
        hint += " Settings (--key=value) stand after --run FILE."
    return ConfigError(f"Unknown option: {option}", hint=hint)


def _nearest(typed: str, known: Sequence[str]) -> str:
    import difflib  # 5 ms, only on a mistyped word

    close = difflib.get_close_matches(typed, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}? `acestep-tui --help` lists all." if close else "See `acestep-tui --help`."
