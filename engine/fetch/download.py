"""A download that goes on: in a thread of its own, with patience for a connection that comes and goes."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.contract.byte_size import size_words
from engine.contract.errors import DiskError, ModelError, UserError, as_disk_error, is_disk_failure
from engine.fetch.hub import (
    DamagedDownloadError,
    Repository,
    ask,
    fetch_file,
    may_pass,
    reason_of,
    refusal,
)
from engine.hardware.host import disk_free_bytes
from engine.hardware.models import hub_cache

T = TypeVar("T")

WAITS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 120.0, 120.0)
"""Before each new try without a byte since the last: seven minutes in all. With every byte the patience is new."""

_CLIENT_LOG = "huggingface_hub.file_download"


class Download:
    """Fetches a repository; ask it how far it is, and for its end.

    The thread is a daemon: a stop need not wait for a connection that hangs. What it has written stays and counts.

    Args:
        name: OWNER/NAME.
        revision: Branch, tag or commit; the default branch when None.
        cache_dir: The hub client's cache; its usual one when None.
        warn: Told (code, sentence) of every retry.
        asking: Finds out what there is to fetch.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None,
        cache_dir: Path | None,
        warn: Callable[[str, str], None],
        asking: Callable[[str, str | None, Path | None], Repository] = ask,
    ) -> None:
        self.repository: Repository | None = None
        self.error: BaseException | None = None
        self._name = name
        self._revision = revision
        self._cache_dir = cache_dir
        self._warn = warn
        self._ask = asking
        self._ended = threading.Event()
        self._dropped_at = -1
        self._thread = threading.Thread(target=self._run, name="download", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; whether it has ended, well or with `error`."""
        return self._ended.wait(seconds)

    def _run(self) -> None:
        client = logging.getLogger(_CLIENT_LOG)
        listener = _Retries(self._say_dropped)
        client.addHandler(listener)
        try:
            self._fetch()
        except BaseException as error:  # the main thread raises it
            self.error = error
        finally:
            client.removeHandler(listener)
            self._ended.set()

    def _fetch(self) -> None:
        repository = self._patiently(lambda: self._ask(self._name, self._revision, self._cache_dir))
        self.repository = repository
        self._check_space(repository)
        for file in repository.files:
            self._patiently(functools.partial(fetch_file, repository, file))

    def _check_space(self, repository: Repository) -> None:
        missing = repository.total_bytes - self._bytes_here()
        free = disk_free_bytes(repository.storage)
        if free is not None and missing > free:
            raise DiskError(
                f"the download needs {size_words(missing)} more in {hub_cache(self._cache_dir)}; "
                f"{size_words(free)} are free",
                hint="Free some space there, or keep models elsewhere: set HF_HOME to a folder on another disk.",
            )

    def _patiently(self, action: Callable[[], T]) -> T:
        """Try until it works, with growing waits; bytes that arrived in between renew the patience.

        Raises:
            ModelError: The hub refuses, or the patience is at its end.
            DiskError: The disk is full or not writable.
        """
        failures = num_damaged = 0
        while True:
            before = self._bytes_here()
            try:
                return action()
            except UserError:
                raise
            except Exception as error:
                if (final := self._final(error)) is not None:
                    raise final from error
                failures = failures + 1 if self._bytes_here() <= before else 1
                num_damaged += isinstance(error, DamagedDownloadError)
                if failures > len(WAITS_S) or num_damaged > 1:
                    raise self._given_up(error) from error
                self._say_retry(error, WAITS_S[failures - 1])
            time.sleep(WAITS_S[failures - 1])

    def _final(self, error: Exception) -> Exception | None:
        """What is raised where trying again cannot help; None for what may pass."""
        if is_disk_failure(error):
            return as_disk_error(error, action="downloading the model", path=hub_cache(self._cache_dir))
        return refusal(self._name, error) or (None if may_pass(error) else error)

    def _given_up(self, error: Exception) -> ModelError:
        return ModelError(
            f"{self._name} could not be downloaded: {reason_of(error)}",
            hint=f"Check the network, then start it again: it goes on from {self._so_far()}.",
        )

    def _say_retry(self, error: Exception, wait_s: float) -> None:
        what = reason_of(error)
        if not isinstance(error, DamagedDownloadError):
            what = f"the connection to the hub failed ({what})"
        self._warn("download_retry", f"{what}; the next try is in {wait_s:g} s, from {self._so_far()}")

    def _say_dropped(self) -> None:
        """The client tries again by itself; said once for every place where it happens."""
        here = self._bytes_here()
        if here != self._dropped_at:
            self._dropped_at = here
            self._warn("connection_dropped", f"the connection dropped; the download goes on from {self._so_far()}")

    def _bytes_here(self) -> int:
        if self.repository is None:
            return 0
        return sum(self.repository.bytes_of(file) for file in self.repository.files)

    def _so_far(self) -> str:
        if self.repository is None:
            return "its beginning"
        return f"{size_words(self._bytes_here())} of {size_words(self.repository.total_bytes)}"


class _Retries(logging.Handler):
    """Hears the client's own retries of a stream, which it only logs: nothing is to happen in silence."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__(level=logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line of the client's log."""
        if record.funcName == "http_get":
            self._tell()
