"""Writing sound in the formats people have: through soundfile, and through FFmpeg (PyAV) for what that cannot write."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Samples = np.ndarray[tuple[int, int], np.dtype[np.float32]]

# Format → (libsndfile's format, subtype).
SOUNDFILE_FORMATS = {
    "wav": ("WAV", "PCM_24"),
    "flac": ("FLAC", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
}
# Format → (FFmpeg's codec, its container).
FFMPEG_FORMATS = {
    "mp3": ("libmp3lame", "mp3"),
    "m4a": ("aac", "ipod"),
    "aac": ("aac", "adts"),
    "alac": ("alac", "ipod"),
    "opus": ("libopus", "ogg"),
    "wma": ("wmav2", "asf"),
    "mkv": ("aac", "matroska"),
    "webm": ("libopus", "webm"),
}
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
# Vorbis wants left, centre, right, back left, back right, bass; libsndfile hands channels on as they are.
_VORBIS_ORDER = (0, 2, 1, 4, 5, 3)
_BLOCK_SAMPLES = 1024


def encode(samples: Samples, rate: int, form: str, *, subtype: str | None = None, bit_rate: int = 128_000) -> bytes:
    """A whole audio file.

    Args:
        samples: (channels, n), float32, within ±1; 1, 2 or 6 channels, in WAV order.
        rate: Hz; Opus takes 48,000 only.
        form: A key of `SOUNDFILE_FORMATS` or `FFMPEG_FORMATS`.
        subtype: libsndfile's sample format, for instance "FLOAT"; None = the one in the table.
        bit_rate: Bits a second, for lossy formats of FFmpeg.
    """
    if form in SOUNDFILE_FORMATS:
        return _encode_soundfile(samples, rate, form, subtype)
    return _encode_ffmpeg(samples, rate, form, bit_rate)


def _encode_soundfile(samples: Samples, rate: int, form: str, subtype: str | None) -> bytes:
    import soundfile

    name, usual_subtype = SOUNDFILE_FORMATS[form]
    if form == "ogg" and samples.shape[0] == 6:
        samples = samples[list(_VORBIS_ORDER)]
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, samples.shape[0], subtype or usual_subtype, format=name) as sound:
        # In small blocks: libsndfile's Vorbis encoder takes a buffer of that size on its stack, and a song in one
        # piece overruns it (segmentation fault).
        for start in range(0, samples.shape[1], _BLOCK_SAMPLES):
            sound.write(samples[:, start : start + _BLOCK_SAMPLES].T)
    return file.getvalue()


def _encode_ffmpeg(samples: Samples, rate: int, form: str, bit_rate: int) -> bytes:
    import av
    import numpy as np

    codec, container_format = FFMPEG_FORMATS[form]
    layout = _LAYOUTS[samples.shape[0]]
    file = io.BytesIO()
    # bitexact: no time, no random serial number and no library version in the file.
    with av.open(file, "w", format=container_format, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if codec != "alac":
            stream.bit_rate = bit_rate
        for start in range(0, samples.shape[1], _BLOCK_SAMPLES):
            block = np.ascontiguousarray(samples[:, start : start + _BLOCK_SAMPLES])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
