"""One entry of the list of data sets, typed, and what its parts become (config-formats.md section 2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.backend_types import CaptionShuffle, HubRows, TextEmbeds, Window
from engine.contract.caption_filter import read_filters
from engine.contract.config import Config
from engine.contract.fields_hub import HUB_FOREIGN_KEYS, HUB_SETTINGS, SHUFFLE_SETTINGS
from engine.contract.model_files import HUB_ID
from engine.contract.paths import cache_root, expanded
from engine.contract.rules import Draft, apply_status
from engine.contract.validate import Findings, KeyTable, Notice, Written, check, collect, shown

HUB_TABLE = KeyTable(HUB_SETTINGS, foreign=HUB_FOREIGN_KEYS)
SHUFFLE_TABLE = KeyTable(SHUFFLE_SETTINGS)

# Keys that only one kind of entry knows.
_ONLY_TEXTS = ("caption_filter_list", "text_cache_disable", "text_cache_ondemand", "default")
_ONLY_SONGS = (
    *("instance_data_dir", "dataset_name", "caption_strategy", "instance_prompt", "prepend_instance_prompt"),
    *("only_instance_prompt", "disable_multiline_split", "train_batch_size", "repeats", "probability"),
    *("max_num_samples", "start_epoch", "start_step", "end_epoch", "end_step", "vae_cache_disable", "cache_dir_vae"),
    *("vae_cache_ondemand", "vae_cache_clear_each_epoch", "caption_shuffle", "text_embeds", "audio"),
)
_COLUMN_KEYS = (
    *("audio_column", "caption_column", "fallback_caption_column", "description_column", "audio_caption_fields"),
    "lyrics_column",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One enabled object of the list, typed.

    Attributes:
        where: What its error lines begin with.
        values: Its own keys; defaults are filled in.
        written: Which of them were written.
        audio: Values of its audio block.
        hub: Values of a hub data set, of whichever of the three places.
        hub_written: Which of them were written.
    """

    where: str
    values: Mapping[str, Any]
    written: Collection[str]
    audio: Mapping[str, Any]
    hub: Mapping[str, Any]
    hub_written: Collection[str]

    @property
    def is_songs(self) -> bool:
        """Whether it holds songs, rather than prepared captions."""
        return bool(self.values["dataset_type"] == "audio")

    @property
    def is_hub(self) -> bool:
        """Whether its songs are the rows of a hub data set."""
        return self.is_songs and bool(self.values["type"] == "huggingface")


def checked(layers: Iterable[tuple[str, Mapping[str, Any]]], table: KeyTable, findings: Findings) -> Draft:
    """Typed values of one object with the defaults filled in; errors and notices are noted.

    Args:
        layers: Where each begins its error lines, and its keys; a later one counts over an earlier one.
        table: The keys that there are.
        findings: Takes what is wrong.
    """
    written: dict[str, Written] = {}
    for where, pairs in layers:
        for key, item in collect(pairs.items(), table, where=where, origin="file", findings=findings).items():
            # A null counts as not written, so it takes nothing back either.
            if key not in written or (item.value is not None and item.value != ""):
                written[key] = item
    values = check(table, written, findings)
    defaults = {setting.key: setting.default for setting in table.settings}
    draft = Draft({**defaults, **values}, {key: written[key] for key in values}, findings)
    for setting in table.settings:
        apply_status(setting, draft)
    return draft


def check_kind(entry: Entry, findings: Findings) -> None:
    """Keys that do not go with the kind of the entry: what contradicts is an error, what only does nothing is said."""
    values = entry.values
    if not entry.is_songs:
        if values["type"] != "local":
            findings.errors.append(f"{entry.where}: type = {shown(values['type'])}: text_embeds are local.")
        _without_effect(entry, _ONLY_SONGS, "has no effect on prepared captions", findings)
        return
    if values["caption_filter_list"] is not None:
        findings.errors.append(
            f"{entry.where}: caption_filter_list: not on songs. Accepted: on the text_embeds entry that they use."
        )
    unused = [key for key in _ONLY_TEXTS if key != "caption_filter_list"]
    _without_effect(entry, unused, "has an effect on a text_embeds entry only", findings)
    kind = "huggingface" if entry.is_hub else "discovery"
    if values["metadata_backend"] not in (None, kind):
        given = shown(values["metadata_backend"])
        findings.errors.append(
            f"{entry.where}: metadata_backend = {given}: not for type {values['type']}. Accepted: {kind}."
        )
    accepted = ("huggingface", "instanceprompt") if entry.is_hub else ("textfile", "filename", "instanceprompt")
    strategy = values["caption_strategy"]
    if strategy is not None and strategy not in accepted:
        reason = f"not for type {values['type']}" if entry.is_hub else "only for data sets of type huggingface"
        findings.errors.append(
            f"{entry.where}: caption_strategy = {shown(strategy)}: {reason}. Accepted: {', '.join(accepted)}."
        )
    if not entry.is_hub:
        for key in (*sorted(entry.hub_written), *(["dataset_name"] if "dataset_name" in entry.written else [])):
            _notice(entry, key, "has an effect on a data set of type huggingface only", findings)
    elif "instance_data_dir" in entry.written:
        _notice(entry, "instance_data_dir", "has no effect on a hub data set; dataset_name says where it is", findings)


def _without_effect(entry: Entry, keys: Iterable[str], why: str, findings: Findings) -> None:
    for key in keys:
        if key in entry.written and entry.values[key] not in (None, False):
            _notice(entry, key, why, findings)


def _notice(entry: Entry, key: str, why: str, findings: Findings) -> None:
    findings.notices.append(Notice("no_effect", f"{entry.where}: {key} {why}", key))


def hub_rows(entry: Entry, config: Config, *, base_dir: Path, findings: Findings) -> HubRows | None:
    """Where the rows of a hub data set are; None for a folder of songs, and after an error.

    A name that is a folder here is that folder; else it must be able to be a name on the hub.
    """
    if not entry.is_hub:
        return None
    name = entry.values["dataset_name"]
    accepted = "OWNER/NAME on the hub, or the path of its folder"
    if name is None:
        findings.errors.append(f"{entry.where}: dataset_name is missing. Accepted: {accepted}.")
        return None
    folder: Path | None = (base_dir / expanded(name)).absolute()
    if folder is not None and not folder.is_dir():
        if folder.exists() or not HUB_ID.fullmatch(name):
            reason = "not a folder" if folder.exists() else "no such folder, and no name on the hub"
            findings.errors.append(
                f"{entry.where}: dataset_name = {shown(name)}: {reason}: {folder}. Accepted: {accepted}."
            )
        folder = None
    hub = entry.hub
    cache_dir, root = entry.values["cache_dir"], hub["audio_root"]
    return HubRows(
        name=name,
        folder=folder,
        base_dir=base_dir.absolute(),
        cache_dir=_path(cache_dir, base_dir) or cache_root(config) / "huggingface" / entry.values["id"],
        split=hub["split"],
        revision=hub["revision"],
        audio_column=hub["audio_column"],
        caption_columns=tuple(hub["caption_column"]),
        fallback_caption_column=hub["fallback_caption_column"],
        description_column=hub["description_column"],
        audio_caption_fields=tuple(hub["audio_caption_fields"]) if hub["audio_caption_fields"] else None,
        lyrics_column=hub["lyrics_column"],
        file_extension=hub["file_extension"].lstrip(".") or "wav",
        audio_root=_path(root, base_dir),
        written_columns=_written_columns(entry),
    )


def _written_columns(entry: Entry) -> tuple[str, ...]:
    names: list[str] = []
    for key in _COLUMN_KEYS:
        value = entry.hub[key]
        if key in entry.hub_written and value:
            names += [value] if isinstance(value, str) else value
    return tuple(dict.fromkeys(names))


def window(entry: Entry, findings: Findings) -> Window:
    """When the data set is used."""
    values = entry.values
    found = Window(values["start_epoch"], values["start_step"], values["end_epoch"], values["end_step"])
    for unit, start, end in (
        ("epoch", max(1, found.start_epoch), found.end_epoch),
        ("step", found.start_step + 1, found.end_step),
    ):
        if end is not None and end < start:
            findings.errors.append(
                f"{entry.where}: end_{unit} = {end}: before its start. Accepted: {start} or more, or leave it out."
            )
    return found


def check_windows(entries: Sequence[Entry], windows: Sequence[Window], findings: Findings) -> None:
    """Note an error when no data set is used in the first step."""
    active = [
        one.is_open_at_start and entry.values["probability"] > 0 for entry, one in zip(entries, windows, strict=True)
    ]
    if entries and not any(active) and not findings.errors:
        findings.errors.append(
            f"{entries[0].where}: no data set is used at the start. Accepted: one without start_epoch and start_step "
            "and with a probability above 0."
        )


def caption_shuffle(entry: Entry, config: Config, findings: Findings) -> CaptionShuffle | None:
    """How the tags of captions are shuffled; None where they are not."""
    block = entry.values["caption_shuffle"]
    if block is None:
        return None
    values = checked([(f"{entry.where}.caption_shuffle", block)], SHUFFLE_TABLE, findings).values
    if not values["enable"]:
        return None
    return CaptionShuffle(
        count=values["count"],
        seed=config.seed if values["seed"] is None else values["seed"],
        split_on=values["split_on"],
        position_start=values["position_start"],
        include_original=values["include_original"],
    )


def text_places(
    entries: Sequence[Entry], config: Config, *, base_dir: Path, findings: Findings
) -> tuple[tuple[TextEmbeds, ...], dict[str, TextEmbeds]]:
    """The places of prepared captions, the default one first, and those that data sets use, by the data set's id.

    Where none is listed there is one without a name, in ``cache_dir_text`` or the usual folder.
    """
    texts = [entry for entry in entries if not entry.is_songs]
    defaults = [entry for entry in texts if entry.values["default"]]
    for extra in defaults[1:]:
        findings.errors.append(f"{extra.where}: default = true: {defaults[0].where} is the default already.")
    texts.sort(key=lambda entry: entry not in defaults)
    places = {
        entry.values["id"]: TextEmbeds(
            id=entry.values["id"],
            cache_dir=_path(entry.values["cache_dir"] or config.cache_dir_text, base_dir),
            text_cache_disable=entry.values["text_cache_disable"],
            text_cache_ondemand=entry.values["text_cache_ondemand"],
            caption_filters=read_filters(entry.values["caption_filter_list"], entry.where, base_dir, findings),
        )
        for entry in texts
    }
    listed = tuple(places.values()) or (TextEmbeds(cache_dir=_path(config.cache_dir_text, base_dir)),)
    known = ", ".join(places) or "none, leave it out"
    used: dict[str, TextEmbeds] = {}
    for entry in entries:
        wanted = entry.values["text_embeds"]
        if wanted is not None and wanted not in places:
            findings.errors.append(f"{entry.where}: text_embeds = {shown(wanted)}: no such entry. Accepted: {known}.")
        used[entry.values["id"]] = places.get(wanted, listed[0]) if wanted else listed[0]
    return listed, used


def _path(written: str | None, base_dir: Path) -> Path | None:
    return base_dir / expanded(written) if written else None
