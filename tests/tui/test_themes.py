"""The four house themes: measured contrast, no colour outside them, NO_COLOR, the same words in each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual.app import App
from textual.theme import BUILTIN_THEMES

import acestep_tui
from acestep_tui.screens.home_page import HomeFacts
from acestep_tui.screens.settings import SettingsScreen
from acestep_tui.themes import DEFAULT_THEME, PALETTES, THEME_LABELS, house_themes
from tests.tui.harness import house_app, screen_text, until
from tests.tui.test_home import facts, opened

STATE_WORDS = ("accent", "success", "warning", "error")
CURVES = ("chart_2", "chart_3")


def channels(colour: str) -> tuple[int, ...]:
    """Red, green and blue of ``#RRGGBB``."""
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def luminance(colour: str) -> float:
    """Relative luminance of ``#RRGGBB`` (WCAG 2)."""
    parts = [channel / 255 for channel in channels(colour)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio, 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21.0)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize("ground", ["background", "panel"])
def test_contrast_is_what_the_design_promises(name: str, ground: str) -> None:
    palette = PALETTES[name]
    under = getattr(palette, ground)

    def ratio(part: str) -> float:
        return contrast(getattr(palette, part), under)

    is_contrast = name == "studio-contrast"
    assert ratio("text") >= 12.0
    assert ratio("muted") >= (12.0 if is_contrast else 5.0)
    least = 6.5 if is_contrast else 5.0
    for part in STATE_WORDS:
        assert ratio(part) >= least, part
    for part in CURVES:
        assert ratio(part) >= (6.5 if is_contrast else 3.0), part
    assert ratio("chart_raw") >= (6.5 if is_contrast else 3.0)


@pytest.mark.parametrize("name", PALETTES)
def test_the_selected_row_stays_readable(name: str) -> None:
    palette = PALETTES[name]
    assert contrast(palette.text, palette.selected) >= 7.0
    assert contrast(palette.muted, palette.selected) >= 4.0
    assert contrast(palette.accent, palette.selected) >= 4.0


def test_state_words_differ_for_those_who_see_red_and_green_alike() -> None:
    """In Colour-safe, success and error differ in blue, which deuteranopes tell apart, and in lightness."""
    safe = PALETTES["studio-safe"]
    assert abs(int(safe.success[5:], 16) - int(safe.error[5:], 16)) > 100
    assert contrast(safe.success, safe.error) > 1.1
    assert contrast(safe.warning, safe.error) > 1.5


def test_the_themes_are_registered_with_every_variable_that_the_screens_use() -> None:
    folder = Path(acestep_tui.__file__).parent
    used: set[str] = set()
    for path in (*folder.rglob("*.py"), *folder.rglob("*.tcss")):
        used |= set(re.findall(r"\$([a-z][a-z0-9-]*)", path.read_text(encoding="utf-8")))
    known = set(App().get_css_variables()) | {"chart-2", "chart-3", "chart-raw"}
    unknown = {name for name in used if name not in known}
    # "$EDITOR", "$XDG_…" are no variables of a theme; what is left must be one.
    assert not unknown, unknown
    assert house_themes()[0].name == DEFAULT_THEME
    assert {theme.name for theme in house_themes()} == set(THEME_LABELS)


def test_no_colour_outside_the_themes() -> None:
    folder = Path(acestep_tui.__file__).parent
    found = []
    for path in (*folder.rglob("*.py"), *folder.rglob("*.tcss")):
        if path.name == "themes.py":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if re.search(r"#[0-9A-Fa-f]{6}\b|\brgb\(|\bhsl\(", line):
                found.append(f"{path.name}:{number}")
    assert not found


async def test_every_theme_shows_the_same_words(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, facts())
        words = screen_text(app)
        for theme in (*THEME_LABELS, "ansi-dark", "ansi-light", "nord", "textual-light"):
            app.theme = theme
            await pilot.pause()
            assert screen_text(app) == words, theme
        assert set(BUILTIN_THEMES) <= set(app.available_themes), "built-in themes stay choosable"


async def test_the_chosen_theme_is_the_one_that_is_painted(tmp_path: Path) -> None:
    app = house_app(tmp_path, theme="studio-light")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, facts())
        assert app.theme == "studio-light"
        assert app.screen.styles.background.hex == PALETTES["studio-light"].background
        strips = app.screen._compositor.render_strips()
        painted = {
            segment.style.color.get_truecolor()
            for strip in strips
            for segment in strip
            if segment.style is not None and segment.style.color is not None
        }
        for part in ("text", "muted", "accent", "error", "success"):
            wanted = channels(getattr(PALETTES["studio-light"], part))
            # Textual takes colours through other colour spaces and back.
            assert any(max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) <= 1 for colour in painted), part


async def test_a_theme_that_is_gone_falls_back(tmp_path: Path) -> None:
    app = house_app(tmp_path, theme="a-theme-of-a-plugin")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.theme == DEFAULT_THEME


async def test_without_colour_shape_and_weight_carry_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, facts())
        coloured = screen_text(app)
    monkeypatch.setenv("NO_COLOR", "1")
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, facts())
        assert app.no_color
        assert screen_text(app) == coloured
        strips = app.screen._compositor.render_strips()
        colours = {
            segment.style.color.get_truecolor().hex
            for strip in strips
            for segment in strip
            if segment.style is not None and segment.style.color is not None
        }
        assert all(len({value[1:3], value[3:5], value[5:7]}) == 1 for value in colours), "greys only"
        assert any(segment.style is not None and segment.style.bold for strip in strips for segment in strip)
        # The cursor and the focus are signs, not colours.
        assert any("❯ ● training" in row for row in screen_text(app))
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        assert "━" in screen_text(app)[1]
        assert "─" in "".join(screen_text(app)[2:])


async def test_classes_follow_the_width(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, HomeFacts())
        for size, name in (((79, 24), "-narrow"), ((99, 24), "-narrow"), ((100, 24), "-mid"), ((119, 31), "-mid"),
                           ((120, 32), "-wide")):  # fmt: skip
            await pilot.resize_terminal(*size)
            await until(pilot, lambda name=name: screen.has_class(name))  # type: ignore[misc]
        assert screen.has_class("-tall")
        await pilot.resize_terminal(39, 24)
        await until(pilot, lambda: screen.has_class("-tiny"))
        await pilot.resize_terminal(80, 7)
        await until(pilot, lambda: screen.has_class("-tiny"))
        assert [row for row in screen_text(app) if row.strip()] == [" Home"]
