"""Cached latents against the encode path of the golden vectors, computed here step by step (spec 6.1, 6.2, 9.1)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from diffusers import AutoencoderDC
from torch import Tensor

from engine.cache.audio_latents import AudioLatents, encode_clips, is_silent, load_clip_audio, to_stereo
from engine.cache.build import build_cache
from engine.cache.key import codec_fingerprint
from engine.cache.store import CacheStore
from engine.cache.text_states import TextStates
from engine.model.autoencoder import MusicCodec
from engine.model.resample import resample
from tests.numerics.golden_common import GOLDEN
from tests.unit.cache.stand_ins import entries_of, song_of

SETTINGS = json.loads((GOLDEN / "music_dcae_tiny.io.json").read_text())
WEIGHTS = safetensors.torch.load_file(GOLDEN / "music_dcae_tiny.weights.safetensors")
VECTORS = safetensors.torch.load_file(GOLDEN / "music_dcae_tiny.io.safetensors")


def part(prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor.clone() for name, tensor in WEIGHTS.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def encoder() -> torch.nn.Module:
    dcae = AutoencoderDC.from_config(SETTINGS["dcae_config"])
    dcae.load_state_dict(part("dcae."))
    return dcae.eval().encoder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """The golden codec in the layout of a checkpoint."""
    root = tmp_path_factory.mktemp("golden_codec")
    for name, config, prefix in (
        ("music_dcae_f8c8", "dcae_config", "dcae."),
        ("music_vocoder", "vocoder_config", "vocoder."),
    ):
        (root / name).mkdir()
        (root / name / "config.json").write_text(json.dumps(SETTINGS[config]))
        safetensors.torch.save_file(part(prefix), root / name / "diffusion_pytorch_model.safetensors")
    return root


def load_codec(checkpoint: Path) -> MusicCodec:
    return MusicCodec.from_folders(
        checkpoint / "music_dcae_f8c8",
        checkpoint / "music_vocoder",
        dtype=torch.float32,
        device="cpu",
        parts=("encoder",),
    )


@torch.no_grad()
def reference_latents(audio: Tensor, encoder: torch.nn.Module) -> Tensor:
    """Steps 1 to 5 of spec 6.2 for one clip (2, n) at 48 kHz, with the filter bank and window of the golden files."""
    mel_files = safetensors.torch.load_file(GOLDEN / "log_mel.safetensors")
    bank = next(tensor for name, tensor in mel_files.items() if sorted(tensor.shape) == [128, 1025])
    bank = bank if bank.shape[0] == 128 else bank.T
    wave = resample(audio, 48_000, 44_100)
    wave = torch.nn.functional.pad(wave, (0, -wave.shape[-1] % 4096))
    wave = torch.nn.functional.pad(wave[None], (768, 768), mode="reflect")[0]
    spectrum = torch.fft.rfft(wave.unfold(-1, 2048, 512) * torch.hann_window(2048, periodic=True))
    magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-6)
    mel = torch.log(torch.clamp(bank @ magnitude.transpose(-1, -2), min=1e-5))
    raw = encoder(((mel + 11) / 14 - 0.5)[None] / 0.5)[0]
    return (raw - SETTINGS["shift_factor"]) * SETTINGS["scale_factor"]


def test_the_reference_of_this_test_gives_the_golden_latents(encoder):
    for audio, latents in zip(VECTORS["in.audio_48k"], VECTORS["out.latents"], strict=True):
        torch.testing.assert_close(reference_latents(audio, encoder), latents, atol=1e-4, rtol=1e-4)


def write(folder: Path, name: str, samples: np.ndarray, rate: int) -> None:
    """Samples (channels, n) as a float WAV, whose values come back exactly."""
    soundfile.write(folder / name, samples.T, rate, subtype="FLOAT")


@pytest.fixture
def songs(tmp_path) -> dict[str, tuple[np.ndarray, int]]:
    """Three files as users have them: 44.1 kHz mono, 22.05 kHz stereo (too loud: it is clamped), 48 kHz 5.1."""
    generator = np.random.default_rng(7)
    seconds = {"mono.wav": (1, 44_100, 1.3), "low.wav": (2, 22_050, 1.0), "surround.wav": (6, 48_000, 1.1)}
    folder = tmp_path / "songs"
    folder.mkdir()
    made = {}
    for name, (channels, rate, length_s) in seconds.items():
        times = np.arange(round(rate * length_s)) / rate
        tones = [0.6 * np.sin(2 * np.pi * (220 + 110 * channel) * times) for channel in range(channels)]
        samples = (np.stack(tones) + generator.normal(0, 0.2, (channels, len(times)))).astype(np.float32)
        write(folder, name, samples, rate)
        made[name] = (samples, rate)
    return made


def cached(tmp_path: Path, checkpoint: Path, entries) -> AudioLatents:
    store = CacheStore(audio_folder=tmp_path / "cache" / "audio", text_folder=tmp_path / "cache" / "text")
    encoder_id = codec_fingerprint(checkpoint / "music_dcae_f8c8", checkpoint / "music_vocoder", dtype="float32")
    audio = AudioLatents(store, encoder_id=encoder_id)
    build_cache(
        entries,
        [],
        audio=audio,
        text=TextStates(store, encoder_id=""),
        load_codec=lambda: load_codec(checkpoint),
        load_text_encoder=lambda: pytest.fail("there is no caption to encode"),
        on_progress=lambda *_: None,
        on_problem=lambda problem: pytest.fail(str(problem)),
        should_stop=lambda: False,
    )
    return audio


def test_cached_latents_are_those_of_the_golden_encode_path(tmp_path, songs, checkpoint, encoder):
    entries = entries_of([song_of(tmp_path / "songs" / name, tmp_path / "songs") for name in songs])
    audio = cached(tmp_path, checkpoint, entries)
    assert len(entries) == 3
    for entry in entries:
        [clip] = entry.clips
        samples, rate = songs[clip.song.relative_path]
        left_right = torch.from_numpy(samples)[[0, 0] if len(samples) == 1 else [0, 1]]
        wave = resample(left_right, rate, 48_000)[:, : clip.num_samples].clamp(-1, 1)
        found = audio.read(clip)
        assert found.latents.shape == (8, 16, clip.num_frames)
        assert found.latent_length == clip.valid_frames
        torch.testing.assert_close(found.latents, reference_latents(wave, encoder), atol=1e-4, rtol=1e-4)


def test_cached_equals_fresh_bit_for_bit(tmp_path, songs, checkpoint):
    entries = entries_of([song_of(tmp_path / "songs" / name, tmp_path / "songs") for name in songs])
    audio = cached(tmp_path, checkpoint, entries)
    codec = load_codec(checkpoint)
    for entry in entries:
        [fresh] = encode_clips(codec, [load_clip_audio(entry.clips[0])])
        assert torch.equal(audio.read(entry.clips[0]).latents, fresh.latents)


@pytest.mark.parametrize("rate", [22_050, 32_000, 44_100, 48_000])
def test_every_member_of_a_bucket_has_the_same_number_of_samples(tmp_path, rate):
    folder = tmp_path / "songs"
    folder.mkdir()
    noise = np.random.default_rng(0).uniform(-1, 1, (2, rate * 2 + 777)).astype(np.float32)
    write(folder, "song.wav", noise, rate)
    song = song_of(folder / "song.wav", folder)
    for mode in ("beginning", "end", "random"):
        [entry] = entries_of([song], duration_interval=1.7, truncation_mode=mode)
        assert load_clip_audio(entry.clips[0]).shape == (2, 81_600)


def test_a_piece_is_the_part_of_the_song_it_says(tmp_path):
    folder = tmp_path / "songs"
    folder.mkdir()
    samples = np.random.default_rng(0).uniform(-1, 1, (2, 96_000)).astype(np.float32)
    write(folder, "song.wav", samples, 48_000)
    [entry] = entries_of(
        [song_of(folder / "song.wav", folder)], duration_interval=0.5, max_duration_s=0.5, long_clip="pieces"
    )
    for clip in entry.clips:
        begin = clip.piece * 24_000
        assert torch.equal(load_clip_audio(clip), torch.from_numpy(samples[:, begin : begin + 24_000]))


def test_mono_is_doubled_surround_gives_its_front_and_channels_1_mixes_down():
    mono, stereo, surround = torch.randn(1, 5), torch.randn(2, 5), torch.randn(6, 5)
    assert torch.equal(to_stereo(mono), torch.cat([mono, mono]))
    assert torch.equal(to_stereo(surround), surround[:2])
    mixed = to_stereo(stereo, channels=1)
    assert torch.equal(mixed[0], mixed[1])
    torch.testing.assert_close(mixed[0], (stereo[0] + stereo[1]) / 2)


def test_silence_is_exact_zeros_in_both_channels():
    audio = torch.zeros(2, 1000)
    audio[0, :49] = 1e-6
    assert is_silent(audio)
    audio[1, 900:] = -1e-6
    assert not is_silent(audio)
