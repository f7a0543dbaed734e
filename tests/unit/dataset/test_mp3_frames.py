"""The length of an MP3 that does not count its frames: as FFmpeg tells it, packet by packet and decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.dataset import container_audio
from engine.dataset.audio_file import read_audio, read_info
from engine.dataset.completeness import mp3_tag
from engine.dataset.mp3_frames import _VERSIONS, _frame_lengths, mp3_num_samples
from engine.demo.encode import encode
from tests.unit.dataset.conftest import tones


def without_count(content: bytes) -> bytes:
    """An MP3 without its first frame, which holds the count, and without tags, as streams are recorded."""
    start = 0
    if content[:3] == b"ID3":
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=True))
    version = content[start + 1] >> 3 & 3
    lengths = _frame_lengths(version, rate_index=content[start + 2] >> 2 & 3)
    return content[start + lengths[content[start + 2]] :]


@pytest.fixture(scope="module", params=[(44_100, 2), (48_000, 1), (32_000, 2), (22_050, 1), (16_000, 2), (8_000, 1)])
def bare(request) -> bytes:
    rate, channels = request.param
    return without_count(encode(tones(*[440] * channels, rate=rate), rate, "mp3"))


@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125)], ids=["bare", "tagged"])
def test_it_is_what_ffmpeg_tells(tmp_path: Path, monkeypatch, bare: bytes, tail: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(bare + tail)
    with path.open("rb") as file:
        assert not mp3_tag(file)[0]
        counted = mp3_num_samples(file)
    info = read_info(path)
    assert counted == info.num_samples == read_audio(path)[0].shape[1]
    assert info.num_samples / info.sample_rate == pytest.approx(2.0, abs=0.2)
    monkeypatch.setattr(container_audio, "mp3_num_samples", lambda file: None)
    assert read_info(path).num_samples == counted


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-5],
        lambda content: content + b"APETAGEX" + bytes(40),
        lambda content: content[:2000] + b"rubbish" + content[2000:],
        lambda content: b"",
        lambda content: b"\xff\xfb\xf0\x00" * 9,
        lambda content: b"no frames in it at all",
    ],
)
def test_what_is_unusual_is_left_to_ffmpeg(tmp_path: Path, bare: bytes, change) -> None:
    (tmp_path / "a.mp3").write_bytes(change(bare))
    with (tmp_path / "a.mp3").open("rb") as file:
        assert mp3_num_samples(file) is None


def test_lengths_of_known_frames() -> None:
    # 128 kbit/s at 44.1 kHz: 417 bytes, 418 with padding; 320 kbit/s at 48 kHz: 960.
    lengths = _frame_lengths(0b11, rate_index=0)
    assert (lengths[0x90], lengths[0x92]) == (417, 418) and _frame_lengths(0b11, rate_index=1)[0xE4] == 960
    assert set(_VERSIONS) == {0b11, 0b10, 0b00} and lengths[0x00] == lengths[0xF0] == 0
