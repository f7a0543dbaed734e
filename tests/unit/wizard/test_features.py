"""Musical features in the set-up: what they cost, whose word counts, and where it is kept."""

from __future__ import annotations

import json

import pytest

from acestep_tui.consent import agree, consent_file, has_agreed
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.features_field import FETCH, features_choice, with_features
from acestep_tui.wizard.look import WizardFacts
from acestep_tui.wizard.planning import advise, planned
from acestep_tui.wizard.review_text import notes
from engine.contract.feature_models import CONSENT_KEY, FEATURE_MODELS
from engine.planning.disk import audio_entry_bytes, feature_bytes
from engine.planning.facts import DataFacts
from tests.unit.planning.machines import with_cards


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_a_word_is_kept_with_the_licences_it_was_given_for(state):
    assert not has_agreed()
    agree()
    first = consent_file().read_bytes()
    assert has_agreed() and consent_file().is_relative_to(state)
    said = json.loads(first)
    assert said["mert"]["licence"] == "CC-BY-NC 4.0" and said["mhubert"]["licence"] == "CC-BY-NC-SA 4.0"
    assert said["mert"]["accepted"].startswith("20")
    agree()
    assert consent_file().read_bytes() == first
    said["mert"]["licence"] = "another one"
    consent_file().write_text(json.dumps(said))
    assert not has_agreed()
    consent_file().write_text("[]")
    assert not has_agreed()


def test_what_is_chosen_and_whether_it_will_be_heard():
    draft, facts = Draft(), WizardFacts()
    assert features_choice(draft) == "auto" and not with_features(draft, facts), "the models are not here"
    facts.features_missing_bytes = 0
    assert with_features(draft, facts)
    facts.features_missing_bytes = 10
    draft.set(CONSENT_KEY, True)
    assert features_choice(draft) == FETCH and with_features(draft, facts)
    draft.set("ace_step_ssl_loss_weight", 0.0)
    assert not with_features(draft, facts)
    draft.unset("ace_step_ssl_loss_weight")
    draft.set("ssl_models", "off")
    assert features_choice(draft) == "off" and not with_features(draft, facts)
    named = Draft()
    for model in FEATURE_MODELS:
        named.set(model.path_key, "/models/x")
    assert with_features(named, facts)


def test_a_word_of_before_is_proposed_again(state):
    draft, facts = Draft(), WizardFacts(has_agreed=True)
    advise(draft, facts)
    assert features_choice(draft) == FETCH and not draft.is_yours(CONSENT_KEY)


def test_the_plan_and_the_review_tell_what_features_cost(state):
    machine = with_cards(12.0)
    facts = WizardFacts(machine=machine, data=DataFacts(clip_s=(60.0, 120.0), bucket_s=(60.0, 120.0), num_captions=2))
    draft = Draft()
    advise(draft, facts)
    plain = planned(draft, facts)
    draft.set(CONSENT_KEY, True)
    heard = planned(draft, facts)
    more = {part.kind: part.amount for part in heard.disk.parts}["cache"]
    more -= {part.kind: part.amount for part in plain.disk.parts}["cache"]
    assert more == feature_bytes(180.0) + audio_entry_bytes(180.0)
    assert heard.seconds.amount > plain.seconds.amount
    told = "\n".join(line.plain for line in notes(draft, facts, None, 76))
    assert "CC-BY-NC 4.0" in told and "non-commercial use only" in " ".join(told.split())
