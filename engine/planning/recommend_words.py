"""The words of a recommendation: the reason of each value, what is possible on a device, and what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from engine.contract.config import Config
from engine.contract.fields_base import Setting
from engine.hardware.machine import Device, Machine
from engine.planning.advice import Advice
from engine.planning.facts import DataFacts
from engine.planning.search import BATCHES, FITS_SHARE, PIECES_S, WHOLE_SONG_S, Choice, Search, Verdict, card_for
from engine.planning.vram import GB, estimate_memory

_SMALL_MAC_BYTES = 24 * GB


def title(device: Device) -> str:
    """What the heading says the values are for."""
    if device.kind == "cpu":
        return "this processor"
    return f"{round(device.total_bytes / GB)} GB" if device.total_bytes else device.name


def reasons(search: Search, choice: Choice, verdict: Verdict | None) -> dict[str, str]:
    """The reason of each value."""
    if verdict is None:
        return dict.fromkeys(choice.values(), "The free memory is not known: a careful start.")
    return {
        "base_model_precision": _precision_reason(search, choice, verdict),
        "mixed_precision": _FORMAT_REASONS[choice.number_format],
        "gradient_checkpointing": _recompute_reason(search, choice),
        "train_batch_size": _batch_reason(search, choice),
        "audio_max_duration_seconds": _piece_reason(search, choice, verdict),
        "long_clip": "Longer songs are used piece after piece." if choice.piece_s < WHOLE_SONG_S else "",
        "gradient_checkpointing_policy": _policy_reason(choice),
        "musubi_blocks_to_swap": _swap_reason(search, choice),
        "activation_offload": "Main memory has room for them; the card has not." if choice.offloads else _NO_NEED,
    }


_FORMAT_REASONS = {
    "bf16": "What this device computes best in.",
    "fp16": "This card has no bf16; fp16 with a loss scaler works.",
    "no": "A processor is quickest in full precision.",
}


def _precision_reason(search: Search, choice: Choice, verdict: Verdict | None) -> str:
    whole = _weights_gb(search, dataclasses.replace(choice, precision="no_change"))
    if choice.precision == "no_change":
        if search.device.kind == "mps":
            return "Storing it smaller brings nothing on a Mac."
        if verdict == "too big":
            return f"The smallest form of this version takes {whole} GB."
        return f"The model as it is takes {whole} GB: nothing is lost."
    small = _weights_gb(search, choice)
    if choice.precision.startswith("int8"):
        return f"Half the size, nearly the same sound: {small} not {whole} GB."
    return f"A third of the size, slightly coarser: {small} not {whole} GB."


_NO_NEED = "Not needed here: it would only take time."


def _policy_reason(choice: Choice) -> str:
    if not choice.recompute:
        return _NO_NEED
    if choice.policy == "selective":
        return "There is room to keep what is dear to compute."
    return "The least memory: all of a block is computed again."


def _swap_reason(search: Search, choice: Choice) -> str:
    if not choice.num_swapped:
        return _NO_NEED
    without = search.needs(dataclasses.replace(choice, num_swapped=0, offloads=False))
    return f"Else it would need {_gb(without)} GB; {_gb(search.device.free_bytes or 0)} GB are free."


def _recompute_reason(search: Search, choice: Choice) -> str:
    if not choice.recompute:
        return "There is room to keep everything: faster steps."
    without = search.needs(dataclasses.replace(choice, recompute=False))
    # Launches, not arithmetic, bound a step that is not compiled: computing again doubles them (docs/performance.md).
    cost = "a third longer" if _compiles(search.settings) else "twice as long"
    if search.needs(choice) >= without:
        return f"Less memory; each step takes {cost}."
    return f"Far less memory; each step takes {cost}."


def _batch_reason(search: Search, choice: Choice) -> str:
    if search.device.kind != "cuda":
        return "One at a time: more would only take longer."
    if choice.batch_size >= BATCHES[0]:
        return "Keeps the card busy; each step learns from four."
    double = choice.batch_size * 2
    needed = search.needs(dataclasses.replace(choice, batch_size=double))
    free = search.device.free_bytes or 0
    if needed <= FITS_SHARE * free:
        return f"{double} would need {_gb(needed)} GB: it fits, with less to spare."
    return f"{double} would need {_gb(needed)} GB; {_gb(free)} GB are free."


def _piece_reason(search: Search, choice: Choice, verdict: Verdict | None) -> str:
    if verdict == "too big":
        return "The shortest that makes sense; it still does not fit."
    if choice.piece_s >= WHOLE_SONG_S:
        where = "your card" if search.device.kind == "cuda" else "this Mac"
        return f"Whole songs fit {where}. The model ends at 4 minutes."
    if search.device.kind == "cpu":
        return "A processor needs long for each second of music."
    longer = PIECES_S[PIECES_S.index(choice.piece_s) - 1]
    needed = min(search.needs(one) for one in search.candidates() if one.piece_s == longer)
    return f"{_length(longer)} would need {_gb(needed)} GB; {_gb(search.device.free_bytes or 0)} GB are free."


def compile_advice(settings: Mapping[str, Setting], machine: Machine, device: Device) -> Advice:
    """Whether the model is compiled, and why: without a C compiler it cannot be."""
    if device.kind == "cuda" and not machine.has_compiler and _compiles(settings):
        return Advice("off", "No C compiler here: steps are slower, nothing else.")
    return Advice(settings["compile"].default, _compile_reason(settings, device))


def _compile_reason(settings: Mapping[str, Setting], device: Device) -> str:
    if not _compiles(settings):
        return "Nothing is compiled in this version yet."
    if device.kind == "mps":
        return "Does not pay on a Mac."
    # On an H100, a minute of music: 7 times with one song at once, 2 with eight (docs/performance.md).
    return "Starts 30 s later, then steps are 2 to 7 times faster."


def _compiles(settings: Mapping[str, Setting]) -> bool:
    return "on" in settings["compile"].working_choices


def sentence(search: Search, choice: Choice, verdict: Verdict | None) -> str:
    """What is possible on a device, for people."""
    device = search.device
    if device.kind == "cpu":
        return "A processor needs days for what a card does in an hour. Good for the demo; rent a card for the rest."
    if verdict is None:
        return "How much memory is free is not known, so these values are careful. The first steps show the truth."
    if _is_small_mac(search):
        return (
            "The model alone takes half of what macOS lends. The demo runs; for real training use a graphics card "
            "with 8 GB or more."
        )
    if verdict == "too big":
        needed, free = _gb(search.needs(choice)), _gb(device.free_bytes or 0)
        need = f"The model needs {needed} GB at least; {free} GB are free here."
        return f"{need}{_others(search)} {_way_out(search, choice)}"
    return _fitting_sentence(search, choice, verdict)


def _fitting_sentence(search: Search, choice: Choice, verdict: Verdict) -> str:
    is_whole = choice.piece_s >= WHOLE_SONG_S
    songs = "whole songs of 4 minutes" if is_whole else f"pieces of {_length(choice.piece_s)}"
    at_once = {1: "one", 2: "two", 4: "four"}[choice.batch_size]
    if search.device.kind == "mps":
        lent, total = _whole_gb(search.device.total_bytes or 0), _whole_gb(_mac_bytes(search) or 0)
        return (
            f"macOS lends the graphics part {lent} of your {total} GB. The model as it is (bf16) and {songs} fit; "
            "storing it smaller brings nothing on a Mac."
        )
    if choice.num_swapped and verdict == "fits":
        how = _SMALLER.get(choice.precision.partition("-")[0], "The model as it is")
        return f"{how} and {songs} fit. It works, slowly: part of it waits in main memory."
    fit, close = ("fit", "") if verdict == "fits" else ("just fit", " Close what else uses this card.")
    if choice.precision.startswith("int4"):
        return f"Stored with very few digits (int4), the model and {songs} {fit}. The sound is slightly coarser.{close}"
    if choice.precision.startswith("int8"):
        small = _weights_gb(search, choice)
        whole = _weights_gb(search, dataclasses.replace(choice, precision="no_change"))
        return (
            f"Stored with fewer digits (int8), the model takes {small} GB instead of {whole}, so {songs} {fit}, "
            f"{at_once} at a time.{close}"
        )
    if verdict == "tight":
        return f"The model just fits as it is ({choice.number_format}), with {songs}. Close what else uses this card."
    if choice.batch_size > 1 and is_whole:
        songs = f"{at_once} songs at once"
    else:
        songs += f", {at_once} at a time"
    return f"The model fits as it is ({choice.number_format}), with {songs}. No need to make it smaller."


_SMALLER = {
    "int4": "Stored with very few digits (int4), the model",
    "int8": "Stored with fewer digits (int8), the model",
}


def _others(search: Search) -> str:
    """Who else uses the card, the largest first."""
    programs = search.device.card.programs if search.device.card is not None else ()
    known = [(one.used_bytes, one.name) for one in programs if one.used_bytes]
    return f" {max(known)[1]} takes {_gb(max(known)[0])} GB of it." if known else ""


def _way_out(search: Search, choice: Choice) -> str:
    size = card_for(search.needs(choice))
    total = search.device.total_bytes or 0
    # A card that is large enough, but full.
    if total / GB >= size - 0.5:
        return "Close what else uses this card, or take another one."
    return f"Use a card with {size} GB or more; the demo runs here."


def warning(search: Search, choice: Choice, verdict: Verdict | None) -> str:
    """Why a device should not, or cannot, train, with what to do; empty when it can."""
    device = search.device
    if device.kind == "cpu":
        return "days, not hours"
    if device.kind == "cuda":
        problem = search.machine.cuda_problem(device.card) if device.card is not None else search.machine.driver_problem
        if problem:
            return problem
    return sentence(search, choice, verdict) if verdict == "too big" or _is_small_mac(search) else ""


def _mac_bytes(search: Search) -> int | None:
    """The whole memory of a Mac, of which a part is lent."""
    apple = search.machine.apple
    return apple.total_bytes if apple is not None else None


def _is_small_mac(search: Search) -> bool:
    total = _mac_bytes(search)
    return search.device.kind == "mps" and total is not None and total < _SMALL_MAC_BYTES


def _weights_gb(search: Search, choice: Choice) -> str:
    config = Config.from_dict({**search.base, **search.values(choice)})
    data = DataFacts(clip_s=(1.0,), bucket_s=(1.0,), num_captions=1)
    return _gb(estimate_memory(config, data=data, sizes=search.sizes, kind=search.device.kind).weights_bytes)


def _length(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds > 60 else f"{seconds:.0f} s"


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / GB:.1f}"


def _whole_gb(num_bytes: float) -> str:
    return f"{num_bytes / GB:.0f}"
