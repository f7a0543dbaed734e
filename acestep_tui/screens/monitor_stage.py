"""The monitor's stage: which panels are shown where, tabs, focus, zoom, and the keys that only change what one sees."""

from __future__ import annotations

from collections.abc import Iterable

from textual.events import Resize
from textual.geometry import Region
from textual.widget import AwaitMount, Widget

from acestep_tui.panels.banner import Banner
from acestep_tui.panels.base import Page, Panel
from acestep_tui.panels.checkpoints import SavesPanel
from acestep_tui.panels.data import DataPanel
from acestep_tui.panels.gpu import GpuPanel
from acestep_tui.panels.layout import PANELS, Body, Layout, arrange, zoomed
from acestep_tui.panels.log import LogPanel
from acestep_tui.panels.loss import LossPanel
from acestep_tui.panels.prepare_page import PreparePage
from acestep_tui.panels.progress import TopStrip
from acestep_tui.panels.result_page import PlanPanel, ResultPage, UsePanel
from acestep_tui.panels.samples import SamplesPanel
from acestep_tui.panels.tabs import Tab, TabStrip
from acestep_tui.panels.throughput import SpeedPanel
from acestep_tui.panels.trouble_page import AgainPanel, EvidencePanel, MemoryPanel, TroublePage
from acestep_tui.panels.view import View, default_panel, view_of
from acestep_tui.screens.monitor_control import RunControl
from acestep_tui.widgets.cells import Cells
from engine.contract.run_dir import RunDir

_MAIN_PAGES = {
    View.PREPARING: "prepare", View.FINISHED: "result",
    View.FAILED: "trouble", View.CRASHED: "trouble", View.UNHEARD: "trouble",
}  # fmt: skip


class Stage(RunControl):
    """Puts the panels in their places; the monitor fills them."""

    def __init__(self, run: RunDir, *, is_readonly: bool = False) -> None:
        super().__init__(run, is_readonly=is_readonly)
        self.tab = ""
        self.zoomed = ""
        self.page: Page | None = None
        self._view: View | None = None
        self._layout = Layout({})
        self.panels: dict[str, Panel | LossPanel] = {
            "prepare": PreparePage(), "result": ResultPage(), "trouble": TroublePage(), "loss": LossPanel(),
            "speed": SpeedPanel(), "gpu": GpuPanel(), "data": DataPanel(), "samples": SamplesPanel(),
            "saves": SavesPanel(), "log": LogPanel(), "plan": PlanPanel(), "use": UsePanel(), "memory": MemoryPanel(),
            "evidence": EvidencePanel(), "again": AgainPanel(),
        }  # fmt: skip

    def compose_body(self) -> Iterable[Widget]:
        """Strip, banner, tabs and all panels; which are shown is the layout's business."""
        with Cells(id="body"):
            yield TopStrip(id="strip")
            yield Banner(id="banner")
            yield TabStrip(id="tabs")
            for name, panel in self.panels.items():
                panel.id = name
                yield panel

    def on_resize(self, event: Resize) -> None:
        """Other cells, other places."""
        super().on_resize(event)
        if self.is_mounted:
            self.place()

    def place(self) -> None:
        """Put the panels where size and state want them."""
        if not self.size.width:
            return
        body = self._body()
        self._layout = arrange(body)
        cells = self.query_one("#body", Cells)
        if self.zoomed:
            widget = self.page if self.page is not None else self.panels[self.zoomed]
            cells.put({widget: Region(*zoomed(body))})
        else:
            cells.put({self._widget(name): Region(*place) for name, place in self._layout.places.items()})
        self._show_tabs()

    def show_panels(self, now: float) -> None:
        """Draw the panels that have a place, and the page that is open."""
        for name in self._layout.places:
            if name in self.panels:
                self.panels[name].show(self.state, now)
        if self.page is not None and self.page.is_mounted:
            self.page.show(self.state, now)

    def _body(self) -> Body:
        banner, trouble = self.query_one(Banner), self.panels["trouble"]
        body = Body(
            self.size.width, self.size.height - 2, view_of(self.state), tab=self.shown_tab,
            is_compact=self.app.has_class("-compact"),
        )  # fmt: skip
        if not self.is_loaded:
            return body
        inner = max(body.inner, 40)
        page_width = inner if body.width < 100 else inner - 40
        assert isinstance(trouble, TroublePage)
        rows = trouble.rows(self.state, page_width, self.house.clock()) if body.view.is_broken else 7
        return body._replace(banner=banner.rows(inner), trouble=rows)

    def _widget(self, name: str) -> Widget:
        return self.panels[name] if name in self.panels else self.query_one(f"#{name}")

    @property
    def shown_tab(self) -> str:
        """The panel under the tab strip: the chosen one, else the one that says most now."""
        return self.tab or default_panel(self.state)

    def _show_tabs(self) -> None:
        tabs = self._layout.tabs
        current = next((name for name in tabs if name in self._layout.places), "")
        for name, panel in self.panels.items():
            has_title = name != current or self.zoomed == name
            is_zoomed = self.zoomed == name
            if isinstance(panel, Panel) and (panel.has_title, panel.is_zoomed) != (has_title, is_zoomed):
                panel.has_title, panel.is_zoomed = has_title, is_zoomed
                panel.redraw()
        shown = [Tab(name, self.panels[name].number, self.panels[name].heading(self.state)) for name in tabs]
        focused = self.focused
        is_focused = focused is not None and bool(current) and focused is self.panels[current]
        self.query_one(TabStrip).show(shown, current, is_focused=is_focused)

    def on_descendant_focus(self) -> None:
        """The strip's rule is heavy while its panel has the focus."""
        self._show_tabs()
        self.refresh_bindings()

    def on_descendant_blur(self) -> None:
        """The strip's rule is thin again."""
        self._show_tabs()

    def change_view(self, view: View) -> None:
        """Another face: its main page takes the focus, unless a panel that stays was chosen."""
        if view is self._view:
            return
        before, self._view = self._view, view
        if not self.zoomed and (before is None or self.focused is None or self._is_main(self.focused, before)):
            main = self.panels[_MAIN_PAGES.get(view, "loss")]
            self.call_after_refresh(self._focus, main, scrolls=False)  # the numbers at the top come first

    def _is_main(self, widget: Widget, view: View) -> bool:
        main = self.panels[_MAIN_PAGES.get(view, "loss")]
        return widget is main or main in widget.ancestors

    def _focus(self, widget: Widget, *, scrolls: bool = True) -> None:
        if widget.display and not self.zoomed:
            widget.focus(scrolls)

    # -- panels --

    def action_panel(self, number: str | int) -> None:
        """Go to a panel; one that has no place now is shown with the whole body."""
        self.go_to_panel(PANELS[int(number) - 1])

    def go_to_panel(self, name: str) -> None:
        """Show a panel and give it the focus."""
        if self.zoomed:
            self.unzoom()
        if name in self._layout.tabs:
            self.tab = name
            self.place()
            self.panels[name].show(self.state, self.house.clock())
        elif name not in self._layout.places:
            self.zoom(name)
            return
        self.call_after_refresh(self._focus, self.panels[name])

    def on_tab_strip_chosen(self, message: TabStrip.Chosen) -> None:
        """A click on a tab."""
        self.go_to_panel(message.key)

    @property
    def focused_panel(self) -> str:
        """The name of the panel that has the focus; empty for none."""
        focused = self.focused
        if focused is None:
            return ""
        around = {focused, *focused.ancestors}
        return next((name for name, panel in self.panels.items() if panel in around), "")

    def action_zoom(self) -> None:
        """Give the focused panel the whole body, or take it back."""
        if self.zoomed:
            self.unzoom()
        else:
            name = self.focused_panel
            self.zoom(name if name in PANELS else "loss")

    def zoom(self, name: str) -> Page | None:
        """Give a panel the whole body."""
        if self.zoomed:
            self.unzoom()
        panel = self.panels[name]
        self.zoomed, self.page = name, panel.page()
        mounting = self.query_one("#body", Cells).mount(self.page) if self.page is not None else None
        self.place()
        self.call_later(self._enter, self.page or panel, mounting)
        return self.page

    async def _enter(self, shown: Page | Panel | LossPanel, mounting: AwaitMount | None) -> None:
        """A page takes in the state when it is there, not before: its lists are filled then."""
        if mounting is not None:
            await mounting
        if shown in (self.page, self.panels.get(self.zoomed)):
            shown.show(self.state, self.house.clock())
            shown.focus()
            self.refresh_bindings()

    def unzoom(self) -> None:
        """Everything back in its place."""
        name, page = self.zoomed, self.page
        self.zoomed, self.page = "", None
        self.place()
        self.refresh_run()
        if page is not None:
            page.remove()
        back = self.panels[name] if name in self._layout.places else self.panels[_MAIN_PAGES.get(self.view, "loss")]
        self.call_after_refresh(self._focus, back)

    def action_back(self) -> None:
        """Out of the zoom, else Home."""
        if self.zoomed:
            self.unzoom()
        else:
            self.house.open_home()

    # -- the chart and the log --

    @property
    def loss(self) -> LossPanel:
        """Panel 1."""
        panel = self.panels["loss"]
        assert isinstance(panel, LossPanel)
        return panel

    def action_toggle_log(self) -> None:
        """Linear or logarithmic."""
        self.loss.chart.action_toggle_log()

    def action_cycle_smoothing(self) -> None:
        """Smooth more, less, not at all."""
        self.loss.chart.action_cycle_smoothing()

    def action_toggle_dots(self) -> None:
        """With or without single steps."""
        self.loss.chart.action_toggle_dots()

    def action_next_curve(self) -> None:
        """Loss, learning rate, gradient size."""
        self.loss.chart.action_next_curve()

    def action_follow(self) -> None:
        """Stick to the newest step."""
        self.loss.chart.action_follow()

    def action_show_all(self) -> None:
        """All steps."""
        self.loss.chart.action_show_all()

    def action_warnings_only(self) -> None:
        """Only warnings in the log, or all again."""
        panel = self.panels["log"]
        assert isinstance(panel, LogPanel)
        panel.warnings_only = not panel.warnings_only
        if "log" in self._layout.places:
            panel.show(self.state, self.house.clock())
        else:
            self.go_to_panel("log")

    async def action_filter(self) -> None:
        """The whole log, with its filter open."""
        page = self.zoom("log")
        if page is not None:
            self.call_after_refresh(self._open_filter, page)

    def _open_filter(self, page: Page) -> None:
        from acestep_tui.screens.log_page import LogPage

        if isinstance(page, LogPage) and page.is_mounted:
            page.action_filter()
