"""Page 6: everything on one page, what keeps from starting, the start itself with a scripted worker."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from pathlib import Path

import pytest

from acestep_tui.screens.value_dialog import ValueDialog
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.draft_files import list_drafts
from acestep_tui.wizard.look import SongFacts, WizardFacts
from acestep_tui.wizard.review_text import notes, review_rows, too_big_words
from acestep_tui.wizard.start import PRESET_NAME, start_draft
from acestep_tui.wizard.steps import review
from acestep_tui.wizard.steps.review import ReviewRow, ReviewStep
from engine.contract.errors import ConfigError
from engine.hardware.models import PartStatus
from tests.tui.harness import screen_text, until
from tests.tui.wizard_facts import (
    GB,
    MACHINE,
    MODEL,
    SONGS,
    QuietDataset,
    night_ferry,
    quiet_pages,
    ready,
    wizard_app,
)

__all__ = ["quiet_pages"]
pytestmark = pytest.mark.usefixtures("quiet_pages")

WORKER = (sys.executable, str(Path(__file__).parents[1] / "worker" / "fake_worker.py"))
MISSING = dataclasses.replace(
    MODEL, parts=(dataclasses.replace(MODEL.parts[0], state="missing", bytes=0), *MODEL.parts[1:])
)


def row_with(app, words: str) -> str:
    return next((row for row in screen_text(app) if words in row), "")


async def reviewed(pilot, app):
    screen = await ready(pilot, app)
    await until(pilot, lambda: "output_dir" in screen.draft.layers["recommended"])
    return screen


@pytest.fixture
def scripted(monkeypatch, tmp_path) -> None:
    """A worker that trains nothing, and songs that exist."""
    monkeypatch.setattr(ReviewStep, "worker_command", WORKER)
    monkeypatch.setenv("FAKE_WORKER", json.dumps({"steps": 2}))
    (tmp_path / "music").mkdir()


def songs_in(tmp_path: Path) -> Draft:
    draft = night_ferry("review")
    draft.set_source("music", "instance_data_dir", str(tmp_path / "music"))
    return draft


async def test_a_row_goes_to_its_page_and_the_name_is_changed_here(tmp_path):
    app = wizard_app(tmp_path, night_ferry("review"), runs_folder=str(tmp_path / "runs"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await reviewed(pilot, app)
        assert app.focused.id == "row-start"
        for name in ("schedule", "method", "dataset", "model", "hardware", "name"):
            await pilot.press("up")
            assert app.focused.id == f"row-{name}"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ValueDialog))
        await pilot.press("ctrl+u", *"Kitchen Tapes", "enter")
        await until(pilot, lambda: "_kitchen-tapes" in row_with(app, " Name "))
        assert screen.draft.name == "Kitchen Tapes" and "Kitchen Tapes" in screen_text(app)[0]
        await pilot.press("down", "enter")
        await until(pilot, lambda: screen.draft.step == "hardware")
        screen.go_to("review")
        await until(pilot, lambda: screen.draft.step == "review")
        await pilot.click(offset=(5, 7))
        await until(pilot, lambda: screen.draft.step == "method")


async def test_start_starts_the_worker_and_opens_its_monitor(tmp_path, scripted):
    app = wizard_app(tmp_path, songs_in(tmp_path), runs_folder=str(tmp_path / "runs"))
    opened = []
    app.open_monitor = lambda run, **rest: opened.append(run)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await reviewed(pilot, app)
        screen.keeping.touch()
        screen.keeping.flush()
        await until(pilot, lambda: len(list_drafts()) == 1)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: bool(opened))
        (run,) = opened
        assert run.path.parent == tmp_path / "runs" and run.path.name.endswith("_night-ferry")
        preset = json.loads((run.path / PRESET_NAME).read_text(encoding="utf-8"))
        assert preset["goal"] == "voice" and preset["lora_rank"] == 64
        config = json.loads(run.config_json.read_text(encoding="utf-8"))
        assert config["output_dir"] == str(run.path) and config["max_train_steps"] == 2000
        origins = json.loads(run.origins_json.read_text(encoding="utf-8"))
        assert origins["command"] == ["acestep-tui", "--run", str(run.path / PRESET_NAME)]
        await until(pilot, lambda: list_drafts() == [])
        # What is touched after the start does not bring the draft back.
        screen.keeping.touch()
        screen.keeping.flush()
        await pilot.pause(0.1)
        assert list_drafts() == []
        await until(pilot, lambda: "run_ended" in run.events_jsonl.read_text(encoding="utf-8"))


async def test_what_changes_during_the_start_is_not_half_in_it(tmp_path, scripted, monkeypatch):
    begun, may_start = threading.Event(), threading.Event()

    def slow(draft, **rest):
        begun.set()
        may_start.wait(10)
        return start_draft(draft, **rest)

    monkeypatch.setattr(review, "start_draft", slow)
    app = wizard_app(tmp_path, songs_in(tmp_path), runs_folder=str(tmp_path / "runs"))
    opened = []
    app.open_monitor = lambda run, **rest: opened.append(run)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await reviewed(pilot, app)
        await pilot.press("ctrl+n")
        await until(pilot, begun.is_set)
        screen.draft.set("lora_rank", 8)
        may_start.set()
        await until(pilot, lambda: bool(opened))
        assert json.loads(opened[0].config_json.read_text(encoding="utf-8"))["lora_rank"] == 64
        await until(pilot, lambda: "run_ended" in opened[0].events_jsonl.read_text(encoding="utf-8"))


async def test_the_device_reaches_the_worker(tmp_path, scripted, monkeypatch):
    seen = tmp_path / "device"
    monkeypatch.setattr(
        ReviewStep, "worker_command", ("sh", "-c", f'printf %s "$ACESTEP_DEVICE" > {seen}; exec "$@"', "sh", *WORKER)
    )
    draft = songs_in(tmp_path)
    draft.device = "cpu"
    app = wizard_app(tmp_path, draft, runs_folder=str(tmp_path / "runs"))
    opened = []
    app.open_monitor = lambda run, **rest: opened.append(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await reviewed(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: bool(opened) and seen.exists() and bool(seen.read_text(encoding="utf-8")))
        assert seen.read_text(encoding="utf-8") == "cpu"
        await until(pilot, lambda: "run_ended" in opened[0].events_jsonl.read_text(encoding="utf-8"))


async def test_what_keeps_from_starting_is_said_on_the_page(tmp_path, scripted):
    draft = songs_in(tmp_path)
    (tmp_path / "music").rmdir()
    app = wizard_app(tmp_path, draft, runs_folder=str(tmp_path / "runs"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await reviewed(pilot, app)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "instance_data_dir" in "\n".join(screen_text(app)))
        text = "\n".join(screen_text(app))
        assert "instance_data_dir" in text and "▸ Start" in text
        assert not list((tmp_path / "runs").glob("*")) if (tmp_path / "runs").exists() else True
        (tmp_path / "music").mkdir()
        opened = []
        app.open_monitor = lambda run, **rest: opened.append(run)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: bool(opened))
        assert screen.step.failure is None
        await until(pilot, lambda: "run_ended" in opened[0].events_jsonl.read_text(encoding="utf-8"))


async def test_a_plan_that_is_too_big_does_not_start_and_names_the_field(tmp_path, scripted):
    draft = songs_in(tmp_path)
    draft.set("train_batch_size", 64)
    app = wizard_app(tmp_path, draft, runs_folder=str(tmp_path / "runs"))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await reviewed(pilot, app)
        assert "Change Songs at once first (step 1)." in row_with(app, "▸ Start")
        await pilot.press("ctrl+n")
        await until(pilot, lambda: sum("Change Songs at once first" in row for row in screen_text(app)) >= 2)
        assert screen.step._state == "ready" and app.focused.id == "row-hardware"
        await pilot.press("enter")
        await until(pilot, lambda: screen.draft.step == "hardware")


async def test_a_problem_of_another_page_keeps_from_starting(tmp_path, monkeypatch):
    monkeypatch.setattr(QuietDataset, "wrong", ("None of the 24 files can be used, so nothing starts.",))
    app = wizard_app(tmp_path, night_ferry("review"), runs_folder=str(tmp_path / "runs"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await reviewed(pilot, app)
        assert app.focused.id == "row-dataset"
        assert "None of the 24 files can be used" in row_with(app, "▸ Start")
        assert "✗ 3 Dataset" in screen_text(app)[1]
        await pilot.press("ctrl+n")
        assert screen.step._state == "ready"


async def test_a_start_waits_for_the_model(tmp_path, scripted):
    app = wizard_app(tmp_path, songs_in(tmp_path), runs_folder=str(tmp_path / "runs"))
    opened = []
    app.open_monitor = lambda run, **rest: opened.append(run)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await reviewed(pilot, app)
        screen.facts.model = MISSING
        screen.step.learned("model")
        await until(pilot, lambda: "not here yet" in row_with(app, "▸ Start"))
        assert "1.0 GB to download" in row_with(app, " Model   ")
        await pilot.press("ctrl+n")
        assert screen.step._state == "ready"
        screen.facts.is_downloading = True
        screen.step.learned("model")
        await until(pilot, lambda: "downloading, 1.0 GB left" in row_with(app, " Model   "))
        assert "Start waits for it" in "\n".join(screen_text(app))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "◐ Waiting" in "\n".join(screen_text(app)))
        await pilot.press("escape")
        await until(pilot, lambda: "◐ Waiting" not in "\n".join(screen_text(app)))
        assert screen.draft.step == "review" and not opened
        await pilot.press("ctrl+n")
        screen.facts.model, screen.facts.is_downloading = MODEL, False
        screen.step.learned("model")
        await until(pilot, lambda: bool(opened))
        await until(pilot, lambda: "run_ended" in opened[0].events_jsonl.read_text(encoding="utf-8"))


def facts(**values) -> WizardFacts:
    known = {"machine": MACHINE, "device": MACHINE.device(""), "model": MODEL, "songs": SONGS}
    return WizardFacts(**{**known, **values})


@pytest.mark.parametrize(
    ("songs", "goal", "words"),
    [
        (SONGS, "voice", "04 Paper Lanterns and 14 Cold Harbour train as instrumentals (no lyrics)."),
        (dataclasses.replace(SONGS, without_lyrics=("a.flac",)), "voice", "a trains as an instrumental (no lyrics)."),
        (
            dataclasses.replace(SONGS, without_lyrics=tuple(f"{n}.wav" for n in range(9))),
            "voice",
            "0, 1 and 7 more train as instrumentals (no lyrics).",
        ),
        (
            SongFacts(2, 2, 100.0, 0, ("a.wav", "b.wav")),
            "voice",
            "No song has lyrics. If this is instrumental music, choose that goal in step 4.",
        ),
    ],
)
def test_the_notes_about_lyrics(songs, goal, words):
    draft = night_ferry("review", goal=goal)
    assert f"▲ {words}" in " ".join(line.plain for line in notes(draft, facts(songs=songs), None, 200))


@pytest.mark.parametrize("kind", ["lora", "full"])
@pytest.mark.parametrize("goal", ["voice", "style", "instrumental", "language"])
def test_what_is_trained_is_never_cut(goal, kind):
    method = next(
        row for row in review_rows(night_ferry("review", goal=goal, model_type=kind), facts()) if row.name == "method"
    )
    widget = ReviewRow("method")
    widget.row = method
    assert method.value in widget.drawn(78)[0].plain


def test_instrumental_music_misses_no_lyrics_and_many_notes_are_counted():
    draft = night_ferry("review", goal="instrumental")
    plain = SongFacts(2, 2, 100.0, 0, ("a.wav", "b.wav"))
    assert notes(draft, facts(songs=plain), None, 78) == []
    bad = dataclasses.replace(SONGS, unusable=tuple((f"{n}.wav", "it cannot be read") for n in range(12)))
    lines = [line.plain for line in notes(draft, facts(songs=bad), ("It failed", "Do this."), 78)]
    assert lines[0] == "✗ It failed. Do this." and lines[-1] == "  and 9 more: step 3 shows them"


def test_rows_say_what_is_not_known_yet():
    rows = {row.name: row for row in review_rows(Draft(), WizardFacts())}
    assert rows["name"].value == "–" and rows["hardware"].value == "–"
    assert (rows["model"].detail, rows["dataset"].detail) == ("not looked at yet", "none chosen yet")
    full = {row.name: row for row in review_rows(night_ferry("review", model_type="full", max_train_steps=1), facts())}
    assert (full["method"].value, full["method"].detail) == (
        "whole model",
        "for a voice, every part of it learns",
    ) and full["schedule"].value == "1 step"
    parts = (PartStatus("x", "missing"),)
    unknown = dataclasses.replace(MODEL, parts=parts)
    rows = {row.name: row for row in review_rows(night_ferry("review"), facts(model=unknown))}
    assert rows["model"].detail == "not here yet: size not known to download"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"train_batch_size": 64}, "Songs at once"),
        ({"gradient_checkpointing": False}, "Save memory by"),
        ({"model_type": "full"}, "Train"),
        ({"lora_rank": 16384, "audio_max_duration_seconds": 30.0}, "Rank"),
    ],
)
def test_the_first_field_to_change(values, words):
    from acestep_tui.wizard.planning import advise, planned

    known = facts()
    draft = night_ferry("review", **values)
    advise(draft, known)
    draft.recommend({"gradient_checkpointing": draft.layers["recommended"]["gradient_checkpointing"]})
    known.plan = planned(draft, known)
    step, said = too_big_words(draft, known)
    assert f"Change {words} first" in said and step in ("hardware", "method")


def test_a_full_disk_is_another_reason():
    from acestep_tui.wizard.planning import advise, planned
    from tests.tui.wizard_facts import DATA

    known = facts(data=DATA, machine=dataclasses.replace(MACHINE, disk_free_bytes=GB))
    draft = night_ferry("review")
    advise(draft, known)
    known.plan = planned(draft, known)
    step, said = too_big_words(draft, known)
    assert step == "schedule" and said.startswith("Too big for this disk by")


def test_a_draft_that_is_not_accepted_starts_nothing(tmp_path):
    draft = night_ferry("review", lr_scheduler="polynomial", lr_end=1.0)
    draft.set("output_dir", str(tmp_path / "run"))
    with pytest.raises(ConfigError, match="lr_end below"):
        start_draft(draft, cwd=tmp_path)
    assert not (tmp_path / "run").exists()
