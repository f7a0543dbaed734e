"""The text encoder of ACE-Step v1: captions to UMT5 hidden states (spec section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.contract.errors import ModelError
from engine.contract.model_files import TRANSFORMERS_WEIGHTS, read_config, weight_files
from engine.model.quantise import Quantisation, quantise_layers
from engine.model.query_scale import scaled_outputs
from engine.model.weights import assign_tensors, read_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

MAX_PROMPT_CHARACTERS = 256
"""What the trainer keeps of a prompt before it is tokenised."""

ERG_LAYERS = (8, 9)
"""Encoder layers whose queries are scaled for the null text of ERG (0-based)."""

BATCH = 16
"""Captions encoded at once unless the caller says otherwise; more cost memory."""

_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")


class TextEncoder:
    """UMT5 encoder with its tokenizer, in eval mode.

    Args:
        model: The encoder on its device.
        tokenizer: Its tokenizer.
        max_length: Tokens kept of a caption.
    """

    def __init__(self, model: UMT5EncoderModel, tokenizer: PreTrainedTokenizerBase, *, max_length: int = 256) -> None:
        self.model, self.tokenizer, self.max_length = model.eval(), tokenizer, max_length

    @classmethod
    def from_folder(
        cls,
        path: Path,
        *,
        dtype: torch.dtype,
        device: torch.device | str,
        max_length: int = 256,
        quantisation: Quantisation | None = None,
        variant: str | None = None,
    ) -> TextEncoder:
        """Load from ``umt5-base`` of a checkpoint, each tensor straight to its dtype and device.

        With ``quantisation`` the linear layers of its blocks are stored with fewer digits.

        Raises:
            ModelError: A file is missing or damaged, or the weights do not fit the configuration.
        """
        tokenizer = _load_tokenizer(path)
        files = weight_files(path, default_name=TRANSFORMERS_WEIGHTS, variant=variant)
        model = _load_encoder(path, files, dtype=dtype, device=torch.device(device), quantisation=quantisation)
        return cls(model, tokenizer, max_length=max_length)

    @property
    def supports_erg(self) -> bool:
        """Whether the encoder has the layers that ERG's null text scales."""
        return len(self.model.encoder.block) > max(ERG_LAYERS)

    @torch.no_grad()
    def encode(
        self, captions: Sequence[str], *, query_scale: float | None = None, batch_size: int = BATCH
    ) -> list[Tensor]:
        """Hidden states of captions, one at a time or many: the result is the same.

        Args:
            captions: Cut to their first 256 characters, then to `max_length` tokens.
            query_scale: Factor on the queries of layers 8 and 9: the null text of ERG takes 0.01.
            batch_size: Encoded at once.

        Returns:
            Per caption ``(tokens, width)`` without padding, in the encoder's dtype, on its device.

        Raises:
            ValueError: `query_scale` with an encoder that has too few layers (`supports_erg`).
        """
        if query_scale is not None and not self.supports_erg:
            raise ValueError(f"ERG scales encoder layers {ERG_LAYERS}; this one has {len(self.model.encoder.block)}")
        states: list[Tensor] = []
        with self._scaled_queries(query_scale):
            for first in range(0, len(captions), batch_size):
                states += self._encode_batch(captions[first : first + batch_size])
        return states

    def _encode_batch(self, captions: Sequence[str]) -> list[Tensor]:
        tokens = self.tokenizer(
            [caption[:MAX_PROMPT_CHARACTERS] for caption in captions],
            padding=True,
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        ).to(self.model.device)
        output = self.model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
        kept = tokens.attention_mask.bool()
        return [hidden[mask] for hidden, mask in zip(output.last_hidden_state, kept, strict=True)]

    def _scaled_queries(self, scale: float | None) -> AbstractContextManager[None]:
        if scale is None:
            return nullcontext()
        queries: list[nn.Module] = [self.model.encoder.block[index].layer[0].SelfAttention.q for index in ERG_LAYERS]
        return scaled_outputs(queries, scale)


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    # transformers takes seconds to import; only encoding text pays for it.
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    # Any exception: the tokenizer libraries raise bare Exception (Rust) as well as OSError, ValueError and KeyError.
    except Exception as error:
        raise ModelError(
            f"the tokenizer in {folder} cannot be read: {error}",
            hint="tokenizer.json, tokenizer_config.json and special_tokens_map.json of the checkpoint belong there.",
        ) from error


def _load_encoder(
    folder: Path,
    files: Sequence[Path],
    *,
    dtype: torch.dtype,
    device: torch.device,
    quantisation: Quantisation | None,
) -> UMT5EncoderModel:
    from transformers import UMT5Config, UMT5EncoderModel

    values = read_config(folder)
    try:
        with torch.device("meta"):
            model = UMT5EncoderModel(UMT5Config.from_dict(values))
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder / 'config.json'} does not describe a UMT5 encoder: {error}") from error
    # In float16 the last projection of the feed-forward overflows; transformers too keeps it in float32 then.
    wide_dtype = torch.float32 if dtype == torch.float16 else dtype
    tensors = read_tensors(files, dtype=dtype, device=device, keep=lambda name: _is_encoder(name, wide=False))
    tensors |= read_tensors(files, dtype=wide_dtype, device=device, keep=lambda name: _is_encoder(name, wide=True))
    # One table under two names; files hold either or both.
    for name, other in (_EMBEDDINGS, _EMBEDDINGS[::-1]):
        if name in tensors:
            tensors[other] = tensors[name]
    assign_tensors(model, tensors, source=files[0])
    del tensors  # a layer's wide weight must go as soon as it is quantised
    if quantisation is not None:
        quantise_layers(model, quantisation, parts=("encoder.block.",))
    return model.eval().requires_grad_(False)


def _is_encoder(name: str, *, wide: bool) -> bool:
    """Whether a tensor belongs to the encoder (a file of the whole UMT5 is accepted) and is or is not a wide one."""
    return not name.startswith(("decoder.", "lm_head.")) and name.endswith(".wo.weight") == wide
