"""Building what the loop needs: the model with its adapter, optimizer, schedule, test clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.contract.config import Config
from engine.contract.events import RunWarning
from engine.contract.prompt_library import clip_texts
from engine.contract.run_dir import RunDir
from engine.lyrics.tokenizer import LyricTokenizer
from engine.memory.copies import Warn, silent
from engine.memory.live import set_memory_means
from engine.model.adapters import LoraSpec, add_lora
from engine.model.family import ModelFamily
from engine.model.quantise import quantisation_of
from engine.model.transformer import AceStepTransformer
from engine.telemetry.emitter import Emitter
from engine.train.device import base_dtype
from engine.train.ema import build_ema
from engine.train.init_lora import FRESH, Start
from engine.train.lyrics_embedder import load_sibling_embedder
from engine.train.oom import Ladder
from engine.train.state import TrainState
from engine.train.trainable import build_steppers, choose_trainable
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
    config: Config,
    family: ModelFamily,
    *,
    max_steps: int,
    with_projectors: bool,
    device: torch.device,
    start: Start = FRESH,
    warn: Warn = silent,
) -> Built:
    """Load the model, make its trained part trainable, and build optimizer and schedule over it.

    Raises:
        ModelError: The checkpoint is damaged.
        ConfigError: LoRA targets, optimizer settings or means of saving memory do not fit.
        OutOfMemoryError: Main memory has no room for the blocks that are to wait there.
    """
    model = family.load_model(
        dtype=base_dtype(config),
        device=device,
        with_projectors=with_projectors,
        quantisation=quantisation_of(config),
        num_waiting=config.musubi_blocks_to_swap,
    )
    # Module dropout draws from torch's own generator; its state goes into every checkpoint.
    torch.manual_seed(config.seed)
    spec = None
    weights: TrainedWeights
    if config.model_type == "lora":
        spec = start.spec or family.lora_spec(config)
        add_lora(model, spec, seed=config.seed)
        if start.lora is not None:
            start.lora.put_into(model)
        weights = LoraWeights(
            model,
            spec,
            base_model=config.pretrained_model_name_or_path,
            target_preset="custom" if config.peft_lora_target_modules else config.acestep_lora_target,
            with_embedder=config.lyrics_embedder_train,
        )
    else:
        weights = FullWeights(model, family.checkpoint)
    set_memory_means(model, config, device, warn=warn)
    model.key_dropout(device)
    model.train()
    trainable = choose_trainable(model, config)
    if start.lora is not None and config.lyrics_embedder_train:
        load_sibling_embedder(model, start.lora.path)
    optimizer, schedule, embedder = build_steppers(config, trainable, max_steps)
    state = TrainState(
        model=model,
        trainable=trainable,
        optimizer=optimizer,
        schedule=schedule,
        embedder=embedder,
        scaler=torch.amp.GradScaler(device.type) if config.mixed_precision == "fp16" else None,
        ema=build_ema(config, trainable, device),
    )
    return Built(model=model, state=state, weights=weights, spec=spec)


def clip_captions(config: Config) -> Sequence[str]:
    """Captions of the test clips, to be encoded with the others."""
    return [text.prompt for text in clip_texts(config)]


def build_clips(
    config: Config,
    family: ModelFamily,
    model: AceStepTransformer,
    read_text: Callable[[str], Tensor],
    *,
    tokenizer: LyricTokenizer,
    run_dir: RunDir,
    device: torch.device,
    emitter: Emitter,
    memory: Ladder,
) -> ClipMaker:
    """The test clips a configuration asks for; their codec is loaded here, once."""
    prompts = [
        ClipPrompt(
            name=wanted.name,
            prompt=wanted.prompt,
            lyrics=wanted.lyrics,
            seconds=config.validation_audio_duration,
            seed=config.seed if config.validation_seed is None else config.validation_seed,
            text_states=read_text(wanted.prompt),
        )
        for wanted in clip_texts(config)
    ]
    wants_erg = config.validation_use_erg_lyric or config.validation_use_erg_diffusion
    settings = family.sampling_settings(config, model)
    if prompts and wants_erg and not settings.uses_erg:
        message = "test clips are made without entropy-rectified guidance: the model has fewer layers than it needs"
        emitter.emit(RunWarning(code="no_erg", message=message))
    codec = None
    if prompts:
        codec = family.load_codec(dtype=torch.float32, device=torch.device("cpu"), parts=("decoder",))
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
        memory=memory,
    )
