"""What the files of a model say about themselves: parts, tensors, configurations, mel buffers, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.contract.byte_size import size_words
from engine.contract.model_files import (
    DCAE_FOLDER,
    TEXT_ENCODER_FOLDER,
    TRANSFORMER_FOLDER,
    VOCODER_FOLDER,
    read_config,
    weight_files,
)
from engine.hardware.models import ModelStatus
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.card import TransformerConfig, real_config
from engine.model.codec_load import EXPECTED_DCAE
from engine.model.load import read_transformer_config
from engine.model.mel import LogMel
from engine.model.parameter_names import checkpoint_shapes
from engine.model.tensor_file import TensorReader, read_header
from engine.model.vocoder import VocoderConfig
from engine.verify.outcome import Outcome

RELEASED_TENSORS = 874
"""Tensors of the released transformer (spec ace-step-v1.md 5)."""

EXPECTED_TEXT_ENCODER: dict[str, Any] = {
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 12,
    "num_heads": 12,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "vocab_size": 256_384,
}
"""umt5-base (spec ace-step-v1.md 7)."""

UMT5_VOCABULARY = 256_000
"""The published UMT5 tokenizer has at least as many tokens; only of it the ids below are known."""

KNOWN_PROMPTS: dict[str, list[int]] = {
    "Bonjour monsieur": [38530, 210703, 1],
    "No se como puedo": [826, 321, 671, 25922, 1],
    "This is the reason why we": [1460, 339, 312, 19014, 10620, 758, 1],
}
"""Ids that the makers of the transformers library publish for UMT5's tokenizer (its test of umt5-small)."""

KNOWN_LYRICS: dict[str, str] = {
    "[Verse]": "261 259 6683 2",
    "Walking down an empty road tonight": "261 259 36 56 2279 20 2 17 190 2 43 2 983 210 2 89 68 2 1007 343 583 2",
    "Eu quero dançar com você até amanhecer": "261 286 759 2 754 89 2 597 869 31 2 170 2 35 1024 265 2 14 811 2 2039 "
    "21 1763 44 2",
}
"""Ids that the original implementation gives (golden vectors, lyric_tokens)."""

# Of the largest value: what rounding of a file in float32, or in 16 bits, may make.
_MEL_TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-5}
_MEL_TOLERANCE_16_BITS = 1e-2
_MAX_NAMES = 3


def check_parts(status: ModelStatus) -> Outcome:
    """All four sub-folders are there, their weights as long as their headers say."""
    values = {f"{part.name}_bytes": float(part.bytes) for part in status.parts}
    if status.problem:
        return Outcome("failed", status.problem, values)
    if status.is_whole:
        return Outcome("passed", f"{len(status.parts)} parts, {size_words(status.bytes)}", values)
    wrong = [
        f"{part.name} is {part.state}{f' ({part.problem})' if part.problem else ''}"
        for part in status.parts
        if part.state != "whole"
    ]
    return Outcome("failed", "; ".join(wrong), values, tuple(wrong))


def check_tensors(transformer: Path) -> Outcome:
    """Names and shapes of the transformer's tensors are those that its configuration announces.

    Raises:
        ModelError: config.json or a file cannot be read.
    """
    config = read_transformer_config(transformer)
    wanted = checkpoint_shapes(config)
    found = {name: entry.shape for path in weight_files(transformer) for name, entry in read_header(path).items()}
    groups = {
        "missing": sorted(wanted.keys() - found.keys()),
        "not known": sorted(found.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {found[name]} instead of {shape}"
            for name, shape in wanted.items()
            if name in found and found[name] != shape
        ],
    }
    values = {"num_tensors": float(len(found)), "num_expected": float(len(wanted))}
    problems = {what: names for what, names in groups.items() if names}
    if problems:
        words = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in problems.items())
        return Outcome(
            "failed", words, values, tuple(f"{what}: {name}" for what, names in problems.items() for name in names)
        )
    if config == real_config() and len(found) != RELEASED_TENSORS:
        return Outcome("failed", f"{len(found)} tensors instead of {RELEASED_TENSORS}", values)
    return Outcome("passed", f"{len(found)} tensors, every name and shape as config.json announces", values)


def check_configuration(root: Mapping[str, Path]) -> Outcome:
    """Where the configurations differ from those of the released model; the files are followed all the same.

    Args:
        root: The folders of the four parts by their names.

    Raises:
        ModelError: A config.json cannot be read, or contradicts itself.
    """
    details = [
        *_transformer_differences(root[TRANSFORMER_FOLDER]),
        *codec_differences(root),
        *_differences("text encoder", read_config(root[TEXT_ENCODER_FOLDER]), EXPECTED_TEXT_ENCODER),
    ]
    values = {"num_differences": float(len(details))}
    if not details:
        return Outcome("passed", "every value as in the released model", values)
    words = f"{len(details)} differ from the released model, the files are followed: {_some(details)}"
    return Outcome("noted", words, values, tuple(details))


def is_released(transformer: Path) -> bool:
    """Whether a transformer has the released model's configuration: only then what it makes can be judged.

    Raises:
        ModelError: Its config.json cannot be read.
    """
    config: TransformerConfig = read_transformer_config(transformer)
    return config == real_config()


def codec_differences(root: Mapping[str, Path]) -> list[str]:
    """Where autoencoder and vocoder are not configured as in the released model; none = their sound can be judged.

    Args:
        root: The folders of both by their names.

    Raises:
        ModelError: A config.json cannot be read.
    """
    return [
        *_differences("autoencoder", read_config(root[DCAE_FOLDER]), EXPECTED_DCAE),
        *_differences("vocoder", read_config(root[VOCODER_FOLDER]), VocoderConfig().to_dict()),
    ]


def _transformer_differences(folder: Path) -> list[str]:
    """As `_differences`; of an absent key the default that is taken is told, as it is seldom the released value."""
    expected, taken = real_config().to_dict(), read_transformer_config(folder).to_dict()
    absent = expected.keys() - read_config(folder).keys()
    return [
        f"{line}; {taken[key]} is taken" if key in absent else line
        for key, value in expected.items()
        for line in _differences("transformer", {} if key in absent else taken, {key: value})
    ]


def _differences(part: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """``part key is X (Y in the released model)`` for each value that differs or is absent."""
    return [
        f"{part} {key} is {_as_list(found[key]) if key in found else 'absent'} ({_as_list(value)})"
        for key, value in expected.items()
        if key not in found or _as_list(found[key]) != _as_list(value)
    ]


def _as_list(value: Any) -> Any:
    return [_as_list(item) for item in value] if isinstance(value, list | tuple) else value


def check_mel(vocoder: Path) -> Outcome:
    """The mel window and filter bank that the vocoder's file carries are those that are computed here.

    Raises:
        ModelError: A file cannot be read.
    """
    log_mel = LogMel(VocoderConfig.from_dict(read_config(vocoder)))
    computed = {"window": log_mel.window, "fb": log_mel.filter_bank}
    largest: dict[str, float] = {}
    wrong = []
    with TensorReader() as reader:
        for name, entry in (
            (name, entry) for path in weight_files(vocoder) for name, entry in read_header(path).items()
        ):
            kind = name.rpartition(".")[2]
            if not name.startswith("mel_transform.") or kind not in computed:
                continue
            ours, stored = computed[kind], reader.read(entry).float()
            tolerance = _MEL_TOLERANCES.get(entry.dtype, _MEL_TOLERANCE_16_BITS)
            share = _largest_share(stored, ours)
            largest[kind] = share
            if not share <= tolerance:
                wrong.append(f"{name} differs from the computed one by {100 * share:.2g} % of its largest value")
    if wrong:
        return Outcome("failed", "; ".join(wrong), largest, tuple(wrong))
    missing = [kind for kind in computed if kind not in largest]
    if missing:
        return Outcome("noted", "the file carries no mel window and filter bank; the computed ones are used", largest)
    return Outcome("passed", "window and filter bank of the file equal the computed ones", largest)


def _largest_share(stored: Tensor, ours: Tensor) -> float:
    """Largest difference over the largest value; infinite where the shapes differ or a value is no number."""
    if stored.shape != ours.shape or not bool(torch.isfinite(stored).all()):
        return float("inf")
    return float((stored - ours).abs().max() / ours.abs().max())


def check_text_tokens(folder: Path) -> Outcome:
    """The tokenizer of captions gives the known ids; of another than UMT5's, the text that it was given comes back.

    Raises:
        ModelError: config.json cannot be read.
        Exception: Whatever the tokenizer libraries raise.
    """
    # transformers takes seconds to import; only a check of the tokenizer pays for it here.
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return judge_text_tokens(tokenizer, num_rows=int(read_config(folder).get("vocab_size", 0)))


def judge_text_tokens(tokenizer: Any, *, num_rows: int) -> Outcome:
    """As `check_text_tokens`, of a loaded tokenizer; the encoder's table has ``num_rows`` rows."""
    ids = {prompt: [int(token) for token in tokenizer(prompt).input_ids] for prompt in KNOWN_PROMPTS}
    highest = max(max(tokens) for tokens in ids.values())
    values = {"vocabulary": float(len(tokenizer)), "num_rows": float(num_rows)}
    if highest >= num_rows:
        return Outcome(
            "failed", f"it gives the id {highest}, the text encoder has {num_rows} rows: another tokenizer", values
        )
    if len(tokenizer) >= UMT5_VOCABULARY:
        wrong = [
            f"{prompt}: {ids[prompt]} instead of {known}"
            for prompt, known in KNOWN_PROMPTS.items()
            if ids[prompt] != known
        ]
        if wrong:
            return Outcome("failed", f"other ids than UMT5's: {wrong[0]}", values, tuple(wrong))
        return Outcome("passed", f"the ids of {len(KNOWN_PROMPTS)} known prompts are UMT5's", values)
    lost = [prompt for prompt, tokens in ids.items() if tokenizer.decode(tokens, skip_special_tokens=True) != prompt]
    if lost:
        return Outcome("failed", f"what it encodes does not come back: {', '.join(lost)}", values, tuple(lost))
    return Outcome(
        "noted", f"not UMT5's ({len(tokenizer):,} tokens), so no ids are known; texts come back whole", values
    )


def check_lyric_tokens(transformer: Path) -> Outcome:
    """The tokenizer of lyrics, which comes with this program, gives the original's ids, and the model has their rows.

    Raises:
        ModelError: config.json cannot be read.
    """
    tokenizer = LyricTokenizer()
    wrong = [
        f"{line}: {found} instead of {known}"
        for line, known in KNOWN_LYRICS.items()
        if (found := " ".join(map(str, tokenizer.encode(line).ids))) != known
    ]
    num_rows, wanted = (
        read_transformer_config(transformer).lyric_encoder_vocab_size,
        real_config().lyric_encoder_vocab_size,
    )
    values = {"num_rows": float(num_rows)}
    if wrong:
        return Outcome("failed", f"other ids than the original's: {wrong[0]}", values, tuple(wrong))
    if num_rows < wanted:
        return Outcome("failed", f"the model has {num_rows} rows for lyric tokens; {wanted} are needed", values)
    return Outcome("passed", f"the ids of {len(KNOWN_LYRICS)} known lines are the original's", values)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"{', '.join(names[:_MAX_NAMES])}{more}"
