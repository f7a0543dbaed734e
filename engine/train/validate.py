"""Two ways of hearing how training goes: the held-out loss, and test clips."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from engine.batches.collate import Batch
from engine.contract.config import Config
from engine.contract.errors import NonFiniteLossError
from engine.contract.events import RunWarning, SampleProgress, SampleSaved
from engine.contract.files import write_atomic, write_json
from engine.contract.run_dir import RunDir
from engine.lyrics.tokenizer import LyricTokenizer
from engine.memory.compile import is_compiled
from engine.model.autoencoder import MusicCodec
from engine.model.calling import evaluation
from engine.model.card import SAMPLE_RATE
from engine.model.family import ModelFamily
from engine.model.transformer import AceStepTransformer
from engine.sampling.levels import as_finite, measure_levels
from engine.sampling.network import CallSettings, kept_recordings
from engine.sampling.sampler import SamplingSettings
from engine.telemetry.emitter import Emitter
from engine.train.device import release_memory
from engine.train.ema import Ema
from engine.train.oom import Ladder
from engine.train.rungs import CLIPS
from engine.train.step import precision_context

PROGRESS_EVERY_S = 0.5
HELD_OUT_DRAWS = 8


class Interrupted(Exception):
    """The user asked to stop in the middle: what was under way is dropped, nothing is wrong."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclass
class HeldOutLoss:
    """Mean loss over songs that are never trained on × fixed noise and timestep pairs, without dropout.

    Attributes:
        songs: Names of the songs; empty = nothing is held out.
        batches: The fixed batches, in CPU memory: the same at every measurement.
        measured_step: Step of the newest measurement.
    """

    songs: Sequence[str]
    batches: Sequence[Batch]
    family: ModelFamily
    config: Config
    sigmas: Tensor
    device: torch.device
    memory: Ladder
    measured_step: int | None = None

    def largest(self) -> int:
        """The most samples that are measured at once."""
        return self.memory.largest(self.batches)

    def measure(self, model: nn.Module, *, step: int, should_stop: Callable[[], bool] = never) -> float:
        """The held-out loss of ``model`` as it is.

        Raises:
            NonFiniteLossError: It is not a number.
            Interrupted: ``should_stop``, asked before each batch, said so.
        """
        total, count = torch.zeros((), dtype=torch.float64), 0
        with evaluation(model):
            for cpu_batch in self.memory.pieces(self.batches):
                if should_stop():
                    raise Interrupted
                batch = cpu_batch.to(self.device)
                with precision_context(self.config, self.device):
                    terms = self.family.loss(model, batch, sigmas=self.sigmas, ssl_weight=0.0)
                total += terms.per_sample.double().sum().cpu()
                count += len(batch.files)
        loss = float(total / count)
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"the held-out loss is not a number at step {step} ({', '.join(self.songs)})",
                hint="Halve learning_rate, then run the same command again: it goes on from the last checkpoint.",
            )
        self.measured_step = step
        return loss


def measure_average(
    held_out: HeldOutLoss, ema: Ema | None, model: nn.Module, *, step: int, should_stop: Callable[[], bool] = never
) -> float | None:
    """The held-out loss with the averaged weights; None before their first update, or when somebody asks to stop."""
    if ema is None or ema.num_updates == 0:
        return None
    with ema.applied():
        try:
            return held_out.measure(model, step=step, should_stop=should_stop)
        except Interrupted:
            return None


@dataclass(frozen=True)
class ClipPrompt:
    """What a test clip is of."""

    name: str
    prompt: str
    lyrics: str
    seconds: float
    seed: int
    text_states: Tensor


@dataclass
class ClipMaker:
    """Makes the test clips and their sidecars; the codec waits in host memory until one is decoded."""

    family: ModelFamily
    prompts: Sequence[ClipPrompt]
    settings: SamplingSettings
    codec: MusicCodec | None
    tokenizer: LyricTokenizer
    run_dir: RunDir
    config: Config
    device: torch.device
    emitter: Emitter
    memory: Ladder
    _told: set[str] = field(default_factory=set)

    def make(
        self, model: AceStepTransformer, *, step: int, should_stop: Callable[[], bool] = never, suffix: str = ""
    ) -> int:
        """Make every clip of a step and return how many were made; a failing one becomes a warning.

        Args:
            model: As it is now.
            step: For the files' names.
            should_stop: Asked before each denoising step.
            suffix: Put behind each name, to tell clips of one prompt and step apart (``_ema``, ``_base``).

        Raises:
            Interrupted: ``should_stop`` said so.
        """
        made = 0
        # What training keeps for its next step cannot be used while a call is recorded.
        release_memory(self.device)
        with self._keeping(model):
            for listed in self.prompts:
                prompt = replace(listed, name=f"{listed.name}{suffix}", seed=self._seed(listed, step))
                try:
                    make = partial(self._make_one, model, prompt, step, should_stop)
                    self.memory.attempt("validate", make, kinds=CLIPS, can_do_without=True)
                    made += 1
                except Interrupted:
                    raise
                except Exception as error:  # any failure of a clip: training is worth more than a clip
                    self.emitter.emit(RunWarning(code="clip_failed", message=self._failure(prompt, step, error)))
        return made

    @contextlib.contextmanager
    def _keeping(self, model: AceStepTransformer) -> Iterator[None]:
        """Inside, clips share what is recorded and the codec's copies, which the device has back afterwards."""
        try:
            with kept_recordings(model):
                yield
        finally:
            if self.codec is not None:
                self.codec.forget_copies()
            release_memory(self.device)

    def _seed(self, prompt: ClipPrompt, step: int) -> int:
        """The prompt's own, or with ``validation_randomize`` another one at each step; the sidecar keeps it."""
        if not self.config.validation_randomize:
            return prompt.seed
        digest = hashlib.sha256(f"{prompt.seed}/{step}/{prompt.name}".encode()).digest()
        return int.from_bytes(digest[:4], "little") >> 1

    def _failure(self, prompt: ClipPrompt, step: int, error: Exception) -> str:
        message = f"test clip {prompt.name} at step {step} failed: {str(error).strip() or repr(error)}"
        if isinstance(error, MemoryError) or "memory" in str(error).lower():
            message += (
                f"; a shorter validation_audio_duration (now {prompt.seconds:g} s) needs less memory"
                f"{'' if self.settings.overlapped_decode else ', and so does vae_enable_tiling true'}"
            )
        return f"{message}. Training goes on"

    def _make_one(
        self, model: AceStepTransformer, prompt: ClipPrompt, step: int, should_stop: Callable[[], bool]
    ) -> None:
        assert self.codec is not None
        started = time.monotonic()
        # As memory has it by now: in blocks or whole, beside the model or on the processor.
        settings = replace(
            self.settings,
            overlapped_decode=self.memory.acting.vae_enable_tiling,
            # A compilation for clips alone pays after a hundred of them, so only where it is asked for.
            calls=CallSettings(
                is_compiled=self.config.compile == "on" and self.device.type == "cuda" and is_compiled(model)
            ),
        )
        device = torch.device("cpu") if self.memory.relief.clips_on_processor else self.device
        # While the clip is denoised no weight of the codec is on the card: what is promised for small cards needs it.
        self.codec.place(device, stays=bool(self.config.keep_vae_loaded))
        try:
            with evaluation(model), precision_context(self.config, self.device):
                audio = self.family.generate_clip(
                    model,
                    self.codec,
                    self.tokenizer,
                    prompt=prompt.prompt,
                    text_states=prompt.text_states,
                    lyrics=prompt.lyrics,
                    seconds=prompt.seconds,
                    seed=prompt.seed,
                    settings=settings,
                    device=self.device,
                    on_step=self._progress(prompt.name, should_stop),
                    on_fallback=self._tell_fallback,
                )
        finally:
            release_memory(self.device)
        took_s = time.monotonic() - started
        self._save(audio, prompt, step=step, took_s=took_s)

    def _tell_fallback(self, reason: str) -> None:
        """Once: every clip of a run would say the same."""
        if reason not in self._told:
            self._told.add(reason)
            self.emitter.emit(RunWarning(code="clip_slower", message=f"test clips are made more slowly: {reason}"))

    def _progress(self, name: str, should_stop: Callable[[], bool]) -> Callable[[int, int], None]:
        last = [0.0]

        def report(done: int, total: int) -> None:
            if should_stop():
                raise Interrupted
            now = time.monotonic()
            if now - last[0] >= PROGRESS_EVERY_S:
                last[0] = now
                self.emitter.emit(SampleProgress(name=name, done=done, total=total))

        return report

    def _save(self, audio: np.ndarray, prompt: ClipPrompt, *, step: int, took_s: float) -> None:
        path = self.run_dir.validation / f"step_{step}_{prompt.name}.wav"
        levels = measure_levels(audio)
        buffer = io.BytesIO()
        soundfile.write(buffer, as_finite(audio).T, SAMPLE_RATE, format="WAV", subtype="PCM_16")
        write_atomic(path, buffer.getvalue(), action="saving a test clip")
        seconds = audio.shape[-1] / SAMPLE_RATE
        write_json(
            path.with_suffix(".json"),
            {
                "step": step,
                "prompt": prompt.prompt,
                "lyrics": prompt.lyrics,
                "seed": prompt.seed,
                "steps": self.settings.num_steps,
                "guidance": self.settings.guidance_scale,
                "duration": prompt.seconds,
                "real_seconds": seconds,
                "sample_rate": SAMPLE_RATE,
                "took_s": round(took_s, 3),
                "verdict": levels.verdict,
                "clipped_share": levels.clipped_share,
            },
            action="saving a test clip's sidecar",
        )
        if levels.verdict != "ok":
            message = f"test clip {path.name} {levels.words}"
            self.emitter.emit(RunWarning(code="clip_verdict", message=message))
        self.emitter.emit(
            SampleSaved(
                step=step,
                name=prompt.name,
                path=str(path.relative_to(self.run_dir.path)),
                seconds=round(seconds, 3),
                took_s=round(took_s, 3),
                verdict=levels.verdict,
                envelope=levels.envelope,
                clipped_share=levels.clipped_share,
            )
        )
