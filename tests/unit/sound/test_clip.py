"""What a clip looks like is measured right, whatever the file is."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import soundfile

from acestep_tui.sound.clip import NUM_BANDS, NUM_COLUMNS, Clip, integrated_loudness, k_weighting, look_at

RATE = 48_000


def tone(seconds: float, hz: float = 997.0, level: float = 1.0, rate: int = RATE) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def written(path, samples, rate=RATE) -> Clip:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return look_at(path)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_the_loudness_of_a_full_scale_tone_is_that_of_the_standard(tmp_path, rate):
    # ITU-R BS.1770: a 997 Hz sine at full scale in one channel is -3.01 LUFS.
    clip = written(tmp_path / "a.wav", tone(10.0, rate=rate), rate)
    assert clip.lufs == pytest.approx(-3.01, abs=0.02)
    assert clip.seconds == pytest.approx(10.0)
    quiet = written(tmp_path / "b.wav", tone(10.0, level=0.1, rate=rate), rate)
    assert quiet.lufs == pytest.approx(-23.01, abs=0.02)


def test_two_channels_add_up_and_silence_is_gated_out(tmp_path):
    loud = tone(5.0)
    both = written(tmp_path / "a.wav", np.stack([loud, loud], axis=1))
    assert both.lufs == pytest.approx(0.0, abs=0.02)
    # The gate: five seconds of silence behind it change nothing but the blocks over the edge.
    padded = written(tmp_path / "b.wav", np.concatenate([loud, np.zeros(5 * RATE)]))
    assert padded.lufs == pytest.approx(-3.01, abs=0.15)


def test_the_weighting_is_that_of_the_standards_coefficients():
    # The two filters of BS.1770 as it prints them, at 48 kHz.
    hz = np.array([40.0, 100.0, 997.0, 3000.0, 15_000.0])
    z = np.exp(-2j * np.pi * hz / RATE)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z * z) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z * z
    )
    high_pass = (1 - 2 * z + z * z) / (1 - 1.99004745483398 * z + 0.99007225036621 * z * z)
    assert np.abs(k_weighting(hz, RATE)) == pytest.approx(np.abs(shelf * high_pass), rel=1e-3)


def test_silence_and_a_moment_have_no_loudness(tmp_path):
    assert written(tmp_path / "a.wav", np.zeros(RATE)).lufs is None
    assert written(tmp_path / "b.wav", tone(0.2)).lufs is None
    assert integrated_loudness(np.zeros(0)) is None


def test_wave_and_picture_have_their_shape_and_follow_the_sound(tmp_path):
    sound = np.concatenate([np.zeros(4 * RATE), tone(4.0, hz=7900.0, level=0.5)])
    clip = written(tmp_path / "a.wav", sound)
    assert len(clip.envelope) == NUM_COLUMNS
    assert max(clip.envelope[: NUM_COLUMNS // 2 - 1]) == 0.0
    assert min(clip.envelope[NUM_COLUMNS // 2 + 1 :]) == pytest.approx(0.5, abs=0.01)
    assert (len(clip.mel), {len(row) for row in clip.mel}) == (NUM_BANDS, {NUM_COLUMNS})
    late = [row[-1] for row in clip.mel]
    assert late.index(max(late)) in (9, 10)  # 8 kHz lies near the top
    assert late[0] < 0.2
    assert all(row[0] == 0.0 for row in clip.mel)


def test_a_short_file_is_still_drawn(tmp_path):
    clip = written(tmp_path / "a.wav", tone(0.01))
    assert (len(clip.envelope), len(clip.mel[0])) == (NUM_COLUMNS, NUM_COLUMNS)
    assert clip.problem == ""


def test_numbers_that_are_none_do_no_harm(tmp_path):
    sound = tone(2.0)
    sound[1000:2000] = math.nan
    sound[3000] = math.inf
    clip = written(tmp_path / "a.wav", sound)
    assert all(math.isfinite(value) for row in (clip.envelope, *clip.mel) for value in row)
    assert clip.lufs is not None and math.isfinite(clip.lufs)


def test_what_is_wrong_is_said(tmp_path):
    assert look_at(tmp_path / "gone.wav").problem == "The file is not there any more."
    (tmp_path / "text.wav").write_text("no sound")
    assert look_at(tmp_path / "text.wav").problem.startswith("The file cannot be read: ")
    assert written(tmp_path / "empty.wav", np.zeros(0)).problem == "The file holds no sound."


def test_what_was_asked_stands_beside_the_file(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"seed": 42, "prompt": "slow"}))
    assert written(tmp_path / "a.wav", tone(0.5)).asked == {"seed": 42, "prompt": "slow"}
    (tmp_path / "a.json").write_text("[1, 2")
    assert look_at(tmp_path / "a.wav").asked == {}
    (tmp_path / "a.json").write_text("[1, 2]")
    assert look_at(tmp_path / "a.wav").asked == {}
