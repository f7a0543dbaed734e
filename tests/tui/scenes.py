"""Every screen of the app as one can come to see it: what is there, what is opened, which keys are pressed.

Read by the snapshot tests and by the script that draws the README's pictures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from textual.pilot import Pilot

from acestep_tui.app import AceStepApp, Start
from acestep_tui.runs.registry import entry_path, note_seen
from acestep_tui.screens.compare import CompareScreen
from acestep_tui.screens.dialog import Dialog
from acestep_tui.screens.doctor import DoctorScreen
from acestep_tui.screens.home import HomeScreen
from acestep_tui.screens.monitor import MonitorScreen
from acestep_tui.screens.runs import RunsScreen
from acestep_tui.screens.wizard import WizardScreen
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.fields import STEP_IDS
from acestep_tui.wizard.goals import goal_values
from acestep_tui.wizard.steps.dataset import DatasetStep, SongRows
from acestep_tui.wizard.steps.model import ModelStep
from engine.contract.events import PhaseStarted, RunWarning, StepsCompiled
from engine.contract.fields_base import WizardStep
from engine.contract.model_files import DEMO_MODEL
from tests.tui.harness import screen_text, until
from tests.tui.recorded import kind, phase, say_more, step
from tests.tui.world import World

Then = Callable[[Pilot[Any]], Awaitable[None]]


@dataclass(frozen=True)
class Scene:
    """One picture.

    Attributes:
        name: Its file's name.
        prepare: Puts into the world what is seen, and makes the app.
        then: Goes to the screen and waits until all of it is there.
    """

    name: str
    prepare: Callable[[World, dict[str, Any]], AceStepApp]
    then: Then
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def app(self, world: World) -> AceStepApp:
        """The app, about to be run."""
        for variable, value in self.environment.items():
            world.set_variable(variable, value)
        return self.prepare(world, self.settings)

    def looking(self, name: str, environment: dict[str, str] | None = None, **settings: Any) -> Scene:
        """The same under other settings."""
        return replace(self, name=name, settings=settings, environment=environment or {})

    def pressed(
        self, name: str, *keys: str, shows: str = "", as_well: Callable[[AceStepApp], bool] | None = None
    ) -> Scene:
        """The same after these keys, once the screen shows a text."""
        before = self.then

        async def then(pilot: Pilot[Any]) -> None:
            await before(pilot)
            await pilot.press(*keys)
            await until(pilot, lambda: shows in text_of(pilot) and (as_well is None or as_well(app_of(pilot))))
            await settled(pilot)

        return replace(self, name=name, then=then)


def app_of(pilot: Pilot[Any]) -> AceStepApp:
    return cast(AceStepApp, pilot.app)


def text_of(pilot: Pilot[Any]) -> str:
    return "\n".join(screen_text(app_of(pilot)))


async def settled(pilot: Pilot[Any]) -> None:
    """Until nothing more is drawn: the same screen three times in a row."""
    seen = [""] * 3
    while len(set(seen)) > 1 or not seen[0]:
        await pilot.pause(0.02)
        seen = [*seen[1:], text_of(pilot)]


# -- one run --

# What the recorded runs are called here.
_NAMES = {
    "finished": "demo", "stopped": "lofi-tapes", "crashed": "choir-voices", "failed": "club-edits",
    "paused": "night-ferry", "rank-4": "demo-rank-4",
}  # fmt: skip


def monitor(name: str, scenario: str, **values: Any) -> Scene:
    """The monitor of a recorded run."""
    until_event, is_alive = values.get("until"), values.get("is_alive", False)
    after_s, away_s = values.get("after_s", 1.0), values.get("away_s", 0.0)

    def prepare(world: World, settings: dict[str, Any]) -> AceStepApp:
        last = until_event() if until_event else None
        run = world.run(scenario, name=_NAMES[scenario], until=last, is_alive=is_alive, after_s=after_s)
        say_more(run, world.now - after_s, *values.get("and_then", ()))
        if away_s:
            note_seen(run, world.now - away_s)
            assert entry_path(run).with_suffix(".seen").exists()
        return world.app(Start(run), **settings)

    async def then(pilot: Pilot[Any]) -> None:
        app = app_of(pilot)
        await until(pilot, lambda: isinstance(app.screen, MonitorScreen) and app.screen.is_loaded)
        screen = cast(MonitorScreen, app.screen)
        if values.get("is_examined"):
            screen.look_now()
            await until(pilot, lambda: _is_examined(screen))
        await settled(pilot)

    return Scene(name, prepare, then)


def _is_examined(screen: MonitorScreen) -> bool:
    crash = screen.state.crash
    return screen.state.silent is not None or (crash is not None and crash.is_checked)


TRAINING = monitor("monitor", "finished", until=lambda: step(96), is_alive=True)
COMPILING = monitor(
    "monitor-compiling", "finished", until=lambda: phase("load"), is_alive=True, after_s=14.0,
    and_then=(PhaseStarted(phase="warmup"), StepsCompiled(expected_s=60.0, num_lengths=3)),
)  # fmt: skip
_WHY = "Cannot find a working triton installation"
NOT_COMPILED = monitor(
    "not-compiled", "finished", until=lambda: step(96), is_alive=True,
    and_then=(
        RunWarning(code="not_compiled", message=f"the model is not compiled, so steps are slower: {_WHY}"),
        StepsCompiled(is_compiled=False, has_graphs=False, took_s=14.0, reasons=(f"the compiler failed: {_WHY}",)),
    ),
)  # fmt: skip
FINISHED = monitor("monitor-finished", "finished", after_s=60.0)
MONITOR = (
    TRAINING,
    FINISHED,
    monitor("monitor-stopped", "stopped", after_s=60.0),
    monitor("monitor-crashed", "crashed", after_s=600.0, is_examined=True),
    monitor("monitor-failed", "failed", after_s=60.0),
    COMPILING,
    monitor("monitor-preparing", "finished", until=lambda: kind("cache_progress", 9), is_alive=True),
    monitor("monitor-paused", "paused", until=lambda: kind("paused"), is_alive=True, after_s=30.0),
    monitor("monitor-silent", "finished", until=lambda: step(96), is_alive=True, after_s=134.0, is_examined=True),
)
PAGES = (
    TRAINING.pressed("loss", "1", "z"),
    NOT_COMPILED.pressed("speed-not-compiled", "2", "z", shows="Compiled"),
    NOT_COMPILED.pressed("monitor-not-compiled", "7"),
    FINISHED.pressed("samples", "5", "z", shows="step 120"),
    FINISHED.pressed("saves", "6", "z", shows="checkpoint"),
    FINISHED.pressed("log", "7", "z"),
    TRAINING.pressed("help", "f1", shows="Keys on this screen"),
    TRAINING.pressed("dialog-stop", "x", shows="Keep training"),
)
AWAY = monitor("monitor-welcome", "finished", until=lambda: step(96), is_alive=True, away_s=7800.0)


# -- all runs --


def _home_first(world: World, settings: dict[str, Any]) -> AceStepApp:
    return world.app(**settings)


def _home(world: World, settings: dict[str, Any]) -> AceStepApp:
    """Five runs that ended, one that trains, a set-up that was left."""
    for place, scenario in enumerate(("crashed", "rank-4", "stopped", "failed", "finished")):
        world.run(scenario, name=_NAMES[scenario], after_s=86_400.0 * (5 - place) - 7_200.0)
    world.run("paused", name=_NAMES["paused"], until=step(60), is_alive=True)
    world.keep(_draft("kitchen-tapes", "dataset"))
    return world.app(**settings)


def _draft(name: str, at: WizardStep) -> Draft:
    draft = Draft(name=name, is_named=True)
    draft.visited = list(STEP_IDS[: STEP_IDS.index(at) + 1])
    draft.step = at
    draft.apply_goal("voice", goal_values("voice"))
    return draft


async def _home_then(pilot: Pilot[Any]) -> None:
    app = app_of(pilot)
    await until(pilot, lambda: isinstance(app.screen, HomeScreen))
    facts = lambda: cast(HomeScreen, app.screen).facts  # noqa: E731
    await until(pilot, lambda: facts().is_listed and facts().looked_at > 0)
    await settled(pilot)


HOME_FIRST = Scene("home-first", _home_first, _home_then)
HOME = Scene("home", _home, _home_then)


def _is_previewed(app: AceStepApp) -> bool:
    return isinstance(app.screen, RunsScreen) and app.screen.is_listed and app.screen._watched is not None


def _is_compared(app: AceStepApp) -> bool:
    return isinstance(app.screen, CompareScreen) and bool(app.screen.states)


def _is_all_known(app: AceStepApp) -> bool:
    return isinstance(app.screen, DoctorScreen) and app.screen._is_all


RUNS = HOME.pressed("runs", "f3", as_well=_is_previewed)
LISTS = (
    HOME_FIRST,
    HOME,
    RUNS,
    RUNS.pressed("compare", "end", "up", "space", "up", "space", "c", as_well=_is_compared),
    RUNS.pressed("dialog-delete", "down", "d", as_well=lambda app: isinstance(app.screen, Dialog)),
    HOME_FIRST.pressed("open-preset", "3", shows="preset"),
    HOME_FIRST.pressed("settings", "f5", shows="Theme"),
    HOME_FIRST.pressed("keys", "f5", "end", "enter", shows="Change keys"),
    HOME_FIRST.pressed("doctor", "4", as_well=_is_all_known),
    HOME_FIRST.pressed("palette", "ctrl+p"),
)


# -- setting up --


def wizard(name: str, at: WizardStep, *, model: str = DEMO_MODEL) -> Scene:
    """A page of the set-up, with the demo's songs on a computer with a card."""

    def prepare(world: World, settings: dict[str, Any]) -> AceStepApp:
        world.demo_songs()
        world.music()
        draft = _draft("demo", at)
        draft.set("pretrained_model_name_or_path", model)
        if at not in ("hardware", "model"):
            draft.source = "demo:songs"
            draft.set("instance_data_dir", "demo:songs")
        path = world.keep(draft)
        app = world.app(**settings)

        def open_wizard() -> None:
            app.go_to(WizardScreen(draft, path=path))

        app.open_home = open_wizard  # type: ignore[method-assign]
        return app

    async def then(pilot: Pilot[Any]) -> None:
        app = app_of(pilot)
        await until(pilot, lambda: isinstance(app.screen, WizardScreen) and _is_known(app.screen))
        await settled(pilot)

    return Scene(name, prepare, then)


def _is_known(screen: WizardScreen) -> bool:
    facts, at = screen.facts, STEP_IDS.index(screen.draft.step)
    songs = screen._steps.get("dataset")
    model = screen._steps.get("model")
    return (
        screen.draft.step in screen._steps
        and facts.plan is not None
        and (at < 1 or (isinstance(model, ModelStep) and facts.model is not None))
        and (at < 2 or (isinstance(songs, DatasetStep) and facts.data is not None and songs.duplicates is not None))
        and (at != 2 or screen.has_class("-tiny") or screen.query_one(SongRows).has_focus)
    )


DATASET = wizard("wizard-dataset", "dataset")
WIZARD = (
    wizard("wizard-hardware", "hardware"),
    wizard("wizard-model", "model", model="ACE-Step/ACE-Step-v1-3.5B"),
    DATASET,
    wizard("wizard-method", "method"),
    wizard("wizard-schedule", "schedule"),
    wizard("wizard-review", "review"),
    wizard("wizard-more", "method").pressed("wizard-more", "ctrl+t", shows="Filter"),
    DATASET.pressed("song", "enter", shows="How it is used"),
    DATASET.pressed("browse", "ctrl+o", "M", "u", "s", "enter", shows="~/Music"),
)

EVERY = (*MONITOR, *PAGES, AWAY, *LISTS, *WIZARD)
THEMES = tuple(
    TRAINING.looking(f"theme-{name}", theme=name) for name in ("studio-light", "studio-contrast", "studio-safe")
)
PLAIN = (
    TRAINING.looking("monitor-ascii", glyphs="ascii"),
    DATASET.looking("wizard-dataset-ascii", glyphs="ascii"),
    TRAINING.looking("monitor-no-color", environment={"NO_COLOR": "1"}),
    HOME.looking("home-no-color", environment={"NO_COLOR": "1"}),
)
OTHER_SIZES = (TRAINING, HOME, DATASET)
