"""The four ways a followed run is shown: on a terminal, as plain lines, as the events themselves, or only at its end.

stdout is data (events, tables, the summary), stderr is talk (bars, notes) and everything about a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from acestep_tui import __version__
from acestep_tui.headless import streams
from acestep_tui.headless.options import Options
from acestep_tui.headless.plain import Thinner, event_line
from acestep_tui.headless.summary import Ending, Summarise, summary_lines
from acestep_tui.paths import shown
from acestep_tui.runs.state import RunState
from acestep_tui.runs.tail import Line
from engine.contract.run_dir import RunDir

_WARNING = "▲ "


class Output(Protocol):
    """What the follower tells; each way of showing does with it what it likes."""

    def begin(self, run: RunDir, notes: Sequence[str]) -> None:
        """The run is known; ``notes`` say what the user should know before it goes on."""

    def note(self, text: str) -> None:
        """One sentence of talk in between."""

    def event(self, line: Line, state: RunState) -> None:
        """One event, already folded into ``state``."""

    def tick(self, state: RunState) -> None:
        """Time has passed (several times a second)."""

    def end(self, state: RunState, run: RunDir, ending: Ending, again: Sequence[str]) -> None:
        """Nothing more will come."""


def choose_output(options: Options, *, summarise: Summarise = summary_lines) -> Output:
    """The output for these options and streams: bars only where both streams are a terminal.

    Args:
        options: The switches.
        summarise: What makes the block at the end.
    """
    if options.json:
        return JsonOutput(summarise)
    if options.quiet:
        return QuietOutput(summarise)
    if options.plain or not streams.is_screen():
        return PlainOutput(summarise)
    from acestep_tui.headless.terminal import TerminalOutput  # rich: 60 ms, only where bars are drawn

    return TerminalOutput(summarise)


class PlainOutput:
    """One line an event on stdout, the summary after the last one."""

    def __init__(self, summarise: Summarise = summary_lines) -> None:
        self._thinner = Thinner()
        self._summarise = summarise
        self._held: list[str] = []

    def begin(self, run: RunDir, notes: Sequence[str]) -> None:
        """Notes only: the first event says the rest. Warnings wait: most of them are the worker's first events too."""
        for text in notes:
            if text.startswith(_WARNING):
                self._held.append(text)
            else:
                streams.say(text)

    def note(self, text: str) -> None:
        """Talk goes to stderr."""
        streams.say(text)

    def event(self, line: Line, state: RunState) -> None:
        """The event's line, unless it only says that work goes on."""
        if line.record.kind == "warning":
            self._held = [text for text in self._held if text != f"{_WARNING}{line.record.data.get('message')}"]
        elif line.record.kind != "run_started":
            self._say_held()
        if self._thinner.wants(line.record):
            streams.put(event_line(line.record))

    def tick(self, state: RunState) -> None:
        """Nothing is redrawn in a pipe."""

    def end(self, state: RunState, run: RunDir, ending: Ending, again: Sequence[str]) -> None:
        """The summary block."""
        self._say_held()
        self._write_summary(state, run, ending, again)

    def _say_held(self) -> None:
        for text in self._held:
            streams.say(text)
        self._held = []

    def _write_summary(self, state: RunState, run: RunDir, ending: Ending, again: Sequence[str]) -> None:
        """Data on stdout; a failure on stderr, so that a pipe never swallows it."""
        write = streams.say if ending.is_failure or ending.kind == "left" else streams.put
        for text in self._summarise(state, run, ending, again=again):
            write(text)


class JsonOutput(PlainOutput):
    """The events verbatim on stdout and nothing else there."""

    def begin(self, run: RunDir, notes: Sequence[str]) -> None:
        """All notes, for people: what stands on stdout is for programs."""
        for text in notes:
            streams.say(text)

    def event(self, line: Line, state: RunState) -> None:
        """The line as it stands in events.jsonl."""
        # JSON is UTF-8 whatever the locale says.
        streams.put_bytes(line.raw.encode() + b"\n")

    def end(self, state: RunState, run: RunDir, ending: Ending, again: Sequence[str]) -> None:
        """Only a failure, or that the run goes on, is said in words, on stderr."""
        if ending.is_failure or ending.kind == "left":
            self._write_summary(state, run, ending, again)


class QuietOutput(PlainOutput):
    """Only the summary, and warnings about what was asked for."""

    def begin(self, run: RunDir, notes: Sequence[str]) -> None:
        """All notes: no event says them."""
        for text in notes:
            streams.say(text)

    def event(self, line: Line, state: RunState) -> None:
        """Nothing until the end."""


def header(run: RunDir) -> str:
    """The first line on a terminal."""
    return f"♪ acestep-tui {__version__}   {run.name:<33} {shown(run.path)}"
