"""This computer as the set-up shows it: cards, memory, disk, decoders, and what could end a run. Unknown is None.

Everything here takes its time (drivers, a disk that sleeps, systemd), so it is asked for in a thread.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from engine.hardware import cuda_support
from engine.hardware.gpu import GpuCard, list_gpus, visible_gpu
from engine.hardware.host import disk_free_bytes, num_cores, read_host
from engine.hardware.logout import LogOut, read_log_out
from engine.hardware.mps import AppleReading, is_apple_silicon, read_apple
from engine.planning.facts import DeviceKind

KEPT_FREE_BYTES = 2**29
"""Of a card's memory, what a run leaves to others."""

AUDIO_FORMATS = ("wav", "flac", "mp3", "m4a", "aac", "alac", "ogg", "opus", "wma", "aiff")
"""Every format that is promised to be read, in the order in which they are shown."""

# How each is read: a container of libsndfile, or one of these decoders of FFmpeg.
_SNDFILE_FORMATS = {"wav": "WAV", "flac": "FLAC", "aiff": "AIFF"}
_FFMPEG_DECODERS = {
    "mp3": ("mp3", "mp3float"),
    "m4a": ("aac",),
    "aac": ("aac",),
    "alac": ("alac",),
    "ogg": ("vorbis", "libvorbis"),
    "opus": ("opus", "libopus"),
    "wma": ("wmav2",),
}


@dataclass(frozen=True, slots=True)
class Program:
    """Another program on a card."""

    name: str
    pid: int
    used_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """One graphics card. ``capability`` is CUDA's compute capability: (8, 9)."""

    index: int
    name: str = "NVIDIA card"
    total_bytes: int | None = None
    free_bytes: int | None = None
    celsius: float | None = None
    percent: float | None = None
    capability: tuple[int, int] | None = None
    programs: tuple[Program, ...] = ()

    @property
    def short_name(self) -> str:
        """The name without the maker's brand of gaming cards: ``NVIDIA RTX 4070``."""
        return self.name.replace("GeForce ", "")


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts of one computer, as read at one moment.

    Attributes:
        cards: NVIDIA cards.
        driver, driver_cuda: Version of the NVIDIA driver, and the newest CUDA it runs.
        torch_cuda: CUDA version that the installed torch was built for; empty = without CUDA, None = not known.
        apple: Apple's chip and what it lends; None elsewhere.
        ram_total_bytes, ram_free_bytes, num_cores: Of the computer, or of this container.
        folder, disk_free_bytes: Where runs are kept, and what is free there.
        audio_formats: What the decoders read, of `AUDIO_FORMATS`.
        log_out: What becomes of programs at log-out.
        has_compiler: A C compiler is there, which `torch.compile` needs.
        is_ssh: The terminal came over SSH.
        looked_at: Seconds since the epoch.
    """

    cards: tuple[Card, ...] = ()
    driver: str | None = None
    driver_cuda: str | None = None
    torch_cuda: str | None = None
    apple: AppleReading | None = None
    ram_total_bytes: int | None = None
    ram_free_bytes: int | None = None
    num_cores: int = 1
    folder: Path = field(default_factory=Path)
    disk_free_bytes: int | None = None
    audio_formats: tuple[str, ...] = ()
    log_out: LogOut = field(default_factory=LogOut)
    has_compiler: bool = False
    is_ssh: bool = False
    host_name: str = ""
    looked_at: float = 0.0

    @property
    def missing_formats(self) -> tuple[str, ...]:
        """Promised formats that cannot be read here."""
        return tuple(name for name in AUDIO_FORMATS if name not in self.audio_formats)

    @property
    def driver_problem(self) -> str:
        """Why the driver cannot run the installed torch, with what to do; empty when it can or nothing is known."""
        return cuda_support.driver_problem(self.torch_cuda, driver=self.driver, driver_cuda=self.driver_cuda)

    def cuda_problem(self, card: Card) -> str:
        """Why a card cannot train with the installed torch and driver, with what to do; empty when it can."""
        build = cuda_support.build_problem(self.torch_cuda, driver_cuda=self.driver_cuda, capability=card.capability)
        # A card that this build has no kernels for stays so with any driver: what helps it is said first.
        return build or cuda_support.card_problem(self.torch_cuda, card.capability) or self.driver_problem

    def devices(self) -> tuple[Device, ...]:
        """What could train, best first: the cards with most free memory, Apple's part, the processor."""
        cards = sorted(self.cards, key=lambda card: -(card.free_bytes or 0))
        found = [
            Device(f"cuda:{card.index}", "cuda", card.short_name, card.total_bytes, card.free_bytes, card)
            for card in cards
        ]
        if self.apple is not None:
            lent = self.apple.lent_bytes
            known = [one for one in (lent, self.ram_free_bytes) if one is not None]
            name = self.apple.name or "Apple chip"
            found.append(Device("mps", "mps", name, lent, min(known) if known else None))
        found.append(Device("cpu", "cpu", "Processor only", self.ram_total_bytes, self.ram_free_bytes))
        return tuple(found)

    def device(self, device_id: str) -> Device:
        """The device of this identifier; the best one when it is empty or no longer there."""
        devices = self.devices()
        return next((one for one in devices if one.id == device_id), devices[0])


@dataclass(frozen=True, slots=True)
class Device:
    """One choice of what trains. ``id`` is what ``ACESTEP_DEVICE`` takes: ``cuda:0``, ``mps``, ``cpu``."""

    id: str
    kind: DeviceKind
    name: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    card: Card | None = None

    @property
    def usable_bytes(self) -> int | None:
        """What a run may take: what is free, but on a card never the last half GB, which desktop and driver want."""
        if self.kind != "cuda" or self.free_bytes is None or self.total_bytes is None:
            return self.free_bytes
        return min(self.free_bytes, self.total_bytes - KEPT_FREE_BYTES)


def look_at_machine(folder: Path, *, now: float | None = None) -> Machine:
    """Read everything, in about a second; nothing here raises. For a thread."""
    host = read_host()
    found = list_gpus()
    return Machine(
        cards=cards_seen(found, os.environ.get("CUDA_VISIBLE_DEVICES")),
        driver=found[0].driver if found else None,
        driver_cuda=found[0].cuda if found else None,
        torch_cuda=torch_cuda_version(),
        apple=read_apple() if is_apple_silicon() else None,
        ram_total_bytes=host.total_bytes,
        ram_free_bytes=host.free_bytes,
        num_cores=num_cores(),
        folder=folder,
        disk_free_bytes=disk_free_bytes(folder),
        audio_formats=readable_formats(),
        log_out=read_log_out(),
        has_compiler=has_c_compiler(),
        is_ssh=bool(os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY")),
        host_name=platform.node(),
        looked_at=time.time() if now is None else now,
    )


def cards_seen(found: Sequence[GpuCard], visible: str | None) -> tuple[Card, ...]:
    """The cards that CUDA would see, by the numbers it gives them in the order of the bus.

    Args:
        found: All cards of the driver.
        visible: The value of ``CUDA_VISIBLE_DEVICES``; None when it is not set.
    """
    cards: list[Card] = []
    while (wanted := visible_gpu(visible, len(cards))) is not None:
        card = next((one for one in found if wanted in (one.index, one.uuid)), None)
        if card is None:
            break  # CUDA stops at the first number that is none, too
        cards.append(_card(card, len(cards)))
    return tuple(cards)


def _card(card: GpuCard, index: int) -> Card:
    free = None
    if card.total_bytes is not None and card.used_bytes is not None:
        free = max(0, card.total_bytes - card.used_bytes)
    return Card(
        index=index,
        name=card.name or "NVIDIA card",
        total_bytes=card.total_bytes,
        free_bytes=free,
        celsius=card.celsius,
        percent=card.percent,
        capability=card.compute_capability,
        programs=tuple(Program(one.name or f"process {one.pid}", one.pid, one.used_bytes) for one in card.processes),
    )


def readable_formats() -> tuple[str, ...]:
    """The formats that the installed decoders read, asked of the decoders themselves."""
    here: set[str] = set()
    with contextlib.suppress(Exception):
        import soundfile  # 30 ms: libsndfile

        known = soundfile.available_formats()
        here |= {name for name, container in _SNDFILE_FORMATS.items() if container in known}
    with contextlib.suppress(Exception):
        import av  # 60 ms: FFmpeg

        known = av.codecs_available
        here |= {name for name, decoders in _FFMPEG_DECODERS.items() if known & set(decoders)}
    return tuple(name for name in AUDIO_FORMATS if name in here)


def torch_cuda_version() -> str | None:
    """The CUDA version that torch was built for, read from its version file: importing it would take seconds."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        spec = find_spec("torch")
        if spec is not None and spec.origin:
            text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
            found = re.search(r"^cuda\b[^=\n]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
            return found[1] if found else ""
    return None


def has_c_compiler() -> bool:
    """Whether a C compiler can be started (``$CC``, cc, gcc, clang)."""
    return any(shutil.which(name) for name in (os.environ.get("CC", ""), "cc", "gcc", "clang") if name)
