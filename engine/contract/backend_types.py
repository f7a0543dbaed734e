"""What a list of data sets becomes once it is checked: plain, frozen, the same for every reader."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from engine.contract.validate import Notice

DEMO_SONGS = "demo:songs"

CaptionStrategy = Literal["textfile", "filename", "instanceprompt", "huggingface"]


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """How the songs of a data set are cut and grouped, and what their lyrics files are called (section 2.2)."""

    duration_interval: float | Literal["auto"] = "auto"
    max_duration_s: float | None = None
    min_duration_s: float | None = None
    truncation_mode: Literal["beginning", "end", "random"] = "beginning"
    long_clip: Literal["skip", "cut", "pieces"] = "cut"
    channels: Literal[1, 2] = 2
    lyrics_filename_format: str | None = None
    lyrics_extension: str | None = None
    lyrics_suffix: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """When a data set is used: from ``start_step`` steps done to ``end_step`` done, and in epochs counted from 1.

    All four must hold. ``end_epoch`` and ``end_step`` are the last ones in which it is used; None = to the end.
    """

    start_epoch: int = 1
    start_step: int = 0
    end_epoch: int | None = None
    end_step: int | None = None

    @property
    def is_always(self) -> bool:
        """Whether it never begins later nor ends."""
        return self.start_epoch <= 1 and self.start_step <= 0 and self.end_epoch is None and self.end_step is None

    @property
    def is_open_at_start(self) -> bool:
        """Whether the first step of a run lies in it."""
        begins = self.start_epoch <= 1 and self.start_step <= 0
        return (
            begins and (self.end_epoch is None or self.end_epoch >= 1) and (self.end_step is None or self.end_step > 0)
        )

    def holds(self, step: int, epochs: Fraction) -> bool:
        """Whether it is open after so many steps and epochs."""
        begun = step >= self.start_step and epochs >= self.start_epoch - 1
        return begun and (self.end_step is None or step < self.end_step) and not self._is_past(epochs)

    def _is_past(self, epochs: Fraction) -> bool:
        return self.end_epoch is not None and epochs >= self.end_epoch

    def changes(self, step: int, epochs: Fraction, *, steps_per_epoch: Fraction) -> list[int]:
        """Later steps at which it opens or closes, if epochs go on as fast as they do after ``step`` steps."""
        at_steps = [at for at in (self.start_step, self.end_step) if at is not None]
        at_epochs = [at for at in (self.start_epoch - 1, self.end_epoch) if at is not None and at > epochs]
        at_steps += [step + math.ceil((at - epochs) * steps_per_epoch) for at in at_epochs]
        return [at for at in at_steps if at > step]


@dataclass(frozen=True, slots=True)
class CaptionShuffle:
    """Tags of a caption in other orders (section 2.1, ``caption_shuffle``).

    Attributes:
        count: Shuffled variants of each caption.
        seed: What they are drawn from, with the caption.
        split_on: What stands between the tags.
        position_start: So many tags stay in front as they are.
        include_original: The caption as written is one of the variants.
    """

    count: int = 1
    seed: int = 42
    split_on: Literal["comma", "space", "period"] = "comma"
    position_start: int = 0
    include_original: bool = True


@dataclass(frozen=True, slots=True)
class HubRows:
    """Where the rows of a hub data set are, and which columns say what (sections 2.5 and 2.6).

    Attributes:
        name: OWNER/NAME on the hub, or as the folder was written.
        folder: The folder it is in, absolute; None = on the hub.
        base_dir: Where relative paths in the rows start first.
        cache_dir: Where sound that is held in the rows is unpacked, once.
        split: Of the rows, those of this split.
        revision: Branch, tag or commit on the hub.
        audio_column: The sound: bytes, a path, or both.
        caption_columns: Each gives an alternative caption.
        fallback_caption_column: Used where they are empty.
        description_column: The last resort.
        audio_caption_fields: Columns joined to the caption, first and alone; None = not written.
        lyrics_column: The lyrics; ``norm_lyrics`` where it is absent or null.
        file_extension: Of the name that a row without a file name gets.
        audio_root: One more folder where relative paths may start.
        written_columns: Names of columns that the user wrote, to be missed where they are not there.
    """

    name: str
    folder: Path | None
    base_dir: Path
    cache_dir: Path
    split: str = "train"
    revision: str | None = None
    audio_column: str = "audio"
    caption_columns: tuple[str, ...] = ("caption",)
    fallback_caption_column: str | None = None
    description_column: str = "description"
    audio_caption_fields: tuple[str, ...] | None = None
    lyrics_column: str = "lyrics"
    file_extension: str = "wav"
    audio_root: Path | None = None
    written_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextEmbeds:
    """One place of prepared captions (section 2.7).

    Attributes:
        id: Its name; empty for the one that exists where none was listed.
        cache_dir: Its folder; None = the usual one.
        text_cache_disable: Nothing is written there.
        text_cache_ondemand: Captions are encoded when they are first needed.
        caption_filters: Entries of ``caption_filter_list``; they act on the captions of the data sets that use it.
    """

    id: str = ""
    cache_dir: Path | None = None
    text_cache_disable: bool = False
    text_cache_ondemand: bool = False
    caption_filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """One data set of songs: a folder, or with ``rows`` a hub data set, which is on this computer once it is scanned.

    ``instance_data_dir`` is an absolute path or ``demo:songs``; of a hub data set, its folder or hub name.
    """

    id: str
    instance_data_dir: str
    caption_strategy: CaptionStrategy = "textfile"
    instance_prompt: tuple[str, ...] | None = None
    prepend_instance_prompt: bool = False
    only_instance_prompt: bool = False
    disable_multiline_split: bool = False
    repeats: int = 0
    probability: float = 1.0
    train_batch_size: int | None = None
    max_num_samples: int | None = None
    cache_dir_vae: Path | None = None
    audio: AudioBlock = AudioBlock()
    window: Window = Window()
    caption_shuffle: CaptionShuffle | None = None
    vae_cache_disable: bool = False
    vae_cache_ondemand: bool = False
    vae_cache_clear_each_epoch: bool = False
    text_embeds: TextEmbeds = TextEmbeds()
    rows: HubRows | None = None


@dataclass(frozen=True, slots=True)
class Backends:
    """The enabled data sets, and the places of prepared captions: the default one first."""

    training: tuple[LocalBackend, ...]
    text_embeds: tuple[TextEmbeds, ...]
    notices: tuple[Notice, ...]

    @property
    def text_cache_dir(self) -> Path | None:
        """Folder of the default place of prepared captions; None = the usual one."""
        return self.text_embeds[0].cache_dir

    @property
    def text_cache_disable(self) -> bool:
        """Whether one of the places that are used wants nothing to be written."""
        return any(place.text_cache_disable for place in self._used_places)

    @property
    def text_cache_ondemand(self) -> bool:
        """Whether one of the places that are used wants captions to be encoded when they are first needed."""
        return any(place.text_cache_ondemand for place in self._used_places)

    @property
    def _used_places(self) -> tuple[TextEmbeds, ...]:
        """The default place, which also holds the empty caption, and those of the data sets."""
        return (self.text_embeds[0], *(backend.text_embeds for backend in self.training))
