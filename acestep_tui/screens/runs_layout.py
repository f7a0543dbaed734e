"""Where everything of Runs stands, to the exact cell. Pure."""

from __future__ import annotations

from textual.geometry import Region

# From here on the preview stands beside the table.
SIDE_FROM = 120
_TALL_FROM = 32
_LEAST_ROWS = 5
_LEFT, _GAP = 74, 3


def placed(width: int, height: int, num_runs: int, num_know: int, *, is_compact: bool) -> dict[str, Region]:
    """Where everything stands between header and footer.

    Args:
        width, height: The body's size in cells.
        num_runs: Rows that the table has without a filter, so that filtering moves nothing.
        num_know: Rows that "Good to know" needs.
        is_compact: Whether the reader wants no empty rows.
    """
    air = 0 if is_compact else 1
    if width >= SIDE_FROM:
        return _side_by_side(width, height, num_runs, num_know, air=air)
    least = 3 + _LEAST_ROWS + 1 + 8
    num_preview = 9 + max(0, min((height - 22) // 2, 8)) if height >= least else 0
    num_list = max(height - 3 - (num_preview + air if num_preview else 0), 1)
    inner = width - 2
    places = {
        "head": Region(1, 0, inner, 2),
        "list": Region(1, 2, inner, num_list),
        "under": Region(1, 2 + num_list, inner, 1),
    }
    if num_preview:
        places["preview"] = Region(1, 3 + num_list + air, inner, num_preview)
    return places


def _side_by_side(width: int, height: int, num_runs: int, num_know: int, *, air: int) -> dict[str, Region]:
    left, top = left_width(width), air if height >= _TALL_FROM - 2 else 0
    room = height - top - 3 - air
    num_know = min(num_know, max(room - air - _LEAST_ROWS, 0))
    num_list = max(min(num_runs, room - (num_know + air if num_know else 0)), 1)
    # The last column of the table may reach into the gap.
    places = {
        "head": Region(2, top, left + 2, 2),
        "list": Region(2, top + 2, left + 2, num_list),
        "under": Region(2, top + 2 + num_list, left, 1),
        "preview": Region(2 + left + _GAP, top, width - left - _GAP - 4, max(height - top - air, 1)),
    }
    if num_know:
        places["know"] = Region(2, top + 3 + num_list + air, left, num_know)
    return places


def left_width(width: int) -> int:
    """Cells of the table where the preview stands beside it."""
    return _LEFT + max(width - SIDE_FROM, 0) // 2
