"""How a song sounds, in numbers: outline, level, loudness, clipping, silence. Decodes the file once, in blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.dataset.audio_file import UnreadableAudioError, read_blocks, read_info

if TYPE_CHECKING:
    from engine.dataset.audio_file import Samples

ENVELOPE_PARTS = 256
CLIPPING_LEVEL = 0.999
"""From here on a sample counts as cut off at full scale."""
SILENCE_LEVEL = 1e-3
"""Below -60 dBFS nothing is heard."""

_WINDOW_S = 0.05


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """One decoded file.

    Attributes:
        sample_rate, num_channels, duration_s: As stored.
        envelope: Loudest sample in each of `ENVELOPE_PARTS` equal parts, 0 to 1 (above 1 in float files).
        peak: Loudest sample.
        clipped_share: Share of the samples that lie in runs at full scale.
        silent_share: Share of the time in which nothing is heard.
        loudness_lufs: Integrated loudness (EBU R 128); None for silence, or where it cannot be measured.
        problem: Why not all of it could be decoded; empty when it could.
    """

    sample_rate: int
    num_channels: int
    duration_s: float
    envelope: tuple[float, ...]
    peak: float
    clipped_share: float
    silent_share: float
    loudness_lufs: float | None = None
    problem: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether nothing is heard at all."""
        return self.peak < SILENCE_LEVEL


def listen(path: Path, *, should_stop: Callable[[], bool] | None = None) -> SoundFacts | None:
    """Decode a file and measure it: about a second for a song. For a thread.

    Args:
        path: The file.
        should_stop: Asked between blocks.

    Returns:
        The facts; None when stopped.

    Raises:
        UnreadableAudioError: Nothing of it can be decoded.
    """
    info = read_info(path)
    meter = _Meter(info.sample_rate, info.num_channels, info.num_samples)
    loudness = _Loudness(info.sample_rate, info.num_channels)
    problem = ""
    try:
        for block in read_blocks(path, info):
            if should_stop is not None and should_stop():
                return None
            meter.add(block)
            loudness.add(block)
    except UnreadableAudioError as error:
        if not meter.num_samples:
            raise
        problem = error.message
    return SoundFacts(
        sample_rate=info.sample_rate,
        num_channels=info.num_channels,
        duration_s=info.duration_s,
        envelope=meter.envelope(),
        peak=meter.peak,
        clipped_share=meter.clipped_share,
        silent_share=meter.silent_share,
        loudness_lufs=loudness.integrated() if meter.peak >= SILENCE_LEVEL else None,
        problem=problem,
    )


def num_clipped(levels: Samples) -> int:
    """How many samples of a block (channels, n) of magnitudes lie in runs at full scale.

    Clipping begins with two samples at the ceiling side by side; one alone is a peak that just fits.
    """
    import numpy as np

    at_ceiling = levels >= CLIPPING_LEVEL
    if not at_ceiling.any():
        return 0
    runs = at_ceiling[:, 1:] & at_ceiling[:, :-1]
    in_runs = np.zeros_like(at_ceiling)
    in_runs[:, 1:] |= runs
    in_runs[:, :-1] |= runs
    return int(in_runs.sum())


class _Meter:
    """Levels of a stream of blocks."""

    def __init__(self, sample_rate: int, num_channels: int, total: int) -> None:
        self.num_samples = 0
        self.peak = 0.0
        self._total = max(total, 1)
        self._parts = [0.0] * ENVELOPE_PARTS
        self._window = max(1, round(_WINDOW_S * sample_rate))
        self._num_channels = num_channels
        self._num_clipped = 0
        self._num_windows = 0
        self._num_silent = 0
        self._rest: Any = None

    def add(self, block: Samples) -> None:
        """Take a block (channels, n); what is not a number counts as silence."""
        import numpy as np

        levels = np.nan_to_num(np.abs(block), nan=0.0, posinf=0.0)
        loudest = levels.max(axis=0)
        self.peak = max(self.peak, float(loudest.max(initial=0.0)))
        self._outline(loudest)
        self._num_clipped += num_clipped(levels)
        self._silence(loudest)
        self.num_samples += block.shape[1]

    def _outline(self, loudest: Any) -> None:
        import numpy as np

        places = np.arange(self.num_samples, self.num_samples + len(loudest)) * ENVELOPE_PARTS // self._total
        places = np.minimum(places, ENVELOPE_PARTS - 1)
        starts = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
        for start, level in zip(starts, np.maximum.reduceat(loudest, starts), strict=True):
            place = int(places[start])
            self._parts[place] = max(self._parts[place], float(level))

    def _silence(self, loudest: Any) -> None:
        import numpy as np

        joined = loudest if self._rest is None else np.concatenate([self._rest, loudest])
        count = len(joined) // self._window
        windows = joined[: count * self._window].reshape(count, self._window).max(axis=1)
        self._num_windows += count
        self._num_silent += int((windows < SILENCE_LEVEL).sum())
        self._rest = joined[count * self._window :]

    def envelope(self) -> tuple[float, ...]:
        """The outline, rounded."""
        return tuple(round(level, 4) for level in self._parts)

    @property
    def clipped_share(self) -> float:
        """Share of the samples in runs at full scale."""
        return self._num_clipped / (self.num_samples * self._num_channels) if self.num_samples else 0.0

    @property
    def silent_share(self) -> float:
        """Share of the time in which nothing is heard."""
        return self._num_silent / self._num_windows if self._num_windows else float(self.peak < SILENCE_LEVEL)


class _Loudness:
    """FFmpeg's EBU R 128 meter over mono or stereo; unknown for anything else, or where it refuses."""

    def __init__(self, sample_rate: int, num_channels: int) -> None:
        self._rate, self._channels = sample_rate, num_channels
        self._layout = {1: "mono", 2: "stereo"}.get(num_channels, "")
        self._graph: Any = None
        self._sent = 0
        self._last: str | None = None
        with contextlib.suppress(Exception):
            self._graph = self._open() if self._layout else None

    def _open(self) -> Any:
        import av.filter

        graph = av.filter.Graph()
        source = graph.add_abuffer(sample_rate=self._rate, format="fltp", layout=self._layout)
        meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
        source.link_to(meter)
        meter.link_to(sink)
        graph.configure()
        return graph

    def add(self, block: Samples) -> None:
        """Take a block (channels, n)."""
        if self._graph is None or not block.shape[1]:
            return
        try:
            self._push(block)
        except Exception:
            # An unknown loudness must not keep a song from being shown.
            self._graph, self._last = None, None

    def _push(self, block: Samples) -> None:
        import av
        import numpy as np

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._sent
        self._sent += block.shape[1]
        self._graph.push(frame)
        with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                measured = self._graph.pull().metadata.get("lavfi.r128.I")
                self._last = measured if measured is not None else self._last

    def integrated(self) -> float | None:
        """Loudness of everything so far, in LUFS."""
        try:
            value = float(self._last) if self._last is not None else None
        except ValueError:
            return None
        # -70 is the meter's floor: nothing was loud enough to count.
        return None if value is None or not value > -70.0 else value
