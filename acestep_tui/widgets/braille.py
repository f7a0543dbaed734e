"""A canvas of Braille cells (2 x 4 dots each) in layers, each with a style. Pure Python, no Textual.

A cell that several layers draw in shows the dots of all of them in the style of the first one.
"""

from __future__ import annotations

from typing import TypeAlias

Span: TypeAlias = "tuple[str, str]"
Row: TypeAlias = "tuple[Span, ...]"
"""One row of a picture: pieces of text, each with the name of its style, in order."""

DOTS_ACROSS, DOTS_DOWN = 2, 4

_BLANK = 0x2800
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, then row, as Unicode numbers the dots


class Layer:
    """The dots of one curve. Dots outside the canvas are left out.

    Args:
        width: In cells.
        height: In cells.
        style: Name of the style its cells get.
        ascii_sign: What stands for a cell where Braille cannot be shown.
        ascii_faint: What stands for a cell with less than half of its dots; by default the same.
    """

    def __init__(self, width: int, height: int, style: str, ascii_sign: str = "*", ascii_faint: str = "") -> None:
        self.style = style
        self.ascii_sign = ascii_sign
        self.ascii_faint = ascii_faint or ascii_sign
        self.cells = bytearray(width * height)
        self._width = width
        self._dots_across = width * DOTS_ACROSS
        self._dots_down = height * DOTS_DOWN

    def dot(self, x: int, y: int) -> None:
        """Set one dot; ``(0, 0)`` is the top left one."""
        if 0 <= x < self._dots_across and 0 <= y < self._dots_down:
            self.cells[(y >> 2) * self._width + (x >> 1)] |= _BITS[x & 1][y & 3]

    def column(self, x: int, y_0: int, y_1: int) -> None:
        """Set all dots of column ``x`` between two rows, both included, in either order."""
        if not 0 <= x < self._dots_across:
            return
        top, bottom = (y_0, y_1) if y_0 <= y_1 else (y_1, y_0)
        bits, place = _BITS[x & 1], x >> 1
        for y in range(max(top, 0), min(bottom, self._dots_down - 1) + 1):
            self.cells[(y >> 2) * self._width + place] |= bits[y & 3]

    def segment(self, x_0: int, y_0: int, x_1: int, y_1: int) -> None:
        """A connected line between two dots, which may lie far outside; a steep part is shared by both its columns."""
        if x_0 == x_1:
            self.column(x_0, y_0, y_1)
            return
        if x_0 > x_1:
            x_0, y_0, x_1, y_1 = x_1, y_1, x_0, y_0
        slope = (y_1 - y_0) / (x_1 - x_0)
        first, last = max(x_0, -1), min(x_1, self._dots_across)
        before = round(y_0 + slope * (first - x_0))
        if first == x_0:
            self.dot(x_0, y_0)
        for x in range(first + 1, last + 1):
            y = y_1 if x == x_1 else round(y_0 + slope * (x - x_0))
            step = (y > before) - (y < before)
            if step:
                middle = (before + y) // 2
                self.column(x - 1, before, middle if step > 0 else middle + 1)
                self.column(x, middle + step if step > 0 else middle, y)
            else:
                self.dot(x, y)
            before = y


class Canvas:
    """Layers of dots, whole-cell signs above them and a background below.

    Args:
        width: In cells.
        height: In cells.
        is_ascii: Draw whole cells in ASCII instead of Braille.
    """

    def __init__(self, width: int, height: int, *, is_ascii: bool = False) -> None:
        self.width, self.height = max(width, 0), max(height, 0)
        self.is_ascii = is_ascii
        self.layers: list[Layer] = []
        self._signs: dict[int, Span] = {}
        self._background: dict[int, Span] = {}

    def layer(self, style: str, *, ascii_sign: str = "*", ascii_faint: str = "") -> Layer:
        """A new layer under those already there."""
        layer = Layer(self.width, self.height, style, ascii_sign, ascii_faint)
        self.layers.append(layer)
        return layer

    def sign(self, x: int, y: int, sign: str, style: str) -> None:
        """Put a one-cell sign above all dots."""
        if 0 <= x < self.width and 0 <= y < self.height:
            self._signs[y * self.width + x] = (sign, style)

    def is_taken(self, x: int, y: int) -> bool:
        """Whether a sign stands in a cell."""
        return y * self.width + x in self._signs

    def background(self, x: int, y: int, sign: str, style: str) -> None:
        """Put a one-cell sign where nothing else is drawn."""
        if 0 <= x < self.width and 0 <= y < self.height:
            self._background[y * self.width + x] = (sign, style)

    def row(self, y: int) -> Row:
        """Row ``y``, exactly `width` cells wide, as few spans as possible."""
        spans: list[Span] = []
        style = ""
        text: list[str] = []
        for place in range(y * self.width, (y + 1) * self.width):
            sign, own_style = self._cell(place)
            # A blank has no colour, so it goes on in the style at hand: fewer changes of colour over a slow line.
            if sign != " " and own_style != style:
                if text:
                    spans.append(("".join(text), style))
                style, text = own_style, []
            text.append(sign)
        if text:
            spans.append(("".join(text), style))
        return tuple(spans)

    def _cell(self, place: int) -> Span:
        if place in self._signs:
            return self._signs[place]
        bits, top = 0, None
        for layer in self.layers:
            if layer.cells[place]:
                bits |= layer.cells[place]
                top = top or layer
        if top is None:
            return self._background.get(place, (" ", ""))
        if self.is_ascii:
            return top.ascii_sign if bits.bit_count() >= DOTS_ACROSS * DOTS_DOWN // 2 else top.ascii_faint, top.style
        return chr(_BLANK + bits), top.style
