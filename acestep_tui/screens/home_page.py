"""The lines of Home, from facts alone: greeting, recent runs, what next, this computer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.doctor import Check
from acestep_tui.runs.summary import RunSummary, past
from acestep_tui.screens.run_actions import num_training, shown_name, style_of
from acestep_tui.widgets.page import AIR, PageRow, still
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, WARNING, Part, columns, fit, join, spread, text, title, wrap
from acestep_tui.wizard.draft_files import DraftSummary
from acestep_tui.wizard.fields import STEP_IDS

_NARROW_RUNS, _WIDE_RUNS = 5, 6
_CHECK_WIDTH = 14
WIDE_SCREEN = 100
_FRESH_S = 60.0
# The ground of the selected row.
SELECTED = "on $block-cursor-background"
# The page's own width on a wide screen; what is narrower has the narrow rows.
_WIDE_INNER = 98


@dataclass(frozen=True, slots=True)
class Menu:
    """A row of "What next?"."""

    number: int
    label: str
    hint: str


@dataclass(frozen=True, slots=True)
class HomeFacts:
    """What Home knows.

    Attributes:
        runs: All runs, newest activity first.
        drafts: Set-ups not started.
        checks: The look at this computer; None until it is done.
        model: The model's row of it.
        in_use: One line on a computer that works: ``✓ RTX 4070  6.6 of 12.0 GB used``.
        now: Unix seconds.
        looked_at: When this computer was looked at.
        is_listed: Whether runs and drafts have been looked at.
    """

    runs: Sequence[RunSummary] = ()
    drafts: Sequence[DraftSummary] = ()
    checks: Sequence[Check] | None = None
    model: Check | None = None
    in_use: Sequence[Check] = ()
    now: float = 0.0
    looked_at: float = 0.0
    is_listed: bool = True

    @property
    def is_first(self) -> bool:
        """No run before and none now: the page for newcomers."""
        return self.is_listed and not self.runs and not self.drafts


def menu(facts: HomeFacts) -> list[Menu]:
    """The four ways on."""
    hint = "about 5 minutes, starts nothing by itself"
    if facts.drafts:
        newest = facts.drafts[0]
        hint = f"go on with {newest.name}, step {newest.step}; n is new"
    elif facts.runs:
        hint = "a new one, or go on with a draft"
    return [
        Menu(1, "Set up a training run", hint),
        Menu(2, "Try the demo", "12 made-up songs, no GPU, 3 minutes"),
        Menu(3, "Open a preset or config", "a SimpleTuner config.json works as it is"),
        Menu(4, "Check this computer", "drivers, disk, formats, network"),
    ]


def page(
    facts: HomeFacts, width: int, height: int, selected: object | None = None, *, is_compact: bool = False
) -> list[PageRow]:
    """The rows between header and footer.

    Args:
        facts: What is known.
        width, height: Room in cells.
        selected: The target under the cursor: a run that needs attention says so under the list.
        is_compact: Whether the reader wants no empty lines.
    """
    is_wide, is_tall = width >= WIDE_SCREEN, height >= 30 and not is_compact
    margin = (width - _WIDE_INNER) // 2 if is_wide else 3
    inner = _WIDE_INNER if is_wide else width - 2 * margin
    air = [AIR] if is_tall else []
    rows = _first_page(facts, inner, is_tall) if facts.is_first else _page(facts, inner, is_tall, selected, air)
    if is_compact:
        rows = [row for row in rows if row is not AIR]
    return [PageRow(_indented(row.draw, inner, margin), row.target) for row in rows]


def _indented(draw: Callable[[int, bool], Content], inner: int, margin: int) -> Callable[[int, bool], Content]:
    def indented(_width: int, is_selected: bool) -> Content:
        row = draw(inner, is_selected)
        return (fit(row, inner).stylize(SELECTED) if is_selected else row).pad_left(margin)

    return indented


def _first_page(facts: HomeFacts, width: int, is_tall: bool) -> list[PageRow]:
    air = [AIR] if is_tall else []
    greeting = (
        "Bring a folder of music. Six short steps look at this computer and your songs, show what training takes,"
    )
    greeting += " and start it. Nothing runs before that."
    live = text(_looked(facts), MUTED)
    rows = [AIR, *([AIR] * 3 if is_tall else []), still(text("Teach ACE-Step your songs.", f"{BOLD} {ACCENT}"))]
    rows += [still(line) for line in wrap(greeting, min(width - 2, 80))]
    rows += [AIR, *air, still(title(width, "This computer", live=live)), *air]
    rows += [still(_check_line(check, width)) for check in _first_checks(facts)]
    rows += [AIR, *air, *_menu_rows(facts, width, is_tall)]
    if is_tall:
        rows += [AIR] * 10
        last = "New here? Try the demo first: it goes the whole way, from songs to a finished LoRA, in three minutes."
        rows += [still(text(last, MUTED))]
        explained = (
            "A LoRA is a small add-on file that teaches a big model something new without changing the model itself."
        )
        rows += [still(text(explained, MUTED))]
    else:
        rows += [AIR, AIR, AIR]
        rows.append(still(text("New here? Try the demo first: the whole way, songs to LoRA, in 3 minutes.", MUTED)))
    return rows


def _looked(facts: HomeFacts) -> str:
    if facts.checks is None:
        return "looking …"
    is_fresh = facts.now - facts.looked_at < _FRESH_S
    return "looked just now" if is_fresh else f"looked {fmt.ago(facts.looked_at, facts.now)}"


def _first_checks(facts: HomeFacts) -> list[Check]:
    names = ("Graphics card", "Memory", "Disk", "Audio")
    found = {check.name: check for check in facts.checks or ()}
    checks = [found.get(name, Check("unknown", name, fmt.UNKNOWN)) for name in names]
    return [*checks, facts.model or Check("unknown", "Model", fmt.UNKNOWN)]


def _check_line(check: Check, width: int) -> Content:
    head = join((check.glyph, check.style), " ", check.name.ljust(_CHECK_WIDTH), " ", check.fact)
    if width >= _WIDE_INNER:
        # The first set-up that needs the model is where it is fetched.
        step = ", step 2" if check.name == "Model" and check.cure else ""
        return fit(
            join(fit(head, 60) if head.cell_length < 60 else head + text(" "), (check.cure + step, MUTED)), width
        )
    cure = check.cure if check.state != "ok" and head.cell_length + len(check.cure) + 3 <= width else ""
    return spread(head, (cure, MUTED), width)


def _menu_rows(facts: HomeFacts, width: int, is_tall: bool) -> list[PageRow]:
    rows = [still(title(width, "What next?")), *([AIR] if is_tall else [])]
    return rows + [PageRow(_menu_row(entry), entry.number) for entry in menu(facts)]


def _menu_row(entry: Menu) -> Callable[[int, bool], Content]:
    def draw(width: int, is_selected: bool) -> Content:
        mark = ("❯ " if is_selected else "  ", f"bold {ACCENT}")
        label = (entry.label.ljust(28), BOLD if is_selected else "")
        number = (str(entry.number), BOLD if is_selected else MUTED)
        return join(mark, number, "  ", label, (entry.hint, MUTED))

    return draw


def _page(
    facts: HomeFacts, width: int, is_tall: bool, selected: object | None, air: Sequence[PageRow]
) -> list[PageRow]:
    is_wide = width >= _WIDE_INNER
    recent = recent_rows(facts, _WIDE_RUNS if is_wide else _NARROW_RUNS)
    num_all = len(facts.runs) + len(facts.drafts)
    count = text(f"{len(recent)} of {num_all}" if facts.is_listed else "looking …", MUTED)
    rows = [AIR, *([AIR, AIR] if is_tall else []), still(text(greeting(facts), BOLD)), AIR, *air]
    rows += [still(title(width, "Recent runs", live=count)), *air]
    rows += [PageRow(_recent_row(entry, facts.now), entry.key) for entry in recent_targets(recent)]
    rows += [AIR, *air, still(attention(facts, width, selected)), AIR, *air, *_menu_rows(facts, width, is_tall)]
    rows += [AIR, AIR, still(title(width, "This computer")), *air, still(_in_use_line(facts))]
    return rows


@dataclass(frozen=True, slots=True)
class Recent:
    """A row of the recent runs with what the cursor stands on: ``run:PATH`` or ``draft:PATH``."""

    key: str
    entry: RunSummary | DraftSummary


def recent_targets(recent: Sequence[RunSummary | DraftSummary]) -> list[Recent]:
    """The rows with their keys."""
    return [Recent(f"{'run' if isinstance(one, RunSummary) else 'draft'}:{one.path}", one) for one in recent]


def recent_rows(facts: HomeFacts, most: int) -> list[RunSummary | DraftSummary]:
    """The newest runs, the newest draft last where there is room; the menu names it too."""
    num_runs = most - 1 if most > _NARROW_RUNS and facts.drafts else most
    runs = facts.runs[:num_runs]
    return [*runs, *facts.drafts[: most - len(runs)]]


def _recent_row(row: Recent, now: float) -> Callable[[int, bool], Content]:
    def draw(width: int, is_selected: bool) -> Content:
        mark = ("❯ " if is_selected else "  ", f"bold {ACCENT}")
        glyph, word, name, steps, loss, news, about = _cells(row.entry, now)
        style = BOLD if is_selected else ""
        state = join(glyph, " ", word)
        if width < _WIDE_INNER:
            head = join(mark, columns([state, (name, style), steps], [11, 17, -16], gap=1))
            return spread(head, (news, MUTED), width)
        start = columns([state, (name, style), steps, loss], [11, 19, -16, -7], gap=1)
        return join(mark, start, "  ", columns([(news, MUTED), (about, MUTED)], [16, 21], gap=1))

    return draw


def _cells(entry: RunSummary | DraftSummary, now: float) -> tuple[Part, str, str, str, str, str, str]:
    """Glyph, state, name, steps, loss, last news, what it is."""
    if isinstance(entry, DraftSummary):
        steps = f"step {entry.step} of {len(STEP_IDS)}"
        word = "unreadable" if entry.problem else "draft"
        return ("○", MUTED), word, entry.name, steps, "", past(entry.saved_at, now), "not started"
    glyph = (entry.status.glyph, style_of(entry))
    loss = fmt.loss(entry.loss)
    return glyph, entry.status.word, shown_name(entry), entry.steps_text, loss, entry.news(now), entry.about


def greeting(facts: HomeFacts) -> str:
    """One sentence on how things stand."""
    if not facts.is_listed:
        return "Welcome back."
    running = num_training(facts.runs)
    if running == 1:
        return "Welcome back. One run is training: it needs nothing from you."
    if running:
        return f"Welcome back. {running} runs are training: they need nothing from you."
    return "Welcome back. Nothing is training now."


def needing_run(facts: HomeFacts, selected: object | None, *, is_wide: bool) -> RunSummary | None:
    """The run that the sentence under the list is about: the selected one, else the first that needs something."""
    recent = recent_rows(facts, _WIDE_RUNS if is_wide else _NARROW_RUNS)
    needing = [run for run in recent if isinstance(run, RunSummary) and run.cause]
    return next((run for run in needing if f"run:{run.path}" == selected), needing[0] if needing else None)


def attention(facts: HomeFacts, width: int, selected: object | None) -> Content:
    """The sentence under the list, cut to its one row."""
    run = needing_run(facts, selected, is_wide=width >= _WIDE_INNER)
    if run is None:
        return Content("")
    head = join((run.status.glyph, style_of(run) or WARNING), f" {shown_name(run)}: ")
    whole = head + text(run.good_to_know)
    if whole.cell_length <= width or not run.cure:
        return fit(whole, width)
    # What does not fit gives way to the key that shows all of it.
    tail = text(" ↵ shows what to do.")
    cause = text(f"{run.cause}.")
    room = width - head.cell_length - tail.cell_length
    return fit(head + (fit(cause, room) if cause.cell_length > room else cause) + tail, width)


def _in_use_line(facts: HomeFacts) -> Content:
    checks = [*facts.in_use, *([facts.model] if facts.model is not None else [])]
    if not checks:
        return text(fmt.UNKNOWN, MUTED)
    in_short = {"ok": "model here", "warning": "no model yet"}
    said = [(check, in_short.get(check.state, "model –") if check is facts.model else check.fact) for check in checks]
    return Content("   ").join(join((check.glyph, check.style), f" {fact}") for check, fact in said)
