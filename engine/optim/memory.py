"""An optimizer's memory as plain tensors by name, and back, bit for bit (every optimizer of config-formats.md 1.11).

Not through `Optimizer.state_dict`: that casts to a weight's dtype and knows nothing of numbers that live in a group.
Names::

    optimizer.<parameter>|<entry>              a tensor
    optimizer.<parameter>|<entry>|plain        a Python number
    optimizer.<parameter>|<entry>|none         nothing, told apart from an entry that is not there
    optimizer.<parameter>|<entry>|codes ...    the parts of an 8-bit tensor of torchao
    optimizer_group.<optimizer>.<group>|...    what an optimizer counts for a whole group
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

PREFIX = "optimizer."
GROUP_PREFIX = "optimizer_group."

# What a library keeps in its groups beside settings; the settings themselves are the configuration's at every start.
_COUNTED = {
    "prodigyopt": ("d", "d_max", "d_numerator", "d_denom", "d_hat", "k"),
    "schedulefree": ("k", "weight_sum", "lr_max", "scheduled_lr"),
    "optimi": ("step", "setup"),
}
_QUANTISED_PARTS = ("codes", "scale", "qmap")


def memory_tensors(optimizers: Sequence[Optimizer], trainable: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Everything the optimizers remember, on the CPU, no two tensors on one memory.

    Args:
        optimizers: In a fixed order.
        trainable: Name of each of their parameters.
    """
    names = {id(parameter): name for name, parameter in trainable.items()}
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, tensor in _entries(optimizers, names):
        copy = tensor.detach().cpu().contiguous()
        # Some libraries share one table between all weights, which a file cannot.
        tensors[key] = copy.clone() if copy.numel() and copy.data_ptr() in seen else copy
        seen.add(tensors[key].data_ptr())
    return tensors


def load_memory(
    optimizers: Sequence[Optimizer], trainable: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> tuple[str, ...]:
    """Put `memory_tensors` back: on each parameter's device, in the dtypes they were saved in.

    Returns:
        Names of parameters that the tensors tell of and nobody trains now.

    Raises:
        ValueError: What was counted for a whole group fits no group of now; nothing is changed then.
    """
    group_of = {id(p): group for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    owner = {id(p): optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    memories: dict[str, dict[str, dict[str, Tensor]]] = {}
    for key, tensor in tensors.items():
        if key.startswith((PREFIX, GROUP_PREFIX)):
            name, entry, *part = key.split("|")
            memories.setdefault(name, {}).setdefault(entry, {})[part[0] if part else ""] = tensor
    _check_groups(optimizers, trainable, memories)
    strangers = []
    for name, entries in memories.items():
        if name.startswith(GROUP_PREFIX):
            _load_group(optimizers, name.removeprefix(GROUP_PREFIX), entries)
        elif (parameter := trainable.get(name.removeprefix(PREFIX))) is None:
            strangers.append(name.removeprefix(PREFIX))
        else:
            group = group_of[id(parameter)]
            owner[id(parameter)].state[parameter] = {
                entry: _value(entry, parts, parameter, group) for entry, parts in entries.items()
            }
    for optimizer in optimizers:
        _into_training(optimizer)
    return tuple(strangers)


def _entries(optimizers: Sequence[Optimizer], names: Mapping[int, str]) -> Iterator[tuple[str, Tensor]]:
    for index, optimizer in enumerate(optimizers):
        for parameter, entries in optimizer.state.items():
            for entry, value in entries.items():
                yield from _flat(f"{PREFIX}{names[id(parameter)]}|{entry}", value)
        for number, group in enumerate(optimizer.param_groups):
            for entry in _counted(optimizer):
                if entry in group:
                    yield from _flat(f"{GROUP_PREFIX}{index}.{number}|{entry}", group[entry])


def _flat(key: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if value is None:
        yield f"{key}|none", torch.empty(0)
    elif isinstance(value, bool):
        yield f"{key}|plain", torch.tensor(value)
    elif isinstance(value, int | float):
        yield f"{key}|plain", torch.tensor(value, dtype=torch.int64 if isinstance(value, int) else torch.float64)
    elif hasattr(value, "__tensor_flatten__"):
        for part in _QUANTISED_PARTS:
            yield f"{key}|{part}", getattr(value, part)
        yield f"{key}|signed", torch.tensor(value.signed)
    else:
        yield key, value


def _value(entry: str, parts: Mapping[str, Tensor], parameter: nn.Parameter, group: Mapping[str, Any]) -> Any:
    device = parameter.device
    if "none" in parts:
        return None
    if "plain" in parts:
        return parts["plain"].item()
    if "codes" in parts:
        from torchao.optim.subclass_8bit import OptimState8bit

        tensors = [parts[part].to(device, copy=True) for part in _QUANTISED_PARTS]
        return OptimState8bit(*tensors, bool(parts["signed"]), dtype=parameter.dtype)
    # torch counts steps on the CPU, except where the whole update is one kernel.
    on_device = entry != "step" or group.get("fused") or group.get("capturable")
    return parts[""].to(device, copy=True) if on_device else parts[""].clone()


def _load_group(optimizers: Sequence[Optimizer], place: str, entries: Mapping[str, Mapping[str, Tensor]]) -> None:
    index, number = map(int, place.split("."))
    if index >= len(optimizers) or number >= len(optimizers[index].param_groups):
        return  # the lyrics embedder was trained then and is not now; its parameters are told as strangers
    for entry in _counted(optimizers[index]):
        if entry in entries:
            parts = entries[entry]
            value = parts["plain"].item() if "plain" in parts else parts[""].clone()
            optimizers[index].param_groups[number][entry] = value


def _check_groups(
    optimizers: Sequence[Optimizer], trainable: Mapping[str, nn.Parameter], memories: Mapping[str, object]
) -> None:
    """Refuse weights that are remembered in other groups than now, where the optimizer counts for whole groups.

    A group that is new with all its weights begins to count afresh, and that of weights no longer trained is let go.
    """
    names = {id(parameter): f"{PREFIX}{name}" for name, parameter in trainable.items()}
    remembered = {name for name in memories if name.startswith(GROUP_PREFIX)}
    gone = set(remembered)
    for index, optimizer in enumerate(optimizers):
        if not any(place.startswith(f"{GROUP_PREFIX}{index}.") for place in remembered):
            continue  # it counts for each weight, or its weights are new
        for number, group in enumerate(optimizer.param_groups):
            place = f"{GROUP_PREFIX}{index}.{number}"
            gone.discard(place)
            if place not in remembered and any(names[id(parameter)] in memories for parameter in group["params"]):
                raise ValueError(_OTHER_GROUPS)
    if gone and all(name in names.values() for name in memories if name.startswith(PREFIX)):
        raise ValueError(_OTHER_GROUPS)


_OTHER_GROUPS = (
    "its optimizer counted for other groups of weights than there are now; "
    "set lyrics_embedder_lr as it was (a number, or null)"
)


def _counted(optimizer: Optimizer) -> tuple[str, ...]:
    roots = {kind.__module__.partition(".")[0] for kind in type(optimizer).__mro__}
    return next((entries for root, entries in _COUNTED.items() if root in roots), ())


def _into_training(optimizer: Optimizer) -> None:
    """A schedule-free optimizer was saved while the weights stood as they are judged."""
    if hasattr(optimizer, "train"):
        for group in optimizer.param_groups:
            group["train_mode"] = False
        optimizer.train()
