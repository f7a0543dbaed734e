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
from engine.planning import vram
from engine.planning.memory_terms import MemoryTerms
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
# Coefficients of the memory plan as they once were: a fit to new measurements changes no picture.
TERMS = MemoryTerms(
    kept_frame_lora=33.8, kept_token_lora=3.0, kept_frame_full=58.0, kept_token_full=10.0, selective_frame=18.0,
    under_way_frame=14.3, outer_frame=3.5, outer_token=2.9, ssl_frame=11.8, lyric_share=1.4,
    cast_share=0.75, widened_share=0.065, workspace_bytes=99e6, slack_share=0.03, slack_bytes=1e8, context_bytes=5e8,
)  # fmt: skip


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_songs(tmp_path_factory.mktemp("demo") / "songs")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, songs: Path) -> Iterator[World]:
    monkeypatch.setattr(vram, "memory_terms", lambda: TERMS)
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
