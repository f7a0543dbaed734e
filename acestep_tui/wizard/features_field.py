"""Musical features on the Method page: left out, used if their models are here, or fetched after a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acestep_tui import format as fmt
from acestep_tui.screens.dialog import Choice, Dialog
from acestep_tui.widgets.choice_list import Option
from acestep_tui.widgets.paint import BOLD, MUTED, Part, text
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.look import WizardFacts
from acestep_tui.wizard.setting_field import SettingField
from engine.contract.feature_models import CONSENT_KEY, FEATURE_MODELS, MERT, MHUBERT
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.fields_base import Setting
from engine.planning.disk import feature_bytes

KEY = "ssl_models"
FETCH = "fetch"
_WORDS = {"auto": "if they are here", FETCH: "fetched and used", "off": "left out", "required": "always, or stop"}
_A_MINUTE = f"{feature_bytes(60) / 1e6:.0f} MB"


def features_choice(draft: Draft) -> str:
    """What is chosen: a value of ``ssl_models``, or that the models are fetched."""
    chosen = str(draft.value(KEY))
    return FETCH if chosen == "auto" and draft.value(CONSENT_KEY) else chosen


def with_features(draft: Draft, facts: WizardFacts) -> bool:
    """Whether the run will hear musical features, as far as that can be known here."""
    choice = features_choice(draft)
    if choice == "off" or not draft.value("ace_step_ssl_loss_weight"):
        return False
    are_named = all(draft.value(model.path_key) for model in FEATURE_MODELS)
    return choice == FETCH or are_named or not facts.features_missing_bytes


class FeaturesField(SettingField):
    """Two settings in one field: whether the models are used, and whether they may be fetched.

    Args:
        draft: What is being set up.
        facts: Says what of the models is here.
    """

    def __init__(self, draft: Draft, facts: WizardFacts) -> None:
        super().__init__(KEY, draft)
        self.label = "Musical features"
        self._facts = facts

    def explained(self) -> tuple[Setting, ...]:
        """Both."""
        return (self.setting, SETTINGS_BY_KEY[CONSENT_KEY])

    def value_text(self) -> str:
        """The choice in words."""
        return _WORDS[self.current()]

    def current(self) -> Any:
        """The choice."""
        return features_choice(self.draft)

    def options(self) -> Sequence[Option]:
        """What can be chosen; ``required`` only where a file says so."""
        offered = ["auto", FETCH, "off"]
        if self.current() not in offered:
            offered.append(self.current())
        return [Option(value, _WORDS[value]) for value in offered]

    def is_yours(self) -> bool:
        """Whether either differs."""
        return self.draft.is_yours(KEY) or self.draft.is_yours(CONSENT_KEY)

    def restore(self) -> None:
        """Neither of yours."""
        self.draft.unset(KEY)
        self.draft.unset(CONSENT_KEY)

    def choose(self, value: Any) -> None:
        """Take an option; to fetch them is asked first."""
        if value == self.current():
            return
        if value == FETCH:
            self._ask()
            return
        if self.draft.value(CONSENT_KEY):
            self._put(CONSENT_KEY, False)
        self._put(KEY, value)

    def _put(self, key: str, value: Any) -> None:
        self.draft.unset(key)
        if value != self.draft.value(key):
            self.draft.set(key, value)

    def _ask(self) -> None:
        """Say the licences; only a clear yes counts."""
        choices = [Choice("escape", "Not now"), Choice("y", "Accept both licences", "they are fetched at the start")]
        self.app.push_screen(Dialog("Musical features", consent_words(self._facts), choices), self._answered)

    def _answered(self, answer: str | None) -> None:
        if answer == "y":
            self._put(KEY, "auto")
            self._put(CONSENT_KEY, True)
            self.changed()
        self.show()

    def reason(self) -> Part:
        """What it means, in one row."""
        missing = self._facts.features_missing_bytes
        choice = self.current()
        if choice == "off":
            said = "The style may be learned a little less closely."
        elif choice == FETCH:
            come = f"; {fmt.size(missing)} to come" if missing else ""
            said = f"{MERT.licence}, {MHUBERT.licence}{come}."
        elif missing:
            said = f"Two more models, not here: {fmt.size(missing)}, non-commercial."
        else:
            said = f"For non-commercial use only; {_A_MINUTE} a minute of music."
        return text(said, MUTED)


def consent_words(facts: WizardFacts) -> list[Part]:
    """What is asked before anything is fetched."""
    missing = facts.features_missing_bytes or sum(model.download_bytes for model in FEATURE_MODELS)
    lines: list[Part] = [
        "Two models hear your songs once, and the LoRA learns a little closer to what they hear.",
        "",
        "Both are published for non-commercial use only:",
    ]
    for model in FEATURE_MODELS:
        lines.append(text(f"{model.label:<8} {model.licence}", BOLD))
        lines.append(text(model.licence_url, MUTED))
    lines += ["", f"{fmt.size(missing)} to fetch, and {_A_MINUTE} of disk for a minute of music."]
    return lines
