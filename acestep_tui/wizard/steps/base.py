"""What every page of the set-up is: a question, its widgets, and a few things that the frame asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from acestep_tui.commands import Command
from acestep_tui.failures import TellsFailures
from acestep_tui.widgets.fields import Field
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import MUTED, Part, text, title
from acestep_tui.wizard.fields import STEPS
from engine.contract.fields_base import WizardStep

if TYPE_CHECKING:
    from acestep_tui.app import AceStepApp
    from acestep_tui.screens.wizard import WizardScreen
    from acestep_tui.wizard.draft import Draft
    from acestep_tui.wizard.look import WizardFacts

# What may have become known: see `WizardFacts`.
Fact = Literal["machine", "model", "songs", "plan"]


class StepTitle(Lines):
    """The page's question on its rule: ``Your songs ─────── step 3 of 6``."""

    DEFAULT_CSS = """
    StepTitle { height: 1; }
    """

    def __init__(self, key: WizardStep) -> None:
        super().__init__()
        self._place = next(place for place, step in enumerate(STEPS) if step.id == key)

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row."""
        del height
        live = text(f"step {self._place + 1} of {len(STEPS)}", MUTED)
        return [title(width, STEPS[self._place].question, live=live)]


class Section(Lines):
    """A title on its rule inside a page; change its words with `show`."""

    DEFAULT_CSS = """
    Section { height: 1; }
    """

    def __init__(self, name: str, live: Part = "", *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._heading, self._live = name, live

    def show(self, name: str, live: Part = "") -> None:
        """Say something else."""
        self._heading, self._live = name, live
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row."""
        del height
        return [title(width, self._heading, live=self._live)]


class Passage(Lines):
    """Lines that take as many rows as they need: notes, checks, whatever wraps."""

    DEFAULT_CSS = """
    Passage { height: auto; }
    """

    def drawn(self, width: int) -> Sequence[Content]:
        """All lines at this width."""
        del width
        return ()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The same, for drawing."""
        del height
        return self.drawn(width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as there are lines."""
        del container, viewport
        return len(self.drawn(width))

    def show(self) -> None:
        """What it is drawn from changed."""
        if self.size.width and len(self.drawn(self.size.width)) != self.size.height:
            self.refresh(layout=True)
        self.redraw()


class KeyRow(Lines, can_focus=True):
    """Something to take with Enter or a click: the arrow keys go past it, and it shows when they stand on it."""

    def action_up(self) -> None:
        """What is above."""
        self.screen.focus_previous()

    def action_down(self) -> None:
        """What is below."""
        self.screen.focus_next()

    def taken(self) -> None:
        """A click."""

    def on_click(self, event: events.Click) -> None:
        """A click takes it."""
        event.stop()
        self.taken()

    def watch_has_focus(self, has_focus: bool) -> None:
        """The mark shows where the keys go."""
        super().watch_has_focus(has_focus)
        self.redraw()


class Step(TellsFailures, VerticalScroll, can_focus=False):
    """One page of the set-up. It is made when it is first needed and kept, so going back loses nothing.

    A page gives `compose_step`, and says what changed with `changed` (the draft) or `learned` (a fact). The frame
    calls `learn` once, `on_enter` each time the page comes up, and `facts_changed` whenever a fact is known.
    """

    key: ClassVar[WizardStep]
    # Whether the plan stands beside the page on a wide terminal; a page with a table takes the whole width.
    has_pane: ClassVar[bool] = True
    # Actions of the frame that this page answers: "browse", "rescan".
    answers: ClassVar[frozenset[str]] = frozenset()

    DEFAULT_CSS = """
    Step { height: 1fr; width: 1fr; }
    """

    @dataclass
    class Changed(Message):
        """A value of the draft is another one: the plan is computed anew, the draft is saved soon."""

        step: Step

    @dataclass
    class Learned(Message):
        """A fact became known, or is another one."""

        step: Step
        fact: Fact

    @dataclass
    class Done(Message):
        """Enter after the last field: on to the next page."""

        step: Step

    def compose(self) -> ComposeResult:
        """The title, then the page's own widgets."""
        yield StepTitle(self.key)
        yield from self.compose_step()

    def compose_step(self) -> Iterable[Widget]:
        """The page's widgets below its title."""
        return ()

    # -- what surrounds it --

    @property
    def wizard(self) -> WizardScreen:
        """The frame."""
        return cast("WizardScreen", self.screen)

    @property
    def house(self) -> AceStepApp:
        """The app, as ours."""
        return cast("AceStepApp", self.app)

    @property
    def draft(self) -> Draft:
        """What is being set up."""
        return self.wizard.draft

    @property
    def facts(self) -> WizardFacts:
        """What is known so far."""
        return self.wizard.facts

    def changed(self) -> None:
        """Say that the draft is another one; call it after each change."""
        self.post_message(self.Changed(self))

    def learned(self, fact: Fact) -> None:
        """Say that something in `facts` is another one; all pages hear of it."""
        self.post_message(self.Learned(self, fact))

    # -- what the frame asks --

    def learn(self) -> None:
        """Begin to look, in a thread, at what this page is about: called once, when the page is made.

        A draft that is opened at a later page makes the earlier ones too, so that the plan is whole.
        """

    def on_enter(self) -> None:
        """The page comes up."""

    def facts_changed(self, fact: Fact) -> None:
        """Draw again what shows this fact; also called when the draft changed (``plan``)."""
        del fact
        for field in self.query(Field):
            field.show()

    def problems(self) -> list[str]:
        """What keeps the user from going on, one sentence each; empty = Next is free."""
        return [f"{field.label}: {field.error}." for field in self.query(Field) if field.error]

    def focus_first(self) -> None:
        """Put the focus where one begins; with problems, on the first of them."""
        fields = [field for field in self.query(Field) if field.is_open]
        first = next((field for field in fields if field.error), next(iter(fields), None))
        if first is not None:
            first.focus()

    def start(self) -> None:
        """Ctrl+N on the last page."""

    def take_back(self) -> bool:
        """Escape: undo what waits on this page; False = nothing did, so that one goes back."""
        return False

    def on_field_changed(self, message: Field.Changed) -> None:
        """A value of the draft is another one."""
        message.stop()
        self.changed()

    def on_field_finished(self, message: Field.Finished) -> None:
        """Enter: to the next field, after the last one to the next page."""
        message.stop()
        self.go_on_from(message.field)

    def go_on_from(self, widget: Widget) -> None:
        """Put the focus on what follows on this page; after the last one the page is done."""
        chain = [one for one in self.screen.focus_chain if self in one.ancestors]
        place = chain.index(widget) + 1 if widget in chain else 0
        if place < len(chain):
            self.screen.set_focus(chain[place])  # at once: `focus()` would wait behind the next key
        else:
            self.post_message(self.Done(self))

    def footer_word(self, command: Command) -> str | None:
        """Another word for a key on this page (empty = not in the footer); None leaves it."""
        del command
        return None

    def palette(self) -> Iterable[tuple[str, str, Callable[[], None]]]:
        """What this page adds to the command palette: a sentence, its help, what it does."""
        return ()

    def browse(self) -> None:
        """Ctrl+O, if the page answers it."""

    def rescan(self) -> None:
        """Ctrl+R, if the page answers it."""
