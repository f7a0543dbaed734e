"""How much memory a run takes, by phase and part: an estimate whose coefficients are fitted to a card. No torch.

Phases follow one another (preparing, loading, steps, test clips), so the largest counts. Three figures come out of it:
what torch's allocator hands out (``peak_bytes``), what it holds (``reserved_bytes``) and what the card loses
(``used_bytes``, with the CUDA context, as NVML shows it): the last must fit into what is free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.contract.config import Config
from engine.planning.activations import Activations, activations
from engine.planning.average import average_bytes, average_on_device
from engine.planning.disk import num_clips
from engine.planning.encoders import clip_bytes, kept_codec_bytes, prepare_bytes
from engine.planning.facts import DataFacts, DeviceKind
from engine.planning.memory_terms import MemoryTerms, memory_terms
from engine.planning.sizes import ModelSizes
from engine.planning.trained import added_weight_bytes, gradient_bytes, num_trainable, optimizer_bytes
from engine.planning.weights import model_bytes, plain_bytes, swapped_bytes, waiting_bytes

GB = 2**30
_MPS_BYTES = 500_000_000  # what Metal keeps besides the tensors
_PROCESS_BYTES = 900_000_000  # interpreter, torch, the libraries of text and audio
_PREPARES_BESIDE = ("vae_cache_disable", "vae_cache_ondemand", "text_cache_disable", "text_cache_ondemand")


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by part and phase. On a processor or a Mac the parts lie in main memory.

    Attributes:
        weights_bytes: The model, less what block swap takes away.
        adapter_bytes: What is trained besides the model, all gradients, and the average where it lies here.
        optimizer_bytes: What the optimizers remember.
        activation_bytes: What the songs of a micro-batch add at the fullest moment of a step, workspace included.
        encoder_bytes: Preparing songs and captions.
        load_bytes: Reading the model: its weights as they are read, and one layer more.
        validate_bytes: Making a test clip; 0 where none is asked for.
        base_bytes: Outside torch's allocator: the CUDA context.
        slack_bytes: What the allocator holds beyond the peak.
        host_bytes: What lies in main memory instead, beside a card.
        codec_bytes: The codec where it stays between test clips.
        has_encoders_beside: Songs or captions are prepared while training, so the encoders stay.
    """

    weights_bytes: int
    adapter_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    encoder_bytes: int
    base_bytes: int
    load_bytes: int = 0
    validate_bytes: int = 0
    slack_bytes: int = 0
    host_bytes: int = 0
    codec_bytes: int = 0
    has_encoders_beside: bool = False

    @property
    def train_bytes(self) -> int:
        """The fullest moment of a step."""
        training = self.weights_bytes + self.adapter_bytes + self.optimizer_bytes + self.activation_bytes
        return training + self.codec_bytes + (self.encoder_bytes if self.has_encoders_beside else 0)

    @property
    def phases(self) -> dict[str, int]:
        """The peak of each phase, as torch's allocator counts."""
        return {
            "prepare": self.encoder_bytes,
            "load": self.load_bytes,
            "train": self.train_bytes,
            "validate": self.validate_bytes,
        }

    @property
    def peak_bytes(self) -> int:
        """The most that torch's allocator hands out (``max_memory_allocated``)."""
        return max(self.phases.values())

    @property
    def reserved_bytes(self) -> int:
        """The most that it holds (``max_memory_reserved``)."""
        return self.peak_bytes + self.slack_bytes

    @property
    def used_bytes(self) -> int:
        """What the device loses to the run: with what stands outside the allocator."""
        return self.reserved_bytes + self.base_bytes


def estimate_memory(
    config: Config,
    *,
    data: DataFacts,
    sizes: ModelSizes,
    kind: DeviceKind,
    card_bytes: int | None = None,
    terms: MemoryTerms | None = None,
) -> MemoryEstimate:
    """Estimate the peak memory of the device that trains.

    Args:
        config: The run's; unchecked values are planned as they stand.
        data: The longest piece, the conditions, whether musical features take part.
        sizes: The model's.
        kind: What trains.
        card_bytes: All memory of the card, where it is known.
        terms: Other coefficients than the committed ones, to fit them.
    """
    terms = terms if terms is not None else memory_terms()
    trainable = num_trainable(config, sizes)
    step = activations(config, data, sizes, terms, num_trained=trainable)
    swapped = swapped_bytes(config, sizes) if kind == "cuda" else 0
    weights = model_bytes(config, sizes, data)
    average, is_here = average_bytes(config, trainable), average_on_device(config, kind)
    added = added_weight_bytes(config, sizes, stored_bytes=plain_bytes(config)) + (average if is_here else 0)
    gradients, states = gradient_bytes(config, sizes), optimizer_bytes(config, sizes)
    resident = weights - swapped + added + states
    workspace = terms.workspace_bytes if kind == "cuda" else 0.0
    adding = _step_bytes(config, step, gradients) + step.outer + workspace
    clip = clip_bytes(config, sizes, kind, card_bytes) if num_clips(config, config.max_train_steps or 1) else 0
    estimate = MemoryEstimate(
        weights_bytes=weights - swapped,
        adapter_bytes=added + gradients,
        optimizer_bytes=states,
        activation_bytes=int(adding - gradients),
        encoder_bytes=prepare_bytes(config, data, sizes, kind),
        base_bytes={"cuda": int(terms.context_bytes), "mps": _MPS_BYTES, "cpu": 0}[kind],
        load_bytes=weights - swapped + int(sizes.num_block * plain_bytes(config)),
        validate_bytes=int(resident + step.casts + workspace) + clip if clip else 0,
        host_bytes=(0 if is_here else average)
        + (waiting_bytes(config, sizes) + int(step.host) if kind == "cuda" else 0),
        codec_bytes=kept_codec_bytes(config, sizes) if clip else 0,
        has_encoders_beside=any(config[key] for key in _PREPARES_BESIDE),
    )
    return _with_slack(estimate, terms, kind)


def _step_bytes(config: Config, step: Activations, gradients: int) -> float:
    """What the fullest moment of forward and backward adds, gradients included.

    While the backward pass goes, what was kept shrinks and the gradients grow, both evenly: one of its ends is the
    fullest, or the end of the forward pass. Gradients that stay (accumulation, ``set_grads_to_none`` off) are there
    all the time.
    """
    stays = config.gradient_accumulation_steps > 1 or not config.set_grads_to_none
    copies = step.casts if not config.gradient_checkpointing else 0.0
    begins = max(step.kept + step.casts, step.kept + copies + step.under_way)
    ends = gradients + max(step.under_way, step.late)
    return max(begins + gradients, ends) if stays else max(begins, ends)


def _with_slack(estimate: MemoryEstimate, terms: MemoryTerms, kind: DeviceKind) -> MemoryEstimate:
    slack = int(estimate.peak_bytes * terms.slack_share + terms.slack_bytes) if kind == "cuda" else 0
    return replace(estimate, slack_bytes=slack)


def estimate_ram(memory: MemoryEstimate, *, kind: DeviceKind, sizes: ModelSizes) -> int:
    """Main memory of the worker: its own, and the device's parts where they lie in main memory."""
    if kind == "cuda":
        # A file is read in pieces straight to the card; the pieces are mapped, not kept.
        return _PROCESS_BYTES + sizes.num_parameters // 10 + memory.host_bytes
    return _PROCESS_BYTES + memory.used_bytes
