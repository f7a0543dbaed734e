"""How fast each form of the codec's encoder is on this device, and how far its latents lie from those of float32."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.model.autoencoder import MusicCodec
from engine.model.card import CODEC_RATE, FRAME_SAMPLES
from engine.model.codec_form import AS_LOADED, CodecForm, best_form
from engine.model.mel import normalise

MEASURED = 3


@dataclass(frozen=True)
class Variant:
    """A form to measure.

    Attributes:
        name: In the table.
        form: Of the encoder.
        tf32: Whether a card may multiply float32 in TF32.
    """

    name: str
    form: CodecForm
    tf32: bool = True


def _half(dtype: torch.dtype, *, is_compiled: bool = False) -> CodecForm:
    return CodecForm(dtype, is_channels_last=True, is_fused=True, is_compiled=is_compiled)


FP32 = Variant("fp32", AS_LOADED, tf32=False)
VARIANTS: tuple[Variant, ...] = (
    FP32,
    Variant("tf32", AS_LOADED),
    Variant("tf32, channels last, fused", _half(torch.float32)),
    Variant("bf16", CodecForm(torch.bfloat16)),
    Variant("fp16", CodecForm(torch.float16)),
    Variant("fp16, channels last", CodecForm(torch.float16, is_channels_last=True)),
    Variant("fp16, channels last, fused", _half(torch.float16)),
    Variant("bf16, channels last, fused", _half(torch.bfloat16)),
)
COMPILED: tuple[Variant, ...] = (
    Variant("fp16, channels last, compiled", CodecForm(torch.float16, is_channels_last=True, is_compiled=True)),
    Variant("fp16, channels last, fused, compiled", _half(torch.float16, is_compiled=True)),
)


def measure_forms(
    codec: MusicCodec, sound: Tensor, variants: tuple[Variant, ...], *, windows: tuple[int, ...]
) -> list[dict[str, Any]]:
    """Each variant on one sound; the first must be float32, to which the others are compared.

    Args:
        codec: Loaded in float32.
        sound: (2, n) float32 at the codec's rate.
        variants: Which.
        windows: Mel frames worked on at once; the first is used for all variants, the others for the best form too.
    """
    device = next(codec.dcae.encoder.parameters()).device
    seconds = sound.shape[-1] / CODEC_RATE
    best = best_form(torch.float32, device)
    planned = [(variant, windows[0]) for variant in variants]
    planned += [(Variant("as used, other windows", best), window) for window in windows[1:]]
    rows: list[dict[str, Any]] = []
    exact: Tensor | None = None
    for variant, window in planned:
        row: dict[str, Any] = {"form": variant.name, "window_frames": window, "is_used": variant.form == best}
        try:
            latents, row["first_s"], row["second_s"], row["peak_gib"] = _encode(codec, sound, variant, window)
        except Exception as error:  # a form that this machine cannot compute is a result, too
            rows.append(row | {"error": f"{type(error).__name__}: {error}"[:300]})
            continue
        exact = latents if exact is None else exact
        difference = (latents - exact).abs()
        row["real_time"] = round(seconds / row["second_s"], 1)
        row["relative_error"] = float(difference.double().square().sum().sqrt() / exact.double().square().sum().sqrt())
        row["largest_error"] = float(difference.max() / exact.abs().max())
        rows.append(row)
        codec._encoders.pop(variant.form, None)
    return rows


@torch.no_grad()
def _encode(codec: MusicCodec, sound: Tensor, variant: Variant, window: int) -> tuple[Tensor, float, float, float]:
    """Latents, seconds of the first time and of a later one (median), peak GiB; the sound is on the device already."""
    device = next(codec.dcae.encoder.parameters()).device
    wave = _whole_frames(sound)[None].to(device)

    def once() -> Tensor:
        encoder = codec.mel_encoder(variant.form)
        return encoder(normalise(codec.log_mel(wave)), window=window).float()

    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = variant.tf32
    try:
        _reset_peak(device)
        first_s, latents = timed(once, device)
        later = [timed(once, device)[0] for _ in range(MEASURED)]
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    return latents.cpu(), round(first_s, 4), round(statistics.median(later), 5), round(peak, 2)


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds that something takes on a device, and what it gave."""
    _wait(device)
    started = time.perf_counter()
    result = work()
    _wait(device)
    return time.perf_counter() - started, result


def profile_form(codec: MusicCodec, sound: Tensor, *, window: int) -> list[str]:
    """What the form in use spends the card's time on: the kernels that take most, in words."""
    device = next(codec.dcae.encoder.parameters()).device
    form = best_form(torch.float32, device)
    _encode(codec, sound, Variant("", form), window)
    wave = _whole_frames(sound)[None].to(device)
    encoder = codec.mel_encoder(form)
    return heaviest(lambda: encoder(normalise(codec.log_mel(wave)), window=window), device)


@torch.no_grad()
def heaviest(work: Callable[[], Any], device: torch.device, *, most: int = 16) -> list[str]:
    """The kernels that take most of something, in words."""
    from torch.profiler import ProfilerActivity, profile

    on_card = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_card else [])) as profiler:
        work()
        _wait(device)
    events = [
        (event.self_device_time_total if on_card else event.self_cpu_time_total, event.count, event.key)
        for event in profiler.key_averages()
        # An operator's time is that of its kernels, which are events of their own.
        if not on_card or event.device_type == torch.autograd.DeviceType.CUDA
    ]
    total = sum(spent for spent, _, _ in events) or 1.0
    lines = [f"{total / 1000:.2f} ms in all, {sum(count for _, count, _ in events)} kernels"]
    return lines + [
        f"{spent / 1000:.2f} ms ({100 * spent / total:.0f} %), {count} ×: {name[:110]}"
        for spent, count, name in sorted(events, reverse=True)[:most]
    ]


def _whole_frames(sound: Tensor) -> Tensor:
    return torch.nn.functional.pad(sound, (0, -sound.shape[-1] % FRAME_SAMPLES))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
