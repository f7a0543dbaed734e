"""How large a model is, read from its config.json and the headers of its safetensors files: no tensor, no torch."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from engine.contract.errors import ModelError

TRANSFORMER_FOLDER = "ace_step_transformer"
CODEC_FOLDERS = ("music_dcae_f8c8", "music_vocoder")
TEXT_ENCODER_FOLDER = "umt5-base"
# Cross attention owns these, the computation never uses them (ace-step-v1.md 2.7): they are kept out of memory.
_UNUSED = (".add_q_proj.", ".add_k_proj.", ".add_v_proj.", ".to_add_out.")
_LYRICS_EMBEDDER = ("lyric_embs.", "lyric_encoder.", "lyric_proj.")
_FIRST_BLOCK = "transformer_blocks.0."
_QUANTISED_PARTS = ("transformer_blocks.", "lyric_encoder.encoders.")
_HEADER_LIMIT_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """Parameter counts and widths of a checkpoint.

    Attributes:
        name: What was measured, for people.
        num_parameters: All tensors of the transformer's file.
        num_unused: Of these, the projections that take no part in the computation.
        num_projectors: Of these, the projectors of musical features.
        num_blocks, inner_dim: Depth and width of the transformer.
        num_codec, num_text_encoder: Parameters of autoencoder with vocoder, and of the text encoder.
        num_codec_encoder, num_codec_decoder: Of the autoencoder's, those that encode and those that decode.
        num_lyrics_embedder: Of the transformer's, those of embedding, encoder and projection of the lyrics.
        num_block: Of the transformer's, those of one block that take part in the computation.
        num_quantisable: Of the used ones, those that `engine.model.quantise` stores with fewer digits.
        linears: (in, out) of every two-dimensional weight by module name, for counting an adapter.
    """

    name: str
    num_parameters: int
    num_unused: int
    num_projectors: int
    num_blocks: int
    inner_dim: int
    num_codec: int
    num_text_encoder: int
    num_lyrics_embedder: int = 0
    num_block: int = 0
    num_quantisable: int = 0
    num_codec_encoder: int = 0
    num_codec_decoder: int = 0
    linears: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    _widths: dict[tuple[str, ...], int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_used(self) -> int:
        """Parameters that are held in memory for training without musical features."""
        return self.num_parameters - self.num_unused - self.num_projectors

    @property
    def num_vocoder(self) -> int:
        """Parameters of the vocoder: the codec's that are none of the autoencoder's."""
        return self.num_codec - self.num_codec_encoder - self.num_codec_decoder

    def num_adapter(self, target_modules: Sequence[str], rank: int) -> int:
        """Parameters of a LoRA on every module whose name ends in one of ``target_modules``."""
        targets = tuple(target_modules)
        if targets not in self._widths:  # 2 ms, and a set-up asks a hundred times
            self._widths[targets] = sum(
                width_in + width_out
                for name, (width_in, width_out) in self.linears.items()
                if any(name == target or name.endswith(f".{target}") for target in targets)
            )
        return rank * self._widths[targets]


def read_sizes(root: Path) -> ModelSizes:
    """Measure a checkpoint in the hub's layout.

    Raises:
        ModelError: A sub-folder, its config.json or its weights are missing or unreadable.
    """
    folder = root / TRANSFORMER_FOLDER
    shapes = dict(_shapes(folder))
    config = _config(folder)
    used = {name: shape for name, shape in shapes.items() if not any(part in name for part in _UNUSED)}
    unused = sum(map(_size, shapes.values())) - sum(map(_size, used.values()))
    projectors = sum(_size(shape) for name, shape in shapes.items() if name.startswith("projectors."))
    codec = [(name, _size(shape)) for part in CODEC_FOLDERS for name, shape in _shapes(root / part)]
    linears = {
        name.removesuffix(".weight"): (_size(shape[1:]), shape[0])
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) >= 2
    }
    return ModelSizes(
        name=root.name,
        num_parameters=sum(map(_size, shapes.values())),
        num_unused=unused,
        num_projectors=projectors,
        num_blocks=int(config.get("num_layers", 28)),
        inner_dim=int(config.get("num_attention_heads", 24)) * int(config.get("attention_head_dim", 64)),
        num_codec=sum(size for _, size in codec),
        num_text_encoder=sum(_size(shape) for _, shape in _shapes(root / TEXT_ENCODER_FOLDER)),
        num_lyrics_embedder=sum(_size(shape) for name, shape in shapes.items() if name.startswith(_LYRICS_EMBEDDER)),
        num_block=sum(_size(shape) for name, shape in used.items() if name.startswith(_FIRST_BLOCK)),
        num_quantisable=sum(_size(shape) for name, shape in used.items() if _is_quantisable(name, shape)),
        num_codec_encoder=sum(size for name, size in codec if name.startswith("encoder.")),
        num_codec_decoder=sum(size for name, size in codec if name.startswith("decoder.")),
        linears=linears,
    )


@cache
def published_sizes() -> ModelSizes:
    """ACE-Step v1 3.5B as published (ace-step-v1.md 5), for planning before it is downloaded."""
    return ModelSizes(
        name="ACE-Step v1 3.5B",
        num_parameters=3_305_659_264,
        num_unused=629_391_360,
        num_projectors=87_840_512,
        num_blocks=24,
        inner_dim=2560,
        num_codec=156_812_426 + 103_005_138,
        num_text_encoder=281_861_376,
        num_lyrics_embedder=6_853_632 + 82_934_784 + 2_624_000,
        num_block=101_680_640,
        num_quantisable=2_519_728_128,
        num_codec_encoder=77_668_232,
        num_codec_decoder=79_144_194,
        linears=_adapted(num_blocks=24, width=2560, num_lyric=6, lyric_width=1024, speaker_width=512),
    )


def demo_sizes() -> ModelSizes:
    """The demo's own model, for planning before it is written (a test compares)."""
    return ModelSizes(
        name="tiny-model",
        num_parameters=1_621_784,
        num_unused=111_744,
        num_projectors=122_168,
        num_blocks=3,
        inner_dim=96,
        num_codec=103_192,
        num_text_encoder=99_072,
        num_lyrics_embedder=371_232,
        num_block=146_592,
        num_quantisable=470_016,
        num_codec_encoder=44_600,
        num_codec_decoder=44_610,
        linears=_adapted(num_blocks=3, width=96, num_lyric=2, lyric_width=48, speaker_width=32),
    )


def _adapted(
    *, num_blocks: int, width: int, num_lyric: int, lyric_width: int, speaker_width: int
) -> dict[str, tuple[int, int]]:
    """(in, out) of the modules that an adapter may sit on, by name."""
    linears = {
        f"transformer_blocks.{block}.{kind}.{name}": (width, width)
        for block in range(num_blocks)
        for kind in ("attn", "cross_attn")
        for name in ("to_q", "to_k", "to_v", "to_out.0")
    }
    linears |= {
        f"lyric_encoder.encoders.{layer}.self_attn.linear_{name}": (lyric_width, lyric_width)
        for layer in range(num_lyric)
        for name in ("q", "k", "v")
    }
    linears["speaker_embedder"] = (speaker_width, width)
    return linears


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensor name to dtype, shape and offsets; ``__metadata__`` left out.

    Raises:
        ModelError: Not readable, or not a safetensors file.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER_LIMIT_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("a header that is no object")
    except (OSError, ValueError, struct.error) as error:
        raise ModelError(
            f"{path}: not a readable safetensors file ({error})", hint="Download or copy the file again."
        ) from error
    header.pop("__metadata__", None)
    return header


def _shapes(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        reason = "holds no .safetensors file" if folder.is_dir() else "is missing"
        raise ModelError(f"{folder}: the folder {reason}", hint="The model needs it; download or copy it again.")
    for file in files:
        for name, entry in read_header(file).items():
            yield name, tuple(entry["shape"])


def _is_quantisable(name: str, shape: Sequence[int]) -> bool:
    """Whether it is the matrix of a linear layer in a part that is quantised; its 1x1 convolutions are such."""
    is_matrix = name.endswith(".weight") and len(shape) >= 2 and _size(shape[2:]) == 1
    return is_matrix and name.startswith(_QUANTISED_PARTS)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error})", hint="Download or copy the file again.") from error


def _size(shape: Sequence[int]) -> int:
    return math.prod(shape)
