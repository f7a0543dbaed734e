"""What all screens share: header, footer, breakpoints, a way to the app, and the one line of a tiny terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from acestep_tui.commands import Command
from acestep_tui.failures import TellsFailures
from acestep_tui.widgets.frame import Footer, Header
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import MUTED, Part, join, text

if TYPE_CHECKING:
    from textual.content import Content

    from acestep_tui.app import AceStepApp

# Below this nothing can be laid out: one live line remains (screens.md, "Breakpoints").
TINY_COLUMNS, TINY_ROWS = 40, 8


class TinyLine(Lines):
    """All that a very small terminal shows: state, progress, time left, loss."""

    DEFAULT_CSS = """
    TinyLine { display: none; height: 1fr; }
    """

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one line, from the screen."""
        del width, height
        return [join(" ", cast("HouseScreen", self.screen).tiny_line())]


class HouseScreen(TellsFailures, Screen[object]):
    """A screen of the house: subclasses give `scopes`, `compose_body` and what the header says."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-mid"), (120, "-wide")]  # noqa: RUF012 - Textual declares it so
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012
    DEFAULT_CSS = """
    HouseScreen { background: $background; color: $foreground; layers: base overlay; }
    HouseScreen.-tiny > * { display: none; }
    HouseScreen.-tiny > TinyLine { display: block; }
    """
    # Scopes of acestep_tui.commands that help lists for this screen, its own first.
    scopes: ClassVar[tuple[str, ...]] = ()
    help_title: ClassVar[str] = ""

    def compose(self) -> ComposeResult:
        """Header, body, footer."""
        yield Header()
        yield from self.compose_body()
        yield Footer()
        yield TinyLine()

    def compose_body(self) -> Iterable[Widget]:
        """The widgets between header and footer."""
        return ()

    @property
    def house(self) -> AceStepApp:
        """The app, as ours."""
        return cast("AceStepApp", self.app)

    def show_header(self, *what: Part, right: Part = "") -> None:
        """Say what this screen is about, and at the right how it is; the host's name unless told otherwise."""
        self.query_one(Header).show(what, right or text(self.house.host, MUTED))

    def looks_changed(self) -> None:
        """Density, units or glyphs are others now; a screen that lays itself out by hand does it again."""

    def tiny_line(self) -> Part:
        """What stands on a terminal smaller than 40 x 8."""
        return text(self.help_title or "acestep-tui")

    def footer_word(self, command: Command) -> str:
        """The footer's word for a command, where it depends on the state."""
        return command.word

    def on_resize(self, event: events.Resize) -> None:
        """A terminal of a few cells keeps one line."""
        self.set_class(event.size.width < TINY_COLUMNS or event.size.height < TINY_ROWS, "-tiny")
        self.query_one(TinyLine).redraw()
