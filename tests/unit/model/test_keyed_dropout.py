"""Dropout by keys: the right share, no pattern, and the same whatever a sample stands beside."""

from __future__ import annotations

import pytest
import torch

from engine.model.keyed_dropout import KeyedDropout, drop, give_keys, hashed_columns, hashed_rows, sample_keys

CPU = torch.device("cpu")


def layer(width: int = 96, **settings: bool) -> torch.nn.Sequential:
    model = torch.nn.Sequential(KeyedDropout(0.25, width, **settings)).train()
    model.keys = give_keys(model, CPU)  # type: ignore[assignment]
    return model


def test_as_many_are_dropped_as_should_be_and_the_rest_makes_up_for_it() -> None:
    rows = hashed_rows(sample_keys(42, 7, range(8)), 0, 645)
    for name in ("transformer_blocks.0.attn.to_q", "transformer_blocks.1.attn.to_q"):
        dropped = drop(torch.ones(8, 645, 512), 0.1, rows[1:], hashed_columns(name, 512, CPU))
        assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.9)]
        is_zero = (dropped == 0).float()
        count = is_zero.numel()
        assert float(is_zero.mean()) == pytest.approx(0.1, abs=4 * (0.09 / count) ** 0.5)
        # Rows and columns differ from one another no more than chance makes them.
        assert float(is_zero.mean((0, 1)).std()) == pytest.approx((0.09 / (8 * 645)) ** 0.5, rel=0.15)
        assert float(is_zero.mean(2).std()) == pytest.approx((0.09 / 512) ** 0.5, rel=0.05)
        for shift in (1, 2, 64):
            for left, right in (
                (is_zero[..., shift:], is_zero[..., :-shift]),
                (is_zero[:, shift:], is_zero[:, :-shift]),
            ):
                assert float((left * right).mean()) == pytest.approx(0.01, abs=5e-4)


def test_layers_samples_steps_and_seeds_drop_differently() -> None:
    x = torch.ones(1, 64, 96)

    def mask(name: str = "a", *, seed: int = 1, position: int = 0, step: int = 0, shared: bool = False):
        rows = hashed_rows(sample_keys(seed, step, [position]), 0, 64)
        return drop(x, 0.25, rows[:1] if shared else rows[1:], hashed_columns(name, 96, CPU)) == 0

    plain = mask()
    assert torch.equal(plain, mask(step=5)), "a sample's own mask does not know the step"
    for other in (mask("b"), mask(seed=2), mask(position=1), mask(shared=True)):
        agreement = float((plain == other).float().mean())
        assert agreement == pytest.approx(0.25**2 + 0.75**2, abs=0.03)
    assert not torch.equal(mask(shared=True), mask(shared=True, step=1))


def test_a_sample_alone_is_dropped_as_in_a_batch_whatever_the_padding() -> None:
    model = layer()
    x = torch.randn(3, 20, 96)
    with model.keys.of(sample_keys(1, 4, [10, 11, 12]), longest=20):
        together = model(x)
    with model.keys.of(sample_keys(1, 4, [11]), longest=5000):  # the table of rows grows
        alone = model(x[1:2, :13])
    assert torch.equal(together[1:2, :13], alone)
    assert not torch.equal(together[1], x[1])


def test_a_distance_keeps_its_mask_however_long_the_lyrics_are() -> None:
    model = layer(of_distances=True)
    longest = torch.ones(1, 2 * 40, 96)
    keys = sample_keys(1, 4, [10, 11])
    with model.keys.of(keys, longest=80):
        long = model(longest)
        short = model(longest[:, : 2 * 15])
    # Of L lyrics the rows are the distances L ... -(L - 1): the shorter ones stand in the middle.
    assert torch.equal(long[:, 25:55], short)
    with model.keys.of(sample_keys(1, 4, [99]), longest=80):
        assert torch.equal(model(longest), long), "shared by all samples of a step"


def test_without_keys_torch_draws_and_in_evaluation_nothing_is_dropped() -> None:
    model = layer()
    x = torch.ones(2, 8, 96)
    torch.manual_seed(0)
    first = model(x)
    torch.manual_seed(0)
    assert torch.equal(first, torch.nn.functional.dropout(x, 0.25))
    with model.keys.of(sample_keys(1, 0, [0, 1]), longest=8):
        assert torch.equal(model.eval()(x), x)
        two_axes = model.train()(x[:, 0])
    assert two_axes.shape == (2, 96) and bool((two_axes == 0).any())
