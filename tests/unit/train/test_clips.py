"""Test clips: their files and names, a prompt that fails, other noise, decoding in parts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from engine.contract.config import Config
from engine.contract.run_dir import RunDir
from engine.sampling.sampler import SamplingSettings
from engine.train.oom import Ladder
from engine.train.validate import ClipMaker, ClipPrompt, Interrupted


@dataclass
class FakeFamily:
    """Makes a tone, or does what a prompt's text says."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    def generate_clip(self, model, codec, tokenizer, *, on_step, **asked):
        self.asked.append(asked)
        on_step(1, 2)
        if asked["prompt"] == "too long":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GB")
        if asked["prompt"] == "broken":
            raise ValueError("this prompt is broken")
        if asked["prompt"] == "silence":
            return np.zeros((2, round(asked["seconds"] * 48_000)), dtype=np.float32)
        t = np.arange(round(asked["seconds"] * 48_000)) / 48_000
        return np.tile(np.sin(2 * np.pi * 440 * t) * 0.5, (2, 1)).astype(np.float32)


class FakeCodec(nn.Identity):
    """Is put wherever a clip is decoded."""

    def place(self, device: torch.device, *, stays: bool = True) -> None:
        self.placed = device, stays

    def forget_copies(self) -> None:
        self.has_forgotten = True


@dataclass
class Heard:
    events: list[Any] = field(default_factory=list)

    def emit(self, event) -> None:
        self.events.append(event)

    def said(self, code: str) -> list[str]:
        return [event.message for event in self.events if event.kind == "warning" and event.code == code]

    def saved(self) -> list[str]:
        return [event.path for event in self.events if event.kind == "sample_saved"]


def maker(folder: Path, *prompts: str, **settings) -> ClipMaker:
    wanted = [ClipPrompt(f"p{index}", text, "", 0.25, 7, torch.zeros(1, 2)) for index, text in enumerate(prompts)]
    config = Config.from_dict({"mixed_precision": "no", **settings})
    device, heard = torch.device("cpu"), Heard()
    return ClipMaker(
        family=FakeFamily(),
        prompts=wanted,
        settings=SamplingSettings(num_steps=2, guidance_scale=4.0),
        codec=FakeCodec(),
        tokenizer=None,
        run_dir=RunDir(folder),
        config=config,
        device=device,
        emitter=heard,
        memory=Ladder(RunDir(folder), config, device, heard),
    )


def test_a_clip_is_a_stereo_file_of_48_khz_with_a_whole_sidecar(tmp_path):
    making = maker(tmp_path, "calm piano")
    assert making.make(nn.Identity(), step=40) == 1
    assert making.emitter.saved() == ["validation/step_40_p0.wav"]
    facts = soundfile.info(tmp_path / "validation" / "step_40_p0.wav")
    assert (facts.samplerate, facts.channels, facts.frames, facts.subtype) == (48_000, 2, 12_000, "PCM_16")
    sidecar = json.loads((tmp_path / "validation" / "step_40_p0.json").read_text(encoding="utf-8"))
    assert sidecar.keys() >= {"prompt", "lyrics", "seed", "steps", "guidance", "duration", "step", "real_seconds"}
    assert (sidecar["prompt"], sidecar["seed"], sidecar["steps"], sidecar["guidance"]) == ("calm piano", 7, 2, 4.0)
    assert (sidecar["step"], sidecar["duration"], sidecar["real_seconds"]) == (40, 0.25, 0.25)


def test_a_prompt_that_fails_stops_neither_the_others_nor_training(tmp_path):
    making = maker(tmp_path, "broken", "calm piano", "too long")
    assert making.make(nn.Identity(), step=3) == 1
    assert making.emitter.saved() == ["validation/step_3_p1.wav"]
    broken, too_long = making.emitter.said("clip_failed")
    assert "p0 at step 3 failed: this prompt is broken" in broken and "memory" not in broken
    assert "validation_audio_duration (now 0.25 s)" in too_long and "vae_enable_tiling" in too_long
    assert broken.endswith("Training goes on")


def test_a_silent_clip_is_said_to_be_silent(tmp_path):
    making = maker(tmp_path, "silence")
    making.make(nn.Identity(), step=3)
    (said,) = making.emitter.said("clip_verdict")
    assert "silent" in said


def test_an_ending_tells_clips_of_one_prompt_apart(tmp_path):
    making = maker(tmp_path, "a", "b")
    making.make(nn.Identity(), step=3, suffix="_ema")
    assert making.emitter.saved() == ["validation/step_3_p0_ema.wav", "validation/step_3_p1_ema.wav"]


def test_the_seed_is_fixed_unless_other_noise_is_wanted(tmp_path):
    making = maker(tmp_path, "a", "b")
    for step in (1, 2):
        making.make(nn.Identity(), step=step)
    assert {asked["seed"] for asked in making.family.asked} == {7}

    other = maker(tmp_path, "a", "b", validation_randomize=True)
    for step in (1, 2, 1):
        other.make(nn.Identity(), step=step)
    seeds = [asked["seed"] for asked in other.family.asked]
    assert len(set(seeds)) == 4 and seeds[:2] == seeds[4:], "other noise at each step, the same again at the same step"
    assert json.loads((tmp_path / "validation" / "step_2_p0.json").read_text(encoding="utf-8"))["seed"] == seeds[2]


def test_a_stop_ends_a_long_library_at_once(tmp_path):
    making = maker(tmp_path, *"abcdef")
    with pytest.raises(Interrupted):
        making.make(nn.Identity(), step=1, should_stop=lambda: len(making.family.asked) == 3)
    assert len(making.emitter.saved()) == 2


def test_why_clips_are_slower_is_said_once(tmp_path):
    making = maker(tmp_path, "calm piano", "calm bells")
    making.make(nn.Identity(), step=1)
    for asked in making.family.asked:
        asked["on_fallback"]("no graph")
        asked["on_fallback"]("no graph")
    assert making.emitter.said("clip_slower") == ["test clips are made more slowly: no graph"]
    assert making.codec.placed == (torch.device("cpu"), False)
