"""The README's pictures, drawn by the real app: `python -m tests.tui.screenshots docs/images`.

The scenes are those of the snapshot tests: recordings of real demo runs and the demo's own songs.
"""

from __future__ import annotations

import html
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from textual._doc import take_svg_screenshot

from tests.tui import scenes
from tests.tui.scenes import Scene
from tests.tui.world import a_world

_WIDE = (120, 40)
PICTURES: Mapping[str, tuple[Scene, tuple[int, int]]] = {
    "home.svg": (scenes.HOME_FIRST, (80, 24)),
    "wizard-dataset.svg": (scenes.DATASET, _WIDE),
    "monitor.svg": (scenes.TRAINING, _WIDE),
    "runs.svg": (scenes.RUNS, _WIDE),
    "finished.svg": (scenes.FINISHED, _WIDE),
}
_TEXT = re.compile(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>')
# Each picture's classes carry a random number, so that two of them on one page keep their own colours.
_NUMBERED = re.compile(r"\bterminal-\d+-")


def draw(scene: Scene, size: tuple[int, int], *, name: str) -> str:
    """One picture as SVG; drawing it again gives the same text, byte for byte."""
    with tempfile.TemporaryDirectory(prefix="acestep-screenshots-") as place, a_world(Path(place)) as world:
        svg = take_svg_screenshot(app=scene.app(world), terminal_size=size, run_before=scene.then)
    stem = name.partition(".")[0]
    return _NUMBERED.sub(f"terminal-{stem}-", svg)


def words(svg: str) -> list[str]:
    """What stands on a picture, row by row."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in _TEXT.findall(svg):
        rows.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ")))
    return [" ".join(" ".join(text for _, text in sorted(row)).split()) for _, row in sorted(rows.items())]


def main() -> int:
    """Draw all of them into the folder given."""
    if len(sys.argv) != 2:
        print("usage: python -m tests.tui.screenshots DIR", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (scene, size) in PICTURES.items():
        (folder / name).write_text(draw(scene, size, name=name), encoding="utf-8")
        print(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
