"""A lone escape is told from a longer key after a moment; nobody waits longer for anything."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from acestep_tui.escape_key import ESCAPE_S, BriskSelector


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_after_a_key_the_rest_of_it_is_waited_for_only_a_moment(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with BriskSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        os.write(writer, b"\x1b")
        assert selector.select(5.0)
        os.read(reader, 10)
        begun = time.monotonic()
        assert not selector.select(5.0)
        waited_s = time.monotonic() - begun
        assert ESCAPE_S <= waited_s < 1.0


def test_who_types_nothing_is_waited_for_as_long_as_asked(pipe: tuple[int, int]) -> None:
    with BriskSelector() as selector:
        selector.register(pipe[0], selectors.EVENT_READ)
        begun = time.monotonic()
        assert not selector.select(4 * ESCAPE_S)
        assert time.monotonic() - begun >= 4 * ESCAPE_S
        assert not selector.select(0)


@pytest.mark.parametrize(("wish", "expected"), [("", f"{ESCAPE_S} BriskSelector"), ("250", "0.25 SelectSelector")])
def test_the_driver_takes_it_unless_the_user_set_a_time(wish: str, expected: str) -> None:
    program = (
        "from acestep_tui.escape_key import answer_escape_soon; answer_escape_soon();"
        "from textual import constants; from textual.drivers import linux_driver;"
        "print(constants.ESCAPE_DELAY, linux_driver.selectors.SelectSelector.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "ESCDELAY": wish},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
