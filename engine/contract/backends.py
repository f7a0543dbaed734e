"""The data sets of a run: multidatabackend.json, or the same list inline (config-formats.md section 2)."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from engine.contract.backend_parts import (
    HUB_TABLE,
    Entry,
    caption_shuffle,
    check_kind,
    check_windows,
    checked,
    hub_rows,
    text_places,
    window,
)
from engine.contract.backend_types import (
    DEMO_SONGS,
    AudioBlock,
    Backends,
    CaptionShuffle,
    CaptionStrategy,
    HubRows,
    LocalBackend,
    TextEmbeds,
    Window,
)
from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.contract.fields_audio import AUDIO_SETTINGS, LYRICS_TOKENS
from engine.contract.fields_backend import BACKEND_FOREIGN_KEYS, BACKEND_SETTINGS
from engine.contract.paths import expanded
from engine.contract.sources import read_json_value
from engine.contract.validate import Findings, KeyTable, Notice, canonical, shown

__all__ = [
    "DEMO_SONGS",
    "AudioBlock",
    "Backends",
    "CaptionShuffle",
    "HubRows",
    "LocalBackend",
    "TextEmbeds",
    "Window",
    "load_backends",
]

_BACKEND_TABLE = KeyTable(BACKEND_SETTINGS, foreign=BACKEND_FOREIGN_KEYS)
_AUDIO_TABLE = KeyTable(AUDIO_SETTINGS)
_TEMPLATE = re.compile(r"\{(model_family|output_dir|id|env:[A-Za-z_][A-Za-z0-9_]*)\}")
_IN_BRACES = re.compile(r"\{([^{}]*)\}")
_LONGEST_ID_BYTES = 120
_FORM = 'a list of objects, such as [{"id": "songs", "instance_data_dir": "my_songs"}]'


def load_backends(config: Config, *, base_dir: Path) -> Backends:
    """Read and check the data sets of a configuration; relative paths start from ``base_dir``.

    Raises:
        ConfigError: File missing (with the path tried), not JSON, bad entries, missing folders: all in one message.
    """
    findings = Findings()
    where, items = _read_list(config, base_dir=base_dir)
    entries = [
        entry
        for index, item in enumerate(items)
        if (entry := _entry(item, index, where=where, config=config, findings=findings)) is not None
    ]
    _check_ids(entries, findings)
    places, used_places = text_places(entries, config, base_dir=base_dir, findings=findings)
    songs = [entry for entry in entries if entry.is_songs]
    training = [
        _backend(entry, config, text_embeds=used_places[entry.values["id"]], base_dir=base_dir, findings=findings)
        for entry in songs
    ]
    if not training and not findings.errors:
        findings.errors.append(f"{where}: no enabled data set with songs. Accepted: {_FORM}.")
    check_windows(songs, [backend.window for backend in training], findings)
    if findings.errors:
        raise ConfigError("\n".join(findings.errors), hint="Correct the data sets; nothing was loaded or written.")
    return Backends(tuple(training), places, tuple(findings.notices))


def _read_list(config: Config, *, base_dir: Path) -> tuple[str, tuple[Any, ...]]:
    source = config.data_backend_config
    if not isinstance(source, str):
        return "data_backend_config", tuple(source)
    path = base_dir / expanded(source)
    if not path.is_file():
        raise ConfigError(
            f"data_backend_config: no such file: {path.absolute()}",
            hint="Set data_backend_config to the file that lists your data sets, or instance_data_dir to your folder "
            "of songs.",
        )
    value = read_json_value(path, where=source)
    if not isinstance(value, list):
        raise ConfigError(f"{source}: not a list", hint=f"The file holds {_FORM}.")
    return source, tuple(value)


def _entry(item: Any, index: int, *, where: str, config: Config, findings: Findings) -> Entry | None:
    """Check one object of the list; None when it is disabled (whatever else stands in it) or no object."""
    if not isinstance(item, dict):
        findings.errors.append(f"{where}: entry {index + 1} = {shown(item)}: not an object. Accepted: {_FORM}.")
        return None
    own = Findings()
    given = {canonical(name): value for name, value in item.items()}
    identity = _identity(given, index, where=where, findings=own)
    place = f"{where}: {identity}"
    names = {"model_family": config.model_family, "output_dir": config.output_dir, "id": identity}
    filled = {name: _templated(value, names) for name, value in item.items()}
    flat = {name: filled.pop(name) for name in list(filled) if canonical(name) in _flat_audio_names()}
    columns = {name: filled.pop(name) for name in list(filled) if canonical(name) in HUB_TABLE.by_name}
    draft = checked([(place, filled)], _BACKEND_TABLE, own)
    values = draft.values
    if values["disabled"]:
        return None
    overall = {key: config[name] for name, key in _global_audio_names().items() if config[name] is not None}
    layers = [(f"{place}.audio", layer) for layer in (overall, flat, values["audio"] or {})]
    audio = checked(layers, _AUDIO_TABLE, own)
    # What is written closest to the columns counts: config, then huggingface, then the data set itself.
    blocks = [(f"{place}.{block}", values[block] or {}) for block in ("huggingface", "config")]
    hub = checked([(place, columns), *blocks], HUB_TABLE, own)
    entry = Entry(place, {**values, "id": identity}, set(draft.written), audio.values, hub.values, set(hub.written))
    check_kind(entry, own)
    findings.errors += own.errors
    findings.notices += own.notices
    return entry


def _identity(given: Mapping[str, Any], index: int, *, where: str, findings: Findings) -> str:
    """The id as written, else one that is made from the data set's name; folders and files are named by it."""
    written = given.get("id")
    identity = str(written or _generated_id(given, index))
    if written is None:
        message = f"{where}: entry {index + 1} has no id; {identity} is used. Write one, caches hang on it"
        findings.notices.append(Notice("generated_id", message, "id"))
    elif not written:
        findings.errors.append(f"{where}: entry {index + 1}: id is empty. Accepted: a name.")
    elif set(identity) & set("/\\\0") or identity in (".", "..") or len(identity.encode()) > _LONGEST_ID_BYTES:
        findings.errors.append(
            f"{where}: entry {index + 1}: id = {shown(written)}: no name for a file. Accepted: a short name without / "
            "and \\."
        )
    return identity


def _generated_id(given: Mapping[str, Any], index: int) -> str:
    """`backend-<index>` with a slug of the data set's name or folder; the same at every start."""
    name = str(given.get("dataset_name") or given.get("instance_data_dir") or "")
    slug = re.sub(r"[^a-z0-9]+", "-", name.rstrip("/").rpartition("/")[2].lower()).strip("-")
    return f"backend-{index}-{slug}" if slug else f"backend-{index}"


def _templated(value: Any, names: Mapping[str, str]) -> Any:
    """Fill ``{model_family}``, ``{output_dir}``, ``{id}`` and ``{env:NAME}`` at any depth; other braces stay."""
    if isinstance(value, str):

        def fill(match: re.Match[str]) -> str:
            name = match.group(1)
            return os.environ.get(name[4:], "") if name.startswith("env:") else names[name]

        return _TEMPLATE.sub(fill, value)
    if isinstance(value, dict):
        return {key: _templated(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_templated(item, names) for item in value]
    return value


@functools.cache
def _flat_audio_names() -> frozenset[str]:
    """Names of audio settings that may stand directly on a backend."""
    names = {name for name in _AUDIO_TABLE.by_name if name.startswith("audio_") and name not in _AUDIO_TABLE.by_key}
    return frozenset(names | {"long_clip", "lyrics_filename_format", "lyrics_extension", "lyrics_suffix"})


@functools.cache
def _global_audio_names() -> dict[str, str]:
    """Keys of config.json that stand for an audio setting of every data set."""
    names = ("bucket_strategy", "duration_interval", "max_duration_seconds", "min_duration_seconds")
    return {f"audio_{key}": key for key in (*names, "truncation_mode", "channels")} | {"long_clip": "long_clip"}


def _check_ids(entries: list[Entry], findings: Findings) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.values["id"] in seen:
            findings.errors.append(f"{entry.where}: this id is used twice. Accepted: a name of its own.")
        seen.add(entry.values["id"])


def _backend(
    entry: Entry, config: Config, *, text_embeds: TextEmbeds, base_dir: Path, findings: Findings
) -> LocalBackend:
    values = entry.values
    usual: CaptionStrategy = "huggingface" if entry.is_hub else config.caption_strategy
    strategy = values["caption_strategy"] or usual
    prompt = values["instance_prompt"] or config.instance_prompt
    switches = [key for key in ("prepend_instance_prompt", "only_instance_prompt") if values[key]]
    if not prompt and (switches or strategy == "instanceprompt"):
        needs = switches[0] if switches else "caption_strategy instanceprompt"
        findings.errors.append(f"{entry.where}: instance_prompt is missing; {needs} needs it. Accepted: a text.")
    _check_pattern(entry, findings)
    cache_dir = values["cache_dir_vae"] or config.cache_dir_vae
    rows = hub_rows(entry, config, base_dir=base_dir, findings=findings)
    folder = _folder(entry, base_dir=base_dir, findings=findings) if not entry.is_hub else ""
    return LocalBackend(
        id=values["id"],
        instance_data_dir=folder if rows is None else str(rows.folder or rows.name),
        caption_strategy=strategy,
        instance_prompt=tuple(prompt) if prompt else None,
        prepend_instance_prompt=values["prepend_instance_prompt"],
        only_instance_prompt=values["only_instance_prompt"],
        disable_multiline_split=values["disable_multiline_split"],
        repeats=values["repeats"],
        probability=values["probability"],
        train_batch_size=values["train_batch_size"],
        max_num_samples=values["max_num_samples"],
        cache_dir_vae=base_dir / expanded(cache_dir) if cache_dir else None,
        audio=_audio_block(entry.audio, is_hub=entry.is_hub),
        window=window(entry, findings),
        caption_shuffle=caption_shuffle(entry, config, findings),
        vae_cache_disable=values["vae_cache_disable"],
        vae_cache_ondemand=values["vae_cache_ondemand"],
        vae_cache_clear_each_epoch=values["vae_cache_clear_each_epoch"],
        text_embeds=text_embeds,
        rows=rows,
    )


def _folder(entry: Entry, *, base_dir: Path, findings: Findings) -> str:
    given = entry.values["instance_data_dir"]
    if given is None:
        findings.errors.append(f"{entry.where}: instance_data_dir is missing. Accepted: the path of a folder of songs.")
        return ""
    if given == DEMO_SONGS:
        return DEMO_SONGS
    folder = (base_dir / expanded(given)).absolute()
    if not folder.is_dir():
        reason = "not a folder" if folder.exists() else "no such folder"
        findings.errors.append(
            f"{entry.where}: instance_data_dir = {shown(given)}: {reason}: {folder}. Accepted: a folder of songs."
        )
    return str(folder)


def _check_pattern(entry: Entry, findings: Findings) -> None:
    """Note what stands in the braces of a lyrics pattern and is no token: a name, but more likely a slip."""
    pattern = entry.audio["lyrics_filename_format"] or ""
    unknown = [word for word in _IN_BRACES.findall(pattern) if word not in LYRICS_TOKENS]
    if unknown:
        words = ", ".join(f"{{{word}}}" for word in dict.fromkeys(unknown))
        known = ", ".join(f"{{{word}}}" for word in LYRICS_TOKENS)
        message = f"{entry.where}.audio: lyrics_filename_format = {shown(pattern)}: {words} is kept as it stands; "
        findings.notices.append(Notice("unknown_token", f"{message}there are {known}", "lyrics_filename_format"))


def _audio_block(audio: Mapping[str, Any], *, is_hub: bool) -> AudioBlock:
    longest = audio["max_duration_seconds"]
    # As SimpleTuner treats them: too long a file in a folder is skipped, too long a row of the hub is cut.
    usual: Literal["cut", "skip"] = "cut" if longest is None or is_hub else "skip"
    return AudioBlock(
        duration_interval=audio["duration_interval"],
        max_duration_s=longest,
        min_duration_s=audio["min_duration_seconds"],
        truncation_mode=audio["truncation_mode"],
        long_clip=audio["long_clip"] or usual,
        channels=audio["channels"],
        lyrics_filename_format=audio["lyrics_filename_format"],
        lyrics_extension=audio["lyrics_extension"],
        lyrics_suffix=audio["lyrics_suffix"],
    )
