"""How a song sounds, told from short parts of it: silence, clipping, damage, a fingerprint. A tenth of a full listen.

A song of some minutes is heard in windows: its beginning and its end as far as they are silent and a second more, and
eight seconds spread between them. What lies between the windows is not heard; `hear` with ``is_whole`` hears it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.dataset.audio_file import AudioInfo, UnreadableAudioError, damaged_after, read_blocks, read_info
from engine.dataset.report import Problem, duration_words
from engine.dataset.sound_facts import SILENCE_LEVEL, num_clipped

if TYPE_CHECKING:
    from engine.dataset.audio_file import Samples

CLIPPED_SHARE = 0.01
"""From this share of samples at full scale on a song is said to clip."""
LONG_SILENCE_S = 3.0
"""From this length on silence at the beginning or the end is said."""

_EDGE_S, _WINDOW_S, _NUM_WINDOWS = 1.0, 1.0, 8
_WHOLE_BELOW_S = 20.0  # windows would not be shorter
_MAX_EDGE_S = 30.0  # more silence than this is measured by decoding everything, once
_FINGERPRINT_S = 0.5
# MP3 keeps bits of a frame in those before it: the first frames after a jump may be broken.
_RUN_UP_S = 0.2
_MAX_MISS_S = 2.0


class Levels(Protocol):
    """What `sound_problems` needs to know of a song."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing is heard at all."""

    @property
    def clipped_share(self) -> float:
        """Share of the samples in runs at full scale."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of one song.

    Attributes:
        duration_s: Length of the song, seconds.
        heard_s: Seconds that were decoded for this; all of them when ``is_whole``.
        is_whole: Everything was heard.
        peak: Loudest sample heard; 1 is full scale.
        clipped_share: Share of the samples heard that lie in runs at full scale.
        leading_s, trailing_s: Silence at the beginning and at the end, seconds (below -60 dBFS).
        fingerprint: The same for two files that begin with the same sound and are equally long; empty for silence.
        problem: Why not all of it could be decoded; empty when it could.
    """

    duration_s: float
    heard_s: float
    is_whole: bool
    peak: float
    clipped_share: float
    leading_s: float
    trailing_s: float
    fingerprint: str = ""
    problem: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether nothing is heard at all."""
        return self.peak < SILENCE_LEVEL


def hear(path: Path, *, is_whole: bool = False, should_stop: Callable[[], bool] | None = None) -> Heard | None:
    """Decode parts of a song and measure them (40 ms), or all of it (half a second).

    Args:
        path: The file.
        is_whole: Everything is decoded, so that the figures are exact and all damage is found.
        should_stop: Asked between parts.

    Returns:
        What was heard; None when stopped.

    Raises:
        UnreadableAudioError: The file cannot be opened as audio any more.
    """
    info = read_info(path)
    should_stop = should_stop or (lambda: False)
    if not is_whole and info.duration_s > _WHOLE_BELOW_S:
        try:
            with _parts_of(path, info) as parts:
                return _hear_parts(_Ear(info), parts, should_stop)
        except (UnreadableAudioError, _NoWindows):
            pass  # decoding from the beginning tells how far a damaged file goes
    return _hear_all(path, info, should_stop)


def sound_problems(name: str, sound: Levels) -> list[Problem]:
    """What listening to a song found that its header does not tell.

    Args:
        name: The song, for the problems.
        sound: `Heard`, or anything that knows as much.
    """
    if isinstance(sound, Heard) and sound.problem:
        return [Problem(name, "warning", "damaged", sound.problem)]
    if sound.is_silent:
        return [Problem(name, "warning", "silent", "silent")]
    said = []
    if sound.clipped_share >= CLIPPED_SHARE:
        said.append(Problem(name, "warning", "clipped", f"clips {100 * sound.clipped_share:.1f} %"))
    if isinstance(sound, Heard):
        edges = {"begins": sound.leading_s, "ends": sound.trailing_s}
        long = [f"{verb} with {duration_words(s)} of silence" for verb, s in edges.items() if s >= LONG_SILENCE_S]
        if long:
            said.append(Problem(name, "warning", "long_silence", ", ".join(long)))
    return said


def sound_digest(path: Path) -> str:
    """Hash of everything that a file decodes to, as 16-bit samples: the same sound in other tags, or in another
    lossless format, has the same. Half a second; empty when it cannot be decoded.
    """
    import numpy as np

    digest = hashlib.sha256()
    try:
        info = read_info(path)
        for block in read_blocks(path, info):
            digest.update(_pcm(np.asarray(block)))
    except UnreadableAudioError:
        return ""
    return f"{info.sample_rate}/{info.num_channels}/{digest.hexdigest()}"


class _NoWindows(Exception):
    """This file can only be heard from its beginning to its end."""


Parts = Callable[[int, int], "Samples"]


@dataclass
class _Ear:
    """Adds up what is heard."""

    info: AudioInfo
    peak: float = 0.0
    num_heard: int = 0
    num_clipped: int = 0
    problem: str = ""
    found: list[Any] = field(default_factory=list)  # the beginning of what sounds, for the fingerprint
    num_found: int = 0

    def take(self, samples: Samples, start: int) -> Samples:
        """Take samples (channels, n) that begin at ``start``; returns the loudest of all channels (n).

        Raises:
            UnreadableAudioError: Samples that are no numbers, which no training takes.
        """
        import numpy as np

        levels = np.abs(samples)
        loudest: Samples = levels.max(axis=0) if samples.shape[1] else np.zeros(0, np.float32)
        if not np.isfinite(loudest).all():
            at_s = (start + int(np.argmin(np.isfinite(loudest)))) / self.info.sample_rate
            raise UnreadableAudioError(f"damaged: its samples are not numbers at {at_s:.1f} s")
        self.num_heard += samples.shape[1]
        self.num_clipped += num_clipped(levels)
        self.peak = max(self.peak, float(loudest.max(initial=0.0)))
        return loudest

    def remember(self, samples: Samples, first: int) -> None:
        """Keep the beginning of what sounds; ``first`` is its first sample in these."""
        wanted = round(_FINGERPRINT_S * self.info.sample_rate) - self.num_found
        if wanted > 0:
            part = samples[:, first : first + wanted]
            self.found.append(part)
            self.num_found += part.shape[1]

    def fingerprint(self) -> str:
        """Of the beginning and the length."""
        import numpy as np

        if not self.num_found:
            return ""
        digest = hashlib.sha256(_pcm(np.concatenate(self.found, axis=1)))
        return f"{self.info.num_samples}/{self.info.sample_rate}/{digest.hexdigest()[:32]}"

    def heard(self, *, leading: int, trailing: int, is_whole: bool) -> Heard:
        """The sum."""
        rate, heard = self.info.sample_rate, self.num_heard * self.info.num_channels
        return Heard(
            duration_s=self.info.duration_s,
            heard_s=self.num_heard / rate,
            is_whole=is_whole,
            peak=self.peak,
            clipped_share=self.num_clipped / heard if heard else 0.0,
            leading_s=leading / rate,
            trailing_s=trailing / rate,
            fingerprint=self.fingerprint(),
            problem=self.problem,
        )


def _hear_parts(ear: _Ear, parts: Parts, should_stop: Callable[[], bool]) -> Heard | None:
    """Hear windows.

    Raises:
        UnreadableAudioError: A window is damaged.
        _NoWindows: There is too much silence, or jumping does not work.
    """
    import numpy as np

    rate, total = ear.info.sample_rate, ear.info.num_samples
    edge = round(_EDGE_S * rate)
    leading, start = 0, 0
    while True:
        samples = parts(start, edge)
        sounding = np.flatnonzero(ear.take(samples, start) >= SILENCE_LEVEL)
        if len(sounding):
            leading = start + int(sounding[0])
            ear.remember(samples, int(sounding[0]))
            break
        start += edge
        if should_stop():
            return None
        if start > _MAX_EDGE_S * rate:
            raise _NoWindows
    begun, end = start + edge, total
    while True:
        start = max(end - edge, 0)
        sounding = np.flatnonzero(ear.take(parts(start, end - start), start) >= SILENCE_LEVEL)
        if len(sounding):
            trailing = total - start - int(sounding[-1]) - 1
            break
        end = start
        if should_stop():
            return None
        if total - end > _MAX_EDGE_S * rate or end <= begun:
            raise _NoWindows
    window = round(_WINDOW_S * rate)
    gap = (start - begun) / (_NUM_WINDOWS + 1)
    for index in range(1, _NUM_WINDOWS + 1):
        if should_stop():
            return None
        place = begun + round(index * gap)
        ear.take(parts(place, window), place)
    return ear.heard(leading=leading, trailing=trailing, is_whole=False)


def _hear_all(path: Path, info: AudioInfo, should_stop: Callable[[], bool]) -> Heard | None:
    import numpy as np

    ear, place, first, last = _Ear(info), 0, -1, -1
    try:
        for block in read_blocks(path, info):
            if should_stop():
                return None
            sounding = np.flatnonzero(ear.take(block, place) >= SILENCE_LEVEL)
            if len(sounding):
                ear.remember(block, int(sounding[0]) if first < 0 else 0)
                first = first if first >= 0 else place + int(sounding[0])
                last = place + int(sounding[-1])
            elif first >= 0:
                ear.remember(block, 0)
            place += block.shape[1]
    except UnreadableAudioError as error:
        ear.problem = error.message
    if first < 0:
        return ear.heard(leading=place, trailing=place, is_whole=True)
    return ear.heard(leading=first, trailing=max(place - last - 1, 0), is_whole=True)


def _pcm(samples: Samples) -> bytes:
    """Samples as they are on a CD, in time order."""
    import numpy as np

    return np.ascontiguousarray(np.rint(samples * 32768).clip(-32768, 32767).astype("<i2").T).tobytes()


def _parts_of(path: Path, info: AudioInfo) -> AbstractContextManager[Parts]:
    return _sndfile_parts(path, info) if info.reader == "soundfile" else _container_parts(path, info)


@contextmanager
def _sndfile_parts(path: Path, info: AudioInfo) -> Iterator[Parts]:
    import numpy as np
    import soundfile

    from engine.dataset.sndfile_audio import open_sound

    with path.open("rb", buffering=0) as file, open_sound(file) as sound:

        def part(start: int, count: int) -> Samples:
            try:
                sound.seek(start)
                return np.ascontiguousarray(sound.read(count, dtype="float32", always_2d=True).T)
            except soundfile.LibsndfileError as error:
                raise UnreadableAudioError(damaged_after(start, info.sample_rate)) from error

        yield part


@contextmanager
def _container_parts(path: Path, info: AudioInfo) -> Iterator[Parts]:
    import av

    from engine.dataset.container_audio import audio_stream, open_container

    try:
        with open_container(path) as container:
            stream = audio_stream(container)
            origin = stream.start_time or 0

            def part(start: int, count: int) -> Samples:
                try:
                    if start:
                        at_s = max(start / info.sample_rate - _RUN_UP_S, 0.0)
                        container.seek(origin + int(at_s / stream.time_base), stream=stream)
                    return _decoded_part(container, stream, info, start, count)
                except av.error.FFmpegError as error:
                    # Only from its beginning on is it told where the damage lies; some formats cannot be entered.
                    raise _NoWindows from error

            yield part
    except av.error.FFmpegError as error:
        raise _NoWindows from error


def _decoded_part(container: Any, stream: Any, info: AudioInfo, start: int, count: int) -> Samples:
    """Samples from about ``start`` on, after a jump to a little before it.

    Raises:
        _NoWindows: The jump led elsewhere.
    """
    import av
    import numpy as np

    resampler: Any = None
    found: list[Any] = []
    num, origin_s = 0, float((stream.start_time or 0) * stream.time_base)
    for frame in container.decode(stream):
        if frame.time is None:
            raise _NoWindows
        place_s = frame.time - origin_s
        if abs(place_s - start / info.sample_rate) > _MAX_MISS_S and not found:
            raise _NoWindows
        if (place_s + frame.samples / frame.rate) * info.sample_rate <= start:
            continue
        if frame.format.name == "fltp" and frame.rate == info.sample_rate:
            converted = [frame]  # most decoders give this: nothing to convert
        else:
            resampler = resampler or av.AudioResampler(format="fltp", layout=frame.layout, rate=info.sample_rate)
            converted = resampler.resample(frame)
        for one in converted:
            found.append(one.to_ndarray().astype(np.float32, copy=False))
            num += found[-1].shape[1]
        if num >= count:
            break
    if not found:
        raise _NoWindows
    return np.concatenate(found, axis=1)[:, :count]
