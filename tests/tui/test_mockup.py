"""The comparer itself can fail."""

from __future__ import annotations

import pytest

from tests.each import of_each
from tests.tui.mockup import FOLDER, compare, differences, mockup


@of_each("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_mockup_equals_itself_and_fits_its_size(path):
    width, height = map(int, path.stem.rsplit("-", 1)[1].split("x"))
    rows = mockup(path.stem)
    compare(rows, path.stem)
    assert len(rows) <= height
    assert all(len(row) <= width for row in rows)


def test_a_moved_word_and_another_word_are_seen():
    rows = mockup("monitor-80x24")
    moved = [rows[0], " " + rows[1], *rows[2:]]
    assert set(differences(moved, "monitor-80x24")) == {2}
    other = [rows[0], rows[1].replace("Loss", "Less"), *rows[2:]]
    with pytest.raises(AssertionError, match="row 2"):
        compare(other, "monitor-80x24")
    compare(other, "monitor-80x24", {2: "another word, on purpose"})


def test_a_stale_reason_is_refused():
    with pytest.raises(AssertionError, match="take their explanation out"):
        compare(mockup("runs-80x24"), "runs-80x24", {3: "there is no difference here"})


def test_the_dots_of_a_chart_do_not_count():
    rows = mockup("monitor-80x24")
    changed = [row.replace("⠒", "⣿") for row in rows]
    compare(changed, "monitor-80x24")
