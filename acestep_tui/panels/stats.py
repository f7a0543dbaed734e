"""The numbers of the stat strip, by the state a run is in. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.header import moment, passed
from acestep_tui.panels.view import View, is_silent, safe_step, view_of
from acestep_tui.runs.measures import ARROWS, Trend
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import BOLD, ERROR, MUTED, SUCCESS, WARNING, join

_ARROW_STYLES: dict[Trend, str] = {"down": SUCCESS, "up": WARNING, "flat": MUTED}


@dataclass(frozen=True, slots=True)
class Stat:
    """One number of the strip: muted label above, value below. `least` cells are kept for it, so nothing jumps."""

    label: str
    value: Content
    least: int = 0

    @property
    def width(self) -> int:
        """Cells it needs."""
        return max(len(self.label), self.value.cell_length, self.least)


def stats(state: RunState, now: float, *, is_wide: bool) -> list[Stat]:
    """The numbers for the state the run is in, most important first; more of them where there is room."""
    view = view_of(state)
    if view is View.PREPARING:
        found = _preparing(state, now)
    elif view is View.FINISHED:
        found = _finished(state)
    elif view.has_ended:
        found = _broken(state, now, view)
    else:
        found = _training(state, now)
    narrow = [stat for stat, is_wide_only in found if not is_wide_only]
    return [stat for stat, _ in found] if is_wide else narrow


# -- training --


def _training(state: RunState, now: float) -> list[tuple[Stat, bool]]:
    return [
        (_done(state), False),
        (Stat("Left", _left(state, now)), False),
        (Stat("Loss", _with_arrow(state.loss.last, state.loss_trend)), False),
        (Stat("Held-out loss", _heldout(state)), True),
        (Stat("Speed", _pace(state)), False),
        (memory(state), True),
    ]


def _done(state: RunState) -> Stat:
    total = state.steps_total
    if total is None:
        return Stat("Done", join((fmt.UNKNOWN, BOLD)))
    done = state.step_now
    value = join((f"{percent(done, total)}", BOLD), (" %", MUTED), "  ", _of(done, total))
    return Stat("Done", value, least=len(f"99 %  {total:,} of {total:,}"))


def _left(state: RunState, now: float) -> Content:
    if is_silent(state):
        return join(("not known", BOLD))
    if state.paused:
        since = f" {passed(max(now - state.paused_t, 0.0))}" if state.paused_t is not None else ""
        return join(("paused", BOLD), (since, MUTED))
    left_s = state.eta_s(now)
    if left_s is not None:
        return join((fmt.duration(left_s), BOLD), (f" ends {moment(now + left_s, now)}", MUTED))
    if state.phase == "finish":
        return join(("proofs", BOLD), (" of the result", MUTED))
    if state.step is not None or state.phase == "train":
        return join(("measuring", BOLD))
    planned_s = _planned_training_s(state)
    if planned_s is not None and state.is_compiling:
        planned_s += state.compilation.left_s(now)
    return (
        join((fmt.UNKNOWN, BOLD)) if planned_s is None else join((fmt.duration(planned_s), BOLD), (" planned", MUTED))
    )


def _heldout(state: RunState) -> Content:
    if not state.heldout:
        return join((fmt.UNKNOWN, BOLD))
    newest = state.heldout[-1]
    value = _with_arrow(newest.loss, state.heldout_trend)
    is_best = state.best is not None and state.best.step == newest.step
    return join(value, (" best", MUTED)) if is_best else value


def _with_arrow(value: float | None, trend: Trend | None) -> Content:
    shown = join((fmt.loss(value), BOLD if value is None or math.isfinite(value) else f"bold {ERROR}"))
    return shown if trend is None else join(shown, (f" {ARROWS[trend]}", _ARROW_STYLES[trend]))


def _pace(state: RunState) -> Content:
    head, _, rest = fmt.pace(state.pace_s).partition(" ")
    return join((head, BOLD), (f" {rest}" if rest else "", MUTED))


def memory(state: RunState) -> Stat:
    """Memory of the card, or of the worker where no card is used."""
    reading = state.hardware
    used = reading.vram_used_bytes if reading is not None else None
    if reading is not None and reading.vram_total_bytes:
        return Stat("GPU memory", _gigabytes_of(used, reading.vram_total_bytes))
    if reading is not None and reading.ram_bytes is not None and not (state.plan and state.plan.vram_bytes):
        return Stat("Memory", _gigabytes_of(reading.ram_bytes, reading.ram_total_bytes))
    return Stat("GPU memory", join((fmt.UNKNOWN, BOLD)))


# -- preparing --


def num_songs_ready(state: RunState) -> tuple[int, int | None]:
    """Songs of which every part is ready, and how many there are; in the order of parts the engine prepares."""
    songs = state.prepared.songs.values()
    parts = {"sound"}.union(*(song.parts for song in songs)) if songs else {"sound"}
    total = state.data.num_train + state.data.num_held_out if state.data is not None else None
    return sum(parts <= song.parts for song in songs), total


def _preparing(state: RunState, now: float) -> list[tuple[Stat, bool]]:
    prepared, planned = state.prepared, state.plan
    if state.phase == "scan":
        done = join(_of(state.phase_done, state.phase_total), (" files", MUTED))
        disk_total = None
    else:
        ready, total = num_songs_ready(state)
        done = join(_of(ready, total), (" songs", MUTED))
        disk_total = planned.parts.get("cache_bytes") if planned is not None else None
    left_s, pace = prepared.eta_s(now), prepared.pace()
    speed = join((fmt.UNKNOWN, BOLD)) if pace is None else join((f"{pace:,.0f}", BOLD), (" × real time", MUTED))
    left = fmt.duration(left_s) if left_s is None or left_s >= 1 else "a moment"
    left = "not known" if is_silent(state) else left
    return [
        (Stat("Done", done), False),
        (Stat("Left", join((left, BOLD))), False),
        (Stat("Pace", speed), False),
        (Stat("Disk", _disk(prepared.bytes or None, disk_total)), False),
        (memory(state), True),
        (Stat("Then", _then(state)), True),
    ]


def _then(state: RunState) -> Content:
    seconds = _planned_training_s(state)
    about = f", about {fmt.duration(seconds)}" if seconds is not None else ""
    return join((f"training{about}", MUTED))


def _planned_training_s(state: RunState) -> float | None:
    """What the plan gives for everything after the preparation."""
    if state.plan is None:
        return None
    parts = [state.plan.parts.get(part) for part in ("load_s", "train_s", "validate_s")]
    known = [seconds for seconds in parts if seconds is not None]
    return sum(known) if known else None


def _disk(done: float | None, total: float | None) -> Content:
    if total is None or total < fmt.GB / 10:
        return join(_value(fmt.size(done)), (f" of {fmt.size(total)}" if total else "", MUTED))
    return _gigabytes_of(done, total)


# -- ended --


def _finished(state: RunState) -> list[tuple[Stat, bool]]:
    assert state.ended is not None
    plan, best, exported = state.plan, state.best, state.exported
    took = join(
        (fmt.duration(state.ended.seconds), BOLD), (f" plan {fmt.duration(plan.seconds)}" if plan else "", MUTED)
    )
    best_words = (
        join((fmt.loss(best.loss), BOLD), (f" step {fmt.count(best.step)}", MUTED))
        if best is not None
        else join((fmt.UNKNOWN, BOLD))
    )
    return [
        (Stat("Took", took), False),
        (Stat("Steps", _of(state.step_now, state.steps_total)), False),
        (Stat("Loss", join((fmt.loss(state.loss.last), BOLD))), False),
        (Stat("Best held-out", best_words), False),
        (Stat("Highest memory", _highest(state)), True),
        (Stat("Size", _value(fmt.size(exported.bytes if exported is not None else None))), True),
    ]


def highest_memory(state: RunState) -> tuple[int | None, int | None]:
    """The most memory that was taken, and what was planned: the card's, or the computer's where no card trained."""
    if state.plan is not None and not state.plan.vram_bytes:
        return state.ram_highest_bytes, state.plan.ram_bytes or None
    return state.vram_highest_bytes, state.planned_vram_bytes


def _highest(state: RunState) -> Content:
    used, planned = highest_memory(state)
    if used is None:
        return join((fmt.UNKNOWN, BOLD))
    words = f" plan {planned / fmt.GB:.1f} GB" if planned is not None else " GB"
    return join((f"{used / fmt.GB:.1f}", BOLD), (words, MUTED))


def _broken(state: RunState, now: float, view: View) -> list[tuple[Stat, bool]]:
    safe = safe_step(state)
    end_t = state.last_t
    when = {View.CRASHED: "Died", View.FAILED: "Failed", View.UNHEARD: "Last news"}.get(view, "Stopped")
    told = join((fmt.UNKNOWN, BOLD))
    if end_t is not None:
        told = join((moment(end_t, now), BOLD), (f" {passed(now - end_t)} ago", MUTED))
    ran_s = state.crash.ran_s if state.crash is not None else None
    if state.ended is not None:
        ran_s = state.ended.seconds
    elif ran_s is None and end_t is not None and state.started_t is not None:
        ran_s = end_t - state.started_t
    return [
        (Stat("Reached", _of(state.step_now, state.steps_total)), False),
        (Stat("Safe up to", join((f"step {fmt.count(safe)}" if safe else "nothing yet", BOLD))), False),
        (Stat("Not saved" if view is View.UNHEARD else "Lost", join((lost_words(state), BOLD))), False),
        (Stat(when, told), False),
        (Stat("Ran for", _value(fmt.duration(ran_s))), True),
        (Stat("Exit", _exit(state)), True),
    ]


def lost_words(state: RunState) -> str:
    """What going on from the newest save point has to train again: ``240 steps, 6 min``."""
    steps, seconds = lost_since_save(state)
    if steps is None:
        return fmt.UNKNOWN
    if steps == 0:
        return "nothing"
    return fmt.plural(steps, "step") + (f", {fmt.duration(seconds)}" if seconds is not None else "")


def lost_since_save(state: RunState) -> tuple[int | None, float | None]:
    """Steps after the newest save point, and how long they took."""
    if state.crash is not None and state.crash.lost_steps is not None:
        return state.crash.lost_steps, state.crash.lost_s
    if state.started is None:
        return None, None
    steps = max(state.step_now - (safe_step(state) or 0), 0)
    return steps, steps * state.pace_s if state.pace_s is not None else None


def _exit(state: RunState) -> Content:
    if state.ended is not None:
        return join(("code ", MUTED), (str(state.ended.exit_code), BOLD))
    if state.crash is not None and state.crash.signal is not None:
        word = "killed" if state.crash.signal == 9 else "ended"
        return join((word, BOLD), (f" signal {state.crash.signal}", MUTED))
    if state.crash is not None and state.crash.exit_code is not None:
        return join(("code ", MUTED), (str(state.crash.exit_code), BOLD))
    return join((fmt.UNKNOWN, BOLD))


# -- pieces --


def percent(done: int, total: int) -> int:
    """Whole percents that are done; a hundred means all of it."""
    return 100 * done // total if total > 0 else 0


def _of(done: int | None, total: int | None) -> Content:
    words = f" of {fmt.count(total)}" if total is not None else ""
    return join((fmt.count(done), BOLD), (words, MUTED))


def _value(words: str) -> Content:
    """A number with its unit: the number bold, the unit muted."""
    head, _, unit = words.rpartition(" ")
    return join((head, BOLD), (f" {unit}", MUTED)) if head else join((words, BOLD))


def _gigabytes_of(part: float | None, total: float | None) -> Content:
    if part is None:
        return join((fmt.UNKNOWN, BOLD))
    words = f" of {total / fmt.GB:.1f} GB" if total else " GB"
    return join((f"{part / fmt.GB:.1f}", BOLD), (words, MUTED))
