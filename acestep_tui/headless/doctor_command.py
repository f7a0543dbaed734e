"""`acestep-tui doctor`: this computer in full, in lines or as one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from acestep_tui.doctor import Check, machine_checks, network_check, report_lines, write_speed_check
from acestep_tui.doctor_training import training_checks, training_json
from acestep_tui.headless import streams
from acestep_tui.headless.cache_care import put_json
from acestep_tui.headless.command_help import unknown_option
from acestep_tui.headless.options import take_options
from acestep_tui.look import model_check
from acestep_tui.paths import absolute
from acestep_tui.settings import load_settings
from engine.contract.errors import ConfigError, ExitCode
from engine.hardware.machine import look_at_machine

SYNOPSIS = "doctor [--json]"


def doctor(arguments: Sequence[str]) -> int:
    """Look at this computer and say what is found.

    Returns:
        USAGE when something must be mended before a training can start, else DONE.

    Raises:
        ConfigError: Something else than `--json` was typed.
    """
    options, rest = take_options(arguments, ("json",))
    if rest:
        if rest[0].startswith("-"):
            raise unknown_option("doctor", rest[0])
        raise ConfigError(f"doctor: {rest[0]} is not known", hint=f"acestep-tui {SYNOPSIS}")
    folder = absolute(load_settings()["runs_folder"])
    machine = look_at_machine(folder)
    checks, training = [*machine_checks(machine), model_check()], training_checks(machine)
    if options.json:
        checks += training
        said = [asdict(check) for check in checks if check.state != "value"]
        put_json({"checks": said, **training_json(machine)})
    else:
        checks += [write_speed_check(folder), network_check(), *training]
        for line in report_lines(checks):
            streams.put(line)
    return int(ExitCode.USAGE if has_error(checks) else ExitCode.DONE)


def has_error(checks: Sequence[Check]) -> bool:
    """Whether anything must be mended first."""
    return any(check.state == "error" for check in checks)
