"""Captions and lyrics out of the columns of a row (spec config-formats.md 2.5 and 2.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.contract.backends import HubRows

SECOND_LYRICS = "norm_lyrics"
DURATION_COLUMNS = ("audio_duration", "duration", "duration_seconds")
_USUAL_CAPTIONS = ("prompt", "tags")


def row_captions(row: Mapping[str, Any], columns: HubRows) -> tuple[str, ...]:
    """Alternative captions of a row; none when no column holds one. Lyrics never enter a caption.

    ``audio_caption_fields`` count alone where they are written, joined with spaces; else each of ``caption_column``
    gives one; else ``prompt``, else ``tags``, else the fallback, else the description.
    """
    return captions_and_column(row, columns)[0]


def captions_and_column(row: Mapping[str, Any], columns: HubRows) -> tuple[tuple[str, ...], str | None]:
    """As `row_captions`; and the column that stands in, where those that were asked for hold nothing."""
    if columns.audio_caption_fields is not None:
        joined = " ".join(filter(None, (as_text(cell(row, name)) for name in columns.audio_caption_fields)))
        if captions := _those((joined,)):
            return captions, None
        return _those((as_text(cell(row, columns.fallback_caption_column)),)), columns.fallback_caption_column
    captions = _those(as_text(cell(row, name)) for name in columns.caption_columns)
    if captions:
        return captions, None
    for name in (*_USUAL_CAPTIONS, columns.fallback_caption_column, columns.description_column):
        if text := as_text(cell(row, name)):
            return (text,), name
    return (), None


def row_lyrics(row: Mapping[str, Any], columns: HubRows) -> str | None:
    """Lyrics of a row as they stand there: None = it has none, empty = it says that it is an instrumental."""
    for name in (columns.lyrics_column, SECOND_LYRICS):
        value = cell(row, name)
        if value is not None:
            return "\n".join(map(str, value)) if _is_list(value) else str(value).strip()
    return None


def row_duration(row: Mapping[str, Any]) -> float | None:
    """How long a row says that its song is, in seconds; None where it says nothing that is a length."""
    for name in DURATION_COLUMNS:
        value = row.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf"):
            return float(value)
    return None


def caption_names(columns: HubRows) -> tuple[str, ...]:
    """The columns that a caption is looked for in, in order."""
    if columns.audio_caption_fields is not None:
        return (*columns.audio_caption_fields, *filter(None, [columns.fallback_caption_column]))
    names = (*columns.caption_columns, *_USUAL_CAPTIONS, columns.fallback_caption_column, columns.description_column)
    return tuple(dict.fromkeys(filter(None, names)))


def cell(row: Mapping[str, Any], name: str | None) -> Any:
    """The value of a column; a dot leads into it (``tags.prompt``). None when it is not there."""
    if name is None:
        return None
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def as_text(value: Any) -> str:
    """A cell as text: lists are joined with commas, null and nested objects are nothing."""
    if value is None or isinstance(value, Mapping):
        return ""
    if _is_list(value):
        return ", ".join(filter(None, (as_text(item) for item in value)))
    return str(value).strip()


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _those(captions: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, captions)))
