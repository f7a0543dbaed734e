"""Pictures of every screen at 80x24 and 120x40, drawn from recordings of real demo runs, compared with those kept.

``pytest tests/tui/test_snapshots.py --snapshot-update`` renews them; look at what changed before it is committed.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.demo.songs import write_demo_songs
from tests.tui import scenes
from tests.tui.harness import SIZES
from tests.tui.scenes import Scene
from tests.tui.world import World

Compare = Callable[..., bool]
PICTURES = [
    *((scene, size) for scene in scenes.EVERY for size in SIZES.values()),
    *((scene, SIZES["120x40"]) for scene in scenes.THEMES),
    *((scene, SIZES["80x24"]) for scene in scenes.PLAIN),
    *((scene, size) for scene in scenes.OTHER_SIZES for size in ((100, 30), (60, 20), (30, 6))),
]
THIS_HOST = platform.node()


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_songs(tmp_path_factory.mktemp("demo") / "songs")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, songs: Path) -> Iterator[World]:
    world = World(tmp_path, monkeypatch, songs=songs)
    yield world
    world.close()


@pytest.mark.parametrize(
    ("scene", "size"), PICTURES, ids=[f"{scene.name}-{width}x{height}" for scene, (width, height) in PICTURES]
)
def test_the_screen_is_as_kept(scene: Scene, size: tuple[int, int], world: World, snap_compare: Compare) -> None:
    async def go_there(pilot: Pilot[Any]) -> None:
        await scene.then(pilot)
        text = scenes.text_of(pilot)
        assert str(world.home.parent) not in text, "a path of this machine is in the picture"
        assert len(THIS_HOST) < 3 or THIS_HOST not in text, "this machine's name is in the picture"

    assert snap_compare(scene.app(world), terminal_size=size, run_before=go_there)
