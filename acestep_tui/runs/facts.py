"""What a watcher learns about a run beside its events: plain data, filled by `watch`, `crash` and `inspect`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file of the run as it lies on disk; `t` is when it was last written."""

    path: Path
    bytes: int
    t: float


@dataclass(frozen=True, slots=True)
class CheckpointFact:
    """A save point on disk. `is_whole`: its guard landed; `is_kept`: marked to be kept for ever."""

    step: int
    path: Path
    bytes: int
    is_whole: bool
    is_rolling: bool
    t: float
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """The run folder at one look.

    Attributes:
        checkpoints: Save points by rising step.
        clips: Test clips, oldest first.
        export: The shareable file, else the adapter in resume form; None while there is neither.
        size_bytes: All files together.
        num_files: How many these are.
        owner: User who owns the folder, empty when unknown.
        is_writable: Whether commands can be sent.
        is_gone: The folder is not there any more; everything else is then empty.
        disk_free_bytes: Free on its disk.
    """

    checkpoints: tuple[CheckpointFact, ...] = ()
    clips: tuple[FileFact, ...] = ()
    export: FileFact | None = None
    size_bytes: int = 0
    num_files: int = 0
    owner: str = ""
    is_writable: bool = True
    is_gone: bool = False
    disk_free_bytes: int | None = None

    @property
    def whole(self) -> tuple[CheckpointFact, ...]:
        """Save points whose guard landed, by rising step."""
        return tuple(fact for fact in self.checkpoints if fact.is_whole)


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What the worker said of itself in worker.json; `is_here`: it runs (or ran) on this host."""

    pid: int | None = None
    host: str = ""
    start_t: float | None = None
    boot_id: str = ""
    argv: tuple[str, ...] = ()
    versions: dict[str, str | None] = field(default_factory=dict)
    is_here: bool = True


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """One program's share of the computer's memory at the moment the kernel looked."""

    name: str
    pid: int
    bytes: int


@dataclass(frozen=True, slots=True)
class KernelKill:
    """The kernel's own words about ending a process because memory ran out.

    `line` is quoted as it stands in the log; `others` are the largest other programs of its list, largest first.
    """

    t: float | None
    line: str
    pid: int
    name: str
    bytes: int | None = None
    others: tuple[ProcessMemory, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckpointCheck:
    """A save point compared with its own manifest: `is_whole` None = it has none, so only its guard speaks for it."""

    step: int
    path: Path
    is_whole: bool | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CrashFacts:
    """What is known about a worker that is gone without `run_ended`. None and empty mean not known.

    Attributes:
        died_t: Time of its last word.
        reached: Its last step.
        total: Steps it was to take.
        last_words: The last event's kind.
        was_doing: What it was doing then, in words ("saving step 1,250").
        pid: Its process id.
        ran_s: How long the last start lasted.
        signal: The signal that ended it.
        exit_code: Its exit code.
        has_restarted: The computer has been started again since (None: cannot be told).
        kernel: The kernel log's line about it.
        is_kernel_log_readable: Whether that log could be read at all.
        ram_total_bytes: Main memory of the computer, from the last reading before the end.
        ram_used_bytes: Of it taken by all programs then.
        ram_worker_bytes: Of it taken by the worker then.
        reading_t: When that reading was made.
        checks: Save points, newest first, down to the first one that is whole.
        is_checked: Whether their contents have been compared; until then the guards alone speak for them.
        lost_steps: Steps after the newest whole save point.
        lost_s: Training time after it.
        log_tail: The last lines of worker.log.
        checked_t: When all this was looked at.
    """

    died_t: float | None = None
    reached: int = 0
    total: int | None = None
    last_words: str = ""
    was_doing: str = ""
    pid: int | None = None
    ran_s: float | None = None
    signal: int | None = None
    exit_code: int | None = None
    has_restarted: bool | None = None
    kernel: KernelKill | None = None
    is_kernel_log_readable: bool = False
    ram_total_bytes: int | None = None
    ram_used_bytes: int | None = None
    ram_worker_bytes: int | None = None
    reading_t: float | None = None
    checks: tuple[CheckpointCheck, ...] = ()
    is_checked: bool = False
    lost_steps: int | None = None
    lost_s: float | None = None
    log_tail: tuple[str, ...] = ()
    checked_t: float = 0.0

    @property
    def safe(self) -> CheckpointCheck | None:
        """The newest save point that can be gone on from; None when there is none."""
        return next((check for check in self.checks if check.is_whole is not False), None)


@dataclass(frozen=True, slots=True)
class SilentFacts:
    """What is known about a worker that is alive and says nothing.

    Attributes:
        since_t: Time of its last word.
        was_doing: What it was doing then, in words.
        usual_s: How long that took before in this run (median); None when it never happened before.
        pid: Its process id; None when it runs on another host.
        probe_s: Seconds that 1 MB took to reach the run's disk just now; None when not tried.
        is_probe_stuck: The write is still not done after `probe_s`.
        gpu_percent: Load of the card at the last reading.
        gpu_t: When that was.
    """

    since_t: float
    was_doing: str = ""
    usual_s: float | None = None
    pid: int | None = None
    probe_s: float | None = None
    is_probe_stuck: bool = False
    gpu_percent: float | None = None
    gpu_t: float | None = None
