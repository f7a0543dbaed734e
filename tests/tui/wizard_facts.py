"""The mock-ups' computer, model and songs for the set-up; made up, never in code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acestep_tui.app import AceStepApp
from acestep_tui.screens import wizard as wizard_module
from acestep_tui.screens.wizard import WizardScreen
from acestep_tui.wizard import planning
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.fields import STEP_IDS
from acestep_tui.wizard.goals import goal_values
from acestep_tui.wizard.look import SongFacts, WizardFacts
from acestep_tui.wizard.schedule_advice import Example
from acestep_tui.wizard.steps.base import Step
from acestep_tui.wizard.steps.make import make_step
from engine.contract.fields_base import WizardStep
from engine.contract.model_files import RELEASED_MODEL, SUB_FOLDERS
from engine.hardware.logout import LogOut
from engine.hardware.machine import AUDIO_FORMATS, Card, Device, Machine
from engine.hardware.models import ModelStatus, PartStatus
from engine.planning.advice import Advice
from engine.planning.facts import DataFacts
from engine.planning.plan_view import Part, PlanView, Total
from engine.planning.recommend import Recommendation
from tests.tui.harness import NOW, SIZES, house_app, screen_text, until

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
    draft.layers["yours"]["instance_data_dir"] = Advice("/music/night-ferry", "")
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


# -- what the mock-ups show and this version does not choose by itself (int8, compile), and their round numbers --


def _advice(machine: Machine, device: Device, **rest: Any) -> Recommendation:
    values = {
        "base_model_precision": ("int8-quanto", "Half the size, nearly the same sound: 2.7 not 5.2 GB."),
        "mixed_precision": ("bf16", ""),
        "gradient_checkpointing": (True, "Far less memory; each step takes a third longer."),
        "train_batch_size": (1, "2 would need 8.9 GB: it fits, with less to spare."),
        "audio_max_duration_seconds": (None, "Whole songs fit your card. The model ends at 4 minutes."),
        "compile": ("on", "Starts 30 s later, then steps are up to 4 times faster."),
    }
    advice = {key: Advice(value, reason) for key, (value, reason) in values.items()}
    return Recommendation(device, "12 GB", advice, "", needed_bytes=int(6.5 * GB), verdict="fits")


def _plan(draft: Draft, facts: WizardFacts) -> PlanView | None:
    if facts.machine is None:
        return None
    facts.device = facts.machine.device("")
    memory = Total(
        6.5 * GB,
        11.6 * GB,
        (
            Part("model", 2.7 * GB, detail="int8"),
            Part("adapter", 0.5 * GB, detail="lora"),
            Part("song", 2.4 * GB, count=1, detail="240"),
            Part("spare", 0.9 * GB),
        ),
        "fits",
    )
    if facts.data is None:
        return PlanView(memory, Total(None, 212.0 * GB), Total(), None, 2000, None, "fits")
    disk = Total(
        3.8 * GB,
        204.0 * GB,
        (
            Part("cache", 1.3 * GB, count=22),
            Part("checkpoints", 2.3 * GB, count=6),
            Part("output", 0.2 * GB, detail="lora"),
        ),
        "fits",
    )
    seconds = Total(
        3585.0, None, (Part("cache", 180.0), Part("train", 3000.0, count=2000), Part("clips", 405.0, count=9))
    )
    return PlanView(memory, disk, seconds, 1.5, 2000, 90.9, "fits")


@pytest.fixture
def mockup_numbers(monkeypatch: pytest.MonkeyPatch, quiet_pages: None) -> None:
    """The mock-ups' advice and plan in the place of the computed ones: the pages are held to their look."""
    monkeypatch.setattr(planning, "recommend", _advice)
    monkeypatch.setattr(wizard_module, "planned", _plan)


async def dump(tmp_path: Path, draft: Draft | None, size: str, *, now: float = NOW) -> list[str]:
    """The rows of a page at a size, its draft saved."""
    saved = tmp_path / "draft.json"
    app = wizard_app(tmp_path, draft, path=saved, clock=lambda: now, runs_folder=str(tmp_path / "runs"))
    async with app.run_test(size=SIZES[size]) as pilot:
        screen = await ready(pilot, app)
        await until(
            pilot, lambda: "output_dir" in draft.layers["recommended"] if screen.draft.step == "review" else True
        )
        await pilot.pause()
        return screen_text(app)
