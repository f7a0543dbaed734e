"""The help page of each command, and what to say about an option that it does not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from acestep_tui.headless.help import Described, filled, listed
from acestep_tui.headless.options import HELP
from engine.contract.errors import ConfigError

_CHANGES = "--key=value"
# Other ways to name the configuration.
_SOURCES = ("--env", "--example", "--run")
_JSON = ("--json", "the result as data")


@dataclass(frozen=True, slots=True)
class Page:
    """How a command is typed, what it does, its actions and its options, each with a few words."""

    usage: tuple[str, ...]
    what: str
    actions: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    @property
    def option_names(self) -> tuple[str, ...]:
        """The options as they are typed, without their values."""
        return tuple(left.split()[0].partition("=")[0] for left, _ in self.options if left != _CHANGES)


PAGES: dict[str, Page] = {
    "config": Page(
        ("config show [FILE|env=NAME|RUN] [--key=value …]", "config explain KEY [FILE|env=NAME]"),
        "Nothing is started or written. Without a name: the environment variable, then config.json.",
        (
            ("show", "every value that counts with its origin, and the data sets"),
            ("explain", "what a setting does, what it accepts and goes with, and its value"),
        ),
        ((_CHANGES, "a value put over the file's"), _JSON),
    ),
    "model": Page(
        ("model status [DIR|NAME …]", "model fetch [NAME …]", "model verify [DIR|NAME]"),
        "Without a name: the released model. mert and mhubert are the models for musical features.",
        (
            ("status", "what is here of a model, part by part"),
            ("fetch", "download what is missing; goes on where it was; afterwards no network is needed"),
            ("verify", "prove in two minutes that the files are right on this computer"),
        ),
        (
            ("--accept-non-commercial", "fetch: you agree that mert and mhubert are not for commercial use"),
            ("--quiet", "only the end"),
            ("--plain", "plain lines instead of a moving bar"),
            _JSON,
        ),
    ),
    "cache": Page(
        (
            "cache build [FILE|env=NAME] [--key=value …]",
            "cache status|verify|prune [FILE|env=NAME] [--key=value …]",
        ),
        "What is prepared of songs and captions. Without a name, status, verify and prune look at every known place.",
        (
            ("build", "prepare all songs and captions now, without a training"),
            ("status", "entries and bytes by data set, and which runs take them"),
            ("verify", "read every entry, and name the damaged ones"),
            ("prune", "remove what no known run took for 30 days; songs and runs are never touched"),
        ),
        (
            (_CHANGES, "a value put over the file's"),
            ("--yes", "verify, prune: remove without asking; build: also where the disk may be too small"),
            ("--quiet", "only the end"),
            ("--plain", "build: one plain line an event, also on a terminal"),
            _JSON,
        ),
    ),
    "scan": Page(
        ("scan DIR|FILE|env=NAME [--quick|--thorough] [--key=value …]", "scan DIR|FILE|env=NAME --show SONG"),
        "The data doctor: what is in your songs, and what is wrong with them. Nothing is changed.",
        (),
        (
            ("--quick", "look at the files without hearing them"),
            ("--thorough", "hear every song in full"),
            ("--show SONG", "what the model will see of one song"),
            (_CHANGES, "a value put over the file's"),
            ("--quiet", "no moving bar"),
            _JSON,
        ),
    ),
    "runs": Page(("runs [--json]",), "All known runs, how they are and what they need.", (), (_JSON,)),
    "attach": Page(
        ("attach [RUN] [--readonly|--plain|--json] [--once]",),
        "Watch a run, the newest without a name. Leaving never stops it.",
        (),
        tuple((f"--{name}", HELP[name]) for name in ("readonly", "plain", "json", "once")),
    ),
    "doctor": Page(("doctor [--json]",), "This computer: card, driver, disk, and what suits it.", (), (_JSON,)),
}


def page_lines(command: Described, page: Page | None) -> Iterable[str]:
    """The help of one command; of one that has no page of its own, its one line."""
    for usage in page.usage if page is not None else (command.synopsis,):
        yield f"acestep-tui {usage}"
    yield ""
    yield from filled(page.what if page is not None else f"{command.help[:1].upper()}{command.help[1:]}.", 0)
    for rows in (page.actions, page.options) if page is not None else ():
        if rows:
            yield ""
            yield from listed(rows)


def unknown_option(word: str, option: str, *, setting: str = "") -> ConfigError:
    """What to say about an option that a command does not have, with the nearest that it has.

    Args:
        word: The command.
        option: As typed.
        setting: What to say where a setting may be meant.
    """
    import difflib  # 5 ms, only on a mistyped word

    known = PAGES[word].option_names
    close = difflib.get_close_matches(option.partition("=")[0], known, n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]}? " if close else f"It has {', '.join(known)}. {setting} ".replace("  ", " ")
    return ConfigError(f"{word}: unknown option: {option}", hint=f"{hint}`acestep-tui {word} --help` lists all.")


def refuse_unknown_switch(word: str, items: Sequence[str]) -> None:
    """Refuse a mistyped switch among settings, for which the nearest setting would be a strange answer.

    Args:
        word: The command.
        items: What is left of its arguments, settings among them.

    Raises:
        ConfigError: One begins with ``--``, has no value and is no setting.
    """
    from engine.contract.config import CONFIG_TABLE
    from engine.contract.validate import canonical, nearest_key

    for item in items:
        # `--seed -1` is a setting and its value.
        is_switch = item.startswith("-") and item.lstrip("-")[:1].isalpha() and "=" not in item
        if is_switch and item not in _SOURCES and not CONFIG_TABLE.knows(canonical(item)):
            setting = f"As a setting: {nearest_key(canonical(item), CONFIG_TABLE)}"
            raise unknown_option(word, item, setting=setting)
