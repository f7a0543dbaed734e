"""The events of a run: one frozen dataclass a kind; units are in the names (``step_s`` seconds, ``vram_bytes`` bytes).

How they stand in a file: `engine.contract.event_lines`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from engine.contract.event_base import Event
from engine.contract.memory_events import MemoryMeasured, MemorySteppedDown, StepsCompiled

# Phase identifiers in the order they run, each with the word shown to the user.
PHASES: dict[str, str] = {
    "scan": "scan",
    "cache": "prepare",
    "load": "load",
    "warmup": "warm up",
    "train": "train",
    "validate": "validate",
    "save": "save",
    "finish": "finish",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted(Event):
    """The worker is alive and has the lock. Written once a start, so a resumed run has several."""

    kind: ClassVar[str] = "run_started"
    name: str
    dir: str
    version: str
    pid: int
    host: str
    device: str
    resumed_step: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan(Event):
    """What the run is expected to take, before anything heavy starts. Estimates."""

    kind: ClassVar[str] = "plan"
    vram_bytes: int
    ram_bytes: int
    disk_bytes: int
    seconds: float
    num_steps: int
    num_epochs: float
    disk_free_bytes: int | None = None
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseStarted(Event):
    """A phase begins; `total` is its number of units (songs, steps) when known."""

    kind: ClassVar[str] = "phase_started"
    phase: str
    total: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseEnded(Event):
    """A phase ended well; `summary` is one plain sentence for people."""

    kind: ClassVar[str] = "phase_ended"
    phase: str
    done: int | None = None
    total: int | None = None
    seconds: float
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanProgress(Event):
    """Files looked at so far."""

    kind: ClassVar[str] = "scan_progress"
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FileProblem(Event):
    """Something about one file: left out (error) or used with a reservation (warning)."""

    kind: ClassVar[str] = "file_problem"
    severity: str
    file: str
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheProgress(Event):
    """Entries prepared so far: audio entries and text states together.

    `part` is what is ready of `file`: ``sound``, ``captions`` or ``features``, said once a song with its `bytes` on
    disk and the `audio_s` encoded now; empty for a piece of it. The first one, of no file, says where it begins.
    """

    kind: ClassVar[str] = "cache_progress"
    done: int
    total: int
    file: str
    audio_s: float = 0.0
    part: str = ""
    bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DataReady(Event):
    """The songs as they will be trained, said once after the scan."""

    kind: ClassVar[str] = "data_ready"
    num_files: int
    num_train: int
    num_held_out: int
    num_left_out: int
    num_without_lyrics: int
    num_groups: int
    total_s: float
    shortest_s: float
    longest_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelLoaded(Event):
    """The model is in memory, with its adapter."""

    kind: ClassVar[str] = "model_loaded"
    model: str
    num_parameters: int
    num_trainable: int
    dtype: str
    device: str
    summary: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step(Event):
    """One optimizer step. Loss is the mean over its micro-batches.

    `step_s` is the whole step without the waiting for data (`data_s`); of it `forward_s`, `backward_s`,
    `optimizer_s` and `rollout_s` are measured, the rest is other work. `files` are the songs of the step.

    With scheduled sampling: `rollout_share` of the samples walked a way of their own, `rollout_steps` long on average
    (of those that did); it took `rollout_s` more. None without it.

    `lyrics_embedder_learning_rate` is there where the lyrics embedder has a rate of its own.
    """

    kind: ClassVar[str] = "step"
    step: int
    total: int
    loss: float
    lr: float
    grad_norm: float | None = None
    epoch: float = 0.0
    step_s: float = 0.0
    data_s: float = 0.0
    audio_s: float = 0.0
    eta_s: float | None = None
    ssl_loss: float | None = None
    bucket: str = ""
    forward_s: float | None = None
    backward_s: float | None = None
    optimizer_s: float | None = None
    files: tuple[str, ...] = ()
    rollout_share: float | None = None
    rollout_steps: float | None = None
    rollout_s: float | None = None
    lyrics_embedder_learning_rate: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationLoss(Event):
    """Held-out loss: songs never trained on, fixed noise and timesteps, no dropout.

    `base_loss` is that without the adapter, `ema_loss` that of the averaged weights, where they were measured.
    """

    kind: ClassVar[str] = "validation_loss"
    step: int
    loss: float
    num_songs: int
    base_loss: float | None = None
    ema_loss: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware(Event):
    """A reading of device and host; unknown is None. The `gpu_…` and `vram_…` fields are those of the first card.

    `gpus` has one object a card where several train: ``name``, ``used_bytes``, ``total_bytes``, ``percent``,
    ``celsius``, ``watts``.
    """

    kind: ClassVar[str] = "hardware"
    vram_used_bytes: int | None = None
    vram_reserved_bytes: int | None = None
    vram_peak_bytes: int | None = None
    vram_total_bytes: int | None = None
    gpu_percent: float | None = None
    gpu_celsius: float | None = None
    gpu_watts: float | None = None
    gpu_name: str | None = None
    gpu_watts_limit: float | None = None
    gpu_fan_percent: float | None = None
    gpus: tuple[dict[str, Any], ...] = ()
    ram_total_bytes: int | None = None
    ram_bytes: int | None = None
    ram_free_bytes: int | None = None
    cpu_percent: float | None = None
    disk_free_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleProgress(Event):
    """Sampler steps done of a clip under way."""

    kind: ClassVar[str] = "sample_progress"
    name: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSaved(Event):
    """A validation clip and its sidecar JSON are on disk.

    `verdict` is ``ok``, ``silent``, ``clips`` or ``nonfinite``; `envelope` is its loudest sample in each of 64 equal
    parts (0 to 1), `clipped_share` the share of samples at full scale.
    """

    kind: ClassVar[str] = "sample_saved"
    step: int
    name: str
    path: str
    seconds: float
    took_s: float
    verdict: str = "ok"
    envelope: tuple[float, ...] = ()
    clipped_share: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointSaved(Event):
    """A checkpoint folder is whole and in place."""

    kind: ClassVar[str] = "checkpoint_saved"
    step: int
    path: str
    bytes: int
    verified: bool
    took_s: float = 0.0
    reason: str = "interval"


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterExported(Event):
    """The shareable adapter was written, read again and compared with the trained one."""

    kind: ClassVar[str] = "adapter_exported"
    path: str
    format: str
    bytes: int
    max_relative_error: float
    verified: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Proofs(Event):
    """What was proved about the result at the end; None = not measured."""

    kind: ClassVar[str] = "proofs"
    works: bool | None = None
    loads: bool | None = None
    resumes: bool | None = None
    is_yours: bool | None = None
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadProgress(Event):
    """A model on its way here: bytes of each sub-folder so far, written by the download task of its own folder."""

    kind: ClassVar[str] = "download_progress"
    model: str
    done_bytes: int
    total_bytes: int
    bytes_per_s: float | None = None
    parts: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChecked(Event):
    """One check of a model under way (`state` ``running``) or made, written by the verifying task of its own folder.

    `state` is then ``passed``, ``noted`` (not as the released model, or not judged), ``failed`` or ``skipped``; `words`
    say what was found, `values` are the numbers behind it, `details` every single finding.
    """

    kind: ClassVar[str] = "model_checked"
    check: str
    state: str
    words: str = ""
    values: dict[str, float] = field(default_factory=dict)
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RunWarning(Event):
    """Something the user should know; nothing stops."""

    kind: ClassVar[str] = "warning"
    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Paused(Event):
    """Training stands still (`paused` true) or goes on again."""

    kind: ClassVar[str] = "paused"
    paused: bool
    step: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandDone(Event):
    """A control command was carried out (or refused, with the reason)."""

    kind: ClassVar[str] = "command_done"
    command: str
    id: str
    ok: bool = True
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat(Event):
    """Beats every 10 s from a thread, also inside a long compile."""

    kind: ClassVar[str] = "heartbeat"
    phase: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnded(Event):
    """The last event of a start. outcome: finished, stopped or failed."""

    kind: ClassVar[str] = "run_ended"
    outcome: str
    exit_code: int
    steps: int = 0
    seconds: float = 0.0
    error: str = ""
    hint: str = ""
    heldout_first: float | None = None
    heldout_last: float | None = None


EVENT_TYPES: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        RunStarted,
        Plan,
        PhaseStarted,
        PhaseEnded,
        ScanProgress,
        FileProblem,
        CacheProgress,
        DataReady,
        ModelLoaded,
        Step,
        ValidationLoss,
        Hardware,
        SampleProgress,
        SampleSaved,
        CheckpointSaved,
        AdapterExported,
        Proofs,
        DownloadProgress,
        ModelChecked,
        MemoryMeasured,
        MemorySteppedDown,
        StepsCompiled,
        RunWarning,
        Paused,
        CommandDone,
        Heartbeat,
        RunEnded,
    )
}
