"""Page 4: a goal sets its values, yours stay."""

from __future__ import annotations

import pytest

from acestep_tui.widgets.radio import Radio
from acestep_tui.wizard.setting_field import SettingField
from tests.tui.harness import screen_text, until
from tests.tui.wizard_facts import night_ferry, quiet_pages, ready, wizard_app

__all__ = ["quiet_pages"]
pytestmark = pytest.mark.usefixtures("quiet_pages")


def row_with(app, words: str) -> str:
    return next((row for row in screen_text(app) if words in row), "")


async def test_a_goal_sets_its_values_and_keeps_yours(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method", lora_rank=48))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert "● yours" in row_with(app, " Rank")
        assert "● 1 of yours kept" in row_with(app, "Values for a voice")
        screen.query_one(Radio).focus()
        await pilot.press("down")
        await until(pilot, lambda: "Values for a style" in "\n".join(screen_text(app)))
        assert screen.draft.value("goal") == "style"
        assert screen.draft.value("lora_rank") == 48
        assert screen.draft.value("acestep_lora_target") == "attn_qkv"
        assert "● 1 of yours kept" in row_with(app, "Values for a style")
        await pilot.press("enter")
        assert app.focused.label == "Train"
        screen.query_one("#field-lora_rank").focus()
        await pilot.press("backspace", "backspace")
        assert screen.draft.value("lora_rank") == 32
        assert "the reason is under each" in row_with(app, "Values for a style")
        await pilot.click(offset=(10, 6))
        await until(pilot, lambda: screen.draft.value("goal") == "language")
        assert screen.draft.value("lora_rank") == 128
        assert screen.draft.value("learning_rate") == 5e-5
        assert screen.draft.value("lyrics_embedder_train") is True
        assert "train it too" in row_with(app, "Lyric reader")


async def test_a_new_draft_begins_at_the_goal_and_has_a_voices_values(tmp_path):
    draft = night_ferry("method")
    del draft.layers["yours"]["goal"]
    app = wizard_app(tmp_path, draft)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert isinstance(app.focused, Radio)
        assert screen.draft.value("goal") == "voice" and screen.draft.origin("goal") == "recommended"
        assert screen.draft.value("lora_rank") == 64


async def test_all_five_fields_can_be_reached_and_set(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        assert "comes with a later version" not in "\n".join(screen_text(app))
        labels = []
        for _ in range(6):
            labels.append(getattr(app.focused, "label", "goals"))
            await pilot.press("tab")
        assert {"Train", "Rank", "Where it learns", "Lyric reader", "Start from"} <= set(labels)


async def test_the_whole_model_has_no_rank(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert app.focused.label == "Train"
        await pilot.press("right")
        await until(pilot, lambda: "Only a LoRA has this" in "\n".join(screen_text(app)))
        assert screen.draft.value("model_type") == "full"
        assert not screen.query_one("#field-lora_rank", SettingField).can_focus
        assert "✗ too big" in row_with(app, " Plan ")
        await pilot.press("left")
        await until(pilot, lambda: screen.query_one("#field-lora_rank", SettingField).can_focus)
        assert row_with(app, " Plan ").endswith("✓ fits")


async def test_a_rank_of_yours_says_its_cost_and_a_very_high_one_that_it_is(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        await pilot.press("tab", "down")
        assert "64 is recommended. The file takes 62 MB." in "\n".join(screen_text(app))
        await pilot.press("3", "0", "0")
        assert "▲ 300 is very high; 8 to 128 is usual" in "\n".join(screen_text(app))


async def test_musical_features_are_fetched_after_a_clear_yes_alone(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        draft, field = screen.draft, screen.query_one("#field-ssl_models", SettingField)
        assert "if they are here" in row_with(app, "Musical features")
        assert "not here: 1.5 GB, non-commercial" in "\n".join(screen_text(app))
        field.focus()
        for answer, choice in (("escape", "auto"), ("enter", "auto"), ("y", "fetch")):
            await pilot.press("right")
            await until(pilot, lambda: "CC-BY-NC-SA 4.0" in "\n".join(screen_text(app)))
            said = "\n".join(screen_text(app))
            assert "MERT     CC-BY-NC 4.0" in said and "non-commercial use only" in said and "14 MB of disk" in said
            await pilot.press(answer)
            await until(pilot, lambda: app.screen is screen)
            assert field.current() == choice and draft.value("ssl_accept_non_commercial") is (choice == "fetch")
        await until(pilot, lambda: "● yours" in row_with(app, "Musical features"))
        await pilot.press("right")
        assert field.current() == "off" and draft.value("ssl_models") == "off"
        assert draft.value("ssl_accept_non_commercial") is False
        await pilot.press("backspace")
        assert field.current() == "auto" and not field.is_yours()
