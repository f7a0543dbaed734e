"""From a command line of the original ACE-Step trainer to our configuration (config-formats.md 1.3, 2.6).

Everything that trainer does by itself and we do otherwise is written down too, so that the training is the same one.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import ConfigError
from engine.contract.model_files import TRANSFORMER_FOLDER
from engine.contract.paths import expanded

# What its argument parser fills in (trainer.py, the last lines).
UPSTREAM_DEFAULTS: dict[str, str | None] = {
    "num_nodes": "1",
    "shift": "3.0",
    "learning_rate": "1e-4",
    "num_workers": "8",
    "epochs": "-1",
    "max_steps": "2000000",
    "every_n_train_steps": "2000",
    "dataset_path": "./zh_lora_dataset",
    "exp_name": "chinese_rap_lora",
    "precision": "32",
    "accumulate_grad_batches": "1",
    "devices": "1",
    "logger_dir": "./exps/logs/",
    "ckpt_path": None,
    "checkpoint_dir": None,
    "gradient_clip_val": "0.5",
    "gradient_clip_algorithm": "norm",
    "reload_dataloaders_every_n_epochs": "1",
    "every_plot_step": "2000",
    "val_check_interval": None,
    "lora_config_path": "config/zh_rap_lora_config.json",
}
# Its file config/zh_rap_lora_config.json, for who brings the command line alone.
_UPSTREAM_LORA: dict[str, Any] = {
    "r": 256,
    "lora_alpha": 32,
    "use_rslora": True,
    "target_modules": [
        *("speaker_embedder", "linear_q", "linear_k", "linear_v"),
        *("to_q", "to_k", "to_v", "to_out.0"),
    ],
}
_NO_LORA_FILE = (
    "that file is not here, so the values that come with the trainer are taken; if you changed them, run migrate in "
    "the folder in which the trainer was started"
)
# Written down there in code, not as options.
_IN_ITS_CODE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"adam_beta1": 0.8, "adam_beta2": 0.9}, "the betas of its AdamW"),
    ({"adam_weight_decay": 0.01}, "the weight decay of its AdamW"),
    ({"lr_scheduler": "linear", "lr_end": 0.0, "lr_warmup_steps": 10}, "10 steps of warm-up, then a line down to 0"),
    ({"ace_step_ssl_loss_weight": 1.0}, "its losses of musical features count in full"),
    (
        {"caption_dropout_probability": 0.0},
        "it leaves captions out by the model's own rule alone, which is always done here too",
    ),
    ({"gradient_checkpointing": True}, "it recomputes the blocks too"),
)
# Options that name the same thing by another word.
_RENAMED = {
    "shift": "flow_schedule_shift",
    "learning_rate": "learning_rate",
    "num_workers": "dataloader_num_workers",
    "every_n_train_steps": "checkpointing_steps",
    "accumulate_grad_batches": "gradient_accumulation_steps",
    "gradient_clip_val": "max_grad_norm",
    "gradient_clip_algorithm": "grad_clip_method",
    "every_plot_step": "validation_step_interval",
}
_NO_EQUIVALENT = {
    "logger_dir": "everything of a run stands in its own folder, output/{name}",
    "ckpt_path": "its checkpoints cannot be read; the LoRA saved beside them can: --init_lora=FOLDER",
    "reload_dataloaders_every_n_epochs": "the songs are drawn anew in every pass, always",
    "val_check_interval": "it had no data to check on; test clips come every validation_step_interval steps",
}
SPEAKER = "speaker_embedder"
_SPEAKER_REASON = "the speaker vector is always zero in this model's training, so a LoRA there never learns anything"


@dataclass(frozen=True, slots=True)
class Line:
    """One option of theirs and what became of it: settings of ours, or (none) the reason why there is nothing."""

    theirs: str
    settings: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Migration:
    """A command line of the original trainer as a configuration of ours.

    Attributes:
        name: The run's name; the configuration goes to ``config/<name>``.
        config: The flat configuration, ready for JSON.
        backends: The data sets, ready for JSON.
        lines: Every option typed, in its order.
        fixed: What their trainer does without an option.
        unused: Everything typed that has no equivalent, each with the reason.
    """

    name: str
    config: dict[str, Any]
    backends: list[dict[str, Any]]
    lines: tuple[Line, ...]
    fixed: tuple[Line, ...]
    unused: tuple[Line, ...]


@dataclass(slots=True)
class _Draft:
    """A migration under way."""

    typed: Mapping[str, str]
    config: dict[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    fixed: list[Line] = field(default_factory=list)
    unused: list[Line] = field(default_factory=list)

    def value(self, option: str) -> str | None:
        """The option as typed, else as their parser fills it in."""
        return self.typed.get(option, UPSTREAM_DEFAULTS.get(option))

    def note(self, option: str, settings: Mapping[str, Any], note: str = "") -> None:
        """Set what an option means here, and say so."""
        self.config.update(settings)
        typed = self.typed.get(option)
        if typed is not None:
            self.lines.append(Line(f"--{option} {typed}", dict(settings), note))
        else:
            self.fixed.append(Line(f"its default: --{option} {self.value(option)}", dict(settings), note))

    def leave_out(self, theirs: str, reason: str) -> None:
        """Say that something typed means nothing here."""
        self.unused.append(Line(theirs, {}, reason))


def split_command(words: Sequence[str]) -> list[str]:
    """The words of a command line, given as words or (one word with blanks in it) as a whole.

    Raises:
        ConfigError: A quotation mark is not closed.
    """
    if len(words) != 1 or not re.search(r"\s", words[0]):
        return list(words)
    try:
        return shlex.split(words[0].replace("\\\n", " ").replace("\\\r\n", " "))
    except ValueError as error:
        raise ConfigError(f"The command line cannot be taken apart: {error}", hint="Close its quotation marks.") from (
            error
        )


def migrate_command(words: Sequence[str], *, name: str | None = None, cwd: Path) -> Migration:
    """Convert a command line of the original trainer; nothing is written.

    Args:
        words: The words of the command, ``python trainer.py --learning_rate 1e-4 …``.
        name: The run's name; None = its ``--exp_name``.
        cwd: Where its relative paths start.

    Raises:
        ConfigError: No such command line, a value that cannot be, or a LoRA file that cannot be read: all in one.
    """
    typed, unused = _options(words)
    draft = _Draft(typed, unused=list(unused))
    chosen = name or _slug(str(draft.value("exp_name")))
    _length(draft)
    _precision(draft)
    for option, key in _RENAMED.items():
        note = "set validation_prompt as well: it is what is played" if option == "every_plot_step" else ""
        draft.note(option, {key: _number(str(draft.value(option)))}, note)
    _lora(draft, cwd=cwd)
    _model(draft, cwd=cwd)
    _devices(draft)
    backends = _data(draft, chosen, cwd=cwd)
    draft.note("exp_name", {}, f"the run's name: config/{chosen}, output/{chosen}")
    for settings, why in _IN_ITS_CODE:
        draft.config.update(settings)
        draft.fixed.append(Line(why, settings))
    for option, reason in _NO_EQUIVALENT.items():
        if option in typed:
            draft.leave_out(f"--{option} {typed[option]}", reason.format(name=chosen))
    config = _ordered(draft.config, chosen)
    _check(config, chosen, cwd=cwd)
    order = list(typed)
    lines = sorted(draft.lines, key=lambda line: order.index(line.theirs.split()[0].removeprefix("--")))
    return Migration(chosen, config, backends, tuple(lines), tuple(draft.fixed), tuple(draft.unused))


def _options(words: Sequence[str]) -> tuple[dict[str, str], list[Line]]:
    """The trainer's options as typed, and what else stands in the command."""
    place = next((index for index, word in enumerate(words) if word.endswith(".py")), None)
    if place is None and not any(word.startswith("--") for word in words):
        raise ConfigError(
            f"Not a command line of ACE-Step's trainer: {' '.join(words) or '(nothing)'}",
            hint='For example: acestep-tui migrate "python trainer.py --learning_rate 1e-4 --exp_name my_lora"',
        )
    before = words[:place] if place is not None else []
    unused = [
        Line(word, {}, "a variable or a launcher's option: put it before acestep-tui where it is still wanted")
        for word in before
        if "=" in word or word.startswith("-")
    ]
    typed: dict[str, str] = {}
    items = list(words[place + 1 if place is not None else 0 :])
    while items:
        word = items.pop(0)
        option, equals, value = word.removeprefix("--").partition("=")
        if not equals and items and not items[0].startswith("--"):
            value = items.pop(0)
        if not word.startswith("--"):
            unused.append(Line(word, {}, "not an option"))
        elif option not in UPSTREAM_DEFAULTS:
            unused.append(Line(f"{word} {value}".strip(), {}, "not an option of that trainer"))
        elif value == "":
            unused.append(Line(word, {}, "it has no value"))
        else:
            typed[option] = value
    return typed, unused


def _length(draft: _Draft) -> None:
    """Steps or epochs, whichever ends first there; here one of the two counts."""
    steps, epochs = _number(str(draft.value("max_steps"))), _number(str(draft.value("epochs")))
    by_epochs = isinstance(epochs, int) and epochs > 0 and ("max_steps" not in draft.typed or steps == -1)
    if by_epochs:
        draft.note("epochs", {"num_train_epochs": epochs, "max_train_steps": 0})
        if "max_steps" in draft.typed:
            draft.note("max_steps", {}, "without end there; the length is given in epochs")
        return
    draft.note("max_steps", {"max_train_steps": 2_000_000 if steps == -1 else steps, "num_train_epochs": 0})
    if "epochs" in draft.typed and epochs != -1:
        draft.leave_out(f"--epochs {draft.typed['epochs']}", "one length counts here, and --max_steps is given too")
    elif "epochs" in draft.typed:
        draft.note("epochs", {}, "no limit of epochs")


def _precision(draft: _Draft) -> None:
    text = str(draft.value("precision")).casefold()
    known = [("32", "no"), ("16", "fp16"), ("bf16", "bf16"), ("fp16", "fp16"), ("no", "no")]
    meant = next((value for beginning, value in known if text.startswith(beginning)), text)
    draft.note("precision", {"mixed_precision": meant})


def _lora(draft: _Draft, *, cwd: Path) -> None:
    """The LoRA's file: rank, alpha, rsLoRA, targets; what else stands in it is named."""
    given = str(draft.value("lora_config_path"))
    values, note = _UPSTREAM_LORA, _NO_LORA_FILE
    path = cwd / expanded(given)
    # Its own file's values are known; those of any other are not.
    is_its_own = Path(given).name == Path(str(UPSTREAM_DEFAULTS["lora_config_path"])).name
    if path.is_file() or not is_its_own:
        values, note = _read_lora(path, given), ""
    keys = {"r": "lora_rank", "lora_alpha": "lora_alpha", "use_rslora": "lora_use_rslora"}
    settings = {keys[key]: value for key, value in values.items() if key in keys}
    settings["lora_dropout"] = values.get("lora_dropout", 0.0)
    targets = values.get("target_modules")
    if isinstance(targets, list):
        settings["peft_lora_target_modules"] = [target for target in targets if target != SPEAKER]
        if SPEAKER in targets:
            draft.leave_out(f"target module {SPEAKER}", _SPEAKER_REASON)
    for key in sorted(values.keys() - {*keys, "lora_dropout", "target_modules"}):
        draft.leave_out(f"{given}: {key} {json.dumps(values[key], ensure_ascii=False)}", "has no equivalent here")
    draft.note("lora_config_path", settings, note)


def _read_lora(path: Path, given: str) -> dict[str, Any]:
    from engine.contract.sources import read_json_value

    if not path.is_file():
        raise ConfigError(
            f"--lora_config_path {given}: no such file: {path}",
            hint="Run migrate in the folder in which the trainer was started, or give the path from here.",
        )
    values = read_json_value(path, where=given)
    if not isinstance(values, dict):
        raise ConfigError(f"{given}: not a JSON object", hint='It holds {"r": 256, "lora_alpha": 32, …}.')
    return values


def _model(draft: _Draft, *, cwd: Path) -> None:
    """Their `--checkpoint_dir` holds the model itself, or a hub cache with the model in it."""
    given = draft.typed.get("checkpoint_dir")
    if given is None:
        return
    folder = cwd / expanded(given)
    places = (TRANSFORMER_FOLDER, f"*/{TRANSFORMER_FOLDER}", f"*/snapshots/*/{TRANSFORMER_FOLDER}")
    inside = [found.parent for place in places for found in sorted(folder.glob(place))]
    if inside and inside[0] != folder:
        draft.note("checkpoint_dir", {"pretrained_model_name_or_path": str(inside[0])}, "the model lies in there")
    elif inside:
        draft.note("checkpoint_dir", {"pretrained_model_name_or_path": given})
    else:
        draft.note("checkpoint_dir", {"pretrained_model_name_or_path": given}, "no model is there now")


def _devices(draft: _Draft) -> None:
    for option, one, more in (
        ("devices", "one card, as always", "one card trains; see num_processes"),
        ("num_nodes", "one computer, as always", "one computer trains"),
    ):
        number = draft.typed.get(option)
        if number == "1":
            draft.note(option, {}, one)
        elif number is not None:
            draft.leave_out(f"--{option} {number}", more)


def _data(draft: _Draft, name: str, *, cwd: Path) -> list[dict[str, Any]]:
    """The converted data set as a backend; a plain folder of songs as a local one."""
    given = str(draft.value("dataset_path"))
    folder = cwd / expanded(given)
    draft.config["data_backend_config"] = f"config/{name}/multidatabackend.json"
    identity = f"{name}-songs"
    if folder.is_dir() and not (folder / "state.json").is_file() and not (folder / "dataset_dict.json").is_file():
        draft.note("dataset_path", {}, "no converted data set: taken as a folder of songs with a .txt beside each")
        return [
            {"id": identity, "type": "local", "dataset_type": "audio", "instance_data_dir": given},
        ]
    note = "" if folder.is_dir() else "no such folder now; it is taken for a converted data set"
    draft.note("dataset_path", {}, note or "read as it is: captions from tags, lyrics from norm_lyrics")
    return [
        {
            "id": identity,
            "type": "huggingface",
            "dataset_type": "audio",
            "dataset_name": given,
            "metadata_backend": "huggingface",
            "caption_strategy": "huggingface",
            "config": {"audio_caption_fields": ["tags"], "lyrics_column": "norm_lyrics"},
        }
    ]


def _number(text: str) -> Any:
    """A number where the text is one; else the text, which the check of the whole refuses by name."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _slug(name: str) -> str:
    """A name that can be a folder's everywhere."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "migrated"


def _ordered(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The configuration in the order of the declarations, with the model's three keys first, as the seed writes it."""
    from engine.contract.fields import SETTINGS

    whole = {"model_family": "ace_step", "model_type": "lora", "model_flavour": "base", **values}
    return {setting.key: whole[setting.key] for setting in SETTINGS if setting.key in whole}


def _check(config: Mapping[str, Any], name: str, *, cwd: Path) -> None:
    """Raise ConfigError with every value that cannot be used."""
    from engine.contract.config import check_values

    _, findings = check_values(config, name=name, where="trainer.py", cwd=cwd)
    if findings.errors:
        raise ConfigError("\n".join(findings.errors), hint="Nothing was written.")
