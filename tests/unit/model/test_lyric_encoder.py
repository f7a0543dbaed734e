import math

import pytest
import torch

from engine.model.card import LyricEncoderConfig
from engine.model.lyric_encoder import LyricEncoder, RelativeAttention, RelativePositions, distances_to_keys

CONFIG = LyricEncoderConfig(input_size=12, output_size=16, attention_heads=2, linear_units=24, num_blocks=2)
CPU = torch.device("cpu")


def encoder() -> LyricEncoder:
    torch.manual_seed(0)
    return LyricEncoder(CONFIG).eval()


def test_positions_fall_from_left_to_right_and_grow() -> None:
    table = RelativePositions(16, initial_length=4)
    rows = table.rows(3, CPU)
    assert rows.shape == (1, 6, 16)
    omega = math.exp(-2 * 3 * math.log(10_000) / 16)
    for row, distance in enumerate((3, 2, 1, 0, -1, -2)):
        assert rows[0, row, 6].item() == pytest.approx(math.sin(distance * omega), abs=1e-7)
        assert rows[0, row, 7].item() == pytest.approx(math.cos(distance * omega), abs=1e-7)
    assert torch.equal(table.rows(40, CPU)[:, 37:43], rows)


def test_distances_become_keys() -> None:
    length = 4
    # A score that says its own distance: row r of the descending table is distance length - r.
    scores = torch.arange(length, -length, -1.0).expand(2, length, 2 * length)
    index = torch.arange(length)
    expected = (index[:, None] - index[None]).float()
    assert torch.equal(distances_to_keys(scores), expected.expand(2, length, length))


@torch.no_grad()
def test_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    attention = RelativeAttention(16, 2)
    attention.pos_bias_u.normal_()
    attention.pos_bias_v.normal_()
    x, positions = torch.randn(1, 5, 16), RelativePositions(16).rows(5, CPU)
    mask = torch.tensor([1, 1, 0, 1, 0])
    q, k, v = (layer(x)[0].view(5, 2, 8) for layer in (attention.linear_q, attention.linear_k, attention.linear_v))
    p = attention.linear_pos(positions)[0].view(10, 2, 8)
    mixed = torch.zeros(5, 2, 8)
    for head in range(2):
        for i in range(5):
            u, w = attention.pos_bias_u[head], attention.pos_bias_v[head]
            scores = [
                (q[i, head] + u) @ k[j, head] + (q[i, head] + w) @ p[5 - (i - j), head] if mask[j] else -math.inf
                for j in range(5)
            ]
            weights = (torch.tensor(scores) / 8**0.5).softmax(0)
            mixed[i, head] = weights @ v[:, head]
    actual = attention(x, positions, mask[None, None, None] > 0)
    torch.testing.assert_close(actual[0], attention.linear_out(mixed.view(5, 16)), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_padding_changes_no_valid_state() -> None:
    model = encoder()
    x = torch.randn(1, 6, 12)
    padded = torch.cat((x, torch.randn(1, 3, 12)), dim=1)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0, 0]])
    torch.testing.assert_close(model(padded, mask)[:, :6], model(x, mask[:, :6]), atol=1e-5, rtol=1e-5)


def test_lyrics_without_a_valid_token_have_finite_states_and_gradients() -> None:
    model = encoder()
    x = torch.randn(2, 4, 12, requires_grad=True)
    states = model(x, torch.tensor([[0, 0, 0, 0], [1, 1, 0, 0]]))
    states.square().sum().backward()
    assert states.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_dropout_is_active_in_training_only() -> None:
    model = encoder()
    x, mask = torch.randn(1, 6, 12), torch.ones(1, 6)
    assert torch.equal(model(x, mask), model(x, mask))
    model.train()
    assert not torch.equal(model(x, mask), model(x, mask))


def test_training_works_after_a_first_call_in_inference_mode() -> None:
    model = encoder()
    with torch.inference_mode():
        model(torch.randn(1, 6, 12), torch.ones(1, 6))
    model(torch.randn(1, 6, 12), torch.ones(1, 6)).sum().backward()
    assert model.encoders[0].self_attn.linear_pos.weight.grad is not None
