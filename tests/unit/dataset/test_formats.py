"""Real files of every format at every rate, with every number of channels and depth: pitch and length stay.

(issue 4; config-formats.md section 10, rows 17 to 19)
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from engine.batches.bucket import Clip
from engine.cache.audio_latents import load_clip_audio, to_stereo
from engine.dataset.audio_file import read_audio, read_info
from engine.demo.encode import encode
from engine.model.resample import resample
from tests.unit.batches.factory import make_song
from tests.unit.dataset.conftest import FORMS, tones

SECONDS = 0.5
# In 5.1 the fourth channel is the bass channel, which some codecs cut off above 120 Hz.
HERTZ = (440.0, 660.0, 880.0, 60.0, 550.0, 770.0)
# Suffix → rates its codec has, most channels, and what may come on top of the length that went in (samples): the
# codec's priming and the last frame's padding, where the format does not say what of its frames is sound.
CODECS: dict[str, tuple[tuple[int, ...], int, int]] = {
    ".wav": ((8_000, 22_050, 44_100, 48_000, 96_000), 6, 0),
    ".flac": ((8_000, 22_050, 44_100, 48_000, 96_000), 6, 0),
    ".aiff": ((8_000, 22_050, 44_100, 48_000, 96_000), 6, 0),
    ".alac": ((8_000, 22_050, 44_100, 48_000, 96_000), 6, 0),
    ".ogg": ((8_000, 22_050, 44_100, 48_000, 96_000), 6, 0),
    ".m4a": ((8_000, 22_050, 44_100, 48_000, 96_000), 6, 0),
    ".mp3": ((8_000, 22_050, 44_100, 48_000), 2, 0),
    ".opus": ((8_000, 48_000), 6, 0),
    ".aac": ((8_000, 22_050, 44_100, 48_000, 96_000), 6, 1024 + 1024),
    ".wma": ((8_000, 22_050, 44_100, 48_000), 2, 2048),
}
CASES = [
    pytest.param(suffix, rate, channels, id=f"{suffix[1:]}-{rate}-{channels}")
    for suffix, (rates, most, _) in CODECS.items()
    for rate in rates
    for channels in (1, 2, 6)
    if channels <= most
]


def pitch(signal: np.ndarray, rate: int) -> float:
    """Frequency of the strongest partial: the top of the parabola through the three largest lines."""
    size = 1 << 15
    lines = np.log(np.abs(np.fft.rfft(signal * np.hanning(len(signal)), n=size)) + 1e-12)
    top = int(np.argmax(lines[1:-1])) + 1
    left, middle, right = lines[top - 1 : top + 2]
    return float((top + 0.5 * (left - right) / (left - 2 * middle + right)) * rate / size)


@pytest.mark.parametrize(("suffix", "rate", "channels"), CASES)
def test_pitch_and_length_from_the_file_to_48_khz_stereo(tmp_path, suffix, rate, channels):
    wanted = tones(*HERTZ[:channels], rate=rate, seconds=SECONDS)
    path = tmp_path / f"song{suffix}"
    path.write_bytes(encode(wanted, rate, FORMS[suffix], bit_rate=64_000 * max(channels, 1)))
    info = read_info(path)
    samples, got_rate = read_audio(path)
    assert (info.sample_rate, info.num_channels, info.format) == (rate, channels, FORMS[suffix])
    assert (got_rate, samples.shape, samples.dtype) == (rate, (channels, info.num_samples), np.float32)
    assert 0 <= samples.shape[1] - wanted.shape[1] <= CODECS[suffix][2]
    for index, (channel, hertz) in enumerate(zip(samples, HERTZ, strict=False)):
        if index != 3:
            assert pitch(channel, rate) == pytest.approx(hertz, rel=1e-3)
    heard = resample(to_stereo(torch.from_numpy(samples)), rate, 48_000).numpy()
    assert heard.shape[0] == 2
    assert abs(heard.shape[1] - samples.shape[1] * 48_000 / rate) <= 1
    for channel, hertz in zip(heard, (HERTZ[0], HERTZ[min(channels, 2) - 1]), strict=True):
        assert pitch(channel, 48_000) == pytest.approx(hertz, rel=1e-3)


@pytest.mark.parametrize(
    ("form", "subtype", "error"),
    [
        *(("wav", subtype, error) for subtype, error in (("PCM_16", 2**-15), ("PCM_24", 2**-22), ("PCM_32", 2**-22))),
        *(("wav", subtype, 0.0) for subtype in ("FLOAT", "DOUBLE")),
        *(("flac", subtype, error) for subtype, error in (("PCM_16", 2**-15), ("PCM_24", 2**-22))),
        *(("aiff", subtype, error) for subtype, error in (("PCM_16", 2**-15), ("PCM_24", 2**-22), ("PCM_32", 2**-22))),
        *(("aiff", subtype, 0.0) for subtype in ("FLOAT", "DOUBLE")),
    ],
)
def test_every_depth_is_read_to_its_last_bit(tmp_path, form, subtype, error):
    wanted = tones(440, 660, rate=44_100, seconds=SECONDS)
    path = tmp_path / f"song.{form}"
    path.write_bytes(encode(wanted, 44_100, form, subtype=subtype))
    samples, _ = read_audio(path)
    assert samples.shape == wanted.shape
    assert np.abs(samples - wanted).max() <= error


@pytest.mark.parametrize(("sample_format", "error"), [("s16p", 2**-15), ("s32p", 2**-22)])
@pytest.mark.parametrize(
    ("container", "suffix"), [("ipod", ".m4a"), ("ipod", ".alac"), ("caf", ".alac"), ("mov", ".alac")]
)
def test_alac_in_m4a_and_under_its_own_name(tmp_path, container, suffix, sample_format, error):
    wanted = tones(440, 660, rate=48_000, seconds=SECONDS)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("alac", rate=48_000, layout="stereo")
        stream.codec_context.format = sample_format
        frame = av.AudioFrame.from_ndarray(wanted, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        in_frames = av.AudioResampler(format=sample_format, layout="stereo", rate=48_000, frame_size=4096)
        for converted in in_frames.resample(frame):
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))
    path = tmp_path / f"song{suffix}"
    path.write_bytes(file.getvalue())
    samples, rate = read_audio(path)
    assert rate == 48_000
    assert 0 <= wanted.shape[1] - samples.shape[1] <= 4096
    assert np.abs(samples - wanted[:, : samples.shape[1]]).max() <= error


@pytest.mark.parametrize("suffix", CODECS)
def test_a_clip_is_48_khz_stereo_float_of_exactly_its_length(tmp_path, suffix):
    rate = 48_000 if suffix == ".opus" else 44_100
    path = tmp_path / f"söng {suffix[1:]}♪{suffix}"
    path.write_bytes(encode(tones(440, 660, rate=rate, seconds=SECONDS), rate, FORMS[suffix]))
    audio = load_clip_audio(Clip(make_song(path=path), 0, 1, 0.0, 0.4, 5, 4, "0.4s", whole=True))
    assert (audio.shape, audio.dtype) == ((2, 19_200), torch.float32)
    assert [pitch(channel, 48_000) for channel in audio.numpy()] == pytest.approx([440.0, 660.0], rel=1e-3)


def test_no_ffmpeg_program_is_needed_for_any_format(tmp_path, sounds):
    for suffix in CODECS:
        (tmp_path / f"song{suffix}").write_bytes(sounds(suffix))
    code = """
import sys
from pathlib import Path
from engine.dataset.audio_file import read_audio
for path in sorted(Path(sys.argv[1]).glob("song*")):
    assert read_audio(path)[0].shape[0] == 2, path
    print(path.suffix)
"""
    (tmp_path / "bin").mkdir()
    environment = {**os.environ, "PATH": str(tmp_path / "bin"), "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == sorted(CODECS)
