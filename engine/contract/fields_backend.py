"""The keys of one entry of multidatabackend.json (config-formats.md sections 2.1, 2.3, 2.4 and 2.7)."""

from __future__ import annotations

from engine.contract.fields_base import Setting, SettingType, Value
from engine.contract.fields_data import CAPTION_STRATEGIES, REFUSED_STRATEGIES, STRATEGY_ALIASES
from engine.contract.foreign_keys import ForeignKeys

_SECTION = "Data set"
_SEARCHED = "the search takes seconds and is always done, and nothing of it is stored"

_IGNORED: tuple[tuple[str, SettingType, Value, str, str], ...] = (
    ("is_regularisation_data", "bool", False, "Regularisation", "only LyCORIS knows it; these songs are trained on"),
    ("skip_file_discovery", "str", None, "Skip the search", _SEARCHED),
    ("preserve_data_backend_cache", "bool", False, "Keep the list of files", _SEARCHED),
    ("metadata_update_interval", "int", None, "Store the list every", _SEARCHED),
    ("compress_cache", "bool", False, "Pack prepared songs", "entries are never packed"),
    ("write_batch_size", "int", None, "Entries per write", "each entry is written as soon as it is ready"),
    ("text_encoder_batch_size", "int", None, "Captions at once", "the setting of the same name counts"),
)

BACKEND_SETTINGS: tuple[Setting, ...] = (
    Setting("id", "str", None, _SECTION, "Name", "Name of the data set; keep it, caches hang on it.", nullable=True),
    Setting(
        "type",
        "choice",
        "local",
        _SECTION,
        "Kind",
        "Where the songs are: in a folder (local), or in the rows of a data set of the hub, also as a folder here "
        "(huggingface).",
        choices=("local", "huggingface"),
        refused_values=tuple(
            (name, f"{name} is not supported") for name in ("aws", "csv", "webshart", "memory", "parquet")
        ),
    ),
    Setting(
        "dataset_type",
        "choice",
        "audio",
        _SECTION,
        "Content",
        "Songs (audio), or the place of prepared captions (text_embeds).",
        choices=("audio", "text_embeds"),
        refused_values=tuple((name, f"{name} is not for music") for name in ("image", "image_embeds", "video")),
    ),
    Setting("disabled", "bool", False, _SECTION, "Off", "Leave this data set out.", aliases=("disable",)),
    Setting("default", "bool", False, _SECTION, "Default", "Of several text_embeds entries, the one that is used."),
    Setting(
        "instance_data_dir",
        "path",
        None,
        _SECTION,
        "Folder",
        "The folder of songs; sub-folders are searched too.",
        aliases=("instance_data_root",),
        nullable=True,
    ),
    Setting(
        "dataset_name",
        "path",
        None,
        _SECTION,
        "Hub data set",
        "OWNER/NAME on the hub, or its folder: made by save_to_disk, of parquet, arrow or jsonl files, or of audio "
        "files with a metadata file.",
        nullable=True,
    ),
    Setting(
        "cache_dir",
        "path",
        None,
        _SECTION,
        "Cache",
        "Where prepared captions are kept; of a hub data set, where sound in its rows is unpacked.",
        nullable=True,
    ),
    Setting("cache_dir_vae", "path", None, _SECTION, "Cache of songs", "Where prepared songs are kept.", nullable=True),
    Setting(
        "text_embeds",
        "str",
        None,
        _SECTION,
        "Captions' entry",
        "Name of the text_embeds entry that belongs to this data set.",
        nullable=True,
    ),
    Setting(
        "metadata_backend",
        "choice",
        None,
        _SECTION,
        "How files are found",
        "By looking into the folder (discovery), or by the rows of a hub data set (huggingface); it follows from type.",
        choices=("discovery", "huggingface"),
        value_aliases=(("json", "discovery"), ("filesystem", "discovery")),
        nullable=True,
    ),
    Setting(
        "caption_strategy",
        "choice",
        None,
        _SECTION,
        "Captions from",
        "As the setting of the same name, for this data set; those of the hub take theirs from columns (huggingface).",
        choices=(*CAPTION_STRATEGIES, "huggingface"),
        value_aliases=STRATEGY_ALIASES,
        refused_values=tuple(pair for pair in REFUSED_STRATEGIES if pair[0] != "huggingface"),
        nullable=True,
    ),
    Setting(
        "instance_prompt",
        "list",
        None,
        _SECTION,
        "One caption",
        "A caption for every song, or one that stands before each song's own.",
        nullable=True,
    ),
    Setting(
        "prepend_instance_prompt",
        "bool",
        False,
        _SECTION,
        "Put it in front",
        "Put instance_prompt in front of each caption.",
    ),
    Setting(
        "only_instance_prompt",
        "bool",
        False,
        _SECTION,
        "Only that caption",
        "Use instance_prompt instead of each caption.",
    ),
    Setting(
        "disable_multiline_split",
        "bool",
        False,
        _SECTION,
        "One caption a file",
        "Do not take each line of a caption file for a caption of its own.",
    ),
    Setting(
        "train_batch_size",
        "int",
        None,
        _SECTION,
        "Songs at once",
        "Another batch size for this data set.",
        minimum=1,
        nullable=True,
    ),
    Setting("repeats", "int", 0, _SECTION, "Repeats", "Each song is used so many more times in an epoch.", minimum=0),
    Setting("probability", "float", 1.0, _SECTION, "Weight", "How often this data set is chosen; 0 or less: never."),
    Setting(
        "max_num_samples",
        "int",
        None,
        _SECTION,
        "Most songs",
        "Use only so many songs, always the same ones.",
        minimum=1,
        nullable=True,
    ),
    Setting("audio", "object", None, _SECTION, "Audio", "The block of its own table below.", nullable=True),
    Setting(
        "config", "object", None, _SECTION, "Columns", "Keys of a hub data set, in their own table.", nullable=True
    ),
    Setting(
        "huggingface", "object", None, _SECTION, "Columns", "The same; what stands in config counts.", nullable=True
    ),
    Setting(
        "start_epoch",
        "int",
        1,
        _SECTION,
        "From epoch",
        "The data set is used from this epoch on.",
        minimum=0,
    ),
    Setting(
        "start_step",
        "int",
        0,
        _SECTION,
        "From step",
        "The data set is used from this step on.",
        minimum=0,
    ),
    Setting(
        "end_epoch",
        "int",
        None,
        _SECTION,
        "To epoch",
        "The last epoch in which the data set is used.",
        minimum=1,
        nullable=True,
    ),
    Setting(
        "end_step",
        "int",
        None,
        _SECTION,
        "To step",
        "The last step in which the data set is used.",
        minimum=1,
        nullable=True,
    ),
    Setting(
        "vae_cache_disable",
        "bool",
        False,
        _SECTION,
        "Keep no prepared songs",
        "As the setting of the same name.",
    ),
    Setting(
        "vae_cache_ondemand",
        "bool",
        False,
        _SECTION,
        "Prepare when needed",
        "As the setting of the same name.",
    ),
    Setting(
        "vae_cache_clear_each_epoch",
        "bool",
        False,
        _SECTION,
        "Prepare anew each epoch",
        "Prepare the songs again in each epoch.",
    ),
    Setting(
        "text_cache_disable",
        "bool",
        False,
        _SECTION,
        "Keep no captions",
        "As the setting of the same name.",
    ),
    Setting(
        "text_cache_ondemand",
        "bool",
        False,
        _SECTION,
        "Captions when needed",
        "As the setting of the same name.",
    ),
    Setting(
        "caption_filter_list",
        "path_or_list",
        None,
        _SECTION,
        "Words left out",
        "Of a text_embeds entry: what is taken out of captions, as a list or the path of a .txt or .json file. It "
        "holds texts, regular expressions, or s/find/replace/.",
        nullable=True,
    ),
    Setting(
        "caption_shuffle",
        "object",
        None,
        _SECTION,
        "Shuffle tags",
        "Use captions with their tags in other orders too: an object, with keys of its own table.",
        nullable=True,
    ),
    *(
        Setting(
            key,
            kind,
            default,
            _SECTION,
            label,
            "A key of SimpleTuner.",
            nullable=True,
            status="ignored",
            status_note=note,
        )
        for key, kind, default, label, note in _IGNORED
    ),
)

BACKEND_FOREIGN_KEYS = (
    ForeignKeys(
        "ignored for audio",
        (
            *("crop", "crop_", "resolution", "resolution_"),
            *("minimum_image_size", "maximum_image_size", "target_downsample_size"),
        ),
    ),
)
