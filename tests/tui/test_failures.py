"""What nobody expected in a thread is told, and leaves no page waiting for ever."""

from __future__ import annotations

import pytest
from textual import work

from acestep_tui.screens import home
from acestep_tui.screens.base import HouseScreen
from tests.tui.harness import house_app, until


def toasts(app):
    return [note.message for note in app._notifications]


class Failing(HouseScreen):
    """A screen whose thread raises what it does not answer."""

    error: Exception = RuntimeError("the disk sang")

    @work(thread=True, exclusive=True, exit_on_error=False, group="fail")
    def begin(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"), [(RuntimeError("the disk sang"), "the disk sang"), (AssertionError(), "AssertionError")]
)
async def test_a_thread_that_comes_to_grief_is_told(tmp_path, error, said):
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Failing()
        screen.error = error
        await app.push_screen(screen)
        screen.begin()
        await until(pilot, lambda: bool(toasts(app)))
        assert toasts(app) == [f"✗ This could not be done.\n{said}"]
        again = screen.begin()
        await until(pilot, lambda: again.is_finished)
        await pilot.pause()
        assert len(toasts(app)) == 1, "said once while it is read"


async def test_a_start_that_fails_unexpectedly_can_be_tried_again(tmp_path):
    def fail():
        raise KeyError("lr")

    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = app.screen
        assert isinstance(screen, home.HomeScreen)
        screen._begin(fail, "Going on …")
        assert screen.is_beginning
        await until(pilot, lambda: not screen.is_beginning)
        assert toasts(app)[-1].startswith("✗ This could not be done.")
