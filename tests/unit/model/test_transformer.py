from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.contract.errors import ModelError
from engine.model.attention import RotaryTable, key_mask_of, linear_attention
from engine.model.block import DepthwiseConv
from engine.model.transformer import ConditionInputs, timestep_sinusoid
from tests.unit.model.small import SMALL, small_inputs, small_latent, small_transformer

VARIANT = replace(SMALL, patch_size=(8, 1), rope_theta=20_000.0, mlp_ratio=2.0, out_channels=6)
"""Another patch height, base, ratio and channel count: nothing may be taken from the released model."""

T = torch.tensor([800.0, 30.0])


@torch.no_grad()
def test_another_configuration_builds_and_runs() -> None:
    model = small_transformer(VARIANT)
    x_t = small_latent(VARIANT)
    assert x_t.shape == (2, 8, 8, 9)
    velocity = model(x_t, T, model.encode_conditions(small_inputs(VARIANT))).velocity
    assert velocity.shape == (2, 6, 8, 9)
    assert velocity.isfinite().all()
    assert model.transformer_blocks[0].ff.point_conv.conv.weight.shape == (32, 64)
    frequencies = 20_000.0 ** (-torch.arange(0, 8, 2) / 8)
    torch.testing.assert_close(model.rotary.rows(2, torch.device("cpu")).cos[1, 0, :4], frequencies.cos())


@torch.no_grad()
def test_unpatchify_takes_the_row_before_the_channel() -> None:
    model = small_transformer(VARIANT)
    model.final_layer.linear.weight.zero_()
    model.final_layer.linear.bias.copy_(torch.arange(8 * 6))
    velocity = model(small_latent(VARIANT), T, model.encode_conditions(small_inputs(VARIANT))).velocity
    row, channel = torch.meshgrid(torch.arange(8.0), torch.arange(6.0), indexing="ij")
    expected = (row * 6 + channel).t()[None, :, :, None].expand(2, 6, 8, 9)
    assert torch.equal(velocity, expected)


@torch.no_grad()
def test_the_patch_embedding_is_the_checkpoints_convolution() -> None:
    embedding = small_transformer(VARIANT).proj_in
    first, norm, last = embedding.early_conv_layers
    x = small_latent(VARIANT)
    hidden = F.conv2d(x, first.weight.view(2048, 8, 8, 1), first.bias, stride=(8, 1))
    expected = F.conv2d(norm(hidden), last.weight[..., None, None], last.bias)
    torch.testing.assert_close(embedding(x), expected.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_the_depthwise_convolution_is_conv1d(num_frames: int) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv(6)
    layer.bias.normal_()
    x = torch.randn(2, num_frames, 6)
    expected = F.conv1d(x.transpose(1, 2), layer.weight, layer.bias, padding=1, groups=6).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)


def qkv(num_frames: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    query, key, value = torch.randn(3, 2, num_frames, 4, 8, generator=generator)
    return query.relu(), key.relu(), value


def test_linear_attention_is_the_quadratic_form() -> None:
    query, key, value = qkv()
    weights = torch.einsum("bthd,bshd->bhts", query, key)
    expected = torch.einsum("bhts,bshd->bthd", weights / (weights.sum(-1, keepdim=True) + 1e-15), value)
    torch.testing.assert_close(linear_attention(query, key, value), expected, atol=1e-5, rtol=1e-5)


def test_linear_attention_in_half_precision_stays_close_and_in_range() -> None:
    query, key, value = qkv(num_frames=600)
    exact = linear_attention(query, key, value)
    assert (linear_attention(query, key, value.bfloat16()) - exact).abs().max() < 0.03
    # 600 frames of products near 2,500 leave the range of float16 unless they are summed in float32.
    large = linear_attention(query * 50, key * 50, value.half())
    assert large.isfinite().all()
    assert (large - exact).abs().max() < 0.03


def test_a_query_without_positive_channels_gives_zero_and_finite_gradients() -> None:
    query, key, value = (x.clone().requires_grad_() for x in qkv())
    mixed = linear_attention(query * 0, key, value)
    assert torch.equal(mixed, torch.zeros_like(mixed))
    mixed.sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (query, key, value))


def test_no_valid_key_gives_no_nan() -> None:
    model = small_transformer()
    conditions = model.encode_conditions(small_inputs())
    empty = replace(conditions, mask=torch.zeros_like(conditions.mask))
    velocity = model(small_latent(), T, empty).velocity
    velocity.sum().backward()
    assert velocity.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_masks_hide_exactly_what_they_mark() -> None:
    assert key_mask_of(torch.tensor([[1.0, 0.0], [0.0, 0.0]])).flatten(1).tolist() == [[True, False], [True, True]]
    model = small_transformer()
    inputs = small_inputs()
    other = replace(
        inputs,
        text_states=inputs.text_states + 5 * (1 - inputs.text_mask)[..., None],
        lyric_ids=torch.where(inputs.lyric_mask > 0, inputs.lyric_ids, (inputs.lyric_ids + 1) % 40),
    )
    x_t = small_latent()
    with torch.no_grad():
        first = model(x_t, T, model.encode_conditions(inputs)).velocity
        second = model(x_t, T, model.encode_conditions(other)).velocity
    torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_padded_frames_reach_no_valid_frame_through_attention() -> None:
    block = small_transformer().transformer_blocks[0]
    model = small_transformer()
    seen = {}
    hooked = model.transformer_blocks[0]
    hooked.register_forward_pre_hook(lambda _module, args: seen.update(hidden=args[0], context=args[1]))
    mask = torch.ones(2, 9)
    mask[:, 6:] = 0
    model(small_latent(), T, model.encode_conditions(small_inputs()), frame_mask=mask)
    hidden, context = seen["hidden"], seen["context"]
    disturbed = hidden.clone()
    disturbed[:, 6:] += 3
    for attention in (block.attn, block.cross_attn):
        plain, other = attention(hidden, context), attention(disturbed, context)
        assert torch.equal(plain[:, :6], other[:, :6])
        assert torch.equal(plain[:, 6:], attention.to_out[0].bias.expand_as(plain[:, 6:]))


@torch.no_grad()
def test_no_speaker_is_a_speaker_of_zeros() -> None:
    model = small_transformer()
    inputs = small_inputs()
    without = model.encode_conditions(replace(inputs, speaker=None))
    zeros = model.encode_conditions(replace(inputs, speaker=torch.zeros(2, SMALL.speaker_embedding_dim)))
    assert torch.equal(without.tokens, zeros.tokens)
    assert without.mask[:, 0].tolist() == [1.0, 1.0]


def test_ssl_hidden_states_are_the_block_outputs_at_their_depths() -> None:
    model = small_transformer(with_projectors=False)
    outputs = []
    for block in model.transformer_blocks:
        block.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    conditions = model.encode_conditions(small_inputs())
    result = model(small_latent(), T, conditions, with_ssl=True)
    assert [torch.equal(hidden, outputs[depth]) for hidden, depth in zip(result.ssl_hidden, (1, 2), strict=True)] == [
        True,
        True,
    ]
    assert model.projectors is None
    assert model(small_latent(), T, conditions).ssl_hidden == ()


def test_ssl_depths_beyond_the_blocks_are_an_error() -> None:
    model = small_transformer(replace(SMALL, num_layers=2))
    with pytest.raises(ModelError, match="2 blocks"):
        model(small_latent(), T, model.encode_conditions(small_inputs()), with_ssl=True)


@torch.no_grad()
def test_the_timestep_stays_in_float32_until_its_sinusoid() -> None:
    model = small_transformer().to(torch.bfloat16)
    seen = {}
    model.timestep_embedder.register_forward_pre_hook(lambda _module, args: seen.update(sinusoid=args[0]))
    t = torch.tensor([999.0, 1000.0])
    assert t.bfloat16()[0] == t.bfloat16()[1]  # what a cast before the sinusoid would make of them
    velocity = model(small_latent(), t, model.encode_conditions(small_inputs())).velocity
    assert torch.equal(seen["sinusoid"], timestep_sinusoid(t).bfloat16())
    assert not torch.equal(seen["sinusoid"][0], seen["sinusoid"][1])
    assert velocity.dtype is torch.float32


def test_position_tables_grow_and_stay_out_of_the_state() -> None:
    table = RotaryTable(8, 10_000.0, initial_length=4)
    cpu = torch.device("cpu")
    short, long = table.rows(3, cpu), table.rows(9, cpu)
    assert (len(short.cos), len(long.cos)) == (3, 9)
    assert torch.equal(short.cos, long.cos[:3])
    assert table.rows(5, cpu).cos.data_ptr() == long.cos.data_ptr()
    model = small_transformer()
    model(small_latent(), T, model.encode_conditions(small_inputs()))
    assert model.to(torch.bfloat16).rotary.rows(4, cpu).cos.dtype is torch.float32
    assert not any("rotary" in name or "position" in name for name in model.state_dict())


def test_training_works_after_a_first_call_in_inference_mode() -> None:
    model = small_transformer()
    with torch.inference_mode():
        model(small_latent(), T, model.encode_conditions(small_inputs()))
    model(small_latent(), T, model.encode_conditions(small_inputs())).velocity.sum().backward()
    assert model.transformer_blocks[0].attn.to_q.weight.grad is not None


def test_nothing_in_a_forward_pass_branches_on_data() -> None:
    # Shapes alone decide: on the meta device there is no data to look at.
    with torch.device("meta"):
        model = small_transformer()
        inputs = small_inputs()
        meta = ConditionInputs(
            *(torch.empty_like(getattr(inputs, name), device="meta") for name in ConditionInputs.__slots__)
        )
        frame_mask = torch.ones(2, 9)
    x_t = torch.empty(2, 8, 16, 9, device="meta")
    conditions = model.encode_conditions(meta)
    assert model(x_t, T.to("meta"), conditions, frame_mask=frame_mask).velocity.shape == x_t.shape


@torch.no_grad()
def test_a_block_compiles_into_one_graph() -> None:
    model = small_transformer()
    x_t, conditions = small_latent(), model.encode_conditions(small_inputs())
    mask = torch.ones(2, 9)
    mask[1, 7:] = 0
    expected = model(x_t, T, conditions, frame_mask=mask).velocity
    for index, block in enumerate(model.transformer_blocks):
        # The eager backend runs the captured graph as it is: a graph break would be an error here.
        model.transformer_blocks[index] = torch.compile(block, fullgraph=True, backend="eager")
    torch.testing.assert_close(model(x_t, T, conditions, frame_mask=mask).velocity, expected)
