"""The front end's own options: about how a run is started and shown, never about training (that is configuration)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of the headless commands; each is a bare flag of the same name."""

    json: bool = False
    quiet: bool = False
    plain: bool = False
    yes: bool = False
    fresh: bool = False
    foreground: bool = False
    once: bool = False
    readonly: bool = False


HELP: dict[str, str] = {
    "json": "the events themselves on stdout, one JSON object a line",
    "quiet": "only the summary at the end",
    "plain": "one plain line an event, also on a terminal",
    "yes": "go on where a question would be asked (an estimate above the free disk space)",
    "fresh": "start anew: an old run in the same folder is renamed to NAME.1, never deleted",
    "foreground": "keep the worker in this process group (containers, Slurm, systemd)",
    "once": "show what is known now and leave",
    "readonly": "on the screen: look, but touch nothing",
}

RUN_OPTIONS = ("json", "quiet", "plain", "yes", "fresh", "foreground")
ATTACH_OPTIONS = ("json", "plain", "once", "readonly")


def take_options(arguments: Sequence[str], allowed: Sequence[str]) -> tuple[Options, list[str]]:
    """Split off the switches in ``allowed``; everything else comes back in order."""
    options, rest = Options(), []
    names = {f"--{field.name}" for field in fields(Options) if field.name in allowed}
    for argument in arguments:
        if argument in names:
            options = replace(options, **{argument.removeprefix("--"): True})
        else:
            rest.append(argument)
    return options, rest
