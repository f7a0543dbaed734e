"""What is trained, and its bytes: adapter and lyrics embedder, by optimizer."""

from typing import Any

import pytest

from engine.contract.config import Config
from engine.contract.optimizers import OPTIMIZERS
from engine.planning.facts import DataFacts
from engine.planning.sizes import demo_sizes, published_sizes
from engine.planning.trained import added_weight_bytes, gradient_bytes, num_trainable, optimizer_bytes
from engine.planning.vram import estimate_memory

SIZES = published_sizes()
EMBEDDER = 92_412_416  # ace-step-v1.md 5: embedding, encoder and projection of the lyrics
DATA = DataFacts(clip_s=(60.0,), bucket_s=(60.0,), num_captions=1, num_held_out=0, num_cached=0)


def config(**values: Any) -> Config:
    return Config.from_dict({"mixed_precision": "bf16", **values})


ADAPTER = num_trainable(config(), SIZES)


def test_the_embedder_is_counted_where_it_is_trained() -> None:
    assert num_trainable(config(lyrics_embedder_train=True), SIZES) == ADAPTER + EMBEDDER
    full = config(model_type="full", lyrics_embedder_train=True)
    assert num_trainable(full, SIZES) == num_trainable(config(model_type="full"), SIZES) == SIZES.num_used
    assert demo_sizes().num_lyrics_embedder < demo_sizes().num_used


def test_bytes_follow_from_formats() -> None:
    """Weight and gradient of the adapter; of the embedder its gradient and what it is wider than the base."""

    def added(config: Config) -> int:
        return added_weight_bytes(config, SIZES, stored_bytes=2.0) + gradient_bytes(config, SIZES)

    assert added(config()) == ADAPTER * 8
    assert added(config(lyrics_embedder_train=True)) == ADAPTER * 8 + EMBEDDER * (4 + 2)
    bf16 = config(optimizer="adamw_bf16")
    assert added(bf16) == ADAPTER * 4
    assert added(bf16.replace(gradient_precision="fp32")) == ADAPTER * 6


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_remembers_its_own_number_of_bytes(name: str) -> None:
    own = config(lyrics_embedder_train=True, lyrics_embedder_optimizer=name)
    kept = OPTIMIZERS[name].state_bytes
    assert optimizer_bytes(config(optimizer=name), SIZES) == int(ADAPTER * kept)
    assert optimizer_bytes(own, SIZES) == int(ADAPTER * 8 + EMBEDDER * kept)


def test_a_card_must_hold_the_embedder_too_and_less_of_small_formats() -> None:
    def peak(**values: Any) -> int:
        return estimate_memory(config(**values), data=DATA, sizes=SIZES, kind="cuda").peak_bytes

    # Weights and states stand all the time; gradients come while kept results go.
    more = peak(lyrics_embedder_train=True) - peak()
    assert EMBEDDER * 10 <= more <= EMBEDDER * 16
    assert peak(model_type="full", optimizer="adamw_bf16") < 0.8 * peak(model_type="full")
