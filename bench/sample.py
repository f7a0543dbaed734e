"""How fast a clip is made: seconds of sound a second, with guidance, autoencoder and vocoder, and where the time goes.

``python -m bench.sample --out FOLDER [--steps 27 60] [--compiled] [--lora RANK] [--profile] [--tiny]``. A checkpoint
of the released sizes with random weights; musical nonsense takes as long as music. Writes ``sample.json`` and
``sample.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.codec_forms import timed
from engine.contract.fields_lora import LORA_TARGETS
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.adapters import LoraSpec, add_lora
from engine.model.autoencoder import MusicCodec
from engine.model.card import SAMPLE_RATE, encoded_frames
from engine.model.codec_form import AS_LOADED, best_form, vocoder_form
from engine.model.family import AceStepV1
from engine.model.load import resolve_checkpoint
from engine.model.transformer import PATCH_CHANNELS, AceStepTransformer, ConditionInputs
from engine.sampling.erg import erg_supported
from engine.sampling.guidance import guided_steps
from engine.sampling.network import CallSettings, NetworkCall, compiled_blocks, kept_recordings
from engine.sampling.sampler import SamplingSettings, evaluated
from engine.train.device import choose_device, describe

GOAL = "60 s, 27 steps, guidance on: ≥ 150 × real time, codec included"
MEASURED = 3
NUM_TEXT_TOKENS, NUM_LYRIC_TOKENS = 128, 512


@dataclass
class Bench:
    """A loaded model with its codec, and what a clip is made of.

    Attributes:
        family: The checkpoint.
        model: In evaluation mode.
        codec: Its decoder, in float32, as test clips have it.
        device: Where they are.
        seconds: Of a clip.
    """

    family: AceStepV1
    model: AceStepTransformer
    codec: MusicCodec
    device: torch.device
    seconds: float
    lora_rank: int = 0

    @classmethod
    def load(cls, checkpoint: Path, seconds: float, *, lora_rank: int = 0) -> Bench:
        """Load as a run does: bf16 on a card, with a LoRA of float32 weights on the attentions if that is wanted."""
        device = choose_device()
        if device.type == "cuda":  # as a run sets them
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        family = AceStepV1(resolve_checkpoint(checkpoint))
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        model = family.load_model(dtype=dtype, device=device, with_projectors=False)
        codec = family.load_codec(dtype=torch.float32, device=device, parts=("decoder",))
        if lora_rank:
            spec = LoraSpec(rank=lora_rank, alpha=lora_rank, target_modules=LORA_TARGETS["attn_qkv"])
            add_lora(model, spec, seed=0)
        return cls(family, model.eval(), codec, device, seconds, lora_rank)

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Autocast, which a LoRA is run under."""
        if not self.lora_rank or self.device.type != "cuda":
            return contextlib.nullcontext()
        return torch.autocast("cuda", dtype=torch.bfloat16)

    @property
    def num_frames(self) -> int:
        """Of the clip's latents."""
        return encoded_frames(round(self.seconds * SAMPLE_RATE))

    def settings(self, num_steps: int, calls: CallSettings) -> SamplingSettings:
        """Those of upstream, as far as the model has the layers."""
        plain = SamplingSettings(num_steps=num_steps, calls=calls)
        return plain if erg_supported(self.model) else plain.without_erg()

    def noise(self) -> Tensor:
        """(1, C, H, T) on the device."""
        shape = (1, PATCH_CHANNELS, self.model.config.latent_height, self.num_frames)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    def text_states(self) -> Tensor:
        """(128, width)."""
        return torch.randn(NUM_TEXT_TOKENS, self.model.config.text_embedding_dim)

    def inputs(self) -> ConditionInputs:
        """128 text and 512 lyric tokens, all of them valid."""
        ids = torch.randint(3, 6000, (1, NUM_LYRIC_TOKENS), device=self.device)
        states = self.text_states()[None].to(self.device)
        ones = partial(torch.ones, device=self.device)
        return ConditionInputs(states, ones(1, NUM_TEXT_TOKENS), ids, ones(1, NUM_LYRIC_TOKENS), None)


def whole_clip(bench: Bench, num_steps: int, calls: CallSettings) -> dict[str, Any]:
    """`generate_clip` from text states and lyrics to 48 kHz, all of it."""
    from bench.vram_songs import lyrics_of

    told: list[str] = []
    lyrics = lyrics_of(NUM_LYRIC_TOKENS)
    tokenizer = LyricTokenizer("script")
    states = bench.text_states()

    def make() -> Any:
        with torch.no_grad(), bench.precision():
            return bench.family.generate_clip(
                bench.model,
                bench.codec,
                tokenizer,
                prompt="",
                text_states=states,
                lyrics=lyrics,
                seconds=bench.seconds,
                seed=0,
                settings=bench.settings(num_steps, calls),
                device=bench.device,
                on_fallback=told.append,
            )

    with kept_recordings(bench.model):  # as the test clips of a step are made
        first_s, clip = timed(make, bench.device)
        took = [timed(make, bench.device)[0] for _ in range(MEASURED)]
    assert clip.shape == (2, round(bench.seconds * SAMPLE_RATE))
    again_s = statistics.median(took)
    return {
        "steps": num_steps,
        "calls": _words(calls) + (f", LoRA of rank {bench.lora_rank}" if bench.lora_rank else ""),
        "first_s": round(first_s, 3),
        "seconds": round(again_s, 4),
        "real_time": round(bench.seconds / again_s, 1),
        "fallbacks": told,
    }


def network(bench: Bench, calls: CallSettings) -> list[dict[str, Any]]:
    """Milliseconds of a call without and with guidance, and how the velocity differs from that of plain calls."""
    rows: list[dict[str, Any]] = []
    x_t = bench.noise()
    erg = erg_supported(bench.model)
    with torch.no_grad(), evaluated(bench.model):
        conditions = bench.model.encode_conditions(bench.inputs())
        for count in (1, 2):
            branches, blunted = [conditions] * count, [False] * (count - 1) + [erg and count > 1]
            make = partial(_call, bench.model, branches, blunted)
            expected = make(CallSettings(uses_graphs=False))(x_t, 500.0)
            call = make(calls)
            with compiled_blocks(bench.model) if calls.is_compiled else torch.no_grad():
                first_s, _ = timed(partial(call, x_t, 500.0), bench.device)
                second_s, _ = timed(partial(call, x_t, 500.0), bench.device)
                took = [timed(partial(call, x_t, 500.0), bench.device) for _ in range(10)]
            found = took[-1][1]
            error = max(float((one - other).norm() / other.norm()) for one, other in zip(found, expected, strict=True))
            rows.append(
                {
                    "branches": count,
                    "calls": _words(calls),
                    "first_s": round(first_s, 3),
                    "second_s": round(second_s, 3),
                    "ms": round(statistics.median(seconds for seconds, _ in took) * 1000, 2),
                    "relative_error": error,
                }
            )
    return rows


def _call(model: AceStepTransformer, branches: Any, is_blunted: list[bool], calls: CallSettings) -> NetworkCall:
    return NetworkCall(model, branches, is_blunted=is_blunted, num_calls=100, settings=calls, on_fallback=print)


def decoding(bench: Bench) -> list[dict[str, Any]]:
    """Autoencoder, vocoder and resampling, in float32 and in the form in use, with the errors."""
    from engine.model.codec_form import in_form
    from engine.model.resample import resample

    codec, latents = bench.codec, torch.randn(1, 8, 16, bench.num_frames, device=bench.device)
    vocoder = codec.vocoder
    assert vocoder is not None
    forms = {"float32": (AS_LOADED, AS_LOADED, False), "as loaded (TF32 on a card)": (AS_LOADED, AS_LOADED, True)}
    forms["as used"] = (best_form(torch.float32, bench.device), vocoder_form(torch.float32, bench.device), True)
    rows: list[dict[str, Any]] = []
    exact: dict[str, Tensor] = {}
    with torch.no_grad():
        mel = codec._mel_of(latents, codec.dcae.decoder, overlapped=False)
        wave = torch.randn(2, round(bench.seconds * 44_100), device=bench.device) * 0.1
        for name, (of_decoder, of_vocoder, tf32) in forms.items():
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
            decoder, voice = in_form(codec.dcae.decoder, of_decoder), in_form(vocoder, of_vocoder)
            parts: dict[str, Callable[[], Tensor]] = {
                "autoencoder": partial(codec._mel_of, latents, decoder, overlapped=False),
                "vocoder": partial(codec._vocode, voice, mel),
                "resample to 48 kHz": partial(resample, wave, 44_100, 48_000),
            }
            for part, work in parts.items():
                timed(work, bench.device)
                took = [timed(work, bench.device) for _ in range(MEASURED)]
                result = took[-1][1].float()
                reference = exact.setdefault(part, result)
                seconds = statistics.median(one for one, _ in took)
                rows.append(
                    {
                        "part": part,
                        "form": name,
                        "ms": round(seconds * 1000, 2),
                        "real_time": round(bench.seconds / seconds, 1),
                        "relative_error": float((result - reference).norm() / reference.norm()),
                    }
                )
    return rows


def profile(bench: Bench, calls: CallSettings) -> dict[str, list[str]]:
    """The kernels that take most of a guided call, of the autoencoder's and of the vocoder's work."""
    from engine.model.codec_form import in_form

    codec, latents = bench.codec, torch.randn(1, 8, 16, bench.num_frames, device=bench.device)
    assert codec.vocoder is not None
    decoder = in_form(codec.dcae.decoder, best_form(torch.float32, bench.device))
    voice = in_form(codec.vocoder, vocoder_form(torch.float32, bench.device))
    x_t = bench.noise()
    found: dict[str, list[str]] = {}
    with torch.no_grad(), evaluated(bench.model):
        conditions = bench.model.encode_conditions(bench.inputs())
        mel = codec._mel_of(latents, decoder, overlapped=False)
        plain = replace(calls, uses_graphs=False)
        call = _call(bench.model, [conditions] * 2, [False, erg_supported(bench.model)], plain)
        with compiled_blocks(bench.model) if calls.is_compiled else torch.no_grad():
            found["guided call"] = _kernels(partial(call, x_t, 500.0), bench.device)
        found["autoencoder"] = _kernels(partial(codec._mel_of, latents, decoder, overlapped=False), bench.device)
        found["vocoder"] = _kernels(partial(codec._vocode, voice, mel), bench.device)
    return found


def _kernels(work: Callable[[], Any], device: torch.device) -> list[str]:
    from bench.codec_forms import heaviest

    timed(work, device)
    return heaviest(work, device)


def _words(calls: CallSettings) -> str:
    parts = ["compiled"] * calls.is_compiled + ["graphs"] * calls.uses_graphs
    return " + ".join(parts) or "eager"


def markdown(result: dict[str, Any]) -> str:
    """The figures as tables."""
    from bench.prepare import markdown_table

    lines = [
        "# Sampling",
        "",
        *(f"- {key}: {value}" for key, value in result["machine"].items()),
        f"- goal: {GOAL}",
        "",
    ]
    for name in ("clips", "network", "decoding"):
        if result.get(name):
            lines += [f"## {name.capitalize()}", "", *markdown_table(result[name]), ""]
    for name, kernels in result.get("profile", {}).items():
        lines += [f"## Where the time of the {name} goes", "", *(f"- {line}" for line in kernels), ""]
    return "\n".join(lines)


def main() -> None:
    """Measure and write, after every part, so that a time limit loses little."""
    parser = argparse.ArgumentParser(prog="python -m bench.sample", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sample")
    parser.add_argument("--checkpoint", type=Path, help="one of bench.checkpoint, written there if it is not")
    parser.add_argument("--steps", type=int, nargs="+", default=[27, 60])
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--compiled", action="store_true", help="measure compiled calls too")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--lora", type=int, default=0, metavar="RANK", help="whole clips alone, with a LoRA")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="acestep-sample-") as name:
        checkpoint = options.checkpoint or Path(name) / "checkpoint"
        write_checkpoint(checkpoint, is_tiny=options.tiny)
        seconds = options.seconds or (4.0 if options.tiny else 60.0)
        run(Bench.load(checkpoint, seconds, lora_rank=options.lora), options)


def write_checkpoint(folder: Path, *, is_tiny: bool) -> None:
    """Random weights; one that is there stays."""
    from bench.checkpoint import write_released_sizes
    from engine.model.tiny import write_tiny_checkpoint

    if not is_tiny:
        write_released_sizes(folder)
    elif not folder.exists():
        write_tiny_checkpoint(folder)


def run(bench: Bench, options: argparse.Namespace) -> None:
    """Every part asked for."""
    kinds = [CallSettings(uses_graphs=False), CallSettings()]
    if options.compiled:
        kinds += [CallSettings(is_compiled=True)]
    steps = guided_steps(min(options.steps), 0.5)
    machine = {"device": describe(bench.device), "torch": torch.__version__, "python": platform.python_version()}
    machine["guided"] = f"{len(steps)} of {min(options.steps)} steps, both branches in one call"
    result: dict[str, Any] = {"machine": machine}
    options.out.mkdir(parents=True, exist_ok=True)

    def keep(name: str, found: Any) -> None:
        result[name] = result.get(name, []) + found if isinstance(found, list) else found
        (options.out / "sample.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (options.out / "sample.md").write_text(markdown(result), encoding="utf-8")

    if not options.lora:
        keep("decoding", decoding(bench))
    for calls in kinds:
        if not options.lora:
            keep("network", network(bench, calls))
        for num_steps in options.steps:
            keep("clips", [whole_clip(bench, num_steps, calls)])
    if options.profile:
        keep("profile", profile(bench, kinds[-1]))
    print((options.out / "sample.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
