"""The moving average of the trained weights (config-formats.md section 1.7).

After an optimizer step whose number is a multiple of ``ema_update_interval``::

    average = decay * average + (1 - decay) * weights

with the decay as configured, which is SimpleTuner's rule; while ``ema_warmup_steps`` last, the average is a copy of the
weights. It covers what is trained and nothing else, and begins as the weights that training begins with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.contract.run_dir import EMA_FOLDER
from engine.model.adapters import LoadReport, load_adapter_state
from engine.model.transformer import AceStepTransformer
from engine.train.weights import TrainedWeights

EMA_FILE = "ema_model.safetensors"
CLIP_SUFFIX = "_ema"
"""What the name of a test clip of the averaged weights ends with."""

_PACK_NUMBERS = 2**24


@dataclass(frozen=True, slots=True)
class _Pack:
    """Weights that are averaged together: one transfer and three operations instead of one of each a weight."""

    weights: tuple[nn.Parameter, ...]
    average: Tensor


class Ema:
    """The average, in float32, one number a trained number.

    Args:
        trainable: Name → parameter; the average begins as these.
        decay: 0 … 1, how much of the average stays at an update.
        update_interval: Optimizer steps between updates.
        warmup_steps: Up to this step the average is a copy of the weights.
        device: Where it lies between updates.
        updates_on: Where it is updated, the weights are brought there; None = where it lies.
        one_by_one: Update weight by weight instead of many at once; the same numbers.

    Attributes:
        device: As above.
        updates_on: As above.
        num_updates: Updates so far, over all starts.
    """

    def __init__(
        self,
        trainable: Mapping[str, nn.Parameter],
        *,
        decay: float,
        update_interval: int = 1,
        warmup_steps: int = 0,
        device: torch.device | str = "cpu",
        updates_on: torch.device | str | None = None,
        one_by_one: bool = False,
    ) -> None:
        self._trainable = dict(trainable)
        self._decay = decay
        self._update_interval = update_interval
        self._warmup_steps = warmup_steps
        self.device = torch.device(device)
        self.updates_on = self.device if updates_on is None else torch.device(updates_on)
        self.num_updates = 0
        self._average: dict[str, Tensor] = {}
        self._packs: list[_Pack] = []
        for names in _packed(self._trainable, 1 if one_by_one else _PACK_NUMBERS):
            weights = tuple(self._trainable[name] for name in names)
            flat = torch.empty(sum(weight.numel() for weight in weights), dtype=torch.float32, device=device)
            parts = flat.split([weight.numel() for weight in weights])
            for name, part in zip(names, parts, strict=True):
                self._average[name] = part.view(self._trainable[name].shape)
            self._packs.append(_Pack(weights, flat))
        self.restart()

    def restart(self) -> None:
        """Begin again as the weights are now, for instance after they were loaded from a file."""
        with torch.no_grad():
            for name, weight in self._trainable.items():
                self._average[name].copy_(weight)
        self.num_updates = 0

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights in after optimizer step ``step``, counted from 1, if an update is due."""
        if step % self._update_interval:
            return
        decay = 0.0 if step <= self._warmup_steps else self._decay
        for pack in self._packs:
            flat = torch.cat([weight.detach().reshape(-1).float() for weight in pack.weights]).to(self.updates_on)
            average = pack.average.to(self.updates_on)
            average.mul_(decay).add_(flat, alpha=1 - decay)
            if average is not pack.average:
                pack.average.copy_(average)
        self.num_updates += 1

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged weights inside the block, and its own again after it, bit for bit."""
        with self.weights_kept():
            with torch.no_grad():
                for name, weight in self._trainable.items():
                    weight.copy_(self._average[name])
            yield

    @contextlib.contextmanager
    def weights_kept(self) -> Iterator[None]:
        """Whatever happens to the weights inside the block, they are as before after it."""
        # In main memory, where a full fine-tune's 13 GB find room more easily than on the card.
        kept = [weight.detach().to("cpu", copy=True) for weight in self._trainable.values()]
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, own in zip(self._trainable.values(), kept, strict=True):
                    weight.copy_(own)

    def tensors(self) -> dict[str, Tensor]:
        """Copies on the CPU by parameter name, float32."""
        return {name: average.to("cpu", copy=True) for name, average in self._average.items()}

    def load_tensors(self, tensors: Mapping[str, Tensor], *, num_updates: int) -> None:
        """Take the tensors of `tensors` back.

        Raises:
            ModelError: They are not those of the weights that are trained.
        """
        same = tensors.keys() == self._average.keys()
        if not same or any(tensors[name].shape != average.shape for name, average in self._average.items()):
            raise ModelError(
                "the saved average belongs to other weights than those that are trained",
                hint="Keep the settings of the LoRA as they were, or set use_ema false.",
            )
        for name, average in self._average.items():
            average.copy_(tensors[name])
        self.num_updates = num_updates


def build_ema(config: Config, trainable: Mapping[str, nn.Parameter], device: torch.device) -> Ema | None:
    """The average a configuration asks for; None without ``use_ema``.

    ``ema_device`` is where it lies. In main memory it is brought to the device for each update, unless
    ``ema_cpu_only``, which brings the weights to main memory instead.
    """
    if not config.use_ema:
        return None
    stays = config.ema_device == "accelerator" and not config.ema_cpu_only
    return Ema(
        trainable,
        decay=config.ema_decay,
        update_interval=config.ema_update_interval,
        warmup_steps=config.ema_warmup_steps,
        device=device if stays else "cpu",
        updates_on="cpu" if config.ema_cpu_only else device,
        one_by_one=config.ema_foreach_disable,
    )


def load_ema_adapter(ema: Ema, model: AceStepTransformer, tensors: Mapping[str, Tensor]) -> LoadReport:
    """Begin the average as a finished average (``init_lora_ema``): canonical tensors, already at the model's scale.

    Args:
        ema: The run's average.
        model: Carries the adapter that is trained; unchanged.
        tensors: Of `engine.export.adapter_file.read_adapter`. Places that they lack keep the model's weights.

    Raises:
        ModelError: A tensor has another shape than its place.
    """
    with ema.weights_kept():
        report = load_adapter_state(model, tensors)
        ema.restart()
    return report


def save_ema(folder: Path, ema: Ema, weights: TrainedWeights | None, *, step: int) -> None:
    """Write ``ema/`` into a folder: the average itself, and for a LoRA its adapter file as well.

    Args:
        folder: A checkpoint under way, or the run's own.
        ema: The average.
        weights: The adapter's own way of saving; None for a full fine-tune, which gets no second set of files.
        step: For the adapter file's header.

    Raises:
        ModelError: What was written does not read back equal.
    """
    target = folder / EMA_FOLDER
    target.mkdir(parents=True, exist_ok=True)
    tensors = ema.tensors()
    save_file(tensors, target / EMA_FILE, metadata={"format": "pt", "num_updates": str(ema.num_updates)})
    with safe_open(target / EMA_FILE, framework="pt") as file:
        equal = all(torch.equal(file.get_tensor(name), tensor) for name, tensor in tensors.items())
    if weights is not None:
        with ema.applied():
            weights.save(target, step=step)
            equal = equal and weights.equal_to(target)
    if not equal:
        raise ModelError(
            f"{target}: what was written does not read back the same",
            hint="The disk may be failing; choose another output_dir.",
        )


def restore_ema(folder: Path, ema: Ema | None, *, warn: Callable[[str, str], None]) -> None:
    """Put a checkpoint's average back, after its weights; one that has none begins as these weights.

    Args:
        folder: The checkpoint.
        ema: The run's average; None while ``use_ema`` is off.
        warn: Called with (code, message) where the average does not simply go on.

    Raises:
        ModelError: The file cannot be read or belongs to other weights.
    """
    path = folder / EMA_FOLDER / EMA_FILE
    if ema is None:
        if path.exists():
            warn("ema_dropped", f"{folder.name} holds an average of the weights, which ends here: use_ema is off")
        return
    ema.restart()
    if not path.exists():
        warn("ema_starts", f"{folder.name} holds no average of the weights: it starts here, as they are")
        return
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a dictionary
            num_updates = int((file.metadata() or {}).get("num_updates", 0))
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: cannot be restored: {error}", hint="Resume from another checkpoint.") from error
    ema.load_tensors(tensors, num_updates=num_updates)


def clip_variants(config: Config, ema: Ema | None) -> list[tuple[str, Callable[[], AbstractContextManager[None]]]]:
    """Which weights test clips are made with: what a clip's name ends with, and the block to make it in.

    Before its first update the average is the weights themselves, so it has no clip of its own.
    """
    own = ("", contextlib.nullcontext)
    if ema is None or ema.num_updates == 0 or config.ema_validation == "none":
        return [own]
    averaged = (CLIP_SUFFIX, ema.applied)
    return [averaged] if config.ema_validation == "ema_only" else [own, averaged]


def _packed(trainable: Mapping[str, nn.Parameter], limit: int) -> Iterator[list[str]]:
    """Names in their order, in packs of at most ``limit`` numbers (a larger one stands alone) on one device."""
    pack: list[str] = []
    size = 0
    for name, weight in trainable.items():
        if pack and (size + weight.numel() > limit or weight.device != trainable[pack[0]].device):
            yield pack
            pack, size = [], 0
        pack.append(name)
        size += weight.numel()
    if pack:
        yield pack
