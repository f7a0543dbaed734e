"""The mock-ups' computer, model and songs for the set-up; made up, never in code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acestep_tui.app import AceStepApp
from acestep_tui.screens import wizard as wizard_module
from acestep_tui.screens.wizard import WizardScreen
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.fields import STEP_IDS
from acestep_tui.wizard.goals import goal_values
from acestep_tui.wizard.look import SongFacts
from acestep_tui.wizard.schedule_advice import Example
from acestep_tui.wizard.steps.base import Step
from acestep_tui.wizard.steps.make import make_step
from engine.contract.fields_base import WizardStep
from engine.contract.model_files import RELEASED_MODEL, SUB_FOLDERS
from engine.hardware.logout import LogOut
from engine.hardware.machine import AUDIO_FORMATS, Card, Machine
from engine.hardware.models import ModelStatus, PartStatus
from engine.planning.facts import DataFacts
from tests.tui.harness import house_app, until

GB = 2**30
MACHINE = Machine(
    cards=(Card(0, "NVIDIA GeForce RTX 4070", 12 * GB, int(11.6 * GB), 41.0, 0.0, (8, 9)),),
    driver="580.95",
    driver_cuda="13.0",
    torch_cuda="13.0",
    ram_total_bytes=64 * GB,
    ram_free_bytes=51 * GB,
    num_cores=16,
    folder=Path("/home/mara"),
    disk_free_bytes=212 * GB,
    audio_formats=AUDIO_FORMATS,
    log_out=LogOut(kills=True, has_linger=False, user="mara"),
    has_compiler=True,
)
MODEL = ModelStatus(
    RELEASED_MODEL, "hub", Path("/models"), tuple(PartStatus(name, "whole", GB, GB) for name in SUB_FOLDERS)
)
SONGS = SongFacts(
    num_files=24,
    num_usable=23,
    total_s=89 * 60.0,
    num_left_out=1,
    without_lyrics=("04 Paper Lanterns.flac", "14 Cold Harbour.flac"),
    unusable=(("13 Lighthouse demo.m4a", "it cannot be read"),),
)
DATA = DataFacts(clip_s=(232.0,) * 22, bucket_s=(240.0,), num_captions=22, num_held_out=1)
EXAMPLE = Example("01 Night Ferry", "dream pop, female voice, slow, rain on glass", "[verse]\nFirst line\nSecond line")


class Quiet(Step):
    """A page of another test's: there, and silent. ``wrong`` is what it has to complain about."""

    DEFAULT_CSS = "Quiet { height: 1fr; }"
    wrong: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        """What the test says."""
        return list(self.wrong)


class QuietModel(Quiet):
    """In the place of the model's page: the model is here."""

    key = "model"

    def learn(self) -> None:
        """At once."""
        self.facts.model = MODEL
        self.learned("model")


class QuietDataset(Quiet):
    """In the place of the songs' page: they are scanned."""

    key = "dataset"

    def learn(self) -> None:
        """At once."""
        self.facts.songs, self.facts.data, self.facts.example = SONGS, DATA, EXAMPLE
        self.learned("songs")


@pytest.fixture
def quiet_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model and songs are known at once and take no thread; their real pages have tests of their own."""

    def made(key: WizardStep) -> Step:
        return {"model": QuietModel, "dataset": QuietDataset}[key]() if key in ("model", "dataset") else make_step(key)

    monkeypatch.setattr(wizard_module, "make_step", made)


def night_ferry(step: WizardStep = "hardware", **values: Any) -> Draft:
    """The mock-ups' draft, opened at a page; every page before was seen."""
    draft = Draft(name="night-ferry", is_named=True)
    draft.visited = list(STEP_IDS[: STEP_IDS.index(step) + 1])
    draft.step = step
    draft.apply_goal("voice", goal_values("voice"))
    draft.source = "/music/night-ferry"
    draft.layers["yours"]["instance_data_dir"] = type(draft.layers["goal"]["lora_rank"])("/music/night-ferry", "")
    for key, value in values.items():
        draft.set(key, value)
    return draft


def wizard_app(
    tmp_path: Path,
    draft: Draft | None = None,
    *,
    machine: Machine = MACHINE,
    path: Path | None = None,
    **settings: Any,
) -> AceStepApp:
    """The app, opened in the set-up of a draft on a made-up computer."""
    app = house_app(tmp_path, **settings)

    def open_wizard() -> None:
        screen = WizardScreen(draft, path=path)
        screen.look = lambda folder: machine
        app.go_to(screen)

    app.open_home = open_wizard  # type: ignore[method-assign]
    return app


def screen_of(app: AceStepApp) -> WizardScreen:
    """The set-up that is open."""
    screen = next(one for one in app.screen_stack if isinstance(one, WizardScreen))
    return screen


async def ready(pilot: Any, app: AceStepApp, also: Callable[[], bool] = lambda: True) -> WizardScreen:
    """Wait until the computer was looked at and the page is up."""
    await until(pilot, lambda: any(isinstance(one, WizardScreen) for one in app.screen_stack))
    screen = screen_of(app)
    await until(pilot, lambda: screen.facts.plan is not None and screen.draft.step in screen._steps and also())
    await pilot.pause()
    return screen
