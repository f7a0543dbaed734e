"""Page 5: steps and passes, songs per step, the curve, the test song, what is kept."""

from __future__ import annotations

import dataclasses

import pytest

from acestep_tui.wizard.schedule_advice import example_of, first_verse, heard, schedule_advice, suited_steps
from acestep_tui.wizard.special_fields import StepsField
from engine.contract.config import Config
from engine.dataset.report import Song
from tests.tui.harness import screen_text, type_at_once, until
from tests.tui.wizard_facts import DATA, EXAMPLE, night_ferry, quiet_pages, ready, wizard_app

__all__ = ["quiet_pages"]
pytestmark = pytest.mark.usefixtures("quiet_pages")


def row_with(app, words: str) -> str:
    return next((row for row in screen_text(app) if words in row), "")


def song(name: str, lyrics: str | None, caption: str = "dream pop") -> Song:
    return Song("songs", None, name, "flac", 44100, 2, 44100 * 200, 200.0, 1, 1, (caption,), lyrics)  # type: ignore[arg-type]


async def test_steps_and_passes_both_ways(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert "Each song is heard 91 times. 1,000–3,000 suits 22 songs." in "\n".join(screen_text(app))
        await pilot.press(*"50 passes")
        await until(pilot, lambda: screen.facts.plan.num_steps == 1100)
        assert screen.draft.value("num_train_epochs") == 50
        assert "That is 1,100 steps. 1,000–3,000 suits 22 songs." in "\n".join(screen_text(app))
        await pilot.press("tab", "shift+tab")
        assert "50 passes" in row_with(app, " Steps") and "● yours" in row_with(app, " Steps")
        await pilot.press("up")
        assert screen.draft.value("num_train_epochs") == 55
        await pilot.press("5", "0", "0")
        assert screen.draft.value("num_train_epochs") == 0 and screen.draft.value("max_train_steps") == 500
        await pilot.press("backspace", "backspace", "backspace", "backspace")
        await until(pilot, lambda: "2,000" in row_with(app, " Steps"))
        assert not screen.query_one(StepsField).is_yours()


async def test_too_few_and_too_many_are_said_and_nonsense_is_refused(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("1", "0", "0")
        assert "▲ Each song is heard 5 times. It will hardly be learned." in "\n".join(screen_text(app))
        await pilot.press("0", "0")
        assert "▲ Each song is heard 455 times. It may be learned by heart." in "\n".join(screen_text(app))
        for typed, words in (
            ("-5", "✗ at least 1;"),
            ("0", "✗ at least 1;"),
            ("0 passes", "✗ at least 1"),
            ("long", "✗ a whole number"),
        ):
            screen.query_one(StepsField).put(typed)
            await pilot.pause()
            assert words in "\n".join(screen_text(app))
        assert screen.draft.value("max_train_steps") == 10_000


async def test_a_run_of_no_steps_is_not_gone_on_with(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("0", "tab", "ctrl+n")
        await until(pilot, lambda: app.focused is screen.query_one(StepsField))
        assert screen.draft.step == "schedule" and "✗ at least 1" in "\n".join(screen_text(app))
        await pilot.press("down")
        assert screen.draft.value("max_train_steps") >= 1


async def test_a_file_without_a_length_is_told_of(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule", max_train_steps=0))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert "✗ at least 1" in "\n".join(screen_text(app))
        assert "The curve is drawn when there are steps." in "\n".join(screen_text(app))
        await pilot.press("tab", "ctrl+n")
        await until(pilot, lambda: app.focused is screen.query_one(StepsField))
        assert screen.draft.step == "schedule"
        await pilot.press(*"1200")
        await until(pilot, lambda: screen.facts.plan.num_steps == 1200)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: screen.draft.step == "review")


async def test_two_quick_enters_go_two_fields_on(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        steps = screen.query_one(StepsField)
        assert app.focused is steps
        # All are there before the first one has moved the focus, as on a slow line.
        type_at_once(app, "enter", "enter")
        await until(pilot, lambda: getattr(app.focused, "label", "") == "Learning rate")


async def test_what_is_typed_in_one_go_lands_in_the_fields_it_is_meant_for(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        type_at_once(app, "ctrl+u", *"300", "enter", "enter", "ctrl+u", *"0.002", "tab", "tab", "ctrl+u", *"160")
        await until(pilot, lambda: screen.draft.value("validation_step_interval") == 160)
        assert (screen.draft.value("max_train_steps"), screen.draft.value("learning_rate")) == (300, 0.002)


async def test_songs_per_step_is_a_product(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("tab", "up", "up")
        assert screen.draft.value("gradient_accumulation_steps") == 4
        assert "1 × 4" in row_with(app, "Songs per step")
        # Four songs a step: a quarter of the steps lets each be heard as often.
        assert screen.draft.value("max_train_steps") == 500
        await pilot.press(*"2x2")
        assert (screen.draft.value("train_batch_size"), screen.draft.value("gradient_accumulation_steps")) == (2, 2)
        assert "2 at once, 4 before each change." in "\n".join(screen_text(app))
        await pilot.press("backspace")
        assert "✗ write it as a product: 1 × 4" in "\n".join(screen_text(app))
        await pilot.press("backspace", "backspace", "backspace")
        await until(pilot, lambda: "1 × 1" in row_with(app, "Songs per step"))
        assert not screen.query_one("#field-gradient_accumulation_steps").is_yours()


async def test_the_curve_follows_while_typing(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        drawn = screen_text(app)[9:12]
        assert drawn[0].split()[0] == "1e-4"
        await pilot.press("tab", "tab", "up")
        await pilot.pause()
        assert screen.draft.value("learning_rate") == 2e-4
        assert screen_text(app)[9].split()[0] == "2e-4"
        screen.draft.set("lr_scheduler", "constant")
        screen.draft.set("lr_warmup_steps", 0)
        screen.step.changed()
        await until(pilot, lambda: "How big each change is: stays." in "\n".join(screen_text(app)))
        assert screen_text(app)[9:12] != drawn


async def test_the_test_song_and_what_is_kept(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert screen.draft.value("validation_lyrics") == EXAMPLE.verse
        screen.query_one("#field-validation_prompt").focus()
        await pilot.press(*", slow")
        await until(pilot, lambda: screen.draft.value("validation_prompt").endswith("glass, slow"))
        assert "Sung with your lyrics: 30 s, same seed." in "\n".join(screen_text(app))
        await pilot.press("ctrl+u")
        assert screen.draft.value("validation_prompt") == EXAMPLE.caption
        await pilot.press("tab", "up")
        assert screen.draft.value("validation_step_interval") == 300
        assert screen.draft.value("checkpointing_steps") == 300  # follows
        screen.draft.set("checkpointing_steps", 500)
        screen.draft.set("checkpoints_total_limit", 0)
        screen.step.changed()
        await until(pilot, lambda: "save points every 500" in row_with(app, " Every"))
        assert "All save points are kept." in "\n".join(screen_text(app))


async def test_without_lyrics_the_test_song_is_instrumental(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        screen.facts.example = dataclasses.replace(EXAMPLE, verse="")
        screen.step.learned("songs")
        await until(pilot, lambda: "Without words, since no song has lyrics" in "\n".join(screen_text(app)))
        assert screen.draft.value("validation_lyrics") is None
        screen.facts.example = EXAMPLE
        screen.draft.set("goal", "instrumental")
        screen.step.learned("songs")
        await until(pilot, lambda: "Without words: 30 s, same seed." in "\n".join(screen_text(app)))
        assert screen.draft.value("validation_lyrics") is None


async def test_before_the_songs_are_known_the_places_are_kept(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        screen.facts.data = screen.facts.example = None
        screen.draft.layers["recommended"].clear()
        screen.draft.set("num_train_epochs", 10)
        screen.step.learned("songs")
        await until(pilot, lambda: "is known after step 3." in "\n".join(screen_text(app)))
        assert "The curve is drawn when the songs are known." in "\n".join(screen_text(app))
        assert "time after step 3" in row_with(app, " Plan ")


@pytest.mark.parametrize(
    ("num_clips", "per_step", "expected"),
    [(22, 1, (2000, 1000, 3000)), (22, 4, (500, 250, 800)), (1, 1, (80, 40, 150)), (1000, 1, (20000, 20000, 150000))],
)
def test_how_many_steps_suit(num_clips, per_step, expected):
    assert suited_steps(num_clips, per_step) == expected


def test_advice_is_accepted_by_the_configuration():
    for num_clips in (1, 3, 22, 400, 10_000):
        advice = schedule_advice(num_clips=num_clips, clips_per_step=1, num_steps=0, example=EXAMPLE, duration_s=30.0)
        config = Config.from_dict({key: one.value for key, one in advice.items()})
        assert config.max_train_steps >= 1 and config.validation_step_interval >= 1
        assert config.lr_warmup_steps < config.max_train_steps
        assert all(len(one.reason) <= 60 for one in advice.values())
    assert schedule_advice(num_clips=0, clips_per_step=1, num_steps=0, example=None, duration_s=30.0) == {}
    assert heard(100, 0, 1) is None
    assert heard(2000, len(DATA.clip_s), 1) == 91


def test_the_first_verse():
    lyrics = "[intro]\n\n[verse 1]\nOne\nTwo\n\n[chorus]\nThree\n"
    assert first_verse(lyrics) == "[verse 1]\nOne\nTwo"
    assert first_verse("One\nTwo\n\nThree") == "[verse]\nOne\nTwo"
    assert first_verse("[chorus]\nOne") == "[chorus]\nOne"
    assert first_verse("\n".join(map(str, range(30)))).count("\n") == 8
    assert first_verse("[instrumental]") == "" == first_verse("")


def test_the_example_is_the_first_song_with_words():
    songs = [song("a/01 One.flac", None), song("02 Two.flac", "[verse]\nHello"), song("03.flac", "x")]
    assert example_of(songs).song == "02 Two"
    assert example_of(songs[:1]).song == "01 One" and example_of(songs[:1]).verse == ""
    assert example_of([]) is None
