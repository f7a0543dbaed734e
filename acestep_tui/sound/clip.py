"""What a clip looks like: its wave, a small mel picture, its loudness. Reads in pieces, so length costs no memory.

Reading and computing take about a tenth of a second for half a minute of sound: call it from a thread.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUM_BANDS = 12
NUM_COLUMNS = 156

_BLOCK_S = 0.1  # a loudness block is four of these, starting at each of them
_CHUNK_BLOCKS = 40
_PREROLL_S = 0.4  # by then the K weighting has forgotten what was before
_FFT = 2048
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 14_000.0
# Levels of the picture: dB of a band, against full scale.
_DARK_DB, _BRIGHT_DB = -72.0, -22.0
_SILENT_LUFS = -70.0


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip as it can be drawn.

    Attributes:
        path: The file.
        seconds: Its length; None when it cannot be read.
        envelope: The loudest sample of each of `NUM_COLUMNS` equal parts, 0 to 1.
        mel: One row a band, the lowest first; each value is 0 (silent) to 1 (loud), one a column.
        lufs: Its loudness (integrated, ITU-R BS.1770); None when it is silent or cannot be read.
        asked: What was asked for, from the file beside it: ``prompt``, ``lyrics``, ``seed`` …
        problem: Why it cannot be shown, as one sentence; empty when it can.
    """

    path: Path
    seconds: float | None = None
    envelope: tuple[float, ...] = ()
    mel: tuple[tuple[float, ...], ...] = ()
    lufs: float | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


def look_at(path: Path) -> Clip:
    """Read a clip and what was asked for; what is wrong with it is said in `Clip.problem`."""
    asked = _asked(path)
    if not path.is_file():
        return Clip(path, asked=asked, problem="The file is not there any more.")
    import soundfile  # 15 ms and numpy, only where a clip is looked at

    try:
        with soundfile.SoundFile(path) as file:
            return _look(file, path, asked)
    except (soundfile.SoundFileError, OSError, ValueError, MemoryError) as error:
        return Clip(path, asked=asked, problem=f"The file cannot be read: {error}")


def _asked(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _look(file: Any, path: Path, asked: dict[str, Any]) -> Clip:
    import numpy as np

    rate = int(file.samplerate)
    block = max(round(_BLOCK_S * rate), 1)
    preroll = round(_PREROLL_S * rate)
    bands = _bands(rate)
    energies: list[NDArray[np.float64]] = []
    peaks: list[NDArray[np.float64]] = []
    powers: list[NDArray[np.float64]] = []
    before = np.zeros((preroll, int(file.channels)))
    num_frames = 0
    while len(sound := file.read(block * _CHUNK_BLOCKS, dtype="float64", always_2d=True)):
        sound = np.nan_to_num(sound, nan=0.0, posinf=1.0, neginf=-1.0)
        num_frames += len(sound)
        energies.append(_energies(np.concatenate([before, sound]), preroll, block, rate))
        peaks.append(_parts(np.abs(sound).max(axis=1), block // 10))
        powers.append(_powers(sound.mean(axis=1), bands))
        before = np.concatenate([before, sound])[-preroll:]
    if not num_frames:
        return Clip(path, seconds=0.0, asked=asked, problem="The file holds no sound.")
    return Clip(
        path,
        seconds=num_frames / rate,
        envelope=tuple(min(float(peak), 1.0) for peak in _columns(np.concatenate(peaks), np.max)),
        mel=_picture(np.concatenate(powers)),
        lufs=integrated_loudness(np.concatenate(energies)),
        asked=asked,
    )


def _parts(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The largest of every ``size`` values, the rest of them too."""
    import numpy as np

    return np.maximum.reduceat(values, np.arange(0, len(values), max(size, 1)))


def _columns(values: NDArray[np.float64], reduce: Any) -> list[Any]:
    """`NUM_COLUMNS` equal parts of a row of values, each reduced to one; a short row repeats values."""
    edges = [place * len(values) // NUM_COLUMNS for place in range(NUM_COLUMNS + 1)]
    return [reduce(values[start : max(end, start + 1)], axis=0) for start, end in itertools.pairwise(edges)]


def _energies(sound: NDArray[np.float64], preroll: int, block: int, rate: int) -> NDArray[np.float64]:
    """Mean square after K weighting of each whole block behind the pre-roll, channels added up."""
    import numpy as np

    size = 1 << (len(sound) - 1).bit_length()
    response = k_weighting(np.fft.rfftfreq(size, 1 / rate), rate)
    filtered = np.fft.irfft(np.fft.rfft(sound, size, axis=0) * response[:, None], size, axis=0)[preroll : len(sound)]
    num_blocks = len(filtered) // block
    squares = (filtered[: num_blocks * block] ** 2).sum(axis=1)
    energies: NDArray[np.float64] = squares.reshape(num_blocks, block).mean(axis=1)
    return energies


def k_weighting(hz: NDArray[np.floating[Any]], rate: int) -> NDArray[np.complex128]:
    """Frequency response of the two filters that ITU-R BS.1770 weighs sound with, at any sample rate.

    The standard gives their coefficients at 48 kHz; these are the same filters from their centre, gain and quality.
    """
    import numpy as np

    z = np.exp(-2j * np.pi * hz / rate)
    # A shelf of +4 dB above about 1.7 kHz: how a head hears.
    k = math.tan(math.pi * 1681.974450955533 / rate)
    high, q = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    mid = high**0.4996667741545416
    shelf = _biquad(
        z,
        (high + mid * k / q + k * k, 2 * (k * k - high), high - mid * k / q + k * k),
        (1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k),
    )
    # A high-pass at about 38 Hz.
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    norm = 1 + k / q + k * k
    return shelf * _biquad(z, (norm, -2 * norm, norm), (norm, 2 * (k * k - 1), 1 - k / q + k * k))


def _biquad(
    z: NDArray[np.complex128], b: tuple[float, float, float], a: tuple[float, float, float]
) -> NDArray[np.complex128]:
    response: NDArray[np.complex128] = (b[0] + b[1] * z + b[2] * z * z) / (a[0] + a[1] * z + a[2] * z * z)
    return response


def integrated_loudness(energies: NDArray[np.float64]) -> float | None:
    """Gated loudness in LUFS from the energies of successive tenths of a second; None for silence or under 0.4 s."""
    import numpy as np

    if len(energies) < 4:
        return None
    blocks = np.convolve(energies, np.full(4, 0.25), mode="valid")
    loud = blocks[_lufs(blocks) > _SILENT_LUFS]
    if not len(loud):
        return None
    gated = loud[_lufs(loud) > _lufs(loud.mean()) - 10.0]
    return float(_lufs(gated.mean()))


def _lufs(energy: Any) -> Any:
    import numpy as np

    return -0.691 + 10.0 * np.log10(np.maximum(energy, 1e-12))


def _bands(rate: int) -> NDArray[np.float64]:
    """Triangles evenly spaced on the mel scale: [NUM_BANDS, bins]."""
    import numpy as np

    def mel(hz: float) -> float:
        return 2595.0 * math.log10(1.0 + hz / 700.0)

    top = mel(min(_HIGHEST_HZ, rate / 2))
    points = 700.0 * (10 ** (np.linspace(mel(_LOWEST_HZ), top, NUM_BANDS + 2) / 2595.0) - 1.0)
    bins = np.fft.rfftfreq(_FFT, 1 / rate)
    low, centre, high = points[:-2, None], points[1:-1, None], points[2:, None]
    bands: NDArray[np.float64] = np.clip(
        np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0, 1
    )
    return bands


def _powers(sound: NDArray[np.float64], bands: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power of each band in each frame: [frames, NUM_BANDS]; a sound shorter than a frame is filled up."""
    import numpy as np

    num_frames = max(len(sound) // _FFT, 1)
    frames = np.zeros(num_frames * _FFT)
    frames[: min(len(sound), len(frames))] = sound[: len(frames)]
    window = np.hanning(_FFT)
    spectrum = np.abs(np.fft.rfft(frames.reshape(num_frames, _FFT) * window, axis=1)) / (window.sum() / 2)
    powers: NDArray[np.float64] = (spectrum**2) @ bands.T
    return powers


def _picture(powers: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    import numpy as np

    columns = np.array(_columns(powers, np.mean))
    decibels = 10.0 * np.log10(np.maximum(columns, 1e-12))
    levels = np.clip((decibels - _DARK_DB) / (_BRIGHT_DB - _DARK_DB), 0.0, 1.0)
    return tuple(tuple(float(level) for level in row) for row in levels.T)
