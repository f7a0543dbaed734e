"""Lists and pages: keys, wheel and clicks move and choose; only visible rows are drawn; what changed is repainted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import App, ComposeResult
from textual.content import Content
from textual.events import MouseScrollDown
from textual.geometry import Region

from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.page import AIR, Page, PageRow, still
from acestep_tui.widgets.paint import text
from acestep_tui.widgets.rows import Rows


class ListApp(App[None]):
    """One list (or page), and what it says."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self._make = make
        self.moved: list[int] = []
        self.chosen: list[int] = []
        self.filtered: list[str] = []

    def compose(self) -> ComposeResult:
        yield from self._make()

    def on_rows_moved(self, message: Rows.Moved) -> None:
        assert message.control is message.rows
        self.moved.append(message.index)

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        assert message.control is message.rows
        self.chosen.append(message.index)

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        self.filtered.append(message.text)


def draw(index: int, width: int, is_selected: bool) -> Content:
    del width
    return text(f"{'>' if is_selected else ' '} row {index}")


def many(num_rows: int = 100, **values: Any) -> Any:
    return lambda: [Rows(draw, num_rows, **values)]


async def test_keys_move_and_choose() -> None:
    app = ListApp(many())
    async with app.run_test(size=(20, 10)) as pilot:
        rows = app.query_one(Rows)
        rows.focus()
        await pilot.press("down", "j", "up", "k")
        assert app.moved == [1, 2, 1, 0]
        await pilot.press("up")
        assert rows.cursor == 0
        await pilot.press("pagedown")
        assert (rows.cursor, rows.top) == (9, 0)
        await pilot.press("pagedown")
        assert (rows.cursor, rows.top) == (18, 9)
        assert rows.plain_lines[-1] == "> row 18"
        await pilot.press("pageup", "pageup", "pageup")
        assert (rows.cursor, rows.top) == (0, 0)
        await pilot.press("end")
        assert (rows.cursor, rows.top) == (99, 90)
        await pilot.press("down")
        assert rows.cursor == 99
        await pilot.press("enter")
        assert app.chosen == [99]
        await pilot.press("home", "enter")
        assert app.chosen == [99, 0]


async def test_only_what_is_seen_is_drawn() -> None:
    drawn: list[int] = []

    def counted(index: int, width: int, is_selected: bool) -> Content:
        drawn.append(index)
        return draw(index, width, is_selected)

    app = ListApp(lambda: [Rows(counted, 1_000_000)])
    async with app.run_test(size=(20, 10)) as pilot:
        rows = app.query_one(Rows)
        rows.focus()
        await pilot.press("end")
        assert rows.cursor == 999_999
        assert set(drawn) <= {*range(10), *range(999_990, 1_000_000)}


async def test_the_mouse() -> None:
    app = ListApp(many())
    async with app.run_test(size=(20, 10)) as pilot:
        rows = app.query_one(Rows)
        await pilot.click(Rows, offset=(3, 4))
        assert app.chosen == [4]
        assert rows.cursor == 4
        await pilot._post_mouse_events([MouseScrollDown], Rows)
        assert rows.cursor == 5
        rows.set_rows(3)
        assert rows.cursor == 2
        await pilot.click(Rows, offset=(3, 8))
        assert app.chosen == [4], "below the last row there is nothing"


async def test_a_list_that_wraps_and_one_without_a_cursor() -> None:
    app = ListApp(many(5, wraps=True))
    async with app.run_test(size=(20, 10)) as pilot:
        rows = app.query_one(Rows)
        rows.focus()
        await pilot.press("up")
        assert rows.cursor == 4
        await pilot.press("down")
        assert rows.cursor == 0
    app = ListApp(many(30, shows_cursor=False))
    async with app.run_test(size=(20, 10)) as pilot:
        rows = app.query_one(Rows)
        rows.focus()
        await pilot.press("down", "down")
        assert rows.top == 2
        assert ">" not in "".join(rows.plain_lines)
        await pilot.press("enter")
        await pilot.click(Rows, offset=(3, 3))
        assert app.chosen == []
        await pilot.press("end")
        assert rows.top == 20
        await pilot.press("pageup", "home", "up")
        assert rows.top == 0


async def test_an_empty_list() -> None:
    app = ListApp(many(0))
    async with app.run_test(size=(20, 10)) as pilot:
        app.query_one(Rows).focus()
        await pilot.press("down", "end", "pagedown", "enter", "home")
        assert app.chosen == app.moved == []


def a_page() -> list[Page]:
    page = Page()
    page.show(rows_of("one", "two", "three"))
    return [page]


def named(name: str) -> Any:
    return lambda _width, is_selected: text(f"{'>' if is_selected else ' '} {name}")


def rows_of(*names: str) -> Sequence[PageRow]:
    found = [still(text("Title"))]
    for name in names:
        found += [
            PageRow(lambda _width, is_selected, name=name: text(f"{'>' if is_selected else ' '} {name}"), name),
            AIR,
        ]
    return found


async def test_a_page_stops_only_where_something_can_be_chosen() -> None:
    app = ListApp(a_page)
    async with app.run_test(size=(20, 10)) as pilot:
        page = app.query_one(Page)
        page.focus()
        assert page.selected == "one"
        await pilot.press("down")
        assert page.selected == "two"
        await pilot.press("end")
        assert page.selected == "three"
        await pilot.press("up", "up", "up")
        assert page.selected == "one"
        page.select("three")
        assert page.selected == "three"
        page.show(rows_of("zero", "three", "four"))
        assert page.selected == "three", "the cursor stays on what it stood on"
        page.show(rows_of("zero", "four"))
        assert page.selected == "four", "or goes to what is nearest"
        page.show([still(text("nothing to choose"))])
        assert page.selected is None
        await pilot.press("down", "enter")
        assert app.chosen == []


class Counted(Lines):
    """Three lines; remembers which rows were repainted."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ["a", "b", "c"]
        self.painted: list[Region] = []

    def lines(self, width: int, height: int) -> Sequence[Content]:
        del width, height
        return [text(word) for word in self.words]

    def refresh(self, *regions: Region, **options: Any) -> Any:
        self.painted += regions
        return super().refresh(*regions, **options)


async def test_only_rows_that_changed_are_repainted() -> None:
    app = ListApp(lambda: [Counted()])
    async with app.run_test(size=(20, 10)) as pilot:
        shown = app.query_one(Counted)
        await pilot.pause()
        shown.painted.clear()
        shown.redraw()
        assert shown.painted == []
        shown.words[1] = "B"
        shown.redraw()
        assert [region.y for region in shown.painted] == [1]
        shown.painted.clear()
        shown.words = ["a"]
        shown.redraw()
        assert [region.y for region in shown.painted] == [1, 2]
        assert shown.plain_lines == ["a"]
        assert shown.render_line(2).text.strip() == ""


async def test_the_filter_bar() -> None:
    app = ListApp(lambda: [Rows(draw, 3), FilterBar("Find")])
    async with app.run_test(size=(20, 10)) as pilot:
        bar, rows = app.query_one(FilterBar), app.query_one(Rows)
        assert not bar.display
        bar.open()
        await pilot.press("a", "b")
        assert app.filtered == ["a", "ab"]
        await pilot.press("enter")
        assert rows.has_focus
        assert bar.value == "ab"
        assert bar.display
        bar.focus()
        await pilot.press("escape")
        await pilot.pause()
        assert app.filtered[-1] == ""
        assert not bar.display
        assert rows.has_focus
        bar.open()
        await pilot.press("enter")
        assert not bar.display, "an empty field closes on Enter"
