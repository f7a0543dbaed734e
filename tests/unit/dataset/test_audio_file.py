"""Every format is read: facts from the header, samples at the right pitch, parts exactly."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from engine.dataset.audio_file import UnreadableAudioError, read_audio, read_info
from engine.demo.encode import encode
from tests.unit.dataset.conftest import FORMS, dominant_hertz, tones


@pytest.mark.parametrize("suffix", FORMS)
def test_facts_and_samples_of_every_format(tmp_path, sounds, suffix):
    path = tmp_path / f"song{suffix}"
    path.write_bytes(sounds(suffix))
    info = read_info(path)
    samples, rate = read_audio(path)
    assert info.format == {".webm": "mkv"}.get(suffix, FORMS[suffix])
    assert rate == info.sample_rate == (48_000 if suffix in (".opus", ".webm") else 44_100)
    assert samples.shape == (2, info.num_samples)
    assert samples.dtype == np.float32
    # Lossy containers without a sample count may keep the encoder's priming (aac: up to 4 frames with padding).
    assert 2.0 <= info.duration_s <= 2.1
    assert info.warning == ""
    assert dominant_hertz(samples[0], rate) == pytest.approx(440, rel=1e-3)
    assert dominant_hertz(samples[1], rate) == pytest.approx(660, rel=1e-3)
    # AAC rings a little where a tone begins at once.
    assert 0.35 < np.abs(samples).max() < 0.7


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".alac"])
def test_lossless_samples_are_exact_to_their_depth(tmp_path, suffix):
    wanted = tones(440, 660, rate=96_000, seconds=0.5)
    path = tmp_path / f"song{suffix}"
    path.write_bytes(encode(wanted, 96_000, FORMS[suffix]))
    samples, rate = read_audio(path)
    assert (rate, samples.shape) == (96_000, wanted.shape)
    assert np.abs(samples - wanted).max() <= 2**-15


@pytest.mark.parametrize(
    ("subtype", "error"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-22), ("PCM_32", 2**-22), ("FLOAT", 0), ("DOUBLE", 0)],
)
def test_wav_of_every_depth(tmp_path, subtype, error):
    wanted = tones(440)
    path = tmp_path / "song.wav"
    path.write_bytes(encode(wanted, 44_100, "wav", subtype=subtype))
    assert np.abs(read_audio(path)[0] - wanted).max() <= error


@pytest.mark.parametrize("suffix", FORMS)
def test_a_part_is_the_slice_of_the_whole(tmp_path, sounds, suffix):
    path = tmp_path / f"song{suffix}"
    path.write_bytes(sounds(suffix))
    whole, rate = read_audio(path)
    for start_s, duration_s in ((0.0, 0.5), (0.7, 0.4), (1.31, 0.6), (1.5, None), (1.9, 5.0)):
        part, _ = read_audio(path, start_s=start_s, duration_s=duration_s)
        start = round(start_s * rate)
        stop = whole.shape[1] if duration_s is None else start + round(duration_s * rate)
        np.testing.assert_array_equal(part, whole[:, start:stop])


@pytest.mark.parametrize("form", ["flac", "m4a", "opus"])
def test_surround_channels_come_in_wav_order(tmp_path, form):
    hertz = (300.0, 500.0, 700.0, 60.0, 900.0, 1100.0)  # left, right, centre, LFE, back or side left, right
    path = tmp_path / f"song.{form}"
    path.write_bytes(encode(tones(*hertz, rate=48_000), 48_000, form, bit_rate=480_000))
    samples, rate = read_audio(path)
    assert [round(dominant_hertz(channel, rate)) for channel in samples] == [round(one) for one in hertz]


def test_lossy_formats_keep_their_place_in_time(tmp_path):
    """Encoder delay is taken off: a click stays where it was to a few milliseconds."""
    click = np.zeros((2, 88_200), dtype=np.float32)
    click[:, 44_100:44_300] = 0.8
    for form in ("mp3", "m4a", "ogg"):
        path = tmp_path / f"click.{form}"
        path.write_bytes(encode(click, 44_100, form))
        samples, _ = read_audio(path)
        assert samples.shape[1] == 88_200
        assert abs(int(np.abs(samples[0]).argmax()) - 44_200) < 300, form


def test_what_a_file_is_says_its_content(tmp_path, sounds):
    for inside, suffix in ((".flac", ".mp3"), (".m4a", ".wav"), (".mp3", ".ogg"), (".alac", ".flac")):
        path = tmp_path / f"mislabelled{suffix}"
        path.write_bytes(sounds(inside))
        assert read_info(path).format == FORMS[inside]
        assert dominant_hertz(read_audio(path)[0][0], 44_100) == pytest.approx(440, rel=1e-3)


def test_a_file_name_in_another_encoding(tmp_path, sounds):
    for suffix in (".flac", ".m4a"):
        path = tmp_path / os.fsdecode(b"caf\xe9" + suffix.encode())
        path.write_bytes(sounds(suffix))
        assert read_info(path).sample_rate == 44_100
        assert read_audio(path)[0].shape[0] == 2


def test_a_file_name_that_looks_like_a_protocol(tmp_path, sounds, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.m4a", "http:song.m4a", "-.m4a"):
        Path(name).write_bytes(sounds(".m4a"))
        assert read_info(Path(name)).format == "m4a"


def test_an_mp3_without_a_frame_count_is_counted(tmp_path):
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"write_xing": "0"}) as container:
        # Silence, then noise, at a varying bit rate: what a guess from the first frames gets wrong.
        vbr = {"flags": "+qscale", "global_quality": str(4 * 118)}
        stream = container.add_stream("libmp3lame", rate=44_100, options=vbr, layout="mono")
        noise = 0.3 * np.random.default_rng(0).standard_normal((1, 44_100 * 3)).astype(np.float32)
        noise[:, : 44_100 * 2] = 0
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = tmp_path / "free.mp3"
    path.write_bytes(file.getvalue())
    with av.open(str(path)) as container:
        assert container.duration / 1e6 > 3.5
    assert read_info(path).duration_s == pytest.approx(3.0, abs=0.1)
    assert read_audio(path)[0].shape[1] == read_info(path).num_samples


def test_the_sound_of_a_video(tmp_path):
    path = tmp_path / "film.mp4"
    _write_film(path, with_sound=True)
    info = read_info(path)
    assert (info.num_channels, info.sample_rate) == (1, 48_000)
    assert info.duration_s == pytest.approx(1.0, abs=0.05)
    assert dominant_hertz(read_audio(path)[0][0], 48_000) == pytest.approx(440, rel=1e-3)
    _write_film(path, with_sound=False)
    with pytest.raises(UnreadableAudioError, match="no audio track"):
        read_info(path)


def test_tags_in_an_old_encoding_do_not_stop_the_sound(tmp_path):
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        container.metadata["title"] = "Caf__"
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(tones(440, seconds=0.5), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = tmp_path / "tagged.mkv"
    path.write_bytes(file.getvalue().replace(b"Caf__", b"Caf\xe9\xe9"))
    assert b"Caf\xe9\xe9" in path.read_bytes()
    assert read_info(path).duration_s == pytest.approx(0.5, abs=0.1)


def test_a_wav_written_to_a_pipe_has_no_size_in_its_header(tmp_path, sounds):
    content = bytearray(sounds(".wav"))
    place = content.index(b"data") + 4
    for size in (0, 0xFFFFFFFF):
        content[place : place + 4] = size.to_bytes(4, "little")
        path = tmp_path / f"piped_{size}.wav"
        path.write_bytes(content)
        assert read_info(path).duration_s == pytest.approx(2.0, abs=0.01)
        assert dominant_hertz(read_audio(path)[0][1], 44_100) == pytest.approx(660, rel=1e-3)


def test_floats_beyond_full_scale_stay(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full((1000, 2), 1.5), 44_100, subtype="FLOAT")
    assert float(read_audio(path)[0].max()) == 1.5


def _write_film(path: Path, *, with_sound: bool) -> None:
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="mono") if with_sound else None
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index, dtype=np.uint8), format="rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if sound is not None:
            block = av.AudioFrame.from_ndarray(tones(440, rate=48_000, seconds=1.0), format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = 48_000, 0, Fraction(1, 48_000)
            container.mux(sound.encode(block))
            container.mux(sound.encode(None))
