"""A whole checkpoint passes; one that is broken in any of these ways is found, by the check that looks there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from engine.contract.model_checks import CHECKS
from engine.contract.model_files import SUB_FOLDERS
from engine.hardware.models import model_status
from engine.model.load import load_codec, resolve_checkpoint
from engine.model.tiny import write_tiny_checkpoint
from engine.verify import files, sound
from engine.verify.model import verify_files
from engine.verify.outcome import Outcome
from engine.verify.training import Effort, Rehearsal
from tests.unit.verify.conftest import BANK, VOCODER, WINDOW, change_tensors, with_nan

TRANSFORMER = "ace_step_transformer/diffusion_pytorch_model.safetensors"
DCAE = "music_dcae_f8c8/diffusion_pytorch_model.safetensors"
TEXT = "umt5-base/model.safetensors"
SHORT = Effort(clip_s=1.0, num_steps=2)


def verify(folder: Path, *, effort: Effort = SHORT) -> dict[str, Outcome]:
    told: list[tuple[str, Outcome | None]] = []
    outcomes = verify_files(
        model_status(folder),
        device=torch.device("cpu"),
        tell=lambda check, outcome: told.append((check, outcome)),
        effort=effort,
    )
    # Everybody hears of every check, in the order of the table, at its end at least.
    assert [check for check, outcome in told if outcome is not None] == list(CHECKS) == list(outcomes)
    return outcomes


def states(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {check: outcome.state for check, outcome in outcomes.items()}


def set_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def without(folder: Path, key: str) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    del values[key]
    path.write_text(json.dumps(values), encoding="utf-8")


def test_a_whole_checkpoint_passes_everything_that_can_be_judged_of_it(whole):
    outcomes = verify(whole)
    assert states(outcomes) == {
        "parts": "passed",
        "tensors": "passed",
        # What a small test model cannot be held to is said, not judged.
        "configuration": "noted",
        "mel": "passed",
        "text_tokens": "noted",
        "lyric_tokens": "passed",
        "tone": "noted",
        "drums": "noted",
        "clip": "passed",
        "training_step": "passed",
        "adapter": "passed",
    }
    assert outcomes["tensors"].words == "168 tensors, every name and shape as config.json announces"
    assert "transformer num_layers is 3 (24)" in outcomes["configuration"].details
    assert outcomes["mel"].values == {"window": 0.0, "fb": 0.0}
    assert outcomes["tone"].values["expected_hz"] == 440.0 and "not judged" in outcomes["tone"].words
    assert 0.001 < outcomes["training_step"].values["loss"] < 5
    assert outcomes["adapter"].values["changed_share"] > 1e-4


def test_a_missing_part_and_a_cut_off_one_are_named(copy):
    shutil.rmtree(copy / "music_vocoder")
    raw = (copy / TEXT).read_bytes()
    (copy / TEXT).write_bytes(raw[:-100])
    outcomes = verify(copy)
    assert outcomes["parts"].state == "failed"
    assert (
        "music_vocoder is missing" in outcomes["parts"].words and "umt5-base is incomplete" in outcomes["parts"].words
    )
    # What is here is looked at all the same; nothing else is made.
    assert outcomes["tensors"].state == "passed" and outcomes["lyric_tokens"].state == "passed"
    assert states(outcomes)["mel"] == states(outcomes)["clip"] == "skipped"
    assert outcomes["mel"].words == "not made: music_vocoder is not whole"
    assert outcomes["configuration"].words == "not made: music_vocoder, umt5-base are not whole"


def test_a_name_that_is_nowhere_fails_and_the_rest_is_not_made(tmp_path):
    outcomes = verify(tmp_path / "nothing")
    assert outcomes["parts"].state == "failed" and set(states(outcomes).values()) == {"failed", "skipped"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: {**tensors, "lyric_proj.bias": torch.zeros(95)}, "1 of another shape: lyric_proj.bias (95,)"),
        (
            lambda tensors: {name: x for name, x in tensors.items() if name != "lyric_proj.bias"},
            "1 missing: lyric_proj",
        ),
        (lambda tensors: {**tensors, "something.else": torch.zeros(1)}, "1 not known: something.else"),
    ],
)
def test_wrong_tensors_are_named(copy, change, words):
    change_tensors(copy / TRANSFORMER, change)
    outcomes = verify(copy)
    assert outcomes["tensors"].state == "failed" and words in outcomes["tensors"].words
    assert outcomes["clip"].state == "skipped"


def test_a_wrong_value_that_changes_shapes_fails_and_one_that_does_not_is_noted(copy):
    set_config(copy / "ace_step_transformer", rope_theta=10_000.0)
    set_config(copy / "umt5-base", relative_attention_max_distance=64)
    outcomes = verify(copy)
    assert outcomes["configuration"].state == "noted"
    assert "transformer rope_theta is 10000.0 (1000000.0)" in outcomes["configuration"].details
    assert "text encoder relative_attention_max_distance is 64 (128)" in outcomes["configuration"].details
    set_config(copy / "ace_step_transformer", num_layers=4)
    assert verify(copy)["tensors"].state == "failed"
    set_config(copy / "ace_step_transformer", num_layers="four")
    outcomes = verify(copy)
    assert outcomes["tensors"].state == outcomes["configuration"].state == "failed"
    assert "num_layers is 'four'" in outcomes["configuration"].words


def test_changed_mel_buffers_fail_and_absent_ones_are_noted(copy):
    change_tensors(copy / VOCODER, lambda tensors: tensors | {BANK: tensors[BANK] * 1.001})
    outcome = files.check_mel(copy / "music_vocoder")
    assert outcome.state == "failed" and BANK in outcome.words and "0.1 %" in outcome.words
    # In 16 bits its own rounding is let pass, another filter bank is not.
    change_tensors(copy / VOCODER, lambda tensors: tensors | {BANK: tensors[BANK].bfloat16()})
    assert files.check_mel(copy / "music_vocoder").state == "passed"
    change_tensors(copy / VOCODER, lambda tensors: tensors | {WINDOW: tensors[WINDOW].roll(40)})
    assert files.check_mel(copy / "music_vocoder").state == "failed"
    change_tensors(copy / VOCODER, lambda tensors: tensors | {WINDOW: torch.zeros(1024)})
    assert files.check_mel(copy / "music_vocoder").state == "failed"
    change_tensors(
        copy / VOCODER, lambda tensors: {name: x for name, x in tensors.items() if name not in (WINDOW, BANK)}
    )
    assert files.check_mel(copy / "music_vocoder").state == "noted"


def test_the_tokenizer_of_another_model_is_found(copy):
    tokenizer = json.loads((copy / "umt5-base/tokenizer.json").read_text(encoding="utf-8"))
    (copy / "umt5-base/tokenizer.json").write_text(
        json.dumps({**tokenizer, "normalizer": {"type": "Lowercase"}}), encoding="utf-8"
    )
    outcome = files.check_text_tokens(copy / "umt5-base")
    assert outcome.state == "failed" and "does not come back: Bonjour monsieur" in outcome.words
    set_config(copy / "umt5-base", vocab_size=50)
    assert "the text encoder has 50 rows" in files.check_text_tokens(copy / "umt5-base").words
    (copy / "umt5-base/tokenizer.json").write_text("{}", encoding="utf-8")
    outcomes = verify(copy)
    assert (
        outcomes["text_tokens"].state == outcomes["clip"].state == "failed" and outcomes["adapter"].state == "skipped"
    )


class Tokenizer:
    """As large as the published one."""

    def __init__(self, ids: dict[str, list[int]]) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return 256_300

    def __call__(self, prompt: str) -> Tokenizer:
        self.input_ids = self._ids[prompt]
        return self


def test_of_umt5_the_ids_are_known():
    assert files.judge_text_tokens(Tokenizer(files.KNOWN_PROMPTS), num_rows=256_384).state == "passed"
    other = {prompt: [*ids[:-1], 5, 1] for prompt, ids in files.KNOWN_PROMPTS.items()}
    outcome = files.judge_text_tokens(Tokenizer(other), num_rows=256_384)
    assert outcome.state == "failed" and len(outcome.details) == 3 and "[38530, 210703, 1]" in outcome.words


def test_the_released_configuration_announces_874_tensors(tmp_path, monkeypatch):
    real = files.real_config()
    assert len(files.checkpoint_shapes(real)) == files.RELEASED_TENSORS == 874
    monkeypatch.setattr(files, "real_config", lambda: files.read_transformer_config(folder))
    folder = write_tiny_checkpoint(tmp_path / "tiny") / "ace_step_transformer"
    outcome = files.check_tensors(folder)
    assert files.is_released(folder) and outcome.state == "failed" and outcome.words == "168 tensors instead of 874"


@pytest.mark.parametrize(
    ("file", "tensor", "check", "words"),
    [
        (DCAE, "decoder.conv_out.bias", "tone", "not finite"),
        (VOCODER, "head.conv_post.bias", "drums", "not finite"),
        (TRANSFORMER, "final_layer.linear.bias", "clip", "not finite"),
        (TEXT, "encoder.final_layer_norm.weight", "clip", "text encoder's states"),
    ],
)
def test_weights_that_are_no_numbers_are_heard(copy, file, tensor, check, words):
    change_tensors(copy / file, lambda tensors: with_nan(tensors, tensor))
    outcomes = verify(copy)
    assert outcomes[check].state == "failed" and words in outcomes[check].words
    assert outcomes["adapter"].state in ("failed", "skipped")
    if file == TRANSFORMER:
        step = outcomes["training_step"]
        assert (step.state, step.words) == ("failed", "the loss of a drum loop, or its gradient, is not a number")


def test_a_silent_vocoder_is_heard(copy):
    change_tensors(
        copy / VOCODER,
        lambda tensors: (
            {name: x * 0 for name, x in tensors.items()}
            | {name: x for name, x in tensors.items() if name.startswith("mel_transform.") or name.endswith("_v")}
        ),
    )
    outcomes = verify(copy)
    assert outcomes["tone"].words == "what comes back is silent" and outcomes["clip"].state == "failed"
    assert "is silent" in outcomes["clip"].words


def test_a_clip_that_clips_is_heard(copy):
    change_tensors(copy / VOCODER, lambda tensors: tensors | {"head.conv_post.bias": torch.full((1,), 20.0)})
    assert "clips" in verify(copy)["clip"].words


def test_an_adapter_without_effect_is_found(whole, monkeypatch):
    clips: list = []
    make = Rehearsal._make_clip

    def same_again(rehearsal: Rehearsal):
        clips.append(clips[0] if clips else make(rehearsal))
        return clips[-1]

    monkeypatch.setattr(Rehearsal, "_make_clip", same_again)
    outcome = verify(whole)["adapter"]
    assert len(clips) == 2 and outcome.state == "failed" and outcome.words == "the clip is the same with and without it"


def test_an_unlikely_loss_is_noted_and_of_the_released_model_a_failure(copy, monkeypatch):
    change_tensors(copy / TRANSFORMER, lambda tensors: tensors | {"final_layer.linear.bias": torch.full((128,), 50.0)})
    # The codec is judged by its own configurations, whatever transformer stands beside it.
    monkeypatch.setattr(files, "codec_differences", lambda root: [])
    outcomes = verify(copy)
    assert outcomes["training_step"].state == "noted"
    for check in ("tone", "drums"):  # random weights are no good codec, which is shown and no failure
        assert outcomes[check].state == "noted" and "of a good codec one expects" in outcomes[check].words
    monkeypatch.setattr(files, "real_config", lambda: files.read_transformer_config(copy / "ace_step_transformer"))
    monkeypatch.setattr(files, "RELEASED_TENSORS", 168)
    outcomes = verify(copy)
    assert (
        outcomes["training_step"].state == "failed"
        and "a trained model gives 0.001 to 5" in outcomes["training_step"].words
    )


def test_of_a_codec_every_value_counts_also_an_absent_one(tmp_path):
    root = {name: tmp_path / name for name in ("music_dcae_f8c8", "music_vocoder")}
    for folder, values in zip(root.values(), (files.EXPECTED_DCAE, files.VocoderConfig().to_dict()), strict=True):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    assert files.codec_differences(root) == []
    set_config(root["music_vocoder"], f_min=20)
    without(root["music_dcae_f8c8"], "scaling_factor")
    assert files.codec_differences(root) == [
        "autoencoder scaling_factor is absent (0.41407)",
        "vocoder f_min is 20 (40)",
    ]


def test_an_absent_value_is_named_with_what_is_taken(copy):
    without(copy / "ace_step_transformer", "rope_theta")
    without(copy / "umt5-base", "relative_attention_num_buckets")
    details = files.check_configuration({name: copy / name for name in SUB_FOLDERS}).details
    assert "transformer rope_theta is absent (1000000.0); 1000000.0 is taken" in details
    assert "text encoder relative_attention_num_buckets is absent (32)" in details


def test_a_stop_ends_it_between_two_checks(whole):
    outcomes = verify_files(
        model_status(whole), device=torch.device("cpu"), tell=lambda *_: None, should_stop=iter([False, True]).__next__
    )
    assert list(outcomes) == ["parts"]


class Wire:
    """A codec that changes nothing, or what it is told."""

    def __init__(self, whole: Path, change=lambda wave: wave) -> None:
        self.log_mel = load_codec(
            resolve_checkpoint(whole), dtype=torch.float32, device="cpu", parts=("encoder",)
        ).log_mel
        self._change = change

    def encode(self, wave, *, sample_rate):
        return wave, None

    def decode(self, latents, *, sample_rate, lengths):
        return [self._change(latents[0])]


def test_what_comes_back_is_measured(whole):
    same = Wire(whole)
    assert sound.check_tone(same, is_judged=True) == Outcome(
        "passed",
        "440 Hz comes back as 440.0 Hz, its sound 0.0 dB off",
        {"error_db": 0.0, "pitch_hz": 440.0, "expected_hz": 440.0},
    )
    drums = sound.check_drums(same, is_judged=True)
    assert drums.state == "passed" and drums.values == {"error_db": 0.0, "beat_correlation": 1.0}
    # Half as loud is 6 dB off; resampled to 44.1 kHz as if it were 48 kHz, a tone sounds 8.8 % too high.
    assert sound.check_tone(Wire(whole, lambda wave: wave / 2), is_judged=True).values["error_db"] == pytest.approx(
        6.02, abs=0.1
    )

    def too_fast(wave):
        high = torch.nn.functional.interpolate(wave[None], size=162_067)[0]
        return torch.nn.functional.pad(high, (0, wave.shape[-1] - high.shape[-1]))

    high = sound.check_tone(Wire(whole, too_fast), is_judged=True)
    assert high.state == "noted" and "expects within 1 % and 6 dB" in high.words
    assert high.values["pitch_hz"] == pytest.approx(440 * 48 / 44.1, rel=2e-3)
    noise = Wire(whole, lambda wave: 0.1 * torch.randn(wave.shape, generator=torch.Generator().manual_seed(0)))
    heard = sound.check_drums(noise, is_judged=True)
    assert heard.state == "noted" and abs(heard.values["beat_correlation"]) < 0.3
    assert "not judged" in sound.check_drums(noise, is_judged=False).words
