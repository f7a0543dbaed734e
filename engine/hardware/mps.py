"""Apple's graphics part: how much of the unified memory macOS lends it. Unknown is None, never an exception."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass

# macOS lends the graphics part about three quarters of the memory, unless iogpu.wired_limit_mb says otherwise.
_LENT_SHARE = 0.75
_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class AppleReading:
    """The chip and its memory."""

    name: str | None = None
    total_bytes: int | None = None
    lent_bytes: int | None = None


def is_apple_silicon() -> bool:
    """Whether this is a Mac with an Apple chip."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def read_apple() -> AppleReading:
    """Read the Mac; everything unknown elsewhere."""
    if not is_apple_silicon():
        return AppleReading()
    total = _integer(_sysctl("hw.memsize"))
    wired_mb = _integer(_sysctl("iogpu.wired_limit_mb"))
    lent = wired_mb * 2**20 if wired_mb else int(total * _LENT_SHARE) if total is not None else None
    return AppleReading(name=_sysctl("machdep.cpu.brand_string"), total_bytes=total, lent_bytes=lent)


def _sysctl(name: str) -> str | None:
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
