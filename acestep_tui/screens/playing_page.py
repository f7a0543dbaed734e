"""A page that plays clips: finds a player, starts and stops it in threads, and knows where in the clip it is."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual import work
from textual.message import Message
from textual.timer import Timer

from acestep_tui.failures import TellsFailures
from acestep_tui.panels.base import Page
from acestep_tui.sound.player import Player, Playing, find_player, play

if TYPE_CHECKING:
    from acestep_tui.app import AceStepApp

# The place in the clip is shown in whole seconds and in cells of a wave.
_TICK_S = 0.25


class PlayingPage(TellsFailures, Page):
    """A page with one player. Leaving the page ends the sound.

    Attributes:
        player: The program that plays here; None when there is none, or while it is looked for.
        playing: The clip that plays; None while it is quiet.
    """

    @dataclass
    class PlayerFound(Message):
        """Whether this computer can play clips."""

        player: Player | None

    @dataclass
    class PlayingBegun(Message):
        """A player was started, or could not be."""

        playing: Playing | None
        problem: str = ""

    def __init__(self) -> None:
        super().__init__()
        self.player: Player | None = None
        self.playing: Playing | None = None
        self._ticker: Timer | None = None

    @property
    def house(self) -> AceStepApp:
        """The app, as ours."""
        return cast("AceStepApp", self.app)

    def playing_changed(self) -> None:
        """A clip began, went on, or ended: draw it. By default nothing is drawn."""

    def on_mount(self) -> None:
        """Look for a player; the clock of a clip runs only while one plays."""
        self._ticker = self.set_interval(_TICK_S, self._tick, pause=True)
        self._find_player(str(self.house.settings["player"]))

    def on_unmount(self) -> None:
        """Quiet."""
        self._end()

    def start_playing(self, path: Path, *, start_s: float = 0.0, length_s: float = 0.0) -> None:
        """Play a clip instead of the one that plays; without a player, say what to do."""
        self._end()
        if self.player is None:
            self.house.toast(
                "info", "This computer has no loudspeaker for you.", "y copies the line that takes the clip."
            )
            return
        self._begin(self.player, path, self.house.clock(), start_s, length_s)

    def stop_playing(self) -> None:
        """Quiet, and drawn so."""
        self._end()
        self.playing_changed()

    def position_s(self, path: Path) -> float | None:
        """Where in a clip it is; None when another one plays, or none."""
        if self.playing is None or self.playing.path != path:
            return None
        return self.playing.position_s(self.house.clock())

    @work(thread=True, exclusive=True, exit_on_error=False, group="player")
    def _find_player(self, wanted: str) -> None:
        self.post_message(self.PlayerFound(find_player(wanted)))

    @work(thread=True, exclusive=True, exit_on_error=False, group="play")
    def _begin(self, player: Player, path: Path, now: float, start_s: float, length_s: float) -> None:
        if not path.is_file():
            self.post_message(self.PlayingBegun(None, f"{path.name} is not there any more."))
            return
        try:
            playing = play(player, path, now=now, start_s=start_s, length_s=length_s)
        except OSError as error:
            self.post_message(self.PlayingBegun(None, f"{player.name} cannot be started: {error.strerror or error}."))
            return
        if not self.post_message(self.PlayingBegun(playing)):
            playing.stop()  # the page was left in the meantime

    def on_playing_page_player_found(self, message: PlayerFound) -> None:
        """Now it is known how to listen."""
        message.stop()
        self.player = message.player
        self.playing_changed()

    def on_playing_page_playing_begun(self, message: PlayingBegun) -> None:
        """The clock of the clip begins to run."""
        message.stop()
        self._end()
        self.playing = message.playing
        if message.playing is None:
            self.house.toast("error", "The clip cannot be played.", message.problem)
        elif self._ticker is not None:
            self._ticker.resume()
        self.playing_changed()

    def _tick(self) -> None:
        result = self.playing.result() if self.playing is not None else None
        if result is not None:
            self._end()
            if result > 0:
                name = self.player.name if self.player is not None else "The player"
                self.house.toast("error", "The clip cannot be played.", f"{name} ended with {result}.")
        self.playing_changed()

    def _end(self) -> None:
        playing, self.playing = self.playing, None
        if playing is not None:
            # A player takes a moment to end; the screen does not wait for it, the end of the app does.
            threading.Thread(target=playing.stop, name="stop-player").start()
        if self._ticker is not None:
            self._ticker.pause()
