"""The numbers of the memory plan that are fitted to measurements: each with its meaning. Read from memory_terms.json.

`bench.fit_vram` writes that file from `measured_memory.json`; before a card was measured it holds computed values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TERMS_FILE = Path(__file__).with_name("memory_terms.json")


@dataclass(frozen=True, slots=True)
class MemoryTerms:
    """Coefficients. A *number* is one value in the compute format; "a frame" is a latent frame of one sample, times
    the model's width, times one block where a block is meant.

    Attributes:
        kept_frame_lora, kept_token_lora: Numbers that a block keeps for the backward pass of a LoRA, a latent frame
            and a condition token.
        kept_frame_full, kept_token_full: The same where every weight is trained: inputs of all layers are kept.
        selective_frame: As the first with the recompute policy ``selective``.
        under_way_frame: Numbers a frame of gradients and temporaries of the block under way.
        outer_frame, outer_token: Numbers outside the blocks: patches, head, loss; embedded conditions.
        ssl_frame: Numbers a frame of both projectors of musical features.
        lyric_share: The lyric encoder's activations, against what was counted of its tensors.
        cast_share: Copies in the compute format of what is trained in float32, against one copy of all.
        widened_share: Of a block's quantised weights, the share that is widened at one time.
        workspace_bytes: What cuBLAS and other libraries take through the allocator.
        slack_share, slack_bytes: What the allocator reserves beyond the peak.
        context_bytes: The CUDA context, outside the allocator.
    """

    kept_frame_lora: float
    kept_token_lora: float
    kept_frame_full: float
    kept_token_full: float
    selective_frame: float
    under_way_frame: float
    outer_frame: float
    outer_token: float
    ssl_frame: float
    lyric_share: float
    cast_share: float
    widened_share: float
    workspace_bytes: float
    slack_share: float
    slack_bytes: float
    context_bytes: float


@cache
def memory_terms() -> MemoryTerms:
    """The committed coefficients."""
    values = json.loads(TERMS_FILE.read_text(encoding="utf-8"))
    return MemoryTerms(**{name: float(value) for name, value in values["coefficients"].items()})
