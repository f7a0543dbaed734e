"""The two large help pages: what can be typed, and every setting of a training."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from acestep_tui import __version__
from acestep_tui.headless.options import HELP, RUN_OPTIONS

if TYPE_CHECKING:
    from engine.contract.fields import Setting

_MAX_WIDTH = 100
# What `train --help` lists by name alone, by the status of the setting.
_WITHOUT_EFFECT = {
    "ignored": "Accepted for files made for SimpleTuner, without effect here",
    "later": "Not available yet in this version: accepted at their default alone",
    "refused": "Not supported: accepted at their default alone",
}


class Described(Protocol):
    """A command as help shows it."""

    @property
    def synopsis(self) -> str:
        """How it is typed."""

    @property
    def help(self) -> str:
        """What it does, in one line."""


def short_help(commands: Sequence[Described]) -> Iterable[str]:
    """The page of `--help`, also shown when nothing is typed."""
    yield f"acestep-tui {__version__}: fine-tune the music model ACE-Step v1 on your own songs"
    yield ""
    yield "  acestep-tui                                 the screens: set up a run step by step, watch it, compare runs"
    yield "  acestep-tui --run demo                      try it: train on a dozen synthesised songs, a few minutes"
    yield "  acestep-tui --run FILE [--key=value …]      train with a configuration (SimpleTuner's config.json works)"
    yield "  acestep-tui --run env=NAME [--key=value …]  train with config/NAME/config.json"
    yield ""
    yield "The same command again goes on where the run stopped. Ctrl-C finishes the step, saves and ends."
    yield ""
    yield "Commands"
    yield from listed((command.synopsis, command.help) for command in commands)
    yield ""
    yield "Options of --run and train"
    yield from listed((f"--{name}", HELP[name]) for name in RUN_OPTIONS)
    yield ""
    yield "More about a command: acestep-tui COMMAND --help. Every setting with its default: acestep-tui train --help"


def training_help() -> Iterable[str]:
    """The page of `train --help`: every setting by section, from its one declaration."""
    from engine.contract.fields import SETTINGS

    yield "acestep-tui train env=NAME|FILE [--key=value …]"
    yield ""
    yield 'Settings, in a configuration file as "key": value, here as --key=value. The command line wins over the file.'
    sections = dict.fromkeys(setting.section for setting in SETTINGS)
    for section in sections:
        yield ""
        yield section
        for setting in SETTINGS:
            if setting.section == section and setting.status == "works":
                yield from _setting_lines(setting)
    for status, title in _WITHOUT_EFFECT.items():
        yield ""
        yield title
        yield from filled(", ".join(setting.key for setting in SETTINGS if setting.status == status), 2)


def _setting_lines(setting: Setting) -> Iterable[str]:
    unit = f" {setting.unit}" if setting.unit else ""
    default = "not set" if setting.default in (None, "") else _written(setting.default) + unit
    yield f"  --{setting.key}   {default}"
    yield from filled(f"{setting.help} Accepted: {setting.accepted()}.", 6)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def filled(text: str, indent: int) -> list[str]:
    """A text broken into lines that fit the terminal, each indented by so many spaces."""
    width = min(shutil.get_terminal_size().columns - 1, _MAX_WIDTH)
    return textwrap.wrap(text, max(width, 40), initial_indent=" " * indent, subsequent_indent=" " * indent)


def listed(pairs: Iterable[tuple[str, str]]) -> Iterable[str]:
    """Pairs in two columns."""
    listed = list(pairs)
    column = max(len(left) for left, _ in listed)
    for left, right in listed:
        yield f"  {left:<{column}}  {right}"
