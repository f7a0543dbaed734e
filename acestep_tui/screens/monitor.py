"""One run, live: is it running, is it going well, when is it done; and everything behind these three."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.timer import Timer

from acestep_tui import format as fmt
from acestep_tui.commands import Command, bindings
from acestep_tui.messages import RunLoaded, RunUpdated
from acestep_tui.panels.banner import Banner
from acestep_tui.panels.header import Ticker, header_right, passed, state_word, tiny_line
from acestep_tui.panels.layout import WIDE_COLUMNS
from acestep_tui.panels.progress import TopStrip
from acestep_tui.panels.view import View, view_of
from acestep_tui.runs.commands import News
from acestep_tui.screens.monitor_footer import monitor_word
from acestep_tui.screens.monitor_stage import Stage
from acestep_tui.watching import Watch
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, Part, join, text
from engine.contract.run_dir import RunDir, short_name

_TOASTS = {"good": "done", "warning": "warning", "error": "error"}
_TURN_S = 0.25
# Someone who looks away for a minute was not away.
_AWAY_S = 60.0


class MonitorScreen(Stage):
    """The monitor of one run.

    Args:
        run: The run folder.
        is_readonly: Whether no command may be given from here.
    """

    CSS_PATH = Path(__file__).with_name("monitor.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("monitor")
    help_title = "Monitor"
    AUTO_FOCUS = ""  # the main page of the run's state takes it, once that is known

    def __init__(self, run: RunDir, *, is_readonly: bool = False) -> None:
        super().__init__(run, is_readonly=is_readonly)
        self._ticker = Ticker()
        self._turn = 0
        self._turning: Timer | None = None
        self._watch: Watch | None = None

    # -- building --

    def on_mount(self) -> None:
        """Begin to read."""
        self.set_interval(1.0, self.tick)
        if self.house.has_motion:
            self._turning = self.set_interval(_TURN_S, self._turn_glyph, pause=True)
        self.place()
        self.tick()
        self._watch = Watch(
            self.run, post=self.post_message, clock=self.house.clock, redraw_s=lambda: self.house.redraw_s
        )
        self.read_run(self._watch)

    def on_unmount(self) -> None:
        """Let the reading thread go."""
        if self._watch is not None:
            self._watch.close()

    @work(thread=True, exclusive=True, exit_on_error=False, group="watch")
    def read_run(self, watch: Watch) -> None:
        """The thread that reads the run folder."""
        watch.read()

    # -- what comes in --

    def on_run_loaded(self, message: RunLoaded) -> None:
        """All that happened before."""
        self.state = message.state
        self.handle = message.handle or self.handle
        self._welcome(message.last_seen_t)
        self.refresh_run()
        if self._watch is not None:
            self._watch.taken()

    def on_run_updated(self, message: RunUpdated) -> None:
        """What is new."""
        self.state.apply(message.update)
        for news in self.state.take_news():
            self._tell(news)
        self.refresh_run()
        if self._watch is not None:
            self._watch.taken()

    def look_now(self) -> None:
        """Do not wait for the next look: something was asked for."""
        if self._watch is not None:
            self._watch.look_now()

    def _welcome(self, last_seen_t: float | None) -> None:
        now = self.house.clock()
        away_s = now - last_seen_t if last_seen_t is not None else 0.0
        if away_s < _AWAY_S or self.state.started is None:
            return
        what = f"Welcome back. You were away {fmt.duration(away_s)}"
        if not view_of(self.state).has_ended:
            self.house.toast("info", f"{what}; training went on.", "Nothing was lost.")
        elif self.state.last_t is not None and last_seen_t is not None and self.state.last_t > last_seen_t:
            since = passed(now - self.state.last_t)
            word = state_word(self.state, now)[1]
            is_unheard = self.view is View.UNHEARD
            self.house.toast(
                "info", f"{what}.", f"Its last news is {since} old." if is_unheard else f"It {word} {since} ago."
            )

    def _tell(self, news: News) -> None:
        lines = [news.title, news.detail] if news.detail else [news.title]
        self.house.toast(_TOASTS.get(news.severity, "info"), *lines)
        if news.kind in ("run_ended", "crashed"):
            self._ring(news.title)

    def _ring(self, words: str) -> None:
        """Tell whoever looks elsewhere, in the way they asked for."""
        wish = self.house.settings["notify"]
        if wish == "bell":
            self.app.bell()
        elif wish == "notice" and self.app._driver is not None:
            # OSC 9: terminals show it as a notice of the desktop, over SSH too; others ignore it.
            shown = text(f"{short_name(self.run.name)}: {words}").plain
            self.app._driver.write(f"\x1b]9;{shown}\x07")

    # -- what is shown --

    def refresh_run(self) -> None:
        """Everything that follows from the state; panels repaint only rows that changed."""
        state, now = self.state, self.house.clock()
        with self.app.batch_update():
            self.query_one(TopStrip).show(state, self._shown_now(now))
            self.query_one(Banner).show(state, self._silent_s(now))
            self.change_view(view_of(state))
            self.place()
            self.show_panels(now)
        self.tick()
        self.refresh_bindings()

    def on_screen_resume(self) -> None:
        """Back from the settings, say: glyphs, clock and density may be others."""
        if self.is_loaded:
            self.refresh_run()

    def tick(self) -> None:
        """Each second: how long ago the last event was, and what that means."""
        now = self.house.clock()
        silent_s = self._silent_s(now)
        if self.is_loaded:
            self.state.tick(now)
            if self.view.has_ended:  # no news will come that redraws "3 h ago"
                self.query_one(TopStrip).show(self.state, self._shown_now(now))
            self.place()
            self.query_one(Banner).show(self.state, silent_s)
            right: Part = header_right(
                self.state, now, silent_s, is_readonly=self.is_readonly_now, turn=self._turn if self._turning else 0
            )
        else:
            right = join(("◐ ", ACCENT), (f"reading{self._reading()}", ACCENT))
        self.show_header((short_name(self.run.name), BOLD), right=right)
        if self._turning is not None:
            is_busy = not self.is_loaded or state_word(self.state, now)[0] == "◐"
            self._turning.resume() if is_busy else self._turning.pause()
        self._redraw_tiny()

    def _reading(self) -> str:
        done, total = self._watch.num_bytes if self._watch is not None else (0, 0)
        return f" {100 * done // total} %" if total else ""

    def _silent_s(self, now: float) -> float | None:
        silent_s = self.state.silent_s(now)
        return None if silent_s is None else self._ticker.told(silent_s)

    def _shown_now(self, now: float) -> float:
        """The moment for what says "ago": once a run has ended it moves on with the header."""
        silent_s = self._silent_s(now)
        return (
            self.state.last_t + silent_s if self.state.last_t is not None and silent_s and self.view.has_ended else now
        )

    def _turn_glyph(self) -> None:
        self._turn += 1
        self.tick()

    def tiny_line(self) -> Part:
        """State, share, time left, loss."""
        if not self.is_loaded:
            return join((short_name(self.run.name), MUTED))
        return tiny_line(self.state, self.house.clock())

    def _redraw_tiny(self) -> None:
        if self.has_class("-tiny"):
            from acestep_tui.screens.base import TinyLine

            self.query_one(TinyLine).redraw()

    # -- keys --

    @property
    def scopes(self) -> tuple[str, ...]:  # type: ignore[override]
        """What help lists: the monitor's keys, then those of the page that is open."""
        return ("monitor", *(self.page.scopes if self.page is not None else ()))

    def footer_word(self, command: Command) -> str:
        """The footer's words by state; nothing of the monitor's own while a page is open."""
        if command.scope != "monitor":
            return command.word
        if self.zoomed:
            return "Back" if command.name == "back" and self.page is None else ""
        return monitor_word(command, self.state, is_wide=self.size.width >= WIDE_COLUMNS) if self.is_loaded else ""

    def palette(self) -> Iterable[tuple[str, str, Callable[[], None]]]:
        """What has no key."""
        yield from self.control_palette()
