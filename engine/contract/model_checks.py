"""The checks of `model verify`: the engine makes them, the front end shows them."""

from __future__ import annotations

CHECKS: dict[str, str] = {
    "parts": "four parts",
    "tensors": "names and shapes",
    "configuration": "configuration",
    "mel": "mel transform",
    "text_tokens": "text tokens",
    "lyric_tokens": "lyric tokens",
    "tone": "a tone",
    "drums": "a drum loop",
    "clip": "a clip",
    "training_step": "a training step",
    "adapter": "an adapter",
}
"""Identifier and name of each check, in the order they are made."""
