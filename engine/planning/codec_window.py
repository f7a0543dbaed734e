"""How much of a clip the codec works on at once, by the memory of the device: for the plan and for the run alike."""

from __future__ import annotations

from engine.planning.facts import DeviceKind

MEL_FRAME_S = 512 / 44_100

WINDOWS = (8192, 4096, 2048, 1024, 512)
"""Mel frames that the full-resolution convolutions may work on at once: 95 to 6 seconds, the fastest first.

A large card is done with a short window before a processor has started the next.
"""

USUAL_WINDOW = 2048
"""The widest on other devices than CUDA cards, where more would gain nothing, and of a batch for encoding."""

_FRAME_BYTES = 283_000
"""What a frame more in the window takes in float32 at the released width (by following every tensor)."""

_SHARE_OF_ALL, _SHARE_OF_FREE = 1 / 24, 1 / 2
"""A window may take so much of a device: from 56 GB on it is the widest in float32, with 6 GB the narrowest."""


def window_within(total_bytes: float, free_bytes: float, *, kind: DeviceKind = "cpu") -> int:
    """The widest window, in mel frames, that a device has room for in float32; the narrowest where it has none.

    Args:
        total_bytes: What the run may take of the device.
        free_bytes: Of that, what it does not use yet.
        kind: Of the device: only CUDA cards have wider ones than `USUAL_WINDOW`.
    """
    widest = WINDOWS[0] if kind == "cuda" else USUAL_WINDOW
    room = min(total_bytes * _SHARE_OF_ALL, free_bytes * _SHARE_OF_FREE)
    return next((frames for frames in WINDOWS if frames <= widest and frames * _FRAME_BYTES <= room), WINDOWS[-1])
