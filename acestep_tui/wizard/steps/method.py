"""Page 4, Method: what it is for, and the five values that follow from that, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.content import Content
from textual.widget import Widget

from acestep_tui import format as fmt
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, Part, columns, join, text
from acestep_tui.widgets.radio import Radio
from acestep_tui.wizard.features_field import FeaturesField
from acestep_tui.wizard.fields import main_fields
from acestep_tui.wizard.goals import GOALS, GOALS_BY_ID, adapter_bytes, goal_values
from acestep_tui.wizard.setting_field import SettingField
from acestep_tui.wizard.special_fields import LoraField
from acestep_tui.wizard.steps.base import Fact, Section, Step
from engine.contract.fields_base import WizardStep
from engine.planning.recommend import full_training_card
from engine.planning.sizes import published_sizes

_REASONS = "the reason is under each"
_NAME_WIDTH = 23
_OF_A_LORA = ("lora_rank", "acestep_lora_target", "init_lora")


class MethodStep(Step):
    """The page."""

    key: ClassVar[WizardStep] = "method"

    def compose_step(self) -> Iterable[Widget]:
        """Goals, then the values of the chosen one."""
        yield Radio(self._goal_row, [goal.id for goal in GOALS], id="goals")
        yield Section("Values", id="values")
        for setting in main_fields("method"):
            made = LoraField if setting.key == "init_lora" else SettingField
            yield made(setting.key, self.draft, reason=self._reasons().get(setting.key))

        yield FeaturesField(self.draft, self.facts)

    def on_mount(self) -> None:
        """The goal that is chosen."""
        self._show_goal()

    def _goal_row(self, index: int, width: int, is_chosen: bool) -> Content:
        goal = GOALS[index]
        cells = [(goal.name, BOLD if is_chosen else ""), (goal.sentence, MUTED)]
        return columns(cells, [_NAME_WIDTH - 1, max(width - _NAME_WIDTH, 1)], gap=1)

    def _show_goal(self) -> None:
        chosen = self.draft.value("goal")
        self.query_one(Radio).show([goal.id for goal in GOALS], chosen)
        goal = GOALS_BY_ID.get(chosen)
        num_yours = sum(self.draft.is_yours(key) for key in self.draft.layers["goal"])
        kept = join(("● ", ACCENT), (f"{fmt.count(num_yours)} of yours kept", MUTED)) if num_yours else ""
        name = goal.heading if goal is not None else "Values"
        self.query_one("#values", Section).show(name, kept or text(_REASONS, MUTED))

    def on_radio_picked(self, message: Radio.Picked) -> None:
        """Another goal sets its values; yours stay."""
        message.stop()
        goal = str(message.value)
        self.draft.apply_goal(goal, goal_values(goal, sizes=self.facts.sizes))
        self.changed()

    def on_radio_finished(self, message: Radio.Finished) -> None:
        """Enter on the goals."""
        message.stop()
        self.go_on_from(message.radio)

    def facts_changed(self, fact: Fact) -> None:
        """Another goal, another value."""
        is_full = self.draft.value("model_type") == "full"
        rank = self.query_one(LoraField).rank
        for field in self.query(SettingField):
            if is_full and field.setting.key in _OF_A_LORA:
                field.close("Only a LoRA has this; the whole model learns everywhere.")
            elif rank is not None and field.setting.key == "lora_rank":
                field.close(f"The LoRA that it starts from has rank {rank}, which is kept.")
            elif field.setting.key in _OF_A_LORA:
                field.close("")
        super().facts_changed(fact)
        if self.is_mounted:
            self._show_goal()

    def on_enter(self) -> None:
        """Draw what was learned meanwhile."""
        self.facts_changed("plan")

    def focus_first(self) -> None:
        """On the goal until one was chosen, then on the values."""
        if self.draft.origin("goal") == "recommended" and not self.problems():
            self.query_one(Radio).focus()
        else:
            super().focus_first()

    def _reasons(self) -> dict[str, Callable[[], Part]]:
        return {"model_type": self._train_reason, "lora_rank": self._rank_reason}

    def _train_reason(self) -> Part:
        """What would come out: a small file, or a whole model."""
        sizes = self.facts.sizes or published_sizes()
        if self.draft.value("model_type") == "full":
            whole = fmt.size(sizes.num_parameters * 2)
            return text(f"The whole model: {whole}. It needs a card of {full_training_card(sizes)} GB.", MUTED)
        return text(
            f"A small add-on file: {self._file_size()}. Full training: {full_training_card(sizes)} GB card.", MUTED
        )

    def _rank_reason(self) -> Part:
        """Of a rank of yours, what it costs."""
        if not self.draft.is_yours("lora_rank"):
            return ""
        return text(f"{self.draft.recommended('lora_rank')} is recommended. The file takes {self._file_size()}.", MUTED)

    def _file_size(self) -> str:
        sizes = self.facts.sizes or published_sizes()
        return fmt.size(adapter_bytes(self.draft.value("lora_rank"), self.draft.value("acestep_lora_target"), sizes))
