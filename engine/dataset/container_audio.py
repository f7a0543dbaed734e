"""Reading audio through FFmpeg (PyAV): mp3, m4a, aac, alac, wma, ogg, and the first audio stream of containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from engine.dataset.audio_file import TOLERANCE_S, AudioInfo, UnreadableAudioError, damaged_after
from engine.dataset.completeness import is_cut_off, mp3_tag
from engine.dataset.mp3_frames import mp3_num_samples

if TYPE_CHECKING:
    from engine.dataset.audio_file import Samples

# Only what holds sound itself. Playlists and scripts, which FFmpeg would follow to other files or to the network, are
# not in it, nor are formats so loose that any file is one.
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "aac,ac3,aiff,amr,ape,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv",
}
# Containers whose header gives the very length of the audio stream. All others are asked packet by packet, without
# decoding (6 ms a minute).
_EXACT_LENGTH = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "flac", "wav", "aiff", "caf", "ape", "tta", "wv", "w64"})
_FORMATS = {"asf": "wma", "mpegts": "ts"}


def probe(path: Path, file: BinaryIO) -> AudioInfo | None:
    """Facts from the container; None when FFmpeg does not know the format.

    Raises:
        UnreadableAudioError: No audio stream, no decoder for it, no samples, or the file is cut off.
    """
    import av  # 60 ms: FFmpeg

    try:
        with open_container(path) as container:
            stream = audio_stream(container)
            name = container.format.name
            rate, num_channels = int(stream.rate or 0), int(stream.channels)
            if rate <= 0 or num_channels <= 0:
                return None
            info = AudioInfo(_format(name, stream), rate, num_channels, _num_samples(container, stream, file), "pyav")
            if is_cut_off(file, name):
                raise UnreadableAudioError(
                    f"{damaged_after(_num_readable(path, file, info), rate)}: the file is cut off there"
                )
    except av.error.FFmpegError:
        return None
    if info.num_samples <= 0:
        raise UnreadableAudioError("no sound in it (0 samples)")
    return info


def blocks(path: Path, file: BinaryIO, info: AudioInfo, start: int) -> Iterator[tuple[int, Samples]]:
    """Decoded blocks as (first sample, samples (channels, n)), from the start of the file on.

    Compressed audio cannot be entered at an exact sample, so everything before `start` is decoded too. Delay and
    padding of the encoder are taken off by FFmpeg as the container tells.

    Raises:
        UnreadableAudioError: Damaged before its end.
    """
    import av

    position = 0
    try:
        for samples in _decoded(path, info):
            yield position, samples
            position += samples.shape[1]
    except (av.error.FFmpegError, ValueError) as error:
        # Rubbish behind the last packet (tags of players) is no damage: `read_audio` compares with the length.
        if position < info.num_samples - TOLERANCE_S * info.sample_rate:
            raise UnreadableAudioError(damaged_after(position, info.sample_rate)) from error


def _decoded(path: Path, info: AudioInfo) -> Iterator[Samples]:
    """Float samples of every frame, in the rate and number of channels of `info`."""
    import av
    import numpy as np

    with open_container(path) as container:
        stream = audio_stream(container)
        # Planar float from any sample type; rate and layout stay those of the first frame.
        resampler = None
        position, first_s = 0, None
        for frame in container.decode(stream):
            # FFmpeg leaves a damaged page of Ogg out and goes on behind it; only the frame's time tells.
            if info.format in ("ogg", "opus") and frame.time is not None:
                first_s = frame.time if first_s is None else first_s
                if frame.time - first_s - position / frame.rate > TOLERANCE_S:
                    raise UnreadableAudioError(damaged_after(position, frame.rate))
            position += frame.samples
            if resampler is None:
                resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=info.sample_rate)
            for converted in resampler.resample(frame):
                yield converted.to_ndarray().astype(np.float32, copy=False)
        for converted in resampler.resample(None) if resampler is not None else ():
            yield converted.to_ndarray().astype(np.float32, copy=False)


def _num_readable(path: Path, file: BinaryIO, info: AudioInfo) -> int:
    """Samples that can be decoded from the start of a damaged file."""
    position = 0
    try:
        for first, samples in blocks(path, file, info, 0):
            position = first + samples.shape[1]
    except UnreadableAudioError:
        pass
    return position


def open_container(path: Path) -> Any:
    """Open a container. The path is made absolute: a name like "concat:a|b" would be a protocol to FFmpeg."""
    import av

    # Tags are not read, and those in an old encoding must not stop the sound. PyAV 19 reads them only when asked, and
    # does not take the word for it any more.
    reads_tags = int(av.__version__.partition(".")[0]) < 19
    lenient: dict[str, Any] = {"metadata_errors": "ignore"} if reads_tags else {}
    return av.open(str(path.absolute()), options=_OPTIONS, **lenient)


def audio_stream(container: Any) -> Any:
    """The first audio stream.

    Raises:
        UnreadableAudioError: There is none, or no decoder for it.
    """
    if not container.streams.audio:
        raise UnreadableAudioError("no audio track in it")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise UnreadableAudioError("no decoder for its audio (protected or unknown codec)")
    return stream


def _format(container_name: str, stream: Any) -> str:
    """A short name of what is in the file."""
    codec = str(stream.codec_context.name)
    if container_name.startswith("mov"):
        return "alac" if codec == "alac" else "m4a"
    if container_name.startswith("matroska"):
        return "mkv"
    return _FORMATS.get(container_name, container_name)


def _num_samples(container: Any, stream: Any, file: BinaryIO) -> int:
    """Samples a channel: from the header where that is exact, else from the times of the packets."""
    name = container.format.name
    is_exact = name in _EXACT_LENGTH or (name == "mp3" and mp3_tag(file)[0])
    if is_exact and stream.duration:
        return int(stream.duration * stream.time_base * stream.rate)
    if name == "mp3" and (num_samples := mp3_num_samples(file)) is not None:
        return num_samples
    first: int | None = None
    end = 0
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        first = packet.pts if first is None else min(first, packet.pts)
        end = max(end, packet.pts + (packet.duration or 0))
    return 0 if first is None else int((end - max(first, 0)) * stream.time_base * stream.rate)
