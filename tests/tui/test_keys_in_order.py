"""Keys typed faster than they are answered reach the widget they are meant for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.widget import Widget

from acestep_tui import keys_in_order
from acestep_tui.keys_in_order import KeysInOrder
from tests.tui.harness import type_at_once, until


class Noting(Widget, can_focus=True):
    """Notes every printable key; Enter goes to the next through a message, X takes the widget away."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self.typed = ""

    async def on_key(self, event: events.Key) -> None:
        """Note it."""
        if event.key == "enter":
            self.call_later(self.screen.focus_next)
        elif event.key == "X":
            self.remove()
        elif event.key == "S":
            time.sleep(0.02)
        elif event.character and event.is_printable:
            self.typed += event.character


class Notes:
    """What both apps show."""

    def compose(self) -> ComposeResult:
        """Three of them."""
        yield from (Noting(name) for name in ("one", "two", "three"))


class InOrder(Notes, KeysInOrder):
    """With the keys in order."""


class AsTextual(Notes, App[list[str]]):
    """As Textual has it."""


async def typed_of(app: App[list[str]], keys: Sequence[str], num_chars: int) -> list[str]:
    """What stands in the widgets in the end."""
    async with app.run_test() as pilot:
        notes = list(app.query(Noting))
        notes[0].focus()
        await pilot.pause()
        type_at_once(app, *keys)
        await until(pilot, lambda: sum(len(one.typed) for one in notes) == num_chars)
        await pilot.pause()
        return [one.typed for one in notes]


async def test_what_is_typed_after_tab_lands_in_the_next_field():
    assert await typed_of(InOrder(), ["a", "tab", "b", "c", "tab", "S", "d", "shift+tab", "e"], 5) == ["a", "bce", "d"]


async def test_textual_alone_types_it_into_the_field_that_is_left():
    # When this fails, Textual has mended it and KeysInOrder may go.
    assert await typed_of(AsTextual(), ["a", "tab", "b", "c"], 3) == ["abc", "", ""]


async def test_a_key_that_moves_the_focus_by_a_message_is_waited_for():
    assert await typed_of(InOrder(), ["a", "enter", "b", "enter", "c"], 3) == ["a", "b", "c"]


async def test_a_widget_that_goes_away_with_its_key_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(keys_in_order, "PATIENCE_S", 60.0)
    began = time.monotonic()
    assert await typed_of(InOrder(), ["X", "b", "tab", "c"], 2) == ["", "c", "b"]
    assert time.monotonic() - began < 10.0


async def test_a_paste_waits_for_its_turn_like_a_key():
    class Pasting(Noting):
        def on_paste(self, event: events.Paste) -> None:
            self.typed += event.text

    class WithPaste(KeysInOrder):
        def compose(self) -> ComposeResult:
            yield from (Pasting(name) for name in ("one", "two"))

    app = WithPaste()
    async with app.run_test() as pilot:
        first, second = app.query(Pasting)
        first.focus()
        await pilot.pause()
        app.post_message(events.Key("tab", None))
        app.post_message(events.Paste("0.002"))
        await until(pilot, lambda: bool(first.typed or second.typed))
        assert (first.typed, second.typed) == ("", "0.002")


@pytest.mark.parametrize("patience_s", [0.0, 0.2])
async def test_a_busy_widget_holds_keys_up_for_so_long_only(monkeypatch, patience_s):
    monkeypatch.setattr(keys_in_order, "PATIENCE_S", patience_s)

    done = asyncio.Event()

    class Busy(Noting):
        async def on_key(self, event: events.Key) -> None:
            if event.key == "b":
                await done.wait()
            await super().on_key(event)

    class WithBusy(KeysInOrder):
        def compose(self) -> ComposeResult:
            yield from (Busy("one"), Noting("two"))

    app = WithBusy()
    async with app.run_test() as pilot:
        busy, free = app.query(Noting)
        busy.focus()
        await pilot.pause()
        type_at_once(app, "b")
        await asyncio.sleep(0.05)
        free.focus()
        type_at_once(app, "c")
        # Not with the pilot: it would wait for the busy widget.
        for _ in range(200):
            if free.typed:
                break
            await asyncio.sleep(0.02)
        done.set()
        await pilot.pause()
        assert free.typed == "c"
