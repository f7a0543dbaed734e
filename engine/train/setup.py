"""Building what the loop needs: the model with its adapter, optimizer, schedule, test clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from engine.cache.text_states import TextStates
from engine.contract.config import Config
from engine.contract.events import RunWarning
from engine.contract.run_dir import RunDir
from engine.lyrics.tokenizer import LyricTokenizer
from engine.memory.recompute import set_recompute
from engine.model.adapters import LoraSpec, add_lora
from engine.model.family import ModelFamily
from engine.model.transformer import AceStepTransformer
from engine.optim.build import build_optimizer
from engine.optim.schedule import build_schedule
from engine.telemetry.emitter import Emitter
from engine.train.device import base_dtype
from engine.train.state import TrainState
from engine.train.validate import ClipMaker, ClipPrompt
from engine.train.weights import FullWeights, LoraWeights, TrainedWeights


@dataclass(frozen=True)
class Built:
    """A model ready to train."""

    model: AceStepTransformer
    state: TrainState
    weights: TrainedWeights
    spec: LoraSpec | None


def build_model(
    config: Config, family: ModelFamily, *, max_steps: int, with_projectors: bool, device: torch.device
) -> Built:
    """Load the model, make its trained part trainable, and build optimizer and schedule over it.

    Raises:
        ModelError: The checkpoint is damaged.
        ConfigError: LoRA targets or optimizer settings do not fit.
    """
    model = family.load_model(dtype=base_dtype(config), device=device, with_projectors=with_projectors)
    # Module dropout draws from torch's own generator; its state goes into every checkpoint.
    torch.manual_seed(config.seed)
    spec = None
    weights: TrainedWeights
    if config.model_type == "lora":
        spec = family.lora_spec(config)
        add_lora(model, spec, seed=config.seed)
        weights = LoraWeights(
            model,
            spec,
            base_model=config.pretrained_model_name_or_path,
            target_preset="custom" if config.peft_lora_target_modules else config.acestep_lora_target,
        )
    else:
        model.requires_grad_(True)
        weights = FullWeights(model, family.checkpoint)
    if config.gradient_checkpointing:
        set_recompute(model, every=config.gradient_checkpointing_interval or 1)
    model.train()
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = build_optimizer(config, trainable.items())
    state = TrainState(
        model=model,
        trainable=trainable,
        optimizer=optimizer,
        schedule=build_schedule(config, optimizer, max_steps),
        scaler=torch.amp.GradScaler(device.type) if config.mixed_precision == "fp16" else None,
    )
    return Built(model=model, state=state, weights=weights, spec=spec)


def clip_captions(config: Config) -> Sequence[str]:
    """Captions of the test clips, to be encoded with the others."""
    wanted = config.validation_prompt and not config.validation_disable
    return [config.validation_prompt] if wanted else []


def build_clips(
    config: Config,
    family: ModelFamily,
    model: AceStepTransformer,
    text: TextStates,
    *,
    tokenizer: LyricTokenizer,
    run_dir: RunDir,
    device: torch.device,
    emitter: Emitter,
) -> ClipMaker:
    """The test clips a configuration asks for; their codec is loaded here, once."""
    prompts = [
        ClipPrompt(
            name="validation",
            prompt=caption,
            lyrics=config.validation_lyrics or "",
            seconds=config.validation_audio_duration,
            seed=config.seed if config.validation_seed is None else config.validation_seed,
            text_states=text.read(caption),
        )
        for caption in clip_captions(config)
    ]
    wants_erg = config.validation_use_erg_lyric or config.validation_use_erg_diffusion
    settings = family.sampling_settings(config, model)
    if prompts and wants_erg and not settings.uses_erg:
        message = "test clips are made without entropy-rectified guidance: the model has fewer layers than it needs"
        emitter.emit(RunWarning(code="no_erg", message=message))
    codec = family.load_codec(dtype=torch.float32, device=torch.device("cpu")) if prompts else None
    if codec is not None:
        for notice in family.codec_notices(codec):
            emitter.emit(RunWarning(code="codec", message=notice))
    return ClipMaker(
        family=family,
        prompts=prompts,
        settings=settings,
        codec=codec,
        tokenizer=tokenizer,
        run_dir=run_dir,
        config=config,
        device=device,
        emitter=emitter,
    )
