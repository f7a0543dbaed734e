"""What is proposed and what it takes, computed anew after each change of the draft or of a fact. Well under 20 ms."""

from __future__ import annotations

import dataclasses
import math

from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.features_field import with_features
from acestep_tui.wizard.goals import goal_values
from acestep_tui.wizard.look import WizardFacts
from acestep_tui.wizard.preset import planned_config
from acestep_tui.wizard.schedule_advice import schedule_advice
from engine.contract.feature_models import CONSENT_KEY
from engine.planning.advice import Advice
from engine.planning.facts import DataFacts
from engine.planning.plan_view import PlanView, plan_for
from engine.planning.recommend import recommend
from engine.planning.sizes import published_sizes

DEFAULT_GOAL = "voice"
# What counts for memory and is chosen on a later page.
_CHOSEN = ("model_type", "lora_rank", "acestep_lora_target", "peft_lora_target_modules", "optimizer")


def advise(draft: Draft, facts: WizardFacts) -> None:
    """Put what is proposed into the draft's layers: for the goal, the device, the songs; yours stays over it."""
    if draft.origin("goal") in ("default", "recommended"):
        draft.recommend({"goal": Advice(DEFAULT_GOAL, "")})
    if facts.has_agreed:
        draft.recommend({CONSENT_KEY: Advice(True, "You accepted both licences before.")})
    draft.layers["goal"] = goal_values(draft.value("goal"), sizes=facts.sizes)
    if facts.machine is not None:
        facts.device = facts.machine.device(draft.device)
        if len(facts.machine.cards) > 1 and facts.device.kind == "cuda":
            # The worker's own choice would be the first card; the best one is the one with most free memory.
            draft.device = facts.device.id
        values = {key: draft.value(key) for key in _CHOSEN}
        facts.recommendation = recommend(facts.machine, facts.device, sizes=facts.sizes, values=values)
        draft.recommend(facts.recommendation.advice)
    example = facts.example
    if example is not None and draft.value("goal") == "instrumental":
        example = dataclasses.replace(example, verse="")
    advice = schedule_advice(
        num_clips=num_clips(facts),
        clips_per_step=clips_per_step(draft),
        num_steps=chosen_steps(draft, facts),
        example=example,
        duration_s=draft.value("validation_audio_duration"),
    )
    if draft.value("num_train_epochs"):
        advice["max_train_steps"] = Advice(0, "The length is given in passes.")
    draft.recommend(advice)


def chosen_steps(draft: Draft, facts: WizardFacts) -> int:
    """The length in steps where you chose one, also in passes; 0 where it is only proposed."""
    if draft.value("num_train_epochs"):
        return int(draft.value("num_train_epochs")) * max(1, math.ceil(num_clips(facts) / clips_per_step(draft)))
    return int(draft.value("max_train_steps")) if draft.origin("max_train_steps") in ("yours", "preset") else 0


def planned(draft: Draft, facts: WizardFacts) -> PlanView | None:
    """What the draft takes; None before the computer is known."""
    if facts.machine is None or facts.device is None:
        return None
    return plan_for(
        planned_config(draft),
        machine=facts.machine,
        device=facts.device,
        sizes=facts.sizes or published_sizes(),
        data=_planned_data(draft, facts),
        download_bytes=_download_bytes(draft, facts),
    )


def _planned_data(draft: Draft, facts: WizardFacts) -> DataFacts | None:
    """The songs, with the seconds whose musical features will be made."""
    if facts.data is None or not with_features(draft, facts):
        return facts.data
    return dataclasses.replace(facts.data, has_features=True, feature_s=sum(facts.data.clip_s))


def _download_bytes(draft: Draft, facts: WizardFacts) -> int | None:
    """The model's, and those of the models for musical features where they are to be fetched."""
    if facts.download_bytes is None or not with_features(draft, facts):
        return facts.download_bytes
    return facts.download_bytes + facts.features_missing_bytes


def num_clips(facts: WizardFacts) -> int:
    """Songs that are trained, those kept aside not counted; 0 before they are known."""
    return facts.data.num_trained if facts.data is not None else 0


def clips_per_step(draft: Draft) -> int:
    """Songs of one step."""
    return int(draft.value("train_batch_size") * draft.value("gradient_accumulation_steps"))
