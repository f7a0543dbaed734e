"""The data sets of a run: multidatabackend.json, or the same list inline (config-formats.md section 2)."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.contract.fields_audio import AUDIO_SETTINGS
from engine.contract.fields_backend import BACKEND_FOREIGN_PREFIXES, BACKEND_SETTINGS
from engine.contract.paths import expanded
from engine.contract.rules import Draft, apply_status
from engine.contract.sources import read_json_value
from engine.contract.validate import Findings, KeyTable, Notice, canonical, check, collect, shown

DEMO_SONGS = "demo:songs"
_BACKEND_TABLE = KeyTable(BACKEND_SETTINGS, foreign_prefixes=BACKEND_FOREIGN_PREFIXES)
_AUDIO_TABLE = KeyTable(AUDIO_SETTINGS)
_TEMPLATE = re.compile(r"\{(model_family|output_dir|id|env:[A-Za-z_][A-Za-z0-9_]*)\}")
_FORM = 'a list of objects, such as [{"id": "songs", "instance_data_dir": "my_songs"}]'


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """How the songs of a data set are cut and grouped, and what their lyrics files are called (section 2.2)."""

    duration_interval: float | Literal["auto"] = "auto"
    max_duration_s: float | None = None
    min_duration_s: float | None = None
    truncation_mode: Literal["beginning", "end", "random"] = "beginning"
    long_clip: Literal["skip", "cut", "pieces"] = "cut"
    channels: Literal[1, 2] = 2
    lyrics_filename_format: str | None = None
    lyrics_extension: str | None = None
    lyrics_suffix: str | None = None


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """One folder of songs. ``instance_data_dir`` is an absolute path, or ``demo:songs``."""

    id: str
    instance_data_dir: str
    caption_strategy: Literal["textfile", "filename", "instanceprompt"] = "textfile"
    instance_prompt: tuple[str, ...] | None = None
    prepend_instance_prompt: bool = False
    only_instance_prompt: bool = False
    disable_multiline_split: bool = False
    repeats: int = 0
    probability: float = 1.0
    train_batch_size: int | None = None
    max_num_samples: int | None = None
    cache_dir_vae: Path | None = None
    audio: AudioBlock = AudioBlock()


@dataclass(frozen=True, slots=True)
class Backends:
    """The enabled data sets, and where prepared captions are kept if that was set."""

    training: tuple[LocalBackend, ...]
    text_cache_dir: Path | None
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One enabled object of the list, typed; `audio` holds the values of its audio block."""

    where: str
    values: Mapping[str, Any]
    audio: Mapping[str, Any]


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
    text_cache_dir = _text_cache(entries, config, base_dir=base_dir, findings=findings)
    training = [
        _local(entry, config, base_dir=base_dir, findings=findings)
        for entry in entries
        if entry.values["dataset_type"] == "audio"
    ]
    if not training and not findings.errors:
        findings.errors.append(f"{where}: no enabled data set with songs. Accepted: {_FORM}.")
    if findings.errors:
        raise ConfigError("\n".join(findings.errors), hint="Correct the data sets; nothing was loaded or written.")
    return Backends(tuple(training), text_cache_dir, tuple(findings.notices))


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


def _entry(item: Any, index: int, *, where: str, config: Config, findings: Findings) -> _Entry | None:
    """Check one object of the list; None when it is disabled (whatever else stands in it) or no object."""
    if not isinstance(item, dict):
        findings.errors.append(f"{where}: entry {index + 1} = {shown(item)}: not an object. Accepted: {_FORM}.")
        return None
    own = Findings()
    given = {canonical(name): value for name, value in item.items()}
    identity = str(given.get("id") or _generated_id(given, index))
    names = {"model_family": config.model_family, "output_dir": config.output_dir, "id": identity}
    filled = {name: _templated(value, names) for name, value in given.items()}
    place = f"{where}: {identity}"
    if "id" not in given:
        message = f"{where}: entry {index + 1} has no id; {identity} is used. Write one, caches hang on it"
        own.notices.append(Notice("generated_id", message, "id"))
    elif not given["id"]:
        own.errors.append(f"{where}: entry {index + 1}: id is empty. Accepted: a name.")
    flat = {name: filled.pop(name) for name in list(filled) if name in _flat_audio_names()}
    values = _checked(filled, _BACKEND_TABLE, place, own)
    if values["disabled"]:
        return None
    overall = {key: config[name] for name, key in _global_audio_names().items() if config[name] is not None}
    block = values["audio"] or {}
    audio = _checked({**overall, **_by_key(flat), **_by_key(block)}, _AUDIO_TABLE, f"{place}.audio", own)
    findings.errors += own.errors
    findings.notices += own.notices
    return _Entry(place, {**values, "id": identity}, audio)


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


def _checked(pairs: Mapping[str, Any], table: KeyTable, where: str, findings: Findings) -> dict[str, Any]:
    """Typed values of one object with the defaults filled in; errors and notices are noted."""
    written = collect(pairs.items(), table, where=where, origin="file", findings=findings)
    values = check(table, written, findings)
    defaults = {setting.key: setting.default for setting in table.settings}
    draft = Draft({**defaults, **values}, {key: written[key] for key in values}, findings)
    for setting in table.settings:
        apply_status(setting, draft)
    return draft.values


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


def _by_key(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """Old names replaced, so that one layer overrides another whichever name each used."""
    by_name = _AUDIO_TABLE.by_name
    return {by_name[key].key if (key := canonical(name)) in by_name else name: value for name, value in pairs.items()}


def _check_ids(entries: list[_Entry], findings: Findings) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.values["id"] in seen:
            findings.errors.append(f"{entry.where}: this id is used twice. Accepted: a name of its own.")
        seen.add(entry.values["id"])


def _text_cache(entries: list[_Entry], config: Config, *, base_dir: Path, findings: Findings) -> Path | None:
    """Folder of prepared captions: of the default text_embeds entry, else `cache_dir_text`, else None."""
    texts = [entry for entry in entries if entry.values["dataset_type"] == "text_embeds"]
    defaults = [entry for entry in texts if entry.values["default"]]
    for extra in defaults[1:]:
        findings.errors.append(f"{extra.where}: default = true: {defaults[0].where} is the default already.")
    known = ", ".join(entry.values["id"] for entry in texts) or "none, leave it out"
    for entry in entries:
        wanted = entry.values["text_embeds"]
        if wanted is not None and wanted not in [text.values["id"] for text in texts]:
            findings.errors.append(f"{entry.where}: text_embeds = {shown(wanted)}: no such entry. Accepted: {known}.")
    chosen = [entry.values["cache_dir"] for entry in (defaults or texts)[:1]]
    folder = (chosen[0] if chosen else None) or config.cache_dir_text
    return base_dir / expanded(folder) if folder else None


def _local(entry: _Entry, config: Config, *, base_dir: Path, findings: Findings) -> LocalBackend:
    values = entry.values
    strategy = values["caption_strategy"] or config.caption_strategy
    prompt = values["instance_prompt"] or config.instance_prompt
    switches = [key for key in ("prepend_instance_prompt", "only_instance_prompt") if values[key]]
    if not prompt and (switches or strategy == "instanceprompt"):
        needs = switches[0] if switches else "caption_strategy instanceprompt"
        findings.errors.append(f"{entry.where}: instance_prompt is missing; {needs} needs it. Accepted: a text.")
    cache_dir = values["cache_dir_vae"] or config.cache_dir_vae
    return LocalBackend(
        id=values["id"],
        instance_data_dir=_folder(entry, base_dir=base_dir, findings=findings),
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
        audio=_audio_block(entry.audio),
    )


def _folder(entry: _Entry, *, base_dir: Path, findings: Findings) -> str:
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


def _audio_block(audio: Mapping[str, Any]) -> AudioBlock:
    longest = audio["max_duration_seconds"]
    return AudioBlock(
        duration_interval=audio["duration_interval"],
        max_duration_s=longest,
        min_duration_s=audio["min_duration_seconds"],
        truncation_mode=audio["truncation_mode"],
        long_clip=audio["long_clip"] or ("cut" if longest is None else "skip"),
        channels=audio["channels"],
        lyrics_filename_format=audio["lyrics_filename_format"],
        lyrics_extension=audio["lyrics_extension"],
        lyrics_suffix=audio["lyrics_suffix"],
    )
