"""Golden vectors of the transformer: whole forward passes, one block, the lyric encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from engine.model.attention import BlockContext, Rotary, RotaryTable, apply_rotary, key_mask_of
from engine.model.block import Block, rms_norm
from engine.model.card import LyricEncoderConfig, TransformerConfig
from engine.model.lyric_encoder import LyricEncoder
from engine.model.parameter_names import checkpoint_shapes, to_checkpoint_state, to_module_state
from engine.model.transformer import AceStepTransformer, ConditionInputs, timestep_sinusoid
from tests.numerics.golden_common import GOLDEN, assert_near, load, load_json, with_prefix

FORWARDS = sorted(path.stem for path in GOLDEN.glob("transformer_tiny.forward_*.safetensors"))


def tiny_config() -> TransformerConfig:
    """The configuration of the tiny transformer of the vectors."""
    values = load_json("transformer_tiny.config")
    return TransformerConfig.from_dict(values["transformer"] | {"lyric_encoder": values["lyric_encoder"]})


def tiny_transformer() -> AceStepTransformer:
    """The tiny transformer with its weights in float32, in eval mode."""
    config = tiny_config()
    model = AceStepTransformer(config).eval()
    weights = {name: tensor.float() for name, tensor in load("transformer_tiny.weights").items()}
    model.load_state_dict(to_module_state(weights, config))
    return model


def condition_inputs(vectors: dict[str, Tensor]) -> ConditionInputs:
    """The conditions of a forward fixture."""
    return ConditionInputs(
        vectors["in.encoder_text_hidden_states"],
        vectors["in.text_attention_mask"],
        vectors["in.lyric_token_idx"],
        vectors["in.lyric_mask"],
        vectors["in.speaker_embeds"],
    )


@contextmanager
def recorded(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Collect the output of each module by name while the block runs."""
    outputs: dict[str, Tensor] = {}
    handles = []
    for name, module in modules.items():

        def keep(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
            outputs[name] = output

        handles.append(module.register_forward_hook(keep))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def module_of(model: AceStepTransformer, name: str) -> nn.Module:
    """The module behind a ``mid.`` name such as ``block0.cross_attn``."""
    if name.startswith("block"):
        number, _, inner = name.removeprefix("block").partition(".")
        block = model.transformer_blocks[int(number)]
        return block.get_submodule(inner)
    return model.get_submodule(name)


def test_forward_fixtures_are_there() -> None:
    assert FORWARDS, f"no transformer_tiny.forward_* in {GOLDEN}"


@pytest.mark.parametrize("name", FORWARDS)
def test_forward(name: str) -> None:
    vectors = load(name)
    model = tiny_transformer()
    mids = with_prefix(vectors, "mid.")
    computed = {"time_proj": timestep_sinusoid(vectors["in.timestep"])}
    hooked = {key: module_of(model, key) for key in mids if key != "time_proj" and not key.startswith("rope_")}
    frame_mask = vectors.get("in.attention_mask")
    with torch.no_grad(), recorded(hooked) as outputs:
        conditions = model.encode_conditions(condition_inputs(vectors))
        result = model(vectors["in.hidden_states"], vectors["in.timestep"], conditions, frame_mask=frame_mask)
    valid = vectors.get("in.valid_frames", torch.ones_like(vectors["in.hidden_states"][:, 0, 0]))[..., None]
    num_frames = valid.shape[1]
    positions = model.rotary.rows(max(num_frames, *map(len, mids.values())), torch.device("cpu"))
    tables = {"rope_cos": positions.cos[:, 0], "rope_sin": unsigned(positions)[:, 0]}
    computed |= outputs | {key: table[: len(mids[key])] for key, table in tables.items() if key in mids}
    for key, expected in mids.items():
        over_frames = key == "proj_in" or key.startswith("block")
        mask = valid if over_frames else torch.ones(1)
        assert_near(computed[key] * mask, expected * mask, what=key)
    assert_near(conditions.tokens, vectors["out.encoder_hidden_states"], what="condition tokens")
    assert torch.equal(conditions.mask, vectors["out.encoder_hidden_mask"])
    per_frame = valid[:, None, None, :, 0]
    assert_near(result.velocity * per_frame, vectors["out.sample"] * per_frame, what="velocity")


def test_mask_of_ones_is_no_mask() -> None:
    vectors = load(FORWARDS[0])
    model = tiny_transformer()
    with torch.no_grad():
        conditions = model.encode_conditions(condition_inputs(vectors))
        x_t, t = vectors["in.hidden_states"], vectors["in.timestep"]
        ones = torch.ones(x_t.shape[0], x_t.shape[-1])
        assert torch.equal(model(x_t, t, conditions).velocity, model(x_t, t, conditions, frame_mask=ones).velocity)


def test_parameter_names_and_shapes_round_trip() -> None:
    config = tiny_config()
    weights = load("transformer_tiny.weights")
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == checkpoint_shapes(config)
    restored = to_checkpoint_state(to_module_state(weights, config), config)
    for name, tensor in restored.items():
        assert torch.equal(tensor, weights[name]), name


def block_config(values: dict[str, float]) -> TransformerConfig:
    """The part of a configuration that one block reads, from ``linear_block.json``."""
    return TransformerConfig(
        num_attention_heads=int(values["heads"]),
        attention_head_dim=int(values["head_dim"]),
        mlp_ratio=float(values["mlp_ratio"]),
        rope_theta=float(values["rope_theta"]),
    )


def unsigned(rotary: Rotary) -> Tensor:
    """The sine table as the fixtures hold it, without the sign of the rotation."""
    sin = rotary.signed_sin.clone()
    sin[..., 0::2].neg_()
    return sin


class LinearBlock:
    """The block of ``linear_block`` and the context of its two cases."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.vectors = load("linear_block")
        config = block_config(load_json("linear_block")["config"])
        self.table = RotaryTable(config.attention_head_dim, config.rope_theta)
        self.block = Block(config).to(dtype).eval()
        weights = with_prefix(self.vectors, "w.")
        shapes = {name: tensor.shape for name, tensor in self.block.state_dict().items()}
        self.block.load_state_dict({name: weights[name].reshape(shape).to(dtype) for name, shape in shapes.items()})
        self.hidden = self.vectors["in.hidden_states"].to(dtype)
        self.dtype = dtype

    def context(self, case: str) -> BlockContext:
        """Masks, positions and modulation of ``full`` or ``ragged``."""
        tokens = self.vectors["in.encoder_hidden_states"].to(self.dtype)
        cpu = torch.device("cpu")
        frame_mask = self.vectors[f"in.{case}.attention_mask"]
        return BlockContext(
            modulation=self.vectors["in.temb"].to(self.dtype).unflatten(-1, (6, -1)),
            tokens=tokens,
            key_mask=key_mask_of(self.vectors[f"in.{case}.encoder_attention_mask"]),
            frames=self.table.rows(self.hidden.shape[1], cpu),
            token_positions=self.table.rows(tokens.shape[1], cpu),
            frame_mask=None if bool(frame_mask.all()) else frame_mask.to(self.dtype)[..., None],
        )


@pytest.mark.parametrize("case", ["full", "ragged"])
@torch.no_grad()
def test_block(case: str) -> None:
    fixture = LinearBlock()
    block, hidden, context = fixture.block, fixture.hidden, fixture.context(case)
    computed = {
        "block": block(hidden, context),
        "attn": block.attn(hidden, context),
        "cross_attn": block.cross_attn(hidden, context),
    }
    for key, actual in computed.items():
        assert_near(actual, fixture.vectors[f"out.{case}.{key}"], what=key)


@torch.no_grad()
def test_block_parts_without_masks() -> None:
    fixture = LinearBlock()
    context = fixture.context("full")
    assert_near(fixture.block.ff(fixture.hidden), fixture.vectors["out.ff"], what="feed-forward")
    assert_near(rms_norm(fixture.hidden), fixture.vectors["out.norm1"], what="norm")
    for prefix, rotary in (("", context.frames), ("_cross", context.token_positions)):
        assert_near(rotary.cos[:, 0], fixture.vectors[f"in.rope_cos{prefix}"], what="cos")
        assert_near(unsigned(rotary)[:, 0], fixture.vectors[f"in.rope_sin{prefix}"], what="sin")
    rotated = apply_rotary(fixture.block.attn.split(fixture.hidden), context.frames)
    assert_near(rotated.transpose(1, 2), fixture.vectors["out.rope_applied"], what="rotary")


@torch.no_grad()
def test_block_in_bfloat16() -> None:
    fixture = LinearBlock(torch.bfloat16)
    actual = fixture.block(fixture.hidden, fixture.context("full")).float()
    assert (actual - fixture.vectors["out.full.block_bf16"]).abs().max() <= 0.15


@torch.no_grad()
def test_lyric_encoder() -> None:
    vectors = load("lyric_encoder")
    values = load_json("lyric_encoder")["config"]
    names = LyricEncoderConfig.__dataclass_fields__
    encoder = LyricEncoder(LyricEncoderConfig(**{name: values[name] for name in names})).eval()
    encoder.load_state_dict(with_prefix(vectors, "w."))
    xs, mask = vectors["in.xs"], vectors["in.mask"]
    with recorded({"embed": encoder.embed, "layer0": encoder.encoders[0]}) as outputs:
        actual = encoder(xs, mask)
    for key, output in outputs.items():
        assert_near(output, vectors[f"mid.{key}"], what=key)
    assert_near(encoder.positions.rows(xs.shape[1], xs.device)[:, 1:], vectors["mid.pos_emb"], what="positions")
    assert_near(actual, vectors["out.xs"], what="states")
    assert torch.equal(mask[:, None] > 0, vectors["out.mask"])
    assert_near(encoder(xs, torch.zeros_like(mask)), vectors["out.xs_all_masked"], what="all masked")
