"""Setting up a run: six pages over one draft, the plan always in sight. Leaving loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.widget import Widget

from acestep_tui.commands import Command, bindings
from acestep_tui.paths import absolute
from acestep_tui.screens.base import HouseScreen
from acestep_tui.screens.wizard_keeping import DraftKept, Keeping
from acestep_tui.screens.wizard_preset import PresetSaver, read_preset
from acestep_tui.widgets.paint import BOLD, MUTED, Part, join
from acestep_tui.wizard.draft import UNNAMED, Draft
from acestep_tui.wizard.fields import STEP_IDS, STEPS
from acestep_tui.wizard.look import WizardFacts
from acestep_tui.wizard.plan_pane import PlanLine, Planned, PlanPane
from acestep_tui.wizard.planning import advise, planned
from acestep_tui.wizard.stepper import Stepper
from acestep_tui.wizard.steps.base import Step
from acestep_tui.wizard.steps.make import make_step
from acestep_tui.wizard.steps.more import MorePage
from engine.contract.fields_base import WizardStep
from engine.hardware.machine import Machine, look_at_machine

# Pages that look at something: a draft opened at a later page needs what they find.
_LEARNING: tuple[WizardStep, ...] = ("model", "dataset")


class WizardScreen(HouseScreen):
    """The set-up.

    Args:
        draft: A draft to go on with; None begins a new one.
        path: Its file, so that it is saved where it was.
        preset: A preset or configuration to open instead, at the review.
    """

    CSS_PATH = Path(__file__).with_name("wizard.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("wizard")
    scopes = ("wizard", "field")
    help_title = "Setting up a run"
    AUTO_FOCUS = ""  # each page says itself where one begins

    @dataclass
    class MachineSeen(Message):
        """The computer was looked at."""

        machine: Machine

    @dataclass
    class PresetOpened(Message):
        """A preset became a draft, or could not be read."""

        draft: Draft | None
        notes: tuple[str, ...] = ()

    def __init__(self, draft: Draft | None = None, *, path: Path | None = None, preset: str | None = None) -> None:
        super().__init__(classes="-typing")
        self.draft = draft if draft is not None else Draft()
        self.facts = WizardFacts()
        self.preset = PresetSaver(self)
        self._source = preset
        self.keeping = Keeping(self, self.draft, path)
        # Looks at the computer; tests give one that they made up.
        self.look: Callable[[Path], Machine] = look_at_machine
        self._steps: dict[WizardStep, Step] = {}
        self._more: MorePage | None = None
        # Pages that were left by Next although something is wrong there, or later found wrong.
        self._wrong: set[WizardStep] = set()

    @classmethod
    def from_preset(cls, path: Path | str) -> WizardScreen:
        """The set-up of a preset or a SimpleTuner configuration, opened at the review."""
        return cls(preset=str(path))

    def compose_body(self) -> Iterable[Widget]:
        """Pages' row, page and plan."""
        yield Stepper()
        with Horizontal(id="body"):
            yield Container(id="pages")
            yield PlanPane()
        yield PlanLine()

    async def on_mount(self) -> None:
        """Open where the draft was left; look at the computer meanwhile."""
        self._look()
        if self._source is None:
            await self._open()
        else:
            self._show_all()
            self._read_preset(self._source)

    async def _open(self) -> None:
        place = STEP_IDS.index(self.draft.step)
        for key in _LEARNING:
            if key in self.draft.visited and key != self.draft.step and STEP_IDS.index(key) <= place:
                (await self._step(key)).display = False
        await self._go_to(self.draft.step, is_new=False)

    # -- looking --

    @work(thread=True, exclusive=True, exit_on_error=False, group="machine")
    def _look(self) -> None:
        machine = self.look(self.runs_folder)
        import engine.contract.backends  # noqa: F401 - pydantic: read here, so that no key waits for it

        self.post_message(self.MachineSeen(machine))

    def look_again(self) -> None:
        """Look at the computer once more."""
        self._look()

    def on_wizard_screen_machine_seen(self, message: MachineSeen) -> None:
        """Values for this computer."""
        self.facts.machine = message.machine
        self._tell("machine")

    @property
    def runs_folder(self) -> Path:
        """Where new runs go."""
        return absolute(str(self.house.settings["runs_folder"]))

    @work(thread=True, exclusive=True, exit_on_error=False, group="preset")
    def _read_preset(self, source: str) -> None:
        self.post_message(self.PresetOpened(*read_preset(source)))

    async def on_wizard_screen_preset_opened(self, message: PresetOpened) -> None:
        """At the review; what the reader noticed is said."""
        for note in message.notes:
            self.house.toast("warning" if message.draft is not None else "error", *note.splitlines()[:3])
        if message.draft is None:
            self.house.open_home()
            return
        self.draft = message.draft
        self.keeping = Keeping(self, self.draft, None)
        await self._open()

    # -- from page to page --

    @property
    def step(self) -> Step:
        """The page that is up."""
        return self._steps[self.draft.step]

    @property
    def _is_up(self) -> bool:
        """Whether the page of the draft is there yet."""
        return self.draft.step in self._steps

    async def _step(self, key: WizardStep) -> Step:
        """The page of a key, made when it is first needed."""
        if key not in self._steps:
            step = make_step(key)
            self._steps[key] = step
            await self.query_one("#pages").mount(step)
            step.learn()
        return self._steps[key]

    async def _go_to(self, key: WizardStep, *, is_new: bool = True) -> None:
        await self._close_more()
        target = await self._step(key)
        for step in self._steps.values():
            step.display = step is target
        self.draft.visit(key)
        self._wrong -= {key}
        self._wrong |= {other for other, step in self._steps.items() if other != key and step.problems()}
        self.set_class(target.has_pane, "-pane")
        self.set_class(key == "review", "-review")
        self._replan()
        target.on_enter()
        target.focus_first()
        self._show_all()
        if is_new:
            self.keeping.arrived()

    def go_to(self, key: WizardStep) -> None:
        """Show a page (a row of the review, the palette, the stepper)."""
        self.call_later(self._go_to, key)

    def problems_elsewhere(self) -> Iterable[tuple[WizardStep, str]]:
        """What is wrong on the other pages, in their order; a page never made has nothing to say."""
        for key in STEP_IDS[:-1]:
            said = self._steps[key].problems() if key in self._steps else []
            if said:
                yield key, said[0]

    def on_stepper_wanted(self, message: Stepper.Wanted) -> None:
        """A click on a page seen before."""
        self.go_to(message.step)

    def on_step_done(self) -> None:
        """Enter after the last field."""
        self.call_later(self.action_next)

    async def action_next(self) -> None:
        """The next page, or to what keeps from it; on the last one, start."""
        if not self._is_up:
            return
        page = self._more or self.step
        problems = page.problems()
        if problems:
            page.focus_first()
            self.house.toast("warning", problems[0])
            return
        if self._more is not None:
            await self._close_more()
        place = STEP_IDS.index(self.draft.step)
        if place + 1 < len(STEP_IDS):
            await self._go_to(STEP_IDS[place + 1])
        else:
            self.step.start()

    async def action_back(self) -> None:
        """Out of More settings, one page back, from the first one Home."""
        if self._more is not None:
            await self.action_more()
            return
        place = STEP_IDS.index(self.draft.step)
        if self._is_up and self.step.take_back():
            return
        if place and self._is_up:
            await self._go_to(STEP_IDS[place - 1])
        else:
            self.house.open_home()

    async def action_more(self) -> None:
        """All other settings of this page, in its place."""
        if not self._is_up:
            return
        if self._more is not None:
            await self._close_more()
            self.step.focus_first()
            return
        self._more = MorePage(self.draft.step, self.draft)
        self.step.display = False
        self.set_class(True, "-pane")
        await self.query_one("#pages").mount(self._more)
        self._show_all()

    async def _close_more(self) -> None:
        more, self._more = self._more, None
        if more is not None:
            await more.remove()
            self.step.display = True
            self.set_class(self.step.has_pane, "-pane")
            self.step.facts_changed("plan")
            self._show_all()

    def action_browse(self) -> None:
        """The page's own picker."""
        self.step.browse()

    def action_rescan(self) -> None:
        """The page looks again."""
        self.step.rescan()

    def action_save_preset(self) -> None:
        """Asks where."""
        self.preset.ask()

    def action_copy_command(self) -> None:
        """The same without screens."""
        self.preset.copy_command()

    def on_plan_pane_copy_wanted(self) -> None:
        """A click on the command."""
        self.preset.copy_command()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what the page answers."""
        del parameters
        if action in ("browse", "rescan"):
            return self._is_up and self._more is None and action in self.step.answers
        return True

    def footer_word(self, command: Command) -> str:
        """Start on the last page; a page may shorten a word or leave it out."""
        if not self._is_up or command.scope == "app":
            return command.word
        said = self.step.footer_word(command) if self._more is None else None
        if said is not None:
            return said
        if command.id == "wizard.more" and self._more is not None:
            return "Fewer settings"
        if command.id == "wizard.next" and self.draft.step == "review":
            return "Start"
        if command.id == "wizard.copy_command":
            return command.word if self.draft.step == "review" else ""
        return command.word

    # -- what changes --

    def explain(self) -> bool:
        """F1 in a field: what the field is; False where the focus is elsewhere, so that the page's help opens."""
        from acestep_tui.screens.field_help import explain_field

        return explain_field(self)

    @on(Step.Changed)
    @on(MorePage.Changed)
    def _changed(self, message: Message) -> None:
        """Another value: plan at once, save soon."""
        message.stop()
        self.keeping.touch()
        self._replan()
        self.redraw_pages("plan")
        self._show_header()

    def on_step_learned(self, message: Step.Learned) -> None:
        """Another fact."""
        message.stop()
        self._tell(message.fact)

    def _tell(self, fact: str) -> None:
        # What was only not known yet is no problem any more.
        self._wrong = {key for key in self._wrong if self._steps[key].problems()}
        self._replan()
        self.redraw_pages(fact)
        self._show_all()

    def redraw_pages(self, fact: str) -> None:
        """Draw again what shows this fact (``plan``: also the command), on the pages and around them."""
        if self._more is not None:
            self._more.show()
        for step in self._steps.values():
            if step.display or fact != "plan":
                step.facts_changed(fact)  # type: ignore[arg-type]
        self.show_plan()

    def _replan(self) -> None:
        advise(self.draft, self.facts)
        self.facts.plan = planned(self.draft, self.facts)

    def on_draft_kept(self, message: DraftKept) -> None:
        """Say it in the header."""
        self.keeping.told(message)
        self._show_header()

    def on_unmount(self) -> None:
        """However one leaves, the last change is written."""
        self.keeping.flush()

    # -- what is shown around the page --

    def _show_all(self) -> None:
        self._show_header()
        self.query_one(Stepper).show(self.draft.step, self.draft.visited, self._wrong)
        self.show_plan()
        self.refresh_bindings()

    def _show_header(self) -> None:
        name = [(self.draft.name, BOLD)] if self.draft.name else []
        self.show_header((UNNAMED, MUTED), *name, right=self.keeping.words)

    def show_plan(self) -> None:
        """Draw the plan again."""
        kind = self.facts.device.kind if self.facts.device is not None else "cuda"
        shown = Planned(self.facts.plan, kind, self.preset.command)
        self.query_one(PlanPane).show(shown)
        self.query_one(PlanLine).show(shown)

    def on_resize(self, event: events.Resize) -> None:
        """The review has the plan on the page where there is no pane."""
        super().on_resize(event)
        self.redraw_pages("plan")

    def tiny_line(self) -> Part:
        """Where one is."""
        place = STEP_IDS.index(self.draft.step)
        return join((self.draft.shown_name, BOLD), f"  step {place + 1} of {len(STEPS)}, {STEPS[place].name}")

    def palette(self) -> Iterable[tuple[str, str, Callable[[], None]]]:
        """What the page offers, pages seen before, what keeps a run alive after log-out."""
        if self._is_up:
            yield from self.step.palette()
        for step in STEPS:
            if step.id in self.draft.visited and step.id != self.draft.step:
                yield f"Go to step: {step.name}", step.question, partial(self.go_to, step.id)
        fix = self.facts.machine.log_out.fix if self.facts.machine is not None else ""
        if fix:
            yield "Keep running after log-out…", fix, lambda: self.house.copy(fix, f"the command: {fix}")

    def farewell(self) -> list[str]:
        """What the shell says after closing."""
        if not self.keeping.will_be_kept:
            return []
        place = STEP_IDS.index(self.draft.step)
        return [f"Your draft is kept: {self.draft.shown_name}, step {place + 1}. Go on with it:  acestep-tui"]
