"""From the checkpoint's parameter names and shapes to the module's and back (spec section 5)."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from engine.contract.errors import ModelError
from engine.model.card import TransformerConfig
from engine.model.transformer import PATCH_CHANNELS, PATCH_MIDDLE, AceStepTransformer

UNUSED_PROJECTIONS = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
"""Layers of every cross attention that stand in the file and are never used (spec 2.7)."""


def module_shapes(config: TransformerConfig, *, with_projectors: bool = True) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter that the module allocates, without allocating any."""
    return dict(_module_shapes(config, with_projectors))


@functools.lru_cache(maxsize=8)
def _module_shapes(config: TransformerConfig, with_projectors: bool) -> dict[str, tuple[int, ...]]:
    """Kept: a run asks at its load, at every save and at its end, and building the module takes a while."""
    with torch.device("meta"):
        model = AceStepTransformer(config, with_projectors=with_projectors)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def unused_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of the checkpoint's parameters that the forward pass never reads."""
    dim = config.inner_dim
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(config.num_layers):
        for layer in UNUSED_PROJECTIONS:
            prefix = f"transformer_blocks.{index}.cross_attn.{layer}"
            shapes[f"{prefix}.weight"] = (dim, dim)
            shapes[f"{prefix}.bias"] = (dim,)
    return shapes


def checkpoint_shape(name: str, module_shape: tuple[int, ...], config: TransformerConfig) -> tuple[int, ...]:
    """The shape in the checkpoint of the parameter that the module keeps as ``module_shape``.

    Only the weights of convolutions differ: the module drops the kernel axes of 1x1 ones and flattens the patch.
    """
    if name == "proj_in.early_conv_layers.0.weight":
        return (PATCH_MIDDLE, PATCH_CHANNELS, *config.patch_size)
    if name == "proj_in.early_conv_layers.2.weight":
        return (*module_shape, 1, 1)
    if name.endswith((".inverted_conv.conv.weight", ".point_conv.conv.weight")):
        return (*module_shape, 1)
    return module_shape


def checkpoint_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a checkpoint: 874 for the released configuration."""
    used = {name: checkpoint_shape(name, shape, config) for name, shape in module_shapes(config).items()}
    return used | unused_shapes(config)


def is_projector(name: str) -> bool:
    """Whether a parameter belongs to the self-supervised projectors, which a model may be built without."""
    return name.startswith("projectors.")


def to_module_state(tensors: dict[str, Tensor], config: TransformerConfig) -> dict[str, Tensor]:
    """A checkpoint's tensors as the module's state dict: kernel axes squeezed, never-used tensors left out.

    Raises:
        ModelError: A tensor that the module needs is absent.
    """
    unused = unused_shapes(config)
    names = tensors.keys() - unused.keys()
    shapes = module_shapes(config, with_projectors=any(is_projector(name) for name in names))
    missing = sorted(shapes.keys() - names)
    if missing:
        raise ModelError(f"{len(missing)} tensors are missing: {', '.join(missing[:3])}")
    return {name: tensors[name].reshape(shape) for name, shape in shapes.items()}


def to_checkpoint_state(state: dict[str, Tensor], config: TransformerConfig) -> dict[str, Tensor]:
    """The module's state dict in the checkpoint's shapes (views; the never-used tensors are not in it)."""
    return {name: x.reshape(checkpoint_shape(name, tuple(x.shape), config)) for name, x in state.items()}
