"""The page of the local report: every curve of a run, drawn by the page itself, with nothing fetched from anywhere."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

MOST_POINTS = 1000
"""Points of a curve on the page; the table beside it has them all."""


def render_page(title: str, rows: Sequence[dict[str, Any]]) -> str:
    """One HTML page with a chart for each name.

    Args:
        title: At the top and in the tab.
        rows: ``step`` and numbers by name, in the order of training.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step":
                curves.setdefault(name, []).append((row["step"], value))
    thinned = {name: _thinned(points) for name, points in curves.items()}
    # "</" inside a script would end it.
    data = json.dumps(thinned, separators=(",", ":")).replace("</", "<\\/")
    return _PAGE.replace("@TITLE@", html.escape(title)).replace("@DATA@", data)


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `MOST_POINTS`: the lowest and the highest of each stretch, so that no peak is lost."""
    if len(points) <= MOST_POINTS:
        return list(points)
    num_stretches = MOST_POINTS // 2
    kept: list[tuple[int, float]] = []
    for index in range(num_stretches):
        stretch = points[index * len(points) // num_stretches : (index + 1) * len(points) // num_stretches]
        extremes = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(extremes)
    return kept


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>@TITLE@</title>
<style>
body { font: 14px system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(24rem, 1fr)); gap: 1.5rem; }
h2 { font-size: 1rem; margin: 0 0 .3rem; }
svg { width: 100%; height: 11rem; border: 1px solid #ccc; }
polyline { fill: none; stroke: #2563eb; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
small { color: #666; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #16181d; } svg { border-color: #444; } }
</style>
<h1>@TITLE@</h1>
<main></main>
<script>
const curves = @DATA@;
const shown = value => Number(value.toPrecision(4)).toString();
for (const [name, points] of Object.entries(curves)) {
  const values = points.map(point => point[1]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const place = ([step, value]) => [
    last > first ? (step - first) / (last - first) * 100 : 50,
    high > low ? 96 - (value - low) / (high - low) * 92 : 50,
  ].map(part => part.toFixed(2)).join(",");
  const figure = document.createElement("section");
  const heading = document.createElement("h2");
  heading.textContent = name;
  const facts = document.createElement("small");
  const newest = values[values.length - 1];
  facts.textContent = `steps ${first} to ${last}; ${shown(low)} to ${shown(high)}; now ${shown(newest)}`;
  figure.append(heading);
  figure.insertAdjacentHTML("beforeend", `<svg viewBox="0 0 100 100" preserveAspectRatio="none">` +
    `<polyline points="${points.map(place).join(" ")}"/></svg>`);
  figure.append(facts);
  document.querySelector("main").append(figure);
}
</script>
</html>
"""
