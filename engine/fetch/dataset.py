"""The download of a hub data set, as a step of a run: into the hub client's own cache, resumable like a model's."""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath
from typing import Any

from engine.contract.byte_size import size_words
from engine.contract.errors import DataError, ModelError, StopRequested
from engine.contract.events import RunWarning
from engine.contract.files import write_atomic
from engine.dataset.hub_folder import INCOMPLETE_MARK, folder_of, storage_of, wanted_files
from engine.fetch.download import Download
from engine.fetch.hub import HubFile, Repository, may_pass, reason_of, refusal
from engine.fetch.task import Progress, followed
from engine.telemetry.emitter import Emitter
from engine.train.inbox import Inbox

_TIMEOUT_S = 30.0
_ASK_WAITS_S = (0.5, 2.0)
_ACTION = "downloading the data set"


def ask_dataset(name: str, revision: str | None, cache_dir: Path | None) -> Repository:
    """Ask the hub what there is to fetch of a data set, and note that it is not all here yet.

    Raises:
        ModelError: It holds nothing that can be read.
        Exception: Whatever the client raises; see `engine.fetch.hub.refusal`.
    """
    info = _info(name, revision)
    entries = {entry.rfilename: entry for entry in info.siblings or ()}
    wanted = wanted_files(entries)
    if not wanted:
        held = sorted({PurePosixPath(path).suffix for path in entries} - {""})
        raise ModelError(f"{name} has no rows that can be read (it holds {', '.join(held[:8]) or 'nothing'})")
    storage = storage_of(name, cache_dir)
    files = [
        HubFile(
            path=path,
            size=int(entries[path].size or 0),
            etag=str(entries[path].lfs.sha256 if entries[path].lfs else entries[path].blob_id),
            part=path.partition("/")[0],
        )
        for path in wanted
    ]
    repository = Repository(
        name=name,
        revision=revision or "main",
        commit=str(info.sha),
        storage=storage,
        files=tuple(sorted(files, key=lambda file: (file.size, file.path))),
        repo_type="dataset",
    )
    write_atomic(storage / INCOMPLETE_MARK, b"", action=_ACTION)
    if repository.revision != repository.commit:
        write_atomic(storage / "refs" / repository.revision, repository.commit.encode(), action=_ACTION)
    return repository


def _info(name: str, revision: str | None) -> Any:
    """What the hub says. A run waits a moment for a network that comes back, not the minutes of a download.

    Raises:
        ModelError: The hub cannot be reached.
        Exception: Whatever else the client raises.
    """
    from huggingface_hub import HfApi

    for wait_s in (*_ASK_WAITS_S, None):
        try:
            return HfApi().dataset_info(name, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
        except Exception as error:
            if refusal(name, error) is not None or not may_pass(error):
                raise
            if wait_s is None:
                raise ModelError(f"{name} is not here, and the hub cannot be reached: {reason_of(error)}") from error
            time.sleep(wait_s)
    raise AssertionError  # the last round returns or raises


def fetch_dataset(name: str, revision: str | None, *, emitter: Emitter, inbox: Inbox) -> Path:
    """The folder of a hub data set; downloaded first when it is not on this computer.

    Raises:
        DataError: The hub refuses, cannot be reached, or holds nothing that can be read.
        DiskError: The disk is too small or not writable.
        StopRequested: Asked to stop; what arrived stays.
    """
    folder = folder_of(name, revision)
    if folder is not None:
        return folder

    def warn(code: str, message: str) -> None:
        emitter.emit(RunWarning(code=code, message=message))

    warn("downloads_data", f"the data set {name} is not on this computer; it is downloaded now")
    download = Download(name, revision=revision, cache_dir=None, warn=warn, asking=ask_dataset)
    progress = Progress(name, emitter)
    if not followed(download, progress, inbox):
        raise StopRequested(
            f"stopped while downloading the data set; {size_words(progress.done_bytes)} are here",
            hint="The same command goes on from there.",
        )
    if isinstance(download.error, ModelError):
        raise DataError(
            download.error.message,
            hint=f"Check the name and the network; or fetch it elsewhere (hf download --repo-type dataset {name} "
            "--local-dir FOLDER), bring the folder here and set dataset_name to it.",
        ) from download.error
    if download.error is not None:
        raise download.error
    (storage_of(name) / INCOMPLETE_MARK).unlink(missing_ok=True)
    folder = folder_of(name, revision)
    if folder is None:
        raise DataError(f"{name} was downloaded, but not all of its files are there", hint="Start it again.")
    return folder
