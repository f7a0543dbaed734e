"""The four house themes (design: screens.md, "Themes"); screens use these variables only, never a colour."""

from __future__ import annotations

from dataclasses import dataclass

from textual.theme import Theme

DEFAULT_THEME = "studio-dark"
THEME_LABELS = {
    "studio-dark": "Studio dark",
    "studio-light": "Studio light",
    "studio-contrast": "High contrast",
    "studio-safe": "Colour-safe",
}


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one theme by what they are for; all hexadecimal."""

    background: str
    surface: str
    panel: str
    selected: str
    text: str
    muted: str
    hairline: str
    accent: str
    success: str
    warning: str
    error: str
    chart_2: str
    chart_3: str
    chart_raw: str
    is_dark: bool = True


PALETTES: dict[str, Palette] = {
    "studio-dark": Palette(
        "#101319", "#161A23", "#1C212D", "#262D42", "#DCE1EC", "#8D96AB", "#2E3546", "#8FA6FF", "#7FD1A0", "#E6BF6A",
        "#F4798F", "#E6A96B", "#5CC8C0", "#66739F",
    ),
    "studio-light": Palette(
        "#FBFAF7", "#FFFFFF", "#EEEDE8", "#DDE2F7", "#1B2030", "#5A6175", "#CFCFC9", "#3A4CC0", "#1B7043", "#855600",
        "#B3243A", "#96500C", "#0A6C68", "#7681B0", is_dark=False,
    ),
    "studio-contrast": Palette(
        "#000000", "#000000", "#1A1A1A", "#003A70", "#FFFFFF", "#D8D8D8", "#8C8C8C", "#7FD4FF", "#5CFF9A", "#FFE14D",
        "#FF8A8A", "#FFB45C", "#7CF5E6", "#8FA0B8",
    ),
    "studio-safe": Palette(
        "#101319", "#161A23", "#1C212D", "#262D42", "#DCE1EC", "#8D96AB", "#2E3546", "#D9A0C8", "#62B6F0", "#F2E25C",
        "#F0803C", "#F2E25C", "#62B6F0", "#85759A",
    ),
}  # fmt: skip

# What a theme that is not ours lacks: its own colours stand in.
VARIABLE_DEFAULTS = {"chart-2": "orange", "chart-3": "teal", "chart-raw": "#7681A0"}


def house_themes() -> list[Theme]:
    """The themes as Textual takes them, the default first."""
    return [_theme(name, palette) for name, palette in PALETTES.items()]


def _theme(name: str, palette: Palette) -> Theme:
    return Theme(
        name=name,
        primary=palette.accent,
        secondary=palette.accent,
        accent=palette.accent,
        foreground=palette.text,
        background=palette.background,
        surface=palette.surface,
        panel=palette.panel,
        success=palette.success,
        warning=palette.warning,
        error=palette.error,
        dark=palette.is_dark,
        variables={
            "text-muted": palette.muted,
            "border-blurred": palette.hairline,
            "border": palette.accent,
            "block-cursor-background": palette.selected,
            "block-cursor-foreground": palette.text,
            "block-cursor-blurred-background": palette.selected,
            "block-cursor-blurred-foreground": palette.text,
            "block-hover-background": palette.panel,
            "input-cursor-background": palette.accent,
            "input-cursor-foreground": palette.background,
            "input-selection-background": palette.selected,
            "scrollbar": palette.hairline,
            "scrollbar-hover": palette.muted,
            "scrollbar-active": palette.accent,
            "scrollbar-background": palette.background,
            "scrollbar-background-hover": palette.background,
            "scrollbar-background-active": palette.background,
            "footer-background": palette.panel,
            "chart-2": palette.chart_2,
            "chart-3": palette.chart_3,
            "chart-raw": palette.chart_raw,
        },
    )
