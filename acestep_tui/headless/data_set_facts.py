"""The data sets of a configuration for `config show`: where each is, what differs from the usual, who says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_tui.headless.help import filled
from acestep_tui.headless.setting_facts import written
from engine.contract.errors import ConfigError

if TYPE_CHECKING:
    from engine.contract.backends import LocalBackend, TextEmbeds
    from engine.contract.config import Notice, Resolved

# Told by their own column, or of no interest to a reader.
_TOLD = frozenset({"id", "instance_data_dir", "rows", "text_embeds"})
_TOLD_OF_ROWS = frozenset({"name", "folder", "base_dir", "cache_dir", "written_columns"})
# Where a field is called otherwise in the file.
_KEYS = {
    "max_duration_s": "max_duration_seconds",
    "min_duration_s": "min_duration_seconds",
    "caption_columns": "caption_column",
    "caption_filters": "caption_filter_list",
}
# A block of keys whose names say by themselves what they belong to.
_FLAT = ("window",)


@dataclass(frozen=True, slots=True)
class DataSetFact:
    """One data set, or one place of prepared captions.

    Attributes:
        id: Its name.
        kind: "local", "huggingface" or "text_embeds".
        place: Its folder, or its name on the hub.
        values: What differs from the default, by the key as it is written in a list of data sets.
    """

    id: str
    kind: str
    place: str
    values: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The same as data."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in self.values.items()}
        return {"id": self.id, "kind": self.kind, "place": self.place, "values": plain}

    @property
    def words(self) -> str:
        """What differs, in one line; lists as their entries."""
        return "   ".join(f"{key} {written(value)}" for key, value in self.values.items())


@dataclass(frozen=True, slots=True)
class DataSetFacts:
    """All data sets of a configuration; ``problem`` says why they cannot be used, and is empty where they can."""

    origin: str
    sets: tuple[DataSetFact, ...] = ()
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same as data."""
        return {"origin": self.origin, "problem": self.problem or None, "sets": [one.as_json() for one in self.sets]}


def data_sets_of(resolved: Resolved) -> tuple[DataSetFacts, list[Notice]]:
    """The data sets of a configuration, and what is to be noticed about them; bad ones are told, not raised."""
    from engine.contract.backends import load_backends

    listed = resolved.config.data_backend_config
    origin = listed if isinstance(listed, str) else _inline_origin(resolved)
    try:
        backends = load_backends(resolved.config, base_dir=resolved.base_dir)
    except ConfigError as error:
        return DataSetFacts(origin, problem=error.message), []
    sets = [*map(_of_songs, backends.training), *(_of_captions(one) for one in backends.text_embeds if one.id)]
    return DataSetFacts(origin, tuple(sets)), list(backends.notices)


def data_set_lines(facts: DataSetFacts) -> Iterator[str]:
    """The section of `config show`."""
    yield f"Data sets   {facts.origin}"
    for line in facts.problem.splitlines():
        yield f"✗ {line}"
    width = max((len(one.id) for one in facts.sets), default=0)
    kinds = max((len(one.kind) for one in facts.sets), default=0)
    for one in facts.sets:
        yield f"  {one.id:<{width}}  {one.kind:<{kinds}}  {one.place}".rstrip()
        if one.values:
            yield from filled(one.words, width + 4)


def _inline_origin(resolved: Resolved) -> str:
    """Who gave a list that stands in no file of its own: the configuration, or the command line."""
    from acestep_tui.paths import shown

    given = {resolved.origins.get(key, "default") for key in ("instance_data_dir", "data_backend_config")}
    return "the command line" if "flag" in given else shown(resolved.path)


def _of_songs(backend: LocalBackend) -> DataSetFact:
    from acestep_tui.paths import shown

    rows = backend.rows
    is_folder = rows is None or rows.folder is not None
    place = shown(Path(backend.instance_data_dir)) if is_folder else backend.instance_data_dir
    values = {"caption_strategy": backend.caption_strategy, **dict(_differing(backend, _TOLD | {"caption_strategy"}))}
    if rows is not None:
        values |= dict(_differing(rows, _TOLD_OF_ROWS))
    if backend.text_embeds.id:
        values["text_embeds"] = backend.text_embeds.id
    return DataSetFact(backend.id, "local" if rows is None else "huggingface", place, values)


def _of_captions(place: TextEmbeds) -> DataSetFact:
    from acestep_tui.paths import shown

    folder = shown(place.cache_dir) if place.cache_dir is not None else "the usual folder"
    return DataSetFact(place.id, "text_embeds", folder, dict(_differing(place, frozenset({"id", "cache_dir"}))))


def _differing(of: Any, told: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Fields of a dataclass that differ from their defaults, those of its blocks as ``block.key``."""
    for one in fields(of):
        value = getattr(of, one.name)
        if one.name in told or value == one.default:
            continue
        key = _KEYS.get(one.name, one.name)
        if is_dataclass(value):
            inner = list(_differing(value, ()))
            yield from ((name if key in _FLAT else f"{key}.{name}", item) for name, item in inner)
            if not inner:
                yield key, True
        else:
            yield key, str(value) if isinstance(value, Path) else value
