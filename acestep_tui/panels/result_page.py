"""The main page of a finished run: the file, its step, what was proved; beside it plan and truth, and its use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.base import Copied, Panel
from acestep_tui.panels.stats import highest_memory
from acestep_tui.paths import shown
from acestep_tui.runs.diary import file_size
from acestep_tui.runs.measures import median
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import BOLD, ERROR, MUTED, SUCCESS, Part, columns, fit, join, spread, title, wrap

_LABEL = 8
_PROOF = 16
# Proof, its name, what it says when the worker gave no words: passed, failed, not measured.
PROOFS = (
    ("works", "It works", "training changed what the model predicts", "do not use this file", ""),
    ("loads", "It loads", "read back: every part matches", "what was read back is not what was trained", ""),
    ("is_yours", "It is yours", "alike, no copy", "it comes close to copying a song", "no musical features"),
    ("resumes", "It can go on", "its last step is saved, r trains on", "its last step has no save point", ""),
)


def result_path(state: RunState) -> Path | None:
    """The file (of a whole model: the folder) that came out; None when there is none."""
    if state.exported is not None and state.folder is not None:
        return state.folder / state.exported.path
    return state.folder_facts.export.path if state.folder_facts is not None and state.folder_facts.export else None


def is_whole_model(state: RunState) -> bool:
    """Whether a whole model came out, not a LoRA."""
    return state.exported is not None and state.exported.format == "checkpoint"


def result_lines(state: RunState, width: int, *, has_key: bool) -> list[Content]:
    """File and step: four rows, so that what follows keeps its place."""
    rows = [*_file_rows(state, width, has_key=has_key)[:2], *_taken_rows(state, width)]
    rows += [Content("")] * (4 - len(rows))
    return rows[:4]


def _file_rows(state: RunState, width: int, *, has_key: bool) -> list[Content]:
    path = result_path(state)
    if path is None:
        return [_row("file", (f"{fmt.UNKNOWN} nothing was written", MUTED), width), Content("")]
    num_bytes = state.exported.bytes if state.exported is not None else None
    if num_bytes is None and state.folder_facts is not None and state.folder_facts.export is not None:
        num_bytes = state.folder_facts.export.bytes
    strength = ", strength 1.0" if not has_key and not is_whole_model(state) else ""
    size = f"  {file_size(num_bytes)}{strength}" if num_bytes is not None else ""
    key = join(("y", "bold $primary"), (" copy path", MUTED)) if has_key else Content("")
    room = width - _LABEL - key.cell_length - len(size) - 1
    folder, inside = _split(path, state.folder, room)
    return [
        _row("file", f"{shown(folder)}/", width),
        spread(join(" " * _LABEL, (inside, BOLD), (size, MUTED)), key, width),
    ]


def _split(path: Path, folder: Path | None, room: int) -> tuple[Path, str]:
    """A path over two rows: the run's folder and what is inside it; where that is too long, only the last part."""
    if folder is not None and path.is_relative_to(folder) and path != folder:
        inside = str(path.relative_to(folder))
        if len(inside) <= room:
            return folder, inside
    return path.parent, path.name


def _taken_rows(state: RunState, width: int) -> list[Content]:
    """Which step it is, and why. What is written at the end are the weights of the last step."""
    lines = wrap(join(taken_words(state)), min(width - _LABEL, 61))
    return [_row("taken" if not place else "", line, width) for place, line in enumerate(lines)]


def taken_words(state: RunState) -> str:
    """The step that the file holds, against the best one on songs it never heard."""
    last, best = fmt.count(state.step_now), state.best
    if best is None:
        return f"step {last}, the last one. No song was kept aside, so no step can be called the best."
    if best.step == state.step_now:
        return f"step {last}, the last one: its held-out loss is the lowest."
    kept = {fact.step for fact in state.folder_facts.whole} if state.folder_facts is not None else set()
    end = "that save point is kept too." if best.step in kept else "it was not saved."
    return f"step {last}, the last one. Held-out loss was lowest at step {fmt.count(best.step)}; {end}"


def _row(label: str, value: Part, width: int) -> Content:
    return fit(join((label.ljust(_LABEL), MUTED), value), width)


def proof_lines(state: RunState, width: int) -> list[Content]:
    """A row a proof: passed, failed with the reason, or not measured."""
    proofs = state.proofs
    rows = []
    for key, name, passed, failed, missing in PROOFS:
        value = getattr(proofs, key) if proofs is not None else None
        said = proofs.notes.get(key, "") if proofs is not None else ""
        if value is None:
            why = said or missing
            glyph, style, words = fmt.UNKNOWN, MUTED, f"not measured{f': {why}' if why else ''}"
        elif value:
            # Of two losses the worker gives only the numbers.
            words = f"held-out loss {said}" if said[:1].isdigit() else said or passed
            glyph, style = "✓", SUCCESS
        else:
            glyph, style, words = "✗", ERROR, f"{said}: {failed}" if said else failed
        rows.append(fit(join((f"{glyph} ", style), name.ljust(_PROOF), (words, MUTED)), width))
    return rows


class ResultPage(Panel):
    """Your LoRA is ready."""

    name = "Your LoRA is ready"

    def heading(self, state: RunState) -> str:
        """What came out."""
        if result_path(state) is None:
            return "Finished"
        return "Your model is ready" if is_whole_model(state) else self.name

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """File, step, proofs."""
        del now
        is_wide = self.app.size.width >= 100
        rows = [
            *result_lines(state, width, has_key=not is_wide),
            Content(""),
            title(width, "Proofs"),
            *proof_lines(state, width),
        ]
        return rows[:height]

    def copied(self) -> Copied | None:
        """The path of the file."""
        path = result_path(self.state) if self.state is not None else None
        if path is None or self.state is None:
            return None
        return Copied(str(path), f"the path of the {'model' if is_whole_model(self.state) else 'LoRA'}")


# -- beside it, where there is room --

_PLAN, _TRUTH = 24, 13


def plan_lines(state: RunState, width: int) -> list[Content]:
    """What was planned and what it took."""
    plan, ended = state.plan, state.ended
    used, planned_memory = highest_memory(state)
    is_card = plan is None or bool(plan.vram_bytes)
    step_s = median(state.step_s.values.tolist()) if len(state.step_s) else state.pace_s
    facts = [
        ("Time", fmt.duration(plan.seconds if plan else None), fmt.duration(ended.seconds if ended else None)),
        ("GPU memory" if is_card else "Memory", fmt.size(planned_memory), fmt.size(used)),
        ("Disk", fmt.size(plan.disk_bytes if plan else None), fmt.size(_folder_bytes(state))),
        ("A step", _step(plan.parts.get("step_s") if plan else None), _step(step_s)),
    ]
    return [
        fit(
            join(
                columns([(label, MUTED), (planned, MUTED)], [12, 12 - _PLAN], gap=0),
                fit((truth, BOLD), _TRUTH, align="right"),
            ),
            width,
        )
        for label, planned, truth in facts
    ]


def _folder_bytes(state: RunState) -> int | None:
    facts = state.folder_facts
    return facts.size_bytes if facts is not None and facts.size_bytes else None


def _step(seconds: float | None) -> str:
    return fmt.UNKNOWN if seconds is None else f"{seconds:.2f} s" if seconds < 10 else fmt.duration(seconds)


def use_lines(state: RunState, width: int) -> list[Content]:
    """Where the file goes."""
    if is_whole_model(state):
        rows = [("ACE-Step", "give the folder as model")]
    else:
        rows = [
            ("ComfyUI", "put it in models/loras"),
            ("", "and set strength 1.0"),
            ("ACE-Step", "give its path as LoRA"),
        ]
    rows += [("Here", "making songs with it comes"), ("", "with a later version")]
    return [fit(join((label.ljust(10), MUTED), words), width) for label, words in rows]


class PlanPanel(Panel):
    """Plan and truth."""

    name = "Plan and truth"
    can_focus = False

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """A row a number."""
        del now
        return plan_lines(state, width)[:height]


class UsePanel(Panel):
    """How the file is used."""

    name = "Use it"
    can_focus = False

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """A row a program."""
        del now
        return use_lines(state, width)[:height]
