"""The main page of a run that failed or is gone without a word: what happened, what is safe, what to do. Facts only."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.base import Copied, Panel
from acestep_tui.panels.header import moment, passed
from acestep_tui.panels.view import View, safe_step, view_of
from acestep_tui.paths import shown
from acestep_tui.runs.facts import CrashFacts, KernelKill
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import BOLD, ERROR, MUTED, WARNING, bar, fit, join, spread, wrap

_LABEL = 15
# A look that is younger than this was "just now".
_JUST_NOW_S = 300.0


def happened(state: RunState, now: float) -> list[str]:
    """What is known about the end: the first sentence is the headline."""
    if state.ended is not None:
        lines = (state.ended.error or "The worker ended and gave no reason").splitlines()
        first = lines[0]
        return [f"{first[:1].upper()}{first[1:]}".rstrip(".") + ".", *lines[1:]]
    if view_of(state) is View.UNHEARD:
        return _unheard_words(state, now)
    if state.crash is None:
        return ["The training process is gone, without a goodbye.", "Looking for the reason …"]
    return _crash_words(state.crash, now)


def _unheard_words(state: RunState, now: float) -> list[str]:
    silent_s = state.silent_s(now)
    news = f"No news for {passed(silent_s)}" if silent_s is not None else "No news"
    first = f"{news}; whether it still trains cannot be seen from here."
    host = state.verdict.host if state.verdict is not None else ""
    if not state.worker.is_here and host:
        return [first, f"It was started on {host}."]
    return [first, "This disk does not tell whether its process lives."]


def _crash_words(crash: CrashFacts, now: float) -> list[str]:
    if crash.has_restarted:
        return ["The computer was started again while training ran."]
    if crash.kernel is not None:
        words = _kernel_words(crash, crash.kernel, now)
        return ["The training process was ended from outside, without a goodbye.", words]
    if crash.exit_code is not None:
        words = f"The training process ended by itself with code {crash.exit_code}, without a goodbye."
        return [words, _last_line(crash)]
    if crash.signal is not None:
        return [f"The training process was ended from outside, by signal {crash.signal}.", _memory_words(crash)]
    return ["The training process is gone, without a goodbye.", _memory_words(crash) or _last_line(crash)]


def _kernel_words(crash: CrashFacts, kernel: KernelKill, now: float) -> str:
    when = f"at {moment(kernel.t, now)} " if kernel.t is not None else ""
    words = f"The system ran out of memory: {when}it ended {kernel.name} ({kernel.pid})"
    if crash.ram_used_bytes is not None and crash.ram_total_bytes is not None:
        taken, whole = _of_gb(crash.ram_used_bytes, crash.ram_total_bytes)
        words += f", when {taken} of {whole} were taken"
    if kernel.others and kernel.others[0].bytes > (kernel.bytes or 0):
        other = kernel.others[0]
        words += f", {fmt.size(other.bytes)} of them by another program ({other.name})"
    return f"{words}."


def _memory_words(crash: CrashFacts) -> str:
    if crash.ram_used_bytes is None or crash.ram_total_bytes is None:
        return ""
    taken, whole = _of_gb(crash.ram_used_bytes, crash.ram_total_bytes)
    return f"At its last reading {taken} of {whole} of the computer's memory were taken."


def _of_gb(part: float, whole: float) -> tuple[str, str]:
    return fmt.size(part).removesuffix(" GB"), fmt.size(whole)


def _last_line(crash: CrashFacts) -> str:
    return f"The last line of worker.log: {crash.log_tail[-1].strip()}" if crash.log_tail else "worker.log is empty."


def safe_words(state: RunState, now: float) -> str:
    """What is not lost."""
    crash = state.crash
    if crash is not None and crash.checks:
        damaged = [check for check in crash.checks if check.is_whole is False]
        lost = f"; step {fmt.count(damaged[0].step)} is damaged" if damaged else ""
        if crash.safe is None:
            return f"nothing that can be gone on from{lost}"
        step = f"step {fmt.count(crash.safe.step)}"
        if not crash.is_checked:
            return f"{step}, its files are being compared …"
        age = now - crash.checked_t
        when = "just now" if age < _JUST_NOW_S else f"{passed(age)} ago"
        return f"{step}, checked {when}, all files complete{lost}"
    safe = safe_step(state)
    if safe is not None:
        return f"step {fmt.count(safe)}"
    return "your songs as they are prepared; no step is saved yet" if state.prepared.songs else "no step is saved yet"


def advice(state: RunState) -> str:
    """What to do, with the key."""
    safe = safe_step(state)
    goes_on = f"it goes on at {fmt.count(safe)}" if safe else "it begins again"
    if state.ended is not None and state.ended.hint:
        return state.ended.hint.replace("\n", " ")
    crash = state.crash
    if crash is not None and crash.kernel is not None and crash.kernel.others:
        return f"close the other program, then press r: {goes_on}"
    if view_of(state) is View.UNHEARD:
        return _unheard_advice(state, goes_on)
    return f"press r: {goes_on}"


def _unheard_advice(state: RunState, goes_on: str) -> str:
    """`r` refuses from here (`runs.start`): a second worker must never begin beside a living one."""
    if state.verdict is not None and state.verdict.host and not state.worker.is_here:
        return f"look on {state.verdict.host} whether it trains; if it has ended, press r there: {goes_on}"
    process = f"process {state.worker.pid}" if state.worker.pid is not None else "its process"
    folder = shown(state.folder) if state.folder is not None else "RUN"
    return f"see that {process} has ended, then type acestep-tui --run {folder}/config.json: {goes_on}"


def trouble_lines(state: RunState, width: int, now: float) -> list[Content]:
    """The page's rows: what happened, what is safe, what to do."""
    first, *more = happened(state, now)
    glyph = ("◌ ", WARNING) if view_of(state) is View.UNHEARD else ("✗ ", ERROR)
    lines = wrap(join(glyph, (first, BOLD)), width, indent=2)
    for sentence in more:
        lines += [line.pad_left(2) for line in wrap((sentence, ""), width - 2)] if sentence else []
    facts = [("What is safe", safe_words(state, now)), ("What to do", advice(state))]
    rows = [*lines, Content("")]
    for label, words in facts:
        rows += wrap(join((label.ljust(_LABEL), MUTED), words), width, indent=_LABEL)
    return rows


class TroublePage(Panel):
    """What happened."""

    name = "What happened"

    def rows(self, state: RunState, width: int, now: float) -> int:
        """Rows it needs, the title included."""
        return 1 + len(trouble_lines(state, width, now))

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """The facts."""
        return trouble_lines(state, width, now)[:height]

    def copied(self) -> Copied | None:
        """A report for whoever can help."""
        return Copied(report(self.state, self.now), "the report") if self.state is not None else None


def report(state: RunState, now: float) -> str:
    """All that is known, as plain text to send to somebody."""
    view, crash = view_of(state), state.crash
    lines = [f"{state.name}: {view.value} at step {fmt.part_of(state.step_now, state.steps_total)}"]
    lines += [f"  {sentence}" for sentence in happened(state, now) if sentence]
    lines += [f"safe: {safe_words(state, now)}", f"to do: {advice(state)}"]
    if state.last_t is not None:
        lines.append(f"last event: {fmt.timestamp(state.last_t)} ({state.last_kind})")
    if state.started is not None:
        lines.append(f"version {state.started.version}, {state.started.device}, host {state.started.host}")
    if state.folder is not None:
        lines.append(f"folder: {shown(state.folder)}")
    if crash is not None and crash.kernel is not None:
        lines.append(f"kernel log: {crash.kernel.line}")
    if crash is not None and crash.log_tail:
        lines += ["worker.log:", *(f"  {line}" for line in crash.log_tail)]
    return "\n".join(lines)


# -- beside it, where there is room --


def memory_lines(state: RunState, width: int) -> list[Content]:
    """Who had the computer's memory at the last reading."""
    crash = state.crash
    used, total = (crash.ram_used_bytes, crash.ram_total_bytes) if crash is not None else (None, None)
    if crash is None or used is None or total is None:
        return [fit((f"{fmt.UNKNOWN} not read before the end", MUTED), width)]
    taken, whole = _of_gb(used, total)
    rows = [spread("All", join((taken, BOLD), (f" of {whole}", MUTED)), width)]
    others = crash.kernel.others if crash.kernel is not None else ()
    rows += [spread(f"{other.name} ({other.pid})", (fmt.size(other.bytes), BOLD), width) for other in others[:1]]
    worker = crash.kernel.bytes if crash.kernel is not None and crash.kernel.bytes else crash.ram_worker_bytes
    name = f"training ({crash.pid})" if crash.pid is not None else "training"
    rows.append(spread(name, (fmt.size(worker), BOLD), width))
    return [*rows, bar(width, used / total if total else None, style=ERROR)]


def evidence_lines(state: RunState, width: int, now: float) -> list[Content]:
    """What the page rests on."""
    crash = state.crash
    if crash is None:
        return [fit(("Looking …", MUTED), width)]
    if crash.kernel is not None:
        when = f" at {fmt.time_of_day(crash.kernel.t, has_seconds=True)}" if crash.kernel.t is not None else ""
        words = f"The kernel log names this process{when}: “{crash.kernel.line}”."
        rest = "Without that line only facts would be shown: signal, time, memory."
    elif crash.has_restarted:
        words, rest = "The computer has another boot id than when training began.", ""
    elif crash.is_kernel_log_readable:
        words = "The kernel log does not name this process."
        rest = "So only facts are shown: signal, time, memory."
    else:
        words = "The kernel log cannot be read here."
        rest = "So only facts are shown: signal, time, memory."
    lines = wrap(words, width)
    if crash.kernel is None and crash.log_tail:
        lines += wrap((f"worker.log ends: {crash.log_tail[-1].strip()}", MUTED), width)[:2]
    return [*lines, Content(""), *wrap((rest, MUTED), width)] if rest else lines


def again_lines(state: RunState, width: int) -> list[Content]:
    """How not to meet it again."""
    del state
    words = "Coming back alone after an end like this (resume-forever) comes with a later version. Until then r, or:"
    return [*wrap((words, MUTED), width), *wrap("acestep-tui --run RUN/config.json", width)]


class MemoryPanel(Panel):
    """Memory of the computer."""

    name = "Memory of the computer"
    can_focus = False

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """A row a program."""
        del now
        return memory_lines(state, width)[:height]


class EvidencePanel(Panel):
    """What the page rests on; the house says neither “we” nor “I”."""

    name = "What this rests on"
    can_focus = False

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """The kernel's words, or that there are none."""
        return evidence_lines(state, width, now)[:height]


class AgainPanel(Panel):
    """If it happens again."""

    name = "If it happens again"
    can_focus = False

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """The way back."""
        del now
        return again_lines(state, width)[:height]
