"""Editing one line of text: cursor, words, what of it is visible. No widget: fields draw it and send it keys."""

from __future__ import annotations

import re

from rich.cells import cell_len

_WORD_START = re.compile(r"(?<!\w)\w")


class TextLine:
    """A line being typed.

    Attributes:
        value: The text.
        cursor: Place of the cursor, in characters.
        is_fresh: The field was just entered and its whole value is selected: typing replaces it.
    """

    def __init__(self, value: str = "") -> None:
        self.value = value
        self.cursor = len(value)
        self.is_fresh = False
        self._first = 0

    def load(self, value: str, *, is_fresh: bool = False) -> None:
        """Take another text, the cursor at its end."""
        self.value, self.cursor, self.is_fresh, self._first = value, len(value), is_fresh, 0

    def insert(self, text: str) -> None:
        """Type or paste; line breaks become blanks."""
        text = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
        if self.is_fresh:
            self.load("")
        self.value = self.value[: self.cursor] + text + self.value[self.cursor :]
        self.cursor += len(text)

    def key(self, key: str) -> bool:
        """Do what an editing key does; False for a key that edits nothing."""
        edit = _EDITS.get(key)
        if edit is None:
            return False
        edit(self)
        self.is_fresh = False
        return True

    def view(self, width: int) -> tuple[str, int]:
        """The part that fits into ``width`` cells with the cursor in it, and the cursor's place in that part."""
        width = max(width, 2)
        self._first = min(self._first, self.cursor)
        while self._first < self.cursor and cell_len(self.value[self._first : self.cursor]) > width - 1:
            self._first += 1
        last = self._first
        while last < len(self.value) and cell_len(self.value[self._first : last + 1]) <= width:
            last += 1
        return self.value[self._first : last], self.cursor - self._first

    def place_at(self, cell: int) -> None:
        """Put the cursor where a click went: at this cell of the visible part."""
        place = self._first
        while place < len(self.value) and cell_len(self.value[self._first : place + 1]) <= cell:
            place += 1
        self.cursor, self.is_fresh = place, False

    # -- what the keys do --

    def _backspace(self) -> None:
        if self.is_fresh:
            self.load("")
        elif self.cursor:
            self._cut(self.cursor - 1, self.cursor)

    def _delete(self) -> None:
        if self.is_fresh:
            self.load("")
        else:
            self._cut(self.cursor, self.cursor + 1)

    def _left(self) -> None:
        self.cursor = max(self.cursor - 1, 0)

    def _right(self) -> None:
        self.cursor = min(self.cursor + 1, len(self.value))

    def _home(self) -> None:
        self.cursor = 0

    def _end(self) -> None:
        self.cursor = len(self.value)

    def _word_left(self) -> None:
        self.cursor = self._word_before()

    def _word_right(self) -> None:
        self.cursor = self._word_after()

    def _cut_word_left(self) -> None:
        self._cut(self._word_before(), self.cursor)

    def _cut_word_right(self) -> None:
        self._cut(self.cursor, self._word_after())

    def _cut_left(self) -> None:
        self._cut(0, self.cursor)

    def _cut_right(self) -> None:
        self._cut(self.cursor, len(self.value))

    def _cut(self, start: int, end: int) -> None:
        self.value = self.value[:start] + self.value[end:]
        self.cursor = start

    def _word_before(self) -> int:
        starts = [match.start() for match in _WORD_START.finditer(self.value[: self.cursor])]
        return starts[-1] if starts else 0

    def _word_after(self) -> int:
        found = _WORD_START.search(self.value, self.cursor + 1)
        return found.start() if found else len(self.value)


_EDITS = {
    "backspace": TextLine._backspace,
    "ctrl+h": TextLine._backspace,
    "delete": TextLine._delete,
    "ctrl+d": TextLine._delete,
    "left": TextLine._left,
    "right": TextLine._right,
    "home": TextLine._home,
    "ctrl+a": TextLine._home,
    "end": TextLine._end,
    "ctrl+e": TextLine._end,
    "ctrl+left": TextLine._word_left,
    "ctrl+right": TextLine._word_right,
    "ctrl+w": TextLine._cut_word_left,
    "ctrl+backspace": TextLine._cut_word_left,
    "ctrl+f": TextLine._cut_word_right,
    "ctrl+delete": TextLine._cut_word_right,
    "ctrl+u": TextLine._cut_left,
    "ctrl+k": TextLine._cut_right,
}
