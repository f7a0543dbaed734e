"""More settings: every other setting of a page that works, by section, with a filter. They come from declarations."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from acestep_tui import format as fmt
from acestep_tui.widgets.fields import Field
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import MUTED, text
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.fields import STEPS, label, more_fields
from acestep_tui.wizard.setting_field import SettingField
from acestep_tui.wizard.special_fields import field_for
from acestep_tui.wizard.steps.base import Section
from engine.contract.fields_base import WizardStep

# At 80 columns there is room for "● yours" beside the run.
_WIDEST_LABEL = 32


class _Nothing(Lines):
    """What stands there when the filter finds nothing."""

    DEFAULT_CSS = "_Nothing { height: 1; display: none; }"

    def __init__(self) -> None:
        super().__init__()
        self.wanted = ""

    def lines(self, width: int, height: int) -> list[Content]:
        """The one line."""
        del width, height
        return [text(f"Nothing matches “{self.wanted}”. esc clears.", MUTED)]


class MorePage(VerticalScroll, can_focus=False):
    """The page that ctrl+t shows in the place of a step.

    Args:
        step: Whose settings.
        draft: What is being set up.
    """

    DEFAULT_CSS = """
    MorePage { height: 1fr; width: 1fr; }
    MorePage > Input { margin: 0 0 1 0; }
    """

    @dataclass
    class Changed(Message):
        """A value is another one."""

    def __init__(self, step: WizardStep, draft: Draft) -> None:
        super().__init__()
        self._step, self._draft = step, draft
        self._name = next(one.name for one in STEPS if one.id == step)
        self._groups: list[tuple[Section, list[SettingField]]] = []

    def compose(self) -> ComposeResult:
        """Title, filter, and the fields by section."""
        groups = more_fields(self._step)
        num_settings = sum(len(group.settings) for group in groups)
        labels = [len(label(setting)) for group in groups for setting in group.settings]
        widest = min(max(labels, default=0) + 1, _WIDEST_LABEL)
        live = text(fmt.plural(num_settings, "setting"), MUTED)
        yield Section(f"More settings: {self._name}", live)
        yield Input(placeholder="Filter the settings", compact=True)
        for group in groups:
            section = Section(group.section)
            fields = [field_for(setting.key, self._draft, label_width=widest) for setting in group.settings]
            self._groups.append((section, fields))
            yield section
            yield from fields
        yield _Nothing()

    def on_mount(self) -> None:
        """The filter first: most of the time one knows what one looks for."""
        wanted = self.query_one(Input)
        wanted.cursor_blink = bool(getattr(self.app, "has_motion", False))
        # At the top it is in sight; scrolling to it while the page is laid out would hide the title at times.
        wanted.focus(scroll_visible=False)

    def show(self) -> None:
        """Draw again: a value may hang on another one."""
        for field in self.query(Field):
            field.show()

    def problems(self) -> list[str]:
        """What was typed and cannot be taken."""
        return [f"{field.label}: {field.error}." for field in self.query(Field) if field.error]

    def focus_first(self) -> None:
        """On the first field with a problem."""
        wrong = next((field for field in self.query(Field) if field.error), None)
        (wrong or self.query_one(Input)).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Only settings with all words."""
        event.stop()
        found = {one.key for group in more_fields(self._step, text=event.value) for one in group.settings}
        for section, fields in self._groups:
            for field in fields:
                field.display = field.setting.key in found
            section.display = any(field.display for field in fields)
        nothing = self.query_one(_Nothing)
        nothing.wanted, nothing.display = event.value, not found
        nothing.redraw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """To the first field that is left."""
        event.stop()
        self.screen.focus_next(Field)

    def on_key(self, event: events.Key) -> None:
        """Escape in a filter clears it before it closes the page."""
        filter_field = self.query_one(Input)
        if event.key == "escape" and filter_field.value and filter_field.has_focus:
            event.stop()
            event.prevent_default()
            filter_field.value = ""
            filter_field.focus()

    def on_field_finished(self, message: Field.Finished) -> None:
        """To the next field; from the last one back to the filter."""
        message.stop()
        shown: list[Widget] = [field for field in self.query(Field) if field.display and field.is_open]
        place = shown.index(message.field) + 1 if message.field in shown else 0
        (shown[place] if place < len(shown) else self.query_one(Input)).focus()

    def on_field_changed(self, message: Field.Changed) -> None:
        """Tell the frame."""
        message.stop()
        self.post_message(self.Changed())
