"""Every check of a model in its order: ``acestep-tui model verify``. Two minutes with the released one on a card."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.contract.errors import UserError
from engine.contract.model_checks import CHECKS
from engine.contract.model_files import (
    DCAE_FOLDER,
    SUB_FOLDERS,
    TEXT_ENCODER_FOLDER,
    TRANSFORMER_FOLDER,
    VOCODER_FOLDER,
)
from engine.hardware.models import ModelStatus
from engine.model.family import AceStepV1
from engine.model.load import load_codec, load_text_encoder, resolve_checkpoint
from engine.train.device import release_memory
from engine.train.worker import is_out_of_memory
from engine.verify import files, sound
from engine.verify.outcome import Outcome
from engine.verify.training import PROMPT, Effort, Rehearsal

Tell = Callable[[str, Outcome | None], None]
"""Told of a check's beginning (None) and of its outcome."""


class _StoppedError(Exception):
    """Somebody asked to stop between two checks."""


@dataclass
class _Rows:
    """Makes checks and keeps their outcomes."""

    tell: Tell
    should_stop: Callable[[], bool]
    outcomes: dict[str, Outcome]

    def make(self, check: str, action: Callable[[], Outcome]) -> Outcome:
        """Make one check; whatever it raises is its outcome, but for a stop and a lack of memory."""
        if self.should_stop():
            raise _StoppedError
        self.tell(check, None)
        try:
            outcome = action()
        except UserError as error:
            outcome = Outcome("failed", error.message)
        # Any other exception: a damaged model raises whatever its libraries do, and the next checks may still tell.
        except Exception as error:
            if is_out_of_memory(error):
                raise
            traceback.print_exception(error)
            outcome = Outcome("failed", f"{type(error).__name__}: {(str(error) or 'no reason given').splitlines()[0]}")
        return self.add(check, outcome)

    def add(self, check: str, outcome: Outcome) -> Outcome:
        """Keep an outcome."""
        self.outcomes[check] = outcome
        self.tell(check, outcome)
        return outcome

    def skip_rest(self, reason: str) -> None:
        """Say of every check that was not made why not."""
        for check in CHECKS:
            if check not in self.outcomes:
                self.add(check, Outcome("skipped", reason))


def verify_files(
    status: ModelStatus,
    *,
    device: torch.device,
    tell: Tell,
    should_stop: Callable[[], bool] = lambda: False,
    effort: Effort | None = None,
) -> dict[str, Outcome]:
    """Make every check that can be made of a model.

    Args:
        status: Where its files are, and which.
        device: Where its networks run.
        tell: Told of each check.
        should_stop: Asked before each check.
        effort: How long the clip is; as documented by default.

    Returns:
        An outcome for each of `CHECKS`; fewer when it was asked to stop.

    Raises:
        Exception: The memory did not suffice; see `engine.train.worker.is_out_of_memory`.
    """
    rows = _Rows(tell, should_stop, {})
    try:
        _check_files(rows, status)
        if any(rows.outcomes[check].state == "failed" for check in ("parts", "tensors", "configuration")):
            rows.skip_rest("not made: the files must be right first")
        else:
            assert status.path is not None
            _check_networks(rows, status.path, device=device, effort=effort or Effort())
    except _StoppedError:
        pass
    release_memory(device)
    return rows.outcomes


def _check_files(rows: _Rows, status: ModelStatus) -> None:
    rows.make("parts", lambda: files.check_parts(status))
    here = {part.name for part in status.parts if part.state == "whole"} if status.path is not None else set()
    root = {name: (status.path or Path()) / name for name in SUB_FOLDERS}

    def where(*needed: str) -> bool:
        return here.issuperset(needed)

    checks: list[tuple[str, tuple[str, ...], Callable[[], Outcome]]] = [
        ("tensors", (TRANSFORMER_FOLDER,), lambda: files.check_tensors(root[TRANSFORMER_FOLDER])),
        ("configuration", SUB_FOLDERS, lambda: files.check_configuration(root)),
        ("mel", (VOCODER_FOLDER,), lambda: files.check_mel(root[VOCODER_FOLDER])),
        ("text_tokens", (TEXT_ENCODER_FOLDER,), lambda: files.check_text_tokens(root[TEXT_ENCODER_FOLDER])),
        ("lyric_tokens", (TRANSFORMER_FOLDER,), lambda: files.check_lyric_tokens(root[TRANSFORMER_FOLDER])),
    ]
    for check, needed, action in checks:
        if where(*needed):
            rows.make(check, action)
        else:
            missing = [name for name in needed if name not in here]
            are = "is" if len(missing) == 1 else "are"
            rows.add(check, Outcome("skipped", f"not made: {', '.join(missing)} {are} not whole"))


def _check_networks(rows: _Rows, root: Path, *, device: torch.device, effort: Effort) -> None:
    """One network in memory at a time, as far as a clip allows."""
    checkpoint = resolve_checkpoint(root)
    # Each part is judged only where it is configured as the released one: only of that it is known what it does.
    is_judged = not files.codec_differences({name: root / name for name in SUB_FOLDERS})
    codec = None

    def tone() -> Outcome:
        nonlocal codec
        codec = load_codec(checkpoint, dtype=torch.float32, device=device)
        return sound.check_tone(codec, is_judged=is_judged)

    rows.make("tone", tone)
    if codec is None:
        rows.skip_rest(f"not made: {DCAE_FOLDER} and {VOCODER_FOLDER} must load first")
        return
    loaded = codec
    rows.make("drums", lambda: sound.check_drums(loaded, is_judged=is_judged))
    rehearsal: Rehearsal | None = None

    def clip() -> Outcome:
        nonlocal rehearsal
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        text_encoder = load_text_encoder(checkpoint, dtype=dtype, device=device)
        [states] = text_encoder.encode([PROMPT])
        if not bool(torch.isfinite(states).all()):
            return Outcome("failed", "the text encoder's states hold numbers that are not finite")
        del text_encoder
        release_memory(device)
        made = Rehearsal(AceStepV1(checkpoint), loaded, states, device, effort)
        rehearsal = made
        return made.check_clip()

    rows.make("clip", clip)
    if rehearsal is None:
        rows.skip_rest("not made: a clip must be possible first")
        return
    ready = rehearsal
    is_whole_judged = is_judged and files.is_released(checkpoint.transformer)
    step = rows.make("training_step", lambda: ready.check_step(is_judged=is_whole_judged))
    if step.state == "failed":
        rows.skip_rest("not made: a training step must be possible first")
    else:
        rows.make("adapter", ready.check_adapter)
