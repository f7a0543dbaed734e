"""A run on a terminal: a bar that redraws in place, each finished phase leaves one line, problems stand beneath it."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from acestep_tui import format as fmt
from acestep_tui.headless import streams
from acestep_tui.headless.output import header
from acestep_tui.headless.summary import LABEL_WIDTH, Ending, Summarise, summary_lines
from acestep_tui.paths import shown
from acestep_tui.runs.state import RunState
from acestep_tui.runs.tail import Line
from engine.contract import events, memory_events
from engine.contract.run_dir import RunDir

# At most this often a second: over SSH what costs is repainting (screens.md, "Motion").
_REDRAW_S = 0.5
# Glyph, blank, phase word: the column where sentences begin.
_INDENT = 12
_MAX_WIDTH = 100
# The column in which a phase's time ends, where the terminal is that wide.
_TIME_COLUMN = 82
_MAX_PROBLEMS = 20
_BAR_WIDTHS = (40, 5)
# Room kept for what follows the counts (``  loss 0.4128  15.0 steps/s  1 min 25 s left``), so that the bar keeps its
# length while the words after it change.
_TAIL_WIDTH = 44
# Before the worker's first word it imports its libraries: seconds, on a cold disk a minute.
_STARTING = f"◐ {'start':<9} the worker is starting …"

# Lines of the summary that are sentences; all others hold a path or a command, which is copied.
_SENTENCES = ("held-out loss", "proofs", "steps", "left out")

_STYLES = {"✓": "green", "✗": "red", "▲": "yellow", "◐": "cyan", "●": "cyan", "‖": "yellow", "■": "bright_black"}


class TerminalOutput:
    """Bars and phase lines on stderr, the summary on stdout."""

    def __init__(self, summarise: Summarise = summary_lines) -> None:
        self._summarise = summarise
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._run: RunDir | None = None
        self._held: list[events.FileProblem | events.RunWarning] = []
        self._begun = False
        self._noted: set[str] = set()
        self._drawn_t = 0.0
        self._drawn = ""

    def begin(self, run: RunDir, notes: Sequence[str]) -> None:
        """The header, and what should be known before it goes on."""
        self._run = run
        self._print(header(run))
        for text in notes:
            self._print(text)
            self._noted.add(text.removeprefix("▲ "))
        self._live.start()

    def note(self, text: str) -> None:
        """A sentence above the bar."""
        self._print(text)

    def event(self, line: Line, state: RunState) -> None:
        """Events that leave a line; the rest only moves the bar."""
        match line.record.event:
            case events.PhaseStarted():
                self._begun = True
            case events.FileProblem() as problem:
                self._hold(problem, state)
            case events.PhaseEnded() as ended if ended.phase not in ("validate", "save"):
                self._draw("")  # its bar would be drawn once more below the line that replaces it
                self._print_row(phase_row(ended, self._console.width))
                self._print_problems()
            case events.Plan() as plan:
                self._print(plan_line(plan, state))
            case memory_events.StepsCompiled() if not state.is_compiling and state.compilation.num_results == 1:
                self._print(compiled_line(state), indent=_INDENT)
            # The worker repeats what was wrong with the configuration, for whoever attaches later.
            case events.RunWarning() as warning if warning.message not in self._noted:
                self._hold(warning, state)

    def tick(self, state: RunState) -> None:
        """Redraw the bar if its text changed."""
        now = time.monotonic()
        if now - self._drawn_t < _REDRAW_S:
            return
        self._drawn_t = now
        text = bar_line(state, self._console.width, time.time()) if self._begun else _STARTING
        self._draw(streams.fitted(text, sys.stderr))

    def _hold(self, found: events.FileProblem | events.RunWarning, state: RunState) -> None:
        """What a scan finds stands beneath its line; later phases take hours, so there it is said at once."""
        self._held.append(found)
        if state.phase != "scan":
            self._print_problems()

    def _draw(self, text: str) -> None:
        if text != self._drawn:
            self._drawn = text
            self._live.update(_coloured(text), refresh=True)

    def end(self, state: RunState, run: RunDir, ending: Ending, again: Sequence[str]) -> None:
        """Clear the bar, then the summary."""
        self._draw("")
        self._live.stop()
        self._print_problems()
        # A failure, or that the run goes on, is talk. Colour only on our glyphs; paths stay plain so that they are
        # copied clean, and are never broken.
        is_talk = ending.is_failure or ending.kind == "left"
        stream = sys.stderr if is_talk else sys.stdout
        console = self._console if is_talk else Console(highlight=False, markup=False, emoji=False)
        for text in self._summarise(state, run, ending, again=again):
            for row in summary_rows(text, console.width):
                console.print(_coloured(streams.fitted(row, stream)), soft_wrap=True)

    def _print(self, text: str, *, indent: int = 0) -> None:
        for row in wrapped(text, self._console.width, indent=indent):
            self._print_row([row])

    def _print_row(self, rows: Sequence[str]) -> None:
        for row in rows:
            self._console.print(_coloured(streams.fitted(row, sys.stderr)), soft_wrap=True)

    def _print_problems(self) -> None:
        problems = [found for found in self._held if isinstance(found, events.FileProblem)]
        self._print_row(problem_rows(problems, self._console.width))
        if len(problems) > _MAX_PROBLEMS and self._run is not None:
            more = fmt.count(len(problems) - _MAX_PROBLEMS)
            self._print_row([f"  … and {more} more, each named in {shown(self._run.events_jsonl)}"])
        for found in self._held:
            if isinstance(found, events.RunWarning):
                self._print(f"  ▲ {found.message}", indent=4)
        self._held = []


def phase_row(ended: events.PhaseEnded, width: int) -> list[str]:
    """``✓ scan      12 songs: 10 ready …   0.2 s``, in as many rows as it needs; the time ends the first."""
    word = events.PHASES.get(ended.phase, ended.phase)
    sentence = ended.summary or (fmt.part_of(ended.done, ended.total) if ended.done is not None else "done")
    took = fmt.duration(ended.seconds)
    text = f"✓ {word:<9} {sentence}"
    # A little too long for the column, the time moves out rather than the words down.
    column = min(width - 1, max(_TIME_COLUMN, min(len(text) + 3 + len(took), _MAX_WIDTH)))
    first, *rest = wrapped(text, column - len(took) - 2, indent=_INDENT)
    return [f"{first}{took:>{column - len(first)}}", *rest]


def plan_line(plan: events.Plan, state: RunState) -> str:
    """``✓ plan      0.4 GB memory, 6 MB disk, about 1 min 40 s on this processor``."""
    memory = f"{fmt.size(plan.vram_bytes)} GPU memory" if plan.vram_bytes else f"{fmt.size(plan.ram_bytes)} memory"
    device = state.started.device if state.started is not None else ""
    where = " on this processor" if device.startswith(("cpu", "processor")) else ""
    steps = fmt.plural(plan.num_steps, "step")
    return f"✓ plan      {memory}, {fmt.size(plan.disk_bytes)} disk, {steps}, about {fmt.duration(plan.seconds)}{where}"


def compiled_line(state: RunState) -> str:
    """``✓ compile   steps compiled in 12 s: 1 shape so far, CUDA graphs``; with a blank where they are not."""
    result = state.compilation.result
    glyph = "✓" if result is not None and result.is_compiled else " "
    return f"{glyph} {'compile':<9} {state.compilation.outcome}"


def problem_rows(problems: Sequence[events.FileProblem], width: int) -> list[str]:
    """Problems beneath their phase, file names in one column."""
    listed = problems[:_MAX_PROBLEMS]
    column = min(max((len(problem.file) for problem in listed), default=0), max(width // 3, 12))
    rows = []
    for problem in listed:
        glyph = "✗" if problem.severity == "error" else "▲"
        rows += wrapped(f"  {glyph} {problem.file:<{column}}   {problem.reason}", width, indent=column + 7)
    return rows


def bar_line(state: RunState, width: int, now: float) -> str:
    """The line that redraws: phase, bar, numbers; where it does not fit the bar goes first."""
    if not state.phase:
        return ""
    word = "compile" if state.is_compiling else events.PHASES.get(state.phase, state.phase)
    glyph = "‖" if state.paused else "◐"
    head = f"{glyph} {word:<9} "
    tail = _numbers(state, now)
    done, total = state.phase_done, state.phase_total
    share = state.compilation.share(now) if state.is_compiling else (done or 0) / total if total else None
    reserved = len(fmt.part_of(total, total)) + _TAIL_WIDTH
    room = width - 1 - len(head) - max(len(tail), reserved) - 3
    if share is not None and room >= _BAR_WIDTHS[1]:
        return f"{head}{bar(share, min(room, _BAR_WIDTHS[0]))}   {tail}"
    return f"{head}{tail}"[: width - 1]


def _numbers(state: RunState, now: float) -> str:
    if state.is_compiling:
        return state.compilation.progress(now)
    if (download := state.fetching) is not None:
        return f"downloading the data set: {fmt.size(download.done_bytes)} of {fmt.size(download.total_bytes)}"
    parts = []
    if state.phase_total is not None:
        whole = fmt.part_of(state.phase_done or 0, state.phase_total)
        # As wide as it will get, so that nothing to its left moves.
        parts.append(whole.rjust(len(fmt.part_of(state.phase_total, state.phase_total))))
    if state.phase == "train" and state.step is not None:
        parts += [f"loss {fmt.loss(state.step.loss)}", fmt.pace(state.step.step_s)]
    if state.paused:
        parts.append("paused")
    elif state.span:
        parts.append({"validate": "testing", "save": "saving"}[state.span])
    elif state.phase == "train" and state.step is not None and state.step.eta_s is not None:
        parts.append(f"{fmt.duration(max(state.step.eta_s, 1.0))} left")  # whole seconds, to the end
    return "  ".join(parts) if parts else "…"


def bar(fraction: float, width: int) -> str:
    """``━━━━╸─────``: filled, a half cell, rest; the two differ in shape, not only in colour."""
    halves = round(min(max(fraction, 0.0), 1.0) * width * 2)
    filled, half = divmod(halves, 2)
    return "━" * filled + "╸" * half + "─" * (width - filled - half)


def summary_rows(text: str, width: int) -> list[str]:
    """A line of the summary in rows that fit: sentences wrap under their value, a command or a path stays whole."""
    if len(text) < width:
        return [text]
    command, gap, look = text.partition("     look: ")
    if gap:
        return [command, f"  {'look':<{LABEL_WIDTH}}{look}"]
    if text.lstrip().startswith(_SENTENCES):
        return wrapped(text, width, indent=LABEL_WIDTH + 2)
    return [text]


def wrapped(text: str, width: int, *, indent: int = 0) -> list[str]:
    """The text in rows that fit, continued under its own beginning; words (paths) are never broken."""
    return textwrap.wrap(
        text,
        max(min(width - 1, _MAX_WIDTH), 20),
        subsequent_indent=" " * min(indent, max(width // 2, 0)),
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    ) or [""]


def _coloured(text: str) -> Text:
    """The row with its state glyphs in their colour (rich leaves colour out under NO_COLOR)."""
    styled = Text(text, no_wrap=True, overflow="ignore")
    for index, letter in enumerate(text):
        if letter in _STYLES:
            styled.stylize(_STYLES[letter], index, index + 1)
    return styled
