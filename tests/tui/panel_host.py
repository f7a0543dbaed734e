"""A screen that shows one page of the monitor between header and footer, as the monitor does when it is zoomed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textual.widget import Widget

from acestep_tui.app import AceStepApp
from acestep_tui.panels.base import Page
from acestep_tui.runs.state import RunState
from acestep_tui.screens.base import HouseScreen
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, join
from tests.tui.harness import NOW, house_app


class HostScreen(HouseScreen):
    """One page."""

    DEFAULT_CSS = """
    HostScreen Page { margin: 0 1; }
    HostScreen.-wide Page { margin: 1 2 0 2; }
    """
    scopes = ("samples",)
    help_title = "Page"

    def __init__(self, page: Page, state: RunState, now: float) -> None:
        super().__init__()
        self.page, self.state, self.now = page, state, now
        self.asked: list[str] = []

    def compose_body(self) -> Iterable[Widget]:
        yield self.page

    def on_mount(self) -> None:
        self.show_header(("night-ferry", BOLD), right=join(("● training", ACCENT), ("   last event 2 s ago", MUTED)))
        self.page.show(self.state, self.now)
        self.page.focus()

    def show(self, state: RunState) -> None:
        self.state = state
        self.page.show(state, self.now)

    def action_sample(self) -> None:
        self.asked.append("sample")

    def action_back(self) -> None:
        self.asked.append("back")


class HostApp(AceStepApp):
    """The app, opened on one page."""

    host_screen: HostScreen

    def open_home(self) -> None:
        self.go_to(self.host_screen)


def host_app(tmp_path: Path, page: Page, state: RunState, *, now: float = NOW, **values: Any) -> HostApp:
    """The app as it would show a zoomed panel."""
    app = house_app(tmp_path, **values)
    app.__class__ = HostApp
    app.host_screen = HostScreen(page, state, now)  # type: ignore[attr-defined]
    return app  # type: ignore[return-value]
