"""Reading one visit: which piece, which caption, which noise. Everything random hangs on (seed, position) alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.batches.bucket import Clip, Entry
from engine.batches.collate import Sample
from engine.batches.crop import clip_lyrics
from engine.batches.recut import Recut
from engine.batches.sampler import Visit
from engine.cache.audio_latents import AudioLatents
from engine.cache.on_demand import OnDemand, UnusableClipError
from engine.cache.ssl_features import ssl_of
from engine.cache.store import AudioEntry, DamagedEntryError
from engine.cache.text_states import TextStates
from engine.contract.errors import DataError
from engine.dataset.report import Problem
from engine.objective.dropout import ConditionDropout, draw_dropout
from engine.objective.randomness import sample_generator
from engine.objective.rollout import PURPOSE as ROLLOUT
from engine.objective.rollout import draw_walk
from engine.objective.timesteps import draw_index
from engine.planning.rollout_plan import RolloutPlan

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
        rollout: Scheduled sampling; None = off.
    """

    seed: int
    caption_dropout: float = 0.0
    logit_mean: float = 0.0
    logit_std: float = 1.0
    rollout: RolloutPlan | None = None


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
        on_problem: Told once per song about lyrics that could not be tokenised, and about songs found unusable.
        on_demand: Makes entries that are missing by intent; None where all were prepared.
        recut: Where a clip is cut at a visit; None where cuts are frozen.
        others: Songs of the same length by data set and bucket: one takes the turn of a song that turns out unusable.
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
        on_demand: OnDemand | None = None,
        recut: Recut | None = None,
        others: Mapping[tuple[str, str], Sequence[Entry]] | None = None,
    ) -> None:
        self._audio = audio
        self._text = text
        self._tokenizer = tokenizer
        self._draws = draws
        self._ssl_names = tuple(ssl_names)
        self._repair_audio = repair_audio
        self._repair_text = repair_text
        self._on_problem = on_problem
        self._on_demand = on_demand
        self._recut = recut
        self._others = others or {}
        self._tokens: dict[str, LyricTokens] = {}
        self._tokenizer_lock = threading.Lock()

    def __call__(self, visit: Visit) -> Sample:
        """Read one visit. A held-out visit takes the first piece and caption and drops nothing.

        Raises:
            DataError: The cache entry is gone, or no song of this length can be used.
            UnusableClipError: A held-out song cannot be used (only where entries are made on demand).
        """
        training = visit.held_out_draw is None
        clips = visit.entry.clips
        clip, entry = self._usable(visit, clips[self._choose(len(clips), visit, "piece") if training else 0])
        captions = clip.song.captions
        caption = captions[self._choose(len(captions), visit, "caption") if training else 0]
        drop = _NOTHING_DROPPED
        if training:
            generator = self._generator(visit, "dropout")
            drop = draw_dropout(generator, caption_probability=self._draws.caption_dropout)

        latents = entry.latents[..., : min(clip.valid_frames, entry.latent_length)]
        states = self.read_text("" if drop.caption else caption)
        lyrics = clip_lyrics(clip)
        tokens = self._tokenise(lyrics.text, clip.song.relative_path)
        index = draw_index(self._generator(visit, "timestep"), self._draws.logit_mean, self._draws.logit_std)
        ids, mask = torch.tensor(tokens.ids, dtype=torch.int64), torch.tensor(tokens.mask, dtype=torch.int64)
        return Sample(
            latents=latents,
            noise=torch.randn(latents.shape, generator=self._generator(visit, "noise")),
            timestep_index=index,
            text_states=torch.zeros_like(states) if drop.text else states,
            lyric_ids=torch.zeros_like(ids) if drop.lyrics else ids,
            lyric_mask=torch.zeros_like(mask) if drop.lyrics else mask,
            ssl=ssl_of(entry, self._ssl_names),
            file=clip.song.relative_path,
            position=visit.position,
            audio_s=clip.length_s,
            lyrics_withheld=lyrics.withheld,
            walk=self._draw_walk(visit, index) if training else 0,
        )

    def _draw_walk(self, visit: Visit, timestep_index: int) -> int:
        plan = self._draws.rollout
        if plan is None:
            return 0
        return draw_walk(self._generator(visit, ROLLOUT), plan, step=visit.step, timestep_index=timestep_index)

    def _generator(self, visit: Visit, purpose: str) -> torch.Generator:
        return sample_generator(self._draws.seed, visit.position, purpose)

    def _choose(self, count: int, visit: Visit, purpose: str) -> int:
        return int(torch.randint(count, (), generator=self._generator(visit, purpose)))

    def _usable(self, visit: Visit, clip: Clip) -> tuple[Clip, AudioEntry]:
        """The clip of a visit with its entry; where it turns out unusable, one that takes its turn."""
        if self._recut is not None:
            if (outdated := self._recut.outdated(visit, clip)) is not None:
                self._audio.forget(outdated)
            clip = self._recut(visit, clip)
        try:
            return clip, self._read_audio(clip)
        except UnusableClipError as error:
            self._on_problem(error.problem)
            if visit.held_out_draw is not None:
                raise
            return self._substitute(visit, error)

    def _substitute(self, visit: Visit, error: UnusableClipError) -> tuple[Clip, AudioEntry]:
        """Another piece of the song, else another song: the same for the same seed, position and files."""
        entry = visit.entry
        songs = self._others.get((entry.song.backend_id, entry.bucket), ())
        first = self._choose(max(len(songs), 1), visit, "substitute")
        for other in (entry, *songs[first:], *songs[:first]):
            for clip in other.clips:
                try:
                    return clip, self._read_audio(clip)
                except UnusableClipError as also:
                    self._on_problem(also.problem)
        raise DataError(
            f"no song of {entry.bucket} can be used: {entry.song.relative_path}: {error.problem.reason}",
            hint="The reason for each file is named above. Mend or leave out such files, then run the command again.",
        )

    def _read_audio(self, clip: Clip) -> AudioEntry:
        on_demand = self._on_demand if self._on_demand is not None and self._on_demand.makes(clip) else None
        if on_demand is not None and not self._audio.is_whole(clip):
            return on_demand.audio(clip)
        try:
            return self._audio.read(clip)
        except DamagedEntryError:
            return self._repair_audio(clip) if on_demand is None else on_demand.mended(clip)
        except FileNotFoundError as error:
            raise _gone(error) from error

    def read_text(self, caption: str) -> Tensor:
        """The states (tokens, width) of a caption.

        Raises:
            DataError: The cache entry is gone.
        """
        if self._on_demand is not None and self._on_demand.makes_text(caption):
            return self._on_demand.text(caption)
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
