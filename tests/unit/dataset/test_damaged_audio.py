"""Damaged, cut-off and mislabelled files: an error that names the reason, and nothing on the terminal."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile

from engine.contract.errors import DataError, ExitCode
from engine.dataset.audio_file import UnreadableAudioError, read_audio, read_info
from engine.demo.encode import encode
from tests.unit.dataset.conftest import tones


def test_the_error_is_a_data_error():
    assert issubclass(UnreadableAudioError, DataError)
    assert UnreadableAudioError.exit_code == ExitCode.DATA


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".mp3", ".aac", ".wma", ".mkv", ".webm"])
def test_a_cut_off_file_is_found_by_its_header_and_the_place_named(tmp_path, sounds, suffix):
    content = sounds(suffix)
    path = tmp_path / f"song{suffix}"
    path.write_bytes(content[: len(content) * 6 // 10])
    for read in (read_info, read_audio):
        with pytest.raises(
            UnreadableAudioError, match=r"^damaged after (0\.[6-9]|1\.[0-4]) s: the file is cut off there$"
        ):
            read(path)


@pytest.mark.parametrize("suffix", [".m4a", ".alac"])
def test_a_cut_off_file_with_its_index_at_the_end(tmp_path, sounds, suffix):
    content = sounds(suffix)
    path = tmp_path / f"song{suffix}"
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(UnreadableAudioError, match="index of the file is missing"):
        read_info(path)


def test_a_cut_off_file_with_its_index_in_front(tmp_path, sounds):
    content = sounds(".m4a")
    # Put the index (moov) in front of the data, as downloads have it; the offsets in it move along.
    place = content.index(b"moov") - 4
    moov = bytearray(content[place : place + int.from_bytes(content[place : place + 4], "big")])
    start = content.index(b"mdat") - 4
    table = moov.index(b"stco") + 8
    for index in range(int.from_bytes(moov[table : table + 4], "big")):
        at = table + 4 + 4 * index
        moov[at : at + 4] = (int.from_bytes(moov[at : at + 4], "big") + len(moov)).to_bytes(4, "big")
    fast = content[:start] + bytes(moov) + content[start:place]
    path = tmp_path / "song.m4a"
    path.write_bytes(fast)
    assert read_info(path).duration_s == pytest.approx(2.0)
    path.write_bytes(fast[: len(fast) * 7 // 10])
    with pytest.raises(UnreadableAudioError, match=r"damaged after 1\.\d s: the file is cut off there"):
        read_info(path)


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_an_ogg_stream_without_its_end_is_used_as_far_as_it_goes(tmp_path, suffix):
    # Noise of six seconds: enough pages to lose some.
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 48_000 * 6)).astype(np.float32)
    content = encode(noise, 48_000, suffix[1:])
    path = tmp_path / f"song{suffix}"
    path.write_bytes(content[: len(content) * 6 // 10])
    info = read_info(path)
    assert info.warning.startswith("its end is missing: it is used as far as it goes, ")
    assert 1.0 < info.duration_s < 5.0
    assert read_audio(path)[0].shape[1] == info.num_samples


@pytest.mark.parametrize("suffix", [".flac", ".m4a", ".alac", ".mp3", ".aac", ".ogg"])
def test_damage_in_the_middle_is_found_when_decoding(tmp_path, suffix):
    rng = np.random.default_rng(1)
    content = bytearray(encode(0.1 * rng.standard_normal((2, 44_100 * 4)).astype(np.float32), 44_100, suffix[1:]))
    middle = len(content) // 2
    content[middle : middle + 3000] = rng.bytes(3000)
    path = tmp_path / f"song{suffix}"
    path.write_bytes(content)
    # Raw AAC is counted frame by frame, so it lacks the lost ones.
    assert 3.5 < read_info(path).duration_s < 4.1
    with pytest.raises(UnreadableAudioError, match=r"^damaged after [12]\.\d s$"):
        read_audio(path)
    # What lies before the damage is sound.
    assert read_audio(path, duration_s=0.5)[0].shape == (2, 22_050)


def test_files_that_are_no_audio(tmp_path):
    cases = {
        "noise.mp3": (np.random.default_rng(3).bytes(4096), r"^not audio \(0 of 4,096 bytes can be read\)$"),
        "zeros.mp3": (bytes(4096), r"^not audio \(0 of 4,096 bytes can be read\)$"),
        "text.wav": (b"la la la\n" * 300, r"^not audio \(0 of 2,700 bytes can be read\)$"),
        "empty.flac": (b"", r"^empty file \(0 bytes\)$"),
        "header.flac": (b"fLaC" + bytes(200), r"^damaged: it begins like flac, but its header cannot be read$"),
        "header.wav": (b"RIFF" + bytes(200), r"^damaged: it begins like wav, but its header cannot be read$"),
        "page.mp3": (b"<!DOCTYPE html><title>404</title>", r"^not audio \(0 of 33 bytes can be read\)$"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableAudioError, match=reason):
            read_info(tmp_path / name)


def test_a_playlist_is_not_followed(tmp_path, sounds):
    (tmp_path / "real.wav").write_bytes(sounds(".wav"))
    for name, text in (
        ("hls.wav", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nreal.wav\n#EXT-X-ENDLIST\n"),
        ("concat.wav", "ffconcat version 1.0\nfile real.wav\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UnreadableAudioError, match="not audio"):
            read_info(tmp_path / name)


def test_no_samples_and_no_numbers(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 2)), 44_100)
    with pytest.raises(UnreadableAudioError, match="no sound in it"):
        read_info(tmp_path / "empty.wav")
    bad = tones(440).T.copy()
    bad[44_100, 0] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, 44_100, subtype="FLOAT")
    with pytest.raises(UnreadableAudioError, match=r"^damaged: its samples are not numbers at 1\.0 s$"):
        read_audio(tmp_path / "nan.wav")
    assert np.isfinite(read_audio(tmp_path / "nan.wav", duration_s=0.9)[0]).all()


def test_beyond_the_end(tmp_path, sounds):
    (tmp_path / "song.flac").write_bytes(sounds(".flac"))
    with pytest.raises(UnreadableAudioError, match=r"no sound after 2\.5 s: it is 2\.0 s long"):
        read_audio(tmp_path / "song.flac", start_s=2.5)


def test_what_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to(tmp_path / "nowhere.wav")
    for name, reason in (
        ("pipe.wav", "not a regular file"),
        ("link.wav", "a broken link"),
        ("gone.wav", "the file is gone"),
    ):
        with pytest.raises(UnreadableAudioError, match=reason):
            read_info(tmp_path / name)


def test_damaged_files_write_nothing_on_the_terminal(tmp_path, sounds, capfd):
    """libsndfile's MP3 library does, straight into whatever screen is there; so MP3 is FFmpeg's."""
    content = bytearray(sounds(".mp3"))
    content[len(content) // 2 : len(content) // 2 + 800] = np.random.default_rng(2).bytes(800)
    for name, data in (("a.mp3", content), ("b.mp3", sounds(".mp3")[:9000]), ("c.flac", sounds(".flac")[:9000])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableAudioError):
            read_audio(tmp_path / name)
    assert capfd.readouterr() == ("", "")
