from math import prod

import pytest
import torch

from engine.contract.errors import ModelError
from engine.model.card import real_config
from engine.model.parameter_names import checkpoint_shapes, module_shapes, to_checkpoint_state, to_module_state
from tests.unit.model.small import SMALL, small_transformer

REAL = checkpoint_shapes(real_config())


def count(prefix: str) -> int:
    """Parameters of the real checkpoint below a prefix."""
    return sum(prod(shape) for name, shape in REAL.items() if name.startswith(prefix))


def test_the_real_checkpoint_has_the_tensors_of_the_specification() -> None:
    assert len(REAL) == 874
    assert count("") == 3_305_659_264


@pytest.mark.parametrize(
    ("prefix", "parameters"),
    [
        ("transformer_blocks.", 3_069_726_720),
        ("transformer_blocks.7.", 127_905_280),
        ("transformer_blocks.7.attn.", 26_224_640),
        ("transformer_blocks.7.cross_attn.", 52_449_280),
        ("transformer_blocks.7.ff.", 49_216_000),
        ("transformer_blocks.7.scale_shift_table", 15_360),
        ("timestep_embedder.", 7_214_080),
        ("t_block.", 39_336_960),
        ("speaker_embedder.", 1_313_280),
        ("genre_embedder.", 1_968_640),
        ("lyric_embs.", 6_853_632),
        ("lyric_encoder.", 82_934_784),
        ("lyric_encoder.encoders.3.", 13_646_848),
        ("lyric_proj.", 2_624_000),
        ("projectors.", 87_840_512),
        ("projectors.0.", 44_575_744),
        ("proj_in.", 5_513_728),
        ("final_layer.", 332_928),
    ],
)
def test_parts_have_the_sizes_of_the_specification(prefix: str, parameters: int) -> None:
    assert count(prefix) == parameters


def test_names_and_shapes_of_the_specification() -> None:
    block = "transformer_blocks.23."
    expected = {
        block + "scale_shift_table": (6, 2560),
        block + "attn.to_out.0.weight": (2560, 2560),
        block + "cross_attn.to_k.bias": (2560,),
        block + "cross_attn.add_q_proj.weight": (2560, 2560),
        block + "cross_attn.to_add_out.bias": (2560,),
        block + "ff.inverted_conv.conv.weight": (12800, 2560, 1),
        block + "ff.inverted_conv.conv.bias": (12800,),
        block + "ff.depth_conv.conv.weight": (12800, 1, 3),
        block + "ff.point_conv.conv.weight": (2560, 6400, 1),
        "timestep_embedder.linear_1.weight": (2560, 256),
        "t_block.1.weight": (15360, 2560),
        "lyric_embs.weight": (6693, 1024),
        "lyric_encoder.embed.out.0.weight": (1024, 1024),
        "lyric_encoder.embed.out.1.weight": (1024,),
        "lyric_encoder.after_norm.bias": (1024,),
        "lyric_encoder.encoders.5.self_attn.linear_pos.weight": (1024, 1024),
        "lyric_encoder.encoders.5.self_attn.pos_bias_u": (16, 64),
        "lyric_encoder.encoders.5.feed_forward.w_1.weight": (4096, 1024),
        "lyric_encoder.encoders.5.norm_mha.weight": (1024,),
        "projectors.1.4.weight": (768, 5120),
        "proj_in.early_conv_layers.0.weight": (2048, 8, 16, 1),
        "proj_in.early_conv_layers.1.bias": (2048,),
        "proj_in.early_conv_layers.2.weight": (2560, 2048, 1, 1),
        "final_layer.linear.weight": (128, 2560),
        "final_layer.scale_shift_table": (2, 2560),
    }
    assert {name: REAL.get(name) for name in expected} == expected
    assert block + "ff.point_conv.conv.bias" not in REAL
    assert not any("rotary" in name for name in REAL)


def test_unused_projections_are_never_allocated_and_projectors_only_when_asked() -> None:
    shapes = module_shapes(real_config(), with_projectors=False)
    # 3,305,659,264 less the unused projections and the projectors: 10.4 GB in float32.
    assert sum(map(prod, shapes.values())) == 3_305_659_264 - 629_391_360 - 87_840_512
    assert not any("add_" in name or name.startswith("projectors.") for name in shapes)


def test_states_go_to_the_checkpoints_shapes_and_back() -> None:
    state = small_transformer().state_dict()
    stored = to_checkpoint_state(state, SMALL)
    shapes = checkpoint_shapes(SMALL)
    assert {name: tuple(tensor.shape) for name, tensor in stored.items()} == {name: shapes[name] for name in stored}
    back = to_module_state(stored, SMALL)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_missing_tensors_are_named() -> None:
    stored = to_checkpoint_state(small_transformer(with_projectors=False).state_dict(), SMALL)
    del stored["t_block.1.weight"]
    with pytest.raises(ModelError, match=r"t_block\.1\.weight"):
        to_module_state(stored, SMALL)
