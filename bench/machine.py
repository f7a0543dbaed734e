"""What this machine is, for the head of a table and for choosing what is measured on it.

``python -m bench.machine`` prints it as JSON. Who asks what is free on a card takes memory of it, so `make bench` asks
in a process that ends at once.
"""

from __future__ import annotations

import contextlib
import json
import platform
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

GIB = 2**30
PACKAGES = ("diffusers", "transformers", "peft", "optimum-quanto")


@dataclass(frozen=True)
class Machine:
    """Device and versions.

    Attributes:
        kind: ``cuda``, ``mps`` or ``cpu``.
        device: Its name, for people.
        free_gib: Of a card's memory, before anything is measured; None without a card.
        driver: Version of the card's driver.
        cores: That this process may use.
        system: Operating system and its version.
        versions: Of Python, torch, the CUDA that torch was built for, and `PACKAGES`; None = not installed.
    """

    kind: str
    device: str
    free_gib: float | None = None
    driver: str | None = None
    cores: int = 1
    system: str = ""
    versions: dict[str, str | None] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """All that figures depend on: those of two machines that differ here do not belong into one table."""
        return {key: value for key, value in asdict(self).items() if key != "free_gib"}


def read_machine() -> Machine:
    """Look at this machine. Touches the card.

    Raises:
        ConfigError: There is a card that the installed torch cannot use, or ``ACESTEP_DEVICE`` names none that is here.
    """
    import torch

    from engine.hardware.gpu import list_gpus
    from engine.hardware.host import num_cores
    from engine.train.device import choose_device, describe

    device = choose_device()
    on_card = device.type == "cuda"
    cards = list_gpus() if on_card else []
    versions = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda}
    return Machine(
        kind=device.type,
        device=describe(device) if device.type != "cpu" else f"{processor()} ({describe(device)})",
        free_gib=round(torch.cuda.mem_get_info(device)[0] / GIB, 1) if on_card else None,
        driver=cards[0].driver if cards else None,
        cores=num_cores(),
        system=f"{platform.system()} {platform.release()}",
        versions={**versions, **{name: _version(name) for name in PACKAGES}},
    )


def processor() -> str:
    """The processor's name as the kernel tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def main() -> None:
    """Print it, or in one line why nothing can be measured here."""
    from engine.contract.errors import UserError

    try:
        print(json.dumps(asdict(read_machine())))
    except UserError as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
