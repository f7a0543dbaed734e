"""How a song sounds, in numbers, in every format and whatever is in the file."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from engine.dataset.audio_file import UnreadableAudioError
from engine.dataset.sound_facts import ENVELOPE_PARTS, listen

RATE = 48_000


def sine(level: float, seconds: float = 4.0, hertz: float = 997.0, channels: int = 2) -> np.ndarray:
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(RATE * seconds)) / RATE)
    return np.stack([wave] * channels).astype(np.float32)


def facts(path, samples, **more):
    soundfile.write(path, samples.T, RATE, **more)
    return listen(path)


def test_the_loudness_of_a_sine_is_that_of_the_norm(tmp_path):
    # EBU R 128: a stereo sine of 997 Hz at -20 dBFS peak in both channels measures -20 LUFS.
    found = facts(tmp_path / "a.wav", sine(0.1))
    assert found.loudness_lufs == pytest.approx(-20.0, abs=0.1)
    assert found.peak == pytest.approx(0.1, abs=1e-3)
    assert (found.sample_rate, found.num_channels, found.duration_s) == (RATE, 2, 4.0)
    assert (found.clipped_share, found.silent_share, found.problem) == (0.0, 0.0, "")


def test_the_outline_follows_the_sound(tmp_path):
    loud_then_soft = np.concatenate([sine(0.8, 2.0), sine(0.2, 2.0)], axis=1)
    envelope = facts(tmp_path / "a.wav", loud_then_soft).envelope
    assert len(envelope) == ENVELOPE_PARTS
    assert envelope[: ENVELOPE_PARTS // 2] == pytest.approx([0.8] * (ENVELOPE_PARTS // 2), abs=0.01)
    assert envelope[ENVELOPE_PARTS // 2 + 1 :] == pytest.approx([0.2] * (ENVELOPE_PARTS // 2 - 1), abs=0.01)


def test_one_sample_is_not_lost_between_columns(tmp_path):
    quiet = np.zeros((1, RATE * 4), dtype=np.float32)
    quiet[0, 12_345] = 0.9
    envelope = facts(tmp_path / "a.wav", quiet).envelope
    assert envelope[12_345 * ENVELOPE_PARTS // (RATE * 4)] == pytest.approx(0.9, abs=1e-3)
    assert sum(level > 0.01 for level in envelope) == 1


def test_clipping_is_runs_at_full_scale(tmp_path):
    clipped = np.clip(sine(2.0), -1, 1)
    found = facts(tmp_path / "a.flac", clipped)
    assert found.clipped_share == pytest.approx(float((np.abs(clipped) >= 0.999).mean()), abs=0.01)
    one_peak = np.zeros((1, RATE), dtype=np.float32)
    one_peak[0, 100] = 1.0
    assert facts(tmp_path / "b.wav", one_peak).clipped_share == 0.0


def test_silence_is_counted_and_has_no_loudness(tmp_path):
    found = facts(tmp_path / "a.wav", np.zeros((2, RATE), dtype=np.float32))
    assert (found.is_silent, found.silent_share, found.loudness_lufs) == (True, 1.0, None)
    half = facts(tmp_path / "b.wav", np.concatenate([sine(0.5, 1.0), np.zeros((2, RATE), np.float32)], axis=1))
    assert half.silent_share == pytest.approx(0.5, abs=0.05)
    assert not half.is_silent


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".wma", ".aiff"])
def test_every_format_is_heard(tmp_path, sounds, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(sounds(suffix))
    found = listen(path)
    assert 0.35 < found.peak < 0.75  # lossy codecs overshoot where a tone begins
    assert found.loudness_lufs == pytest.approx(-7.6, abs=1.5)


def test_other_channels_and_rates_are_heard_too(tmp_path):
    assert facts(tmp_path / "mono.wav", sine(0.1, channels=1)).loudness_lufs == pytest.approx(-23.0, abs=0.1)
    surround = facts(tmp_path / "six.wav", sine(0.1, channels=6))
    assert (surround.num_channels, surround.loudness_lufs) == (6, None)
    assert surround.peak == pytest.approx(0.1, abs=1e-3)


def test_samples_that_are_no_numbers_are_survived(tmp_path):
    broken = sine(0.1)
    broken[0, 1000:2000] = np.nan
    broken[1, 3000] = np.inf
    found = facts(tmp_path / "a.wav", broken, subtype="FLOAT")
    assert np.isfinite(found.envelope).all()
    assert found.loudness_lufs is None or np.isfinite(found.loudness_lufs)


def test_a_damaged_file_is_heard_as_far_as_it_goes(tmp_path, sounds):
    whole = sounds(".flac")
    path = tmp_path / "a.flac"
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    found = listen(path)
    assert found.problem.startswith("damaged after")
    assert found.peak > 0.3


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "a.mp3").write_bytes(b"no sound at all" * 100)
    with pytest.raises(UnreadableAudioError):
        listen(tmp_path / "a.mp3")


def test_nobody_has_to_wait_for_it(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(0.1).T, RATE)
    assert listen(tmp_path / "a.wav", should_stop=lambda: True) is None


def test_a_meter_that_fails_keeps_no_song_from_being_shown(tmp_path, monkeypatch):
    import av.filter

    soundfile.write(tmp_path / "a.wav", sine(0.1).T, RATE)
    monkeypatch.setattr(av.filter, "Graph", lambda: 1 / 0)
    assert listen(tmp_path / "a.wav").loudness_lufs is None
