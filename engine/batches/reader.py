"""Reading one visit: which piece, which caption, which noise. Everything random hangs on (seed, position) alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.batches.bucket import Clip
from engine.batches.collate import Sample
from engine.batches.crop import clip_lyrics
from engine.batches.sampler import Visit
from engine.cache.audio_latents import AudioLatents
from engine.cache.ssl_features import ssl_of
from engine.cache.store import AudioEntry, DamagedEntryError
from engine.cache.text_states import TextStates
from engine.contract.errors import DataError
from engine.dataset.report import Problem
from engine.objective.dropout import ConditionDropout, draw_dropout
from engine.objective.randomness import sample_generator
from engine.objective.timesteps import draw_index

if TYPE_CHECKING:
    from engine.lyrics.tokenizer import LyricTokenizer, LyricTokens

_NOTHING_DROPPED = ConditionDropout(caption=False, text=False, speaker=False, lyrics=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What the random decisions of a visit depend on besides its position.

    Attributes:
        seed: The run's seed.
        caption_dropout: ``caption_dropout_probability``.
        logit_mean: Of the timestep draw.
        logit_std: Of the timestep draw.
    """

    seed: int
    caption_dropout: float = 0.0
    logit_mean: float = 0.0
    logit_std: float = 1.0


class SampleReader:
    """Turns visits into samples. Safe to call from several threads.

    Args:
        audio: Cached latents.
        text: Cached text states.
        tokenizer: Lyrics are tokenised here, at load time, so an edited text counts at once; each text only once a run.
        draws: Seed and probabilities.
        ssl_names: The checkpoint's ``ssl_names`` when features are wanted, else empty.
        repair_audio: Makes a damaged entry anew (`engine.cache.repair`).
        repair_text: The same for a caption.
        on_problem: Told once per song about lyrics that could not be tokenised.
    """

    def __init__(
        self,
        *,
        audio: AudioLatents,
        text: TextStates,
        tokenizer: LyricTokenizer,
        draws: Draws,
        repair_audio: Callable[[Clip], AudioEntry],
        repair_text: Callable[[str], Tensor],
        on_problem: Callable[[Problem], None],
        ssl_names: Sequence[str] = (),
    ) -> None:
        self._audio = audio
        self._text = text
        self._tokenizer = tokenizer
        self._draws = draws
        self._ssl_names = tuple(ssl_names)
        self._repair_audio = repair_audio
        self._repair_text = repair_text
        self._on_problem = on_problem
        self._tokens: dict[str, LyricTokens] = {}
        self._tokenizer_lock = threading.Lock()

    def __call__(self, visit: Visit) -> Sample:
        """Read one visit. A held-out visit takes the first piece and caption and drops nothing.

        Raises:
            DataError: The cache entry is gone.
        """
        training = visit.held_out_draw is None
        clips, captions = visit.entry.clips, visit.entry.song.captions
        clip = clips[self._choose(len(clips), visit, "piece") if training else 0]
        caption = captions[self._choose(len(captions), visit, "caption") if training else 0]
        drop = _NOTHING_DROPPED
        if training:
            generator = self._generator(visit, "dropout")
            drop = draw_dropout(generator, caption_probability=self._draws.caption_dropout)

        entry = self._read_audio(clip)
        latents = entry.latents[..., : min(clip.valid_frames, entry.latent_length)]
        states = self._read_text("" if drop.caption else caption)
        lyrics = clip_lyrics(clip)
        tokens = self._tokenise(lyrics.text, clip.song.relative_path)
        ids, mask = torch.tensor(tokens.ids, dtype=torch.int64), torch.tensor(tokens.mask, dtype=torch.int64)
        return Sample(
            latents=latents,
            noise=torch.randn(latents.shape, generator=self._generator(visit, "noise")),
            timestep_index=draw_index(
                self._generator(visit, "timestep"), self._draws.logit_mean, self._draws.logit_std
            ),
            text_states=torch.zeros_like(states) if drop.text else states,
            lyric_ids=torch.zeros_like(ids) if drop.lyrics else ids,
            lyric_mask=torch.zeros_like(mask) if drop.lyrics else mask,
            ssl=ssl_of(entry, self._ssl_names),
            file=clip.song.relative_path,
            position=visit.position,
            audio_s=clip.length_s,
            lyrics_withheld=lyrics.withheld,
        )

    def _generator(self, visit: Visit, purpose: str) -> torch.Generator:
        return sample_generator(self._draws.seed, visit.position, purpose)

    def _choose(self, count: int, visit: Visit, purpose: str) -> int:
        return int(torch.randint(count, (), generator=self._generator(visit, purpose)))

    def _read_audio(self, clip: Clip) -> AudioEntry:
        try:
            return self._audio.read(clip)
        except DamagedEntryError:
            return self._repair_audio(clip)
        except FileNotFoundError as error:
            raise _gone(error) from error

    def _read_text(self, caption: str) -> Tensor:
        try:
            return self._text.read(caption)
        except DamagedEntryError:
            return self._repair_text(caption)
        except FileNotFoundError as error:
            raise _gone(error) from error

    def _tokenise(self, lyrics: str, file: str) -> LyricTokens:
        # The lock also keeps the language libraries, which promise no thread safety, to one thread at a time.
        with self._tokenizer_lock:
            tokens = self._tokens.get(lyrics)
            if tokens is None:
                tokens = self._tokens[lyrics] = self._tokenizer.encode(lyrics)
                for reason in tokens.problems:
                    self._on_problem(Problem(file=file, severity="warning", code="lyrics_not_tokenised", reason=reason))
        return tokens


def _gone(error: FileNotFoundError) -> DataError:
    return DataError(
        f"a cache entry is gone: {error.filename or error}",
        hint="Something deleted it while the run was going on. The same command prepares it again and goes on.",
    )
