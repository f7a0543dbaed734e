"""What a run did without after memory ran out, kept in its folder so that the next start does not run out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.contract.files import read_json, write_json
from engine.contract.run_dir import RunDir

FILE = "memory.json"
_VERSION = 1

# Who changes one of these has seen to the memory: what was done about the old values is then forgotten.
MEMORY_SETTINGS = (
    "train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "gradient_checkpointing_policy",
    "gradient_checkpointing_interval",
    "activation_offload",
    "musubi_blocks_to_swap",
    "base_model_precision",
    "oom_allow_quantisation",
    "lora_rank",
    "vae_batch_size",
    "text_encoder_batch_size",
    "offload_during_startup",
    "vae_enable_tiling",
    "validation_audio_duration",
)


@dataclass(frozen=True, slots=True)
class Relief:
    """What is done otherwise than the configuration says, which itself stays as it was frozen.

    Attributes:
        settings: Settings with the values that act instead.
        micro_batch: Most samples that are worked on at once; None = as many as there are in a batch.
        clips_on_processor: Whether test clips are decoded on the processor.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    micro_batch: int | None = None
    clips_on_processor: bool = False

    def __bool__(self) -> bool:
        return self != Relief()

    def of(self, config: Config) -> Config:
        """The configuration as it acts."""
        return config.replace(**self.settings) if self.settings else config

    def with_settings(self, settings: Mapping[str, Any]) -> Relief:
        """The same with further settings."""
        return replace(self, settings={**self.settings, **settings})

    def words(self) -> str:
        """What acts, in words: ``train_batch_size 2 at a time, gradient_checkpointing true``."""
        parts = [] if self.micro_batch is None else [f"at most {self.micro_batch} of a step's songs at once"]
        parts += [f"{name} {shown(value)}" for name, value in self.settings.items()]
        parts += ["test clips decoded on the processor"] * self.clips_on_processor
        return ", ".join(parts)


def shown(value: object) -> str:
    """A setting's value as a configuration file writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def keep_relief(run_dir: RunDir, relief: Relief, config: Config) -> None:
    """Write what was done, and the settings it was done about.

    Raises:
        DiskError: The folder cannot be written.
    """
    write_json(
        run_dir.path / FILE,
        {
            "version": _VERSION,
            "settings": dict(relief.settings),
            "micro_batch": relief.micro_batch,
            "clips_on_processor": relief.clips_on_processor,
            "about": _about(config),
        },
        action="writing what was done about memory",
    )


def kept_relief(run_dir: RunDir, config: Config, *, warn: Callable[[str, str], None]) -> Relief:
    """What an earlier start of this run did, which is said; nothing where the settings are others by now.

    Args:
        run_dir: The run.
        config: Its configuration, as it was frozen.
        warn: Called with (code, message).
    """
    path = run_dir.path / FILE
    try:
        data = read_json(path)
        about = data["about"]
        clips_on_processor = data["clips_on_processor"] is True
        relief = Relief(dict(data["settings"]), data["micro_batch"], clips_on_processor)
        relief.of(config)
    except FileNotFoundError:
        return Relief()
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        warn(
            "memory_file_damaged", f"{path.name} cannot be read ({error}): the run starts with the settings as written"
        )
        return Relief()
    now = _about(config)
    changed = [name for name, value in now.items() if about.get(name) != value]
    if changed:
        warn(
            "memory_relief_forgotten",
            f"memory ran out in an earlier start; {', '.join(changed)} changed since, so the settings act as written",
        )
        return Relief()
    if relief:
        warn(
            "memory_relief_kept",
            f"memory ran out in an earlier start, so this one begins with less of it: {relief.words()}. "
            f"To try without, delete {path.name} in the run folder",
        )
    return relief


def _about(config: Config) -> dict[str, Any]:
    values = config.to_dict()
    return {name: values.get(name) for name in MEMORY_SETTINGS}
