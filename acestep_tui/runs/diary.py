"""The sentences of a run's log and toasts, one event at a time (design: the mock-ups' Log, screens.md section 4)."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import TYPE_CHECKING

from acestep_tui import format as fmt
from acestep_tui.runs.commands import AskedCommand, News
from acestep_tui.runs.measures import step_seconds
from engine.contract import events, memory_events
from engine.contract.event_base import Event

if TYPE_CHECKING:
    from acestep_tui.runs.liveness import Verdict
    from acestep_tui.runs.state import RunState

_ASKED = {
    "pause": "asked to pause",
    "resume": "asked to go on",
    "save": "asked to save now",
    "sample": "asked for a test clip",
    "stop_after_save": "asked to stop after the next save",
    "stop_now": "asked to save and stop",
    "abort": "asked to stop without saving",
}
_DONE = {
    "pause": "Paused.",
    "resume": "Going on.",
    "stop_after_save": "It stops after the next save.",
    "stop_now": "Stopping: the step under way is finished and saved.",
    "abort": "Stopping: the step under way is finished, nothing is saved.",
}
_NOT_DONE = {
    "pause": "It could not be paused.",
    "resume": "It could not go on.",
    "save": "The step could not be saved.",
    "sample": "The sample could not be made.",
    "stop_after_save": "It could not be stopped.",
    "stop_now": "It could not be stopped.",
    "abort": "It could not be stopped.",
}
# Verdicts of a test clip in words; the engine's own word where a newer one has more.
CLIP_WORDS = {"ok": "good level", "clips": "clips a little", "silent": "silent", "nonfinite": "broken"}
_SPAN_WORDS = {"save": "saving step {}", "validate": "listening to step {}"}
_PHASE_WORDS = {
    "scan": "looking at your songs",
    "cache": "preparing your songs",
    "load": "loading the model",
    "warmup": "measuring one real step",
    "finish": "finishing",
}


def asked_text(kind: str) -> str:
    """What the log says when a command is sent."""
    return _ASKED.get(kind, f"asked to {kind.replace('_', ' ')}")


def file_size(num_bytes: float | None) -> str:
    """A file's size, in MB up to a thousand of them: ``390 MB``, ``1.6 GB``."""
    if num_bytes is not None and 0.95 * fmt.MB <= num_bytes < 999.5 * fmt.MB:
        unit = fmt.size(fmt.MB).rpartition(" ")[2]  # as this reader wants it called
        return f"{num_bytes / fmt.MB:.0f} {unit}"
    return fmt.size(num_bytes)


def doing(state: RunState) -> str:
    """What the worker was doing at its last event, in words; empty when nothing is known."""
    if state.span:
        return _SPAN_WORDS[state.span].format(fmt.count(state.step_now))
    if state.phase == "train":
        return f"training step {fmt.count(state.step_now + 1)}"
    return "compiling the steps" if state.is_compiling else _PHASE_WORDS.get(state.phase, "")


def write(state: RunState, event: Event, t: float) -> None:
    """Write the line of an event that was just folded."""
    if isinstance(event, events.Step):
        write_step(state, event, t)
    elif isinstance(event, events.Heartbeat | events.Hardware):
        return
    elif isinstance(event, events.PhaseStarted | events.PhaseEnded):
        _write_phase(state, event, t)
    elif isinstance(event, events.ValidationLoss | events.SampleSaved | events.CheckpointSaved):
        _write_result(state, event, t)
    else:
        _write_fact(state, event, t)


def write_step(state: RunState, event: events.Step, t: float) -> None:
    """A step's line, for one of many."""
    if not math.isfinite(event.loss):
        state.log.add(t, "▲", f"step {fmt.count(event.step)}  the loss is not a number", "warning")
    elif state.log.wants_step(t, event.step):
        chat_step(state, t, event.step, event.loss, step_seconds(event))


def chat_step(state: RunState, t: float, step: int, loss: float, whole_s: float) -> None:
    """The line of a step that is known to get one."""
    took = f"{whole_s:.2f} s" if whole_s < 10 else fmt.duration(whole_s)
    state.log.chat(t, " ", f"step {step:,}  loss {fmt.loss(loss)}  {took}")


def write_gap(state: RunState, num_missing: int, t: float) -> None:
    """Events are missing."""
    state.log.add(t, "▲", f"{fmt.plural(num_missing, 'event')} before this one cannot be read", "warning")


def write_clock_jump(state: RunState, back_s: float, t: float) -> None:
    """The worker's clock went back."""
    state.log.add(t, "▲", f"the clock was set back by {fmt.duration(back_s)}", "warning")


def write_late(state: RunState, command: AskedCommand, now: float) -> None:
    """A command has had no answer for long."""
    text = f"{asked_text(command.kind)}, not done yet: it is in a long step"
    state.log.add(now, " ", text)
    title = f"{asked_text(command.kind).capitalize()}: not done yet."
    state.news.append(News("command_done", "◌", "plain", title, "It is in a long step."))


def write_verdict(state: RunState, verdict: Verdict) -> None:
    """The worker is found gone, or has not been heard of for long (once each)."""
    before = state.verdict
    if verdict.life.value not in ("crashed", "silent") or (before is not None and before.life is verdict.life):
        return
    t = verdict.last_t if verdict.last_t is not None else 0.0
    state.log.end()
    if verdict.life.value == "silent":
        state.log.add(t, "▲", f"no further word yet; {verdict.note or 'no sign of it since'}", "warning")
        return
    why = "the lock is free, so the process is gone" if verdict.by_lock else "its process is gone"
    state.log.add(t, "✗", f"no further word; {why}", "error")
    state.news.append(News("crashed", "✗", "error", "The training process is gone without a word."))


def _write_phase(state: RunState, event: events.PhaseStarted | events.PhaseEnded, t: float) -> None:
    log = state.log
    if isinstance(event, events.PhaseStarted):
        if event.phase == "save":
            log.begin(t, f"saving step {fmt.count(state.step_now)} …")
        elif event.phase == "validate" and event.total is not None:
            log.begin(t, f"test clip of step {fmt.count(state.step_now)} …")
        return
    if event.phase in _SPAN_WORDS:
        log.end()
        return
    if event.phase == "scan":
        _write_without_lyrics(state, t)
    word = events.PHASES.get(event.phase, event.phase)
    what = f"{word}: {event.summary}" if event.summary else word
    log.add(t, "✓", f"{what}, {fmt.duration(event.seconds)}", "good")


def _write_without_lyrics(state: RunState, t: float) -> None:
    num = sum(problem.code == "no_lyrics" for problem in state.problems)
    if num:
        have = "song has" if num == 1 else "songs have"
        state.log.add(t, "▲", f"{fmt.count(num)} {have} no lyrics", "warning")


def _write_result(
    state: RunState, event: events.ValidationLoss | events.SampleSaved | events.CheckpointSaved, t: float
) -> None:
    log = state.log
    log.end()
    if isinstance(event, events.ValidationLoss):
        best = state.best
        text = f"held-out loss {fmt.loss(event.loss)}"
        if event.base_loss is not None:
            text += f" with the LoRA, {fmt.loss(event.base_loss)} without"
        elif best is not None and best.step == event.step and len(state.heldout) > 1:
            text += ", best so far"
        if event.ema_loss is not None:
            text += f" (average of the weights: {fmt.loss(event.ema_loss)})"
        log.add(t, "✓", text, "good")
        if state.is_overfitting and best is not None:
            log.add(t, "▲", f"held-out loss was lowest at step {fmt.count(best.step)} and rises since", "warning")
    elif isinstance(event, events.SampleSaved):
        name = PurePath(event.path).name
        text = f"test clip {name}, {_clip_length(event.seconds)}"
        if event.verdict == "ok":
            log.add(t, "✓", text, "good")
        else:
            is_broken = event.verdict == "nonfinite"
            word = CLIP_WORDS.get(event.verdict, event.verdict)
            log.add(t, "✗" if is_broken else "▲", f"{text}: {word}", "error" if is_broken else "warning")
    else:
        checked = ", checked" if event.verified else ""
        log.add(t, "✓", f"saved step {fmt.count(event.step)}{checked}, {file_size(event.bytes)}", "good")


def _clip_length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else fmt.clip_length(seconds)


def _write_fact(state: RunState, event: Event, t: float) -> None:
    log = state.log
    match event:
        case events.RunStarted():
            log.end()
            log.forget_pace()
            where = f" on {event.device}" if event.device else ""
            went_on = f"going on at step {fmt.count(event.resumed_step)}" if event.resumed_step else "started"
            log.add(t, "●", f"{went_on}{where}", "good")
        case events.Plan():
            log.add(t, " ", f"plan: {fmt.plural(event.num_steps, 'step')}, about {fmt.duration(event.seconds)}")
        case events.FileProblem() if event.code != "no_lyrics":
            is_error = event.severity == "error"
            log.add(t, "✗" if is_error else "▲", f"{event.file}: {event.reason}", "error" if is_error else "warning")
        case events.CacheProgress() if state.prepared.part_of(event) == "sound":
            log.chat(t, "✓", event.file, "good")
        case events.ModelLoaded() if event.summary:
            log.add(t, " ", event.summary)
        case memory_events.StepsCompiled():
            _write_compilation(state, event, t)
        case events.RunWarning():
            log.add(t, "▲", event.message, "warning")
            state.news.append(News(event.kind, "▲", "warning", *_sentences(event.message)))
        case events.AdapterExported() | events.Proofs():
            _write_outcome(state, event, t)
        case events.Paused():
            _write_pause(state, event, t)
        case events.CommandDone():
            _write_answer(state, event, t)
        case events.RunEnded():
            _write_end(state, event, t)


def _write_compilation(state: RunState, event: memory_events.StepsCompiled, t: float) -> None:
    log, found = state.log, state.compilation
    if found.is_under_way:
        log.begin(t, f"compiling the steps, about {fmt.duration(found.expected_s)} …")
        return
    log.end()
    if found.has_new_shape:
        log.chat(t, " ", f"a further shape compiled in {fmt.duration(event.took_s)}, {found.shapes}")
    elif event.is_compiled:
        log.add(t, "✓", found.outcome, "good")
    elif not state.has_warned_of_speed:
        log.add(t, " ", found.outcome)


def _write_outcome(state: RunState, event: events.AdapterExported | events.Proofs, t: float) -> None:
    if isinstance(event, events.AdapterExported):
        is_good = event.verified
        path = PurePath(event.path)
        is_in_its_folder = bool(path.suffix) and path.parent.name != "export"
        text = f"exported {path.parent.name if is_in_its_folder else path.stem}"
        text += "" if is_good else ": it does not read back the same"
    else:
        results = (event.works, event.loads, event.is_yours, event.resumes)
        measured = [result for result in results if result is not None]
        is_good = all(measured)
        text = f"proofs passed: {sum(measured)} of {len(measured)}"
    state.log.add(t, "✓" if is_good else "✗", text, "good" if is_good else "error")


def _write_pause(state: RunState, event: events.Paused, t: float) -> None:
    step = fmt.count(event.step)
    if event.paused:
        state.log.add(t, "‖", f"paused at step {step}", "paused")
    else:
        state.log.add(t, "●", f"going on at step {step}", "good")


def _write_answer(state: RunState, event: events.CommandDone, t: float) -> None:
    command = state.commands.get(event.id)
    if command is not None:
        command.ok, command.message = event.ok, event.message
    if not event.ok:
        why = event.message or "it was refused"
        title = _NOT_DONE.get(event.command, "The command could not be carried out.")
        state.log.add(t, "✗", f"{title.rstrip('.').lower()}: {why}", "error")
        state.news.append(News(event.kind, "✗", "error", title, f"{why[:1].upper()}{why[1:]}."))
        return
    detail = ""
    if event.command == "save" and state.checkpoints:
        saved = state.checkpoints[-1]
        title = f"Saved step {fmt.count(saved.step)}."
        title += f" Checked, {file_size(saved.bytes)}." if saved.verified else f" {file_size(saved.bytes)}."
    elif event.command == "sample" and state.samples:
        title, detail = "The test clip is there.", PurePath((state.main_sample or state.samples[-1]).path).name
    else:
        title = _DONE.get(event.command, "Done.")
    state.news.append(News(event.kind, "✓", "good", title, detail))


def _write_end(state: RunState, event: events.RunEnded, t: float) -> None:
    state.log.end()
    if event.outcome == "finished":
        text = f"finished in {fmt.duration(event.seconds)}"
        state.log.add(t, "✓", text, "good")
        state.news.append(News(event.kind, "✓", "good", f"{text.capitalize()}."))
    elif event.outcome == "stopped":
        text = f"stopped at step {fmt.count(state.step_now)}"
        state.log.add(t, "■", text)
        saved = state.checkpoints[-1].step if state.checkpoints else 0
        where = "from there" if saved >= state.step_now else f"from step {fmt.count(saved)}" if saved else ""
        goes_on = f"r goes on {where}." if where else "r begins again."
        state.news.append(News(event.kind, "■", "plain", f"{text.capitalize()}.", goes_on))
    else:
        error = event.error or "failed"
        state.log.add(t, "✗", error.splitlines()[0], "error")
        state.news.append(News(event.kind, "✗", "error", *_sentences(error)))


def _sentences(text: str) -> tuple[str, str]:
    """The first sentence with a capital and a full stop, and the rest."""
    first, _, rest = text.replace("\n", " ").partition(". ")
    first = first.rstrip(".")
    return f"{first[:1].upper()}{first[1:]}.", rest.strip()
