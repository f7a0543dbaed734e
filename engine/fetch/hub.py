"""What the hub says about a repository, and its files fetched into the hub client's own cache, each resumable.

The client fetches a file to a name of its own and throws it away when the connection or the process dies: of 6.6 GB
nothing is kept. So the content is fetched here, into ``blobs/<etag>.incomplete``, which is appended to until it is
whole; then the client is asked for the file, finds the content there and puts it in place by its own rules.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import ModelError
from engine.contract.feature_models import CONFIG_FILE, WEIGHTS, feature_model_of, files_to_fetch
from engine.contract.files import file_bytes, write_atomic
from engine.contract.model_files import (
    DCAE_FOLDER,
    HUB_ID,
    SUB_FOLDERS,
    TEXT_ENCODER_FOLDER,
    TRANSFORMER_FOLDER,
    VOCODER_FOLDER,
    allow_patterns,
    layout_words,
)
from engine.hardware.models import storage_folder

# The small parts first: what is wrong with a repository shows before its gigabytes are here.
ORDER = (DCAE_FOLDER, VOCODER_FOLDER, TRANSFORMER_FOLDER, TEXT_ENCODER_FOLDER)

CHUNK_BYTES = 1 << 16
"""Written at once: the most that a dropped connection costs. (The client's own 10 MB are a minute of a slow line.)"""

_TIMEOUT_S = 30.0
_HASH_BLOCK_BYTES = 1 << 22


class DamagedDownloadError(OSError):
    """What arrived is not what the hub announced; it is thrown away."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository.

    Attributes:
        path: In the repository, ``umt5-base/config.json``.
        size: Bytes.
        etag: Names its content: SHA-256 of a large file, git's blob id of a small one.
        part: What it belongs to: a sub-folder, or a model for musical features as a whole.
    """

    path: str
    size: int
    etag: str
    part: str


@dataclass(frozen=True, slots=True)
class Repository:
    """What is fetched of a repository, at one commit.

    Attributes:
        name: OWNER/NAME.
        revision: As asked for.
        commit: What that stands for now.
        storage: The client's folder for it.
        files: In the order they are fetched.
        repo_type: ``model`` or ``dataset``.
    """

    name: str
    revision: str
    commit: str
    storage: Path
    files: tuple[HubFile, ...]
    repo_type: str = "model"

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def bytes_by_part(self) -> dict[str, list[int]]:
        """Bytes on disk and bytes in all of each part, by the files' sizes there."""
        parts = {name: [0, 0] for name in SUB_FOLDERS} if self.files and self.files[0].part in SUB_FOLDERS else {}
        for file in self.files:
            part = parts.setdefault(file.part, [0, 0])
            part[0] += self.bytes_of(file)
            part[1] += file.size
        return parts

    def bytes_of(self, file: HubFile) -> int:
        """Bytes of a file that are on disk."""
        if self.is_here(file):
            return file.size
        return min(file_bytes(self.partial(file)), file.size)

    def is_here(self, file: HubFile) -> bool:
        """Whether a file's whole content is here."""
        return self.blob(file).exists() or self.pointer(file).exists()

    def blob(self, file: HubFile) -> Path:
        """Where the client keeps the content."""
        return self.storage / "blobs" / file.etag

    def partial(self, file: HubFile) -> Path:
        """Where the content is while it arrives."""
        return self.storage / "blobs" / f"{file.etag}.incomplete"

    def pointer(self, file: HubFile) -> Path:
        """Where the file is seen by its name."""
        return self.storage / "snapshots" / self.commit / file.path


def ask(name: str, revision: str | None, cache_dir: Path | None) -> Repository:
    """Ask the hub what there is to fetch, and note in the cache which commit the revision stands for.

    Raises:
        ModelError: Not the id of a repository, or one without what a model needs.
        Exception: Whatever the client raises; see `refusal`.
    """
    if not HUB_ID.fullmatch(name):
        raise ModelError(f"{name} is not the id of a hub repository (OWNER/NAME)", hint=_without_network())
    from huggingface_hub import HfApi

    info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
    entries = {entry.rfilename: entry for entry in info.siblings or ()}
    files = [
        HubFile(
            path=path,
            size=int(entries[path].size or 0),
            etag=str(entries[path].lfs.sha256 if entries[path].lfs else entries[path].blob_id),
            part=part,
        )
        for path, part in _wanted(name, list(entries)).items()
    ]
    storage = storage_folder(name, cache_dir)
    repository = Repository(
        name=name,
        revision=revision or "main",
        commit=str(info.sha),
        storage=storage,
        files=tuple(sorted(files, key=lambda file: (_place(file.part), file.size))),
    )
    if repository.revision != repository.commit:
        write_atomic(storage / "refs" / repository.revision, repository.commit.encode(), action="downloading the model")
    return repository


def _wanted(name: str, paths: Sequence[str]) -> dict[str, str]:
    """Of a repository's files those that are fetched, each with the part it belongs to.

    Raises:
        ModelError: It is not the model that was asked for.
    """
    from huggingface_hub.utils import filter_repo_objects

    model = feature_model_of(name)
    if model is not None:
        wanted = files_to_fetch(paths)
        if len(wanted) < 2:
            raise ModelError(
                f"{name} has no {CONFIG_FILE} or none of {', '.join(WEIGHTS)}",
                hint=f"Give a folder that holds {model.label} by {model.path_key}.",
            )
        return dict.fromkeys(wanted, model.name)
    found = {path: path.partition("/")[0] for path in filter_repo_objects(paths, allow_patterns=allow_patterns())}
    if missing := [part for part in SUB_FOLDERS if part not in found.values()]:
        raise ModelError(
            f"{name} has no {', '.join(missing)}: it is not an ACE-Step v1 model",
            hint=f"Such a model has {layout_words()}.",
        )
    return found


def _place(part: str) -> int:
    """When a part is fetched."""
    return ORDER.index(part) if part in ORDER else 0


def fetch_file(repository: Repository, file: HubFile) -> None:
    """Fetch what is missing of a file and let the client put it in place.

    Raises:
        DamagedDownloadError: The content is not the announced one.
        Exception: Whatever the client raises; see `refusal`. What arrived stays.
    """
    if repository.pointer(file).exists():
        return
    from huggingface_hub import hf_hub_download

    if not repository.blob(file).exists():
        _fetch_blob(repository, file)
    hf_hub_download(
        repository.name,
        file.path,
        repo_type=repository.repo_type,
        revision=repository.commit,
        cache_dir=repository.storage.parent,
        etag_timeout=_TIMEOUT_S,
    )


def _fetch_blob(repository: Repository, file: HubFile) -> None:
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    # An accelerator of older clients that cannot begin in the middle of a file.
    constants.HF_HUB_ENABLE_HF_TRANSFER = False
    blob, partial = repository.blob(file), repository.partial(file)
    blob.parent.mkdir(parents=True, exist_ok=True)
    # The client's own lock: neither its other users nor a second task may append to the same file.
    lock = repository.storage.parent / ".locks" / repository.storage.name / f"{file.etag}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            return
        if file_bytes(partial) > file.size:
            partial.unlink()
        with partial.open("ab") as out:
            done = out.tell()
            if done < file.size:
                http_get(
                    hf_hub_url(repository.name, file.path, repo_type=repository.repo_type, revision=repository.commit),
                    out,
                    resume_size=done,
                    # Compressed on the way, a file could not be gone on from in its middle.
                    headers={**build_hf_headers(), "Accept-Encoding": "identity"},
                    expected_size=file.size,
                )
            out.flush()
            os.fsync(out.fileno())
        if content_id(partial, like=file.etag) != file.etag:
            partial.unlink()
            raise DamagedDownloadError(f"{file.path} is not what the hub announced")
        partial.replace(blob)


def content_id(path: Path, *, like: str) -> str:
    """The name of a file's content: SHA-256, or git's blob id (SHA-1 over a short header) when ``like`` is as short."""
    if len(like) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def refusal(name: str, error: BaseException) -> ModelError | None:
    """What a user is told when trying again cannot help; None for a connection that may come back."""
    from huggingface_hub import errors

    causes = (error, error.__cause__)
    if any(isinstance(cause, errors.OfflineModeIsEnabled) for cause in causes):
        return ModelError(
            f"{name} is not here, and HF_HUB_OFFLINE forbids to download it", hint=f"Unset it. {_without_network()}"
        )
    if isinstance(error, errors.GatedRepoError):
        return ModelError(
            f"{name} is gated: the hub wants its terms accepted and a login",
            hint=f"Accept them on its page, then log in with `hf auth login` or set HF_TOKEN. {_without_network()}",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(
            f"{name} is not on the hub, or it is private",
            hint=f"Check the name; for a private one log in with `hf auth login` or set HF_TOKEN. {_without_network()}",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(f"{name} has no such revision", hint="Check the name of the branch, tag or commit.")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code if error.response is not None else 500
        # 408 and 429 (too slow, too many requests) pass, as does everything above 499.
        if 400 <= status < 500 and status not in (408, 429):
            return ModelError(f"the hub refuses {name}: {reason_of(error)}", hint=_without_network())
    return None


def may_pass(error: BaseException) -> bool:
    """Whether an exception is one of a connection: by version the client lets several HTTP libraries' through."""
    libraries = ("httpx", "httpcore", "requests", "urllib3")
    return isinstance(error, OSError) or type(error).__module__.startswith(libraries)


def reason_of(error: BaseException) -> str:
    """The first line of what went wrong."""
    cause = error.__cause__ or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0].rstrip(".")


def _without_network() -> str:
    return f"Or put the model on this machine yourself and give its folder: it holds {layout_words()}."
