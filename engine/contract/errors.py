"""Exit codes and the errors a user can meet, each with what happened and what to do about it."""

from __future__ import annotations

import errno
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every headless command (design: architecture.md, last section)."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    OUT_OF_MEMORY = 3
    DATA = 4
    DISK = 5
    MODEL = 6
    NONFINITE = 7
    STOPPED = 130


class UserError(Exception):
    """Something the user can mend: a sentence that says what and where, a hint that says what to do, an exit code.

    Args:
        message: What happened and where (file, key, value), one sentence without a final full stop needed.
        hint: What to do now; empty when the message already says it.
    """

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(UserError):
    """Bad usage, a bad configuration, or a data folder that is not there (exit 2)."""

    exit_code = ExitCode.USAGE


class OutOfMemoryError(UserError):
    """Memory ran out after every fallback (exit 3)."""

    exit_code = ExitCode.OUT_OF_MEMORY


class DataError(UserError):
    """The data folder is empty, has no caption anywhere, or nothing in it decodes (exit 4)."""

    exit_code = ExitCode.DATA


class DiskError(UserError):
    """A disk is full, not writable, or too small for what is planned (exit 5)."""

    exit_code = ExitCode.DISK


class ModelError(UserError):
    """A model, adapter or checkpoint is missing, damaged or cannot be downloaded (exit 6)."""

    exit_code = ExitCode.MODEL


class NonFiniteLossError(UserError):
    """The loss or a latent is not a number any more (exit 7)."""

    exit_code = ExitCode.NONFINITE


class StopRequested(UserError):
    """The user asked to stop; state is saved (exit 130)."""

    exit_code = ExitCode.STOPPED


# Full, not writable, or no place for a folder (a file stands in the way, the disk is gone or failing).
_DISK_ERRNOS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EIO, errno.ESTALE),
}


def is_disk_failure(error: BaseException) -> bool:
    """Whether an exception means "this disk is full or may not be written": OSError by errno, safetensors by text."""
    if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
        return True
    # safetensors (Rust) reports I/O failures as its own error class, with the errno only in the text.
    text = str(error)
    return type(error).__name__ == "SafetensorError" and any(f"os error {number})" in text for number in _DISK_ERRNOS)


def as_disk_error(error: BaseException, *, action: str, path: object) -> DiskError:
    """A DiskError that names the action and the path; ``error`` should satisfy `is_disk_failure`."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DiskError(
        f"{action} failed: {path}: {reason}",
        hint="Free some space there or choose another folder. What was saved is whole; the same command goes on.",
    )
