"""The keys of a hub data set: its rows and columns, and how tags are shuffled (config-formats.md 2.1 and 2.5)."""

from __future__ import annotations

from engine.contract.fields_base import Setting
from engine.contract.foreign_keys import ForeignKeys

_HUB = "Hub data set"
_SHUFFLE = "Shuffled tags"

# They stand in ``config``, in ``huggingface`` or directly on the data set; the first of the three counts.
HUB_SETTINGS: tuple[Setting, ...] = (
    Setting("split", "str", "train", _HUB, "Part", "The part of the rows that is used."),
    Setting("revision", "str", None, _HUB, "Revision", "Branch, tag or commit on the hub.", nullable=True),
    Setting("audio_column", "str", "audio", _HUB, "Sound", "The column that holds the sound, or the path of a file."),
    Setting(
        "caption_column",
        "list",
        ("caption",),
        _HUB,
        "Caption",
        "The column of the caption; of several each gives one, and one is drawn each time. A dot leads into a column: "
        "tags.prompt.",
    ),
    Setting(
        "fallback_caption_column",
        "str",
        None,
        _HUB,
        "Second caption",
        "The column used where the caption is empty.",
        nullable=True,
    ),
    Setting(
        "description_column", "str", "description", _HUB, "Description", "The column used where nothing else is there."
    ),
    Setting(
        "audio_caption_fields",
        "list",
        None,
        _HUB,
        "Caption from",
        "Columns that are joined to the caption; they count alone. Without it: caption_column, else prompt, else tags.",
        nullable=True,
    ),
    Setting(
        "lyrics_column",
        "str",
        "lyrics",
        _HUB,
        "Lyrics",
        "The column of the lyrics; where it is absent or null, norm_lyrics. An empty text means an instrumental.",
    ),
    Setting(
        "file_extension",
        "str",
        "wav",
        _HUB,
        "Ending of names",
        "A row without a file is called by its number with this ending.",
    ),
    Setting(
        "audio_root",
        "path",
        None,
        _HUB,
        "Folder of files",
        "Where the paths in the rows start, besides the working folder, the data set's folder and the one above.",
        nullable=True,
    ),
    Setting(
        "streaming",
        "bool",
        False,
        _HUB,
        "Streaming",
        "Rows are always read from this computer.",
        status="refused",
        status_note="the data set is downloaded once, and everything is read from there",
    ),
    Setting(
        "num_proc",
        "int",
        16,
        _HUB,
        "Processes",
        "How many processes filter rows.",
        minimum=1,
        status="ignored",
        status_note="rows are read in one go, and files are looked at in threads",
    ),
    Setting(
        "filter_func",
        "object",
        None,
        _HUB,
        "Filter",
        "Choose rows by their quality.",
        nullable=True,
        status="refused",
        status_note="leave songs out with exclude_files, or choose the rows beforehand",
    ),
    Setting(
        "quality_column",
        "str",
        None,
        _HUB,
        "Quality",
        "The column that a filter reads.",
        nullable=True,
        status="ignored",
        status_note="only filter_func reads it",
    ),
)

HUB_FOREIGN_KEYS = (
    ForeignKeys(
        "ignored for audio",
        ("image_", "video_", "width_", "height_", "num_frames_", "composite_", "fps_", "conditioning_"),
    ),
)

SHUFFLE_SETTINGS: tuple[Setting, ...] = (
    Setting("enable", "bool", False, _SHUFFLE, "On", "Use captions with their tags in other orders too."),
    Setting("count", "int", 1, _SHUFFLE, "Variants", "Shuffled variants of each caption.", minimum=1, maximum=1000),
    Setting("seed", "int", None, _SHUFFLE, "Seed", "What they are drawn from; by default the run's.", nullable=True),
    Setting(
        "split_on",
        "choice",
        "comma",
        _SHUFFLE,
        "Between tags",
        "What stands between the tags.",
        choices=("comma", "space", "period"),
    ),
    Setting(
        "position_start", "int", 0, _SHUFFLE, "Kept in front", "So many tags stay where they are, in front.", minimum=0
    ),
    Setting("include_original", "bool", True, _SHUFFLE, "With the original", "The caption as written is used as well."),
)
