"""The keys of the ``audio`` block of a data set (config-formats.md sections 2.2 and 2.4)."""

from __future__ import annotations

from engine.contract.fields_base import Setting, SettingType

_AUDIO = "Audio of a data set"
_IGNORED_AUDIO: tuple[tuple[str, SettingType, str], ...] = (
    ("cache_dir", "path", "Cache"),
    ("audio_only", "bool", "Only audio"),
    ("auto_split", "bool", "Split"),
    ("source_from_video", "bool", "From video"),
    ("allow_zero_audio", "bool", "Allow silence"),
    ("target_resolution", "str", "Resolution"),
)

# What a pattern of `lyrics_filename_format` may hold in braces; `engine.dataset.lyrics_files` fills them in.
LYRICS_TOKENS = ("filename", "stem", "name", "suffix", "ext", "extension", "parent", "dirname")

# The names that begin with ``audio_`` may stand directly on the backend too, and in config.json for all data sets.
AUDIO_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "bucket_strategy",
        "choice",
        "duration",
        _AUDIO,
        "Grouping",
        "Songs are grouped by duration.",
        choices=("duration",),
        aliases=("audio_bucket_strategy",),
    ),
    Setting(
        "duration_interval",
        "float",
        "auto",
        _AUDIO,
        "Steps of length",
        "Songs are cut down to a multiple of this; auto chooses at most eight lengths by the data.",
        unit="s",
        minimum=0.0,
        exclusive_minimum=True,
        words=("auto",),
        aliases=(
            "duration_interval_seconds",
            "audio_duration_interval",
            "audio_duration_interval_seconds",
            "audio_bucket_interval",
        ),
        fallback=3.0,
    ),
    Setting(
        "max_duration_seconds",
        "float",
        None,
        _AUDIO,
        "Longest duration",
        "Songs longer than this are treated as long_clip says.",
        unit="s",
        minimum=0.0,
        exclusive_minimum=True,
        aliases=("audio_max_duration_seconds",),
        nullable=True,
    ),
    Setting(
        "min_duration_seconds",
        "float",
        None,
        _AUDIO,
        "Shortest duration",
        "Songs shorter than this are left out.",
        unit="s",
        minimum=0.0,
        aliases=("audio_min_duration_seconds",),
        nullable=True,
    ),
    Setting(
        "long_clip",
        "choice",
        None,
        _AUDIO,
        "Long songs",
        "Leave them out (skip), cut them (cut), or use piece after piece (pieces); by default skip where a longest "
        "duration is set, else cut.",
        choices=("skip", "cut", "pieces"),
        nullable=True,
    ),
    Setting(
        "truncation_mode",
        "choice",
        "beginning",
        _AUDIO,
        "Part that is kept",
        "Which part of a song stays when it is cut.",
        choices=("beginning", "end", "random"),
        aliases=("audio_truncation_mode",),
        fallback="beginning",
    ),
    Setting(
        "channels",
        "int",
        2,
        _AUDIO,
        "Channels",
        "2 keeps stereo, 1 mixes both sides together; the model always hears two.",
        minimum=1,
        maximum=2,
        aliases=("audio_channels",),
    ),
    Setting(
        "sample_rate",
        "int",
        48000,
        _AUDIO,
        "Sample rate",
        "Songs are always brought to 48,000 samples a second.",
        unit="Hz",
        status="ignored",
        status_note="always 48,000 Hz",
    ),
    Setting(
        "lyrics_filename_format",
        "str",
        None,
        _AUDIO,
        "Name of the lyrics",
        f"Pattern of the lyrics file's name, such as {{filename}}_lyrics.txt. In braces: {', '.join(LYRICS_TOKENS)}.",
        nullable=True,
    ),
    Setting(
        "lyrics_extension",
        "str",
        None,
        _AUDIO,
        "Ending of the lyrics",
        "Ending of the lyrics file's name.",
        nullable=True,
    ),
    Setting(
        "lyrics_suffix",
        "str",
        None,
        _AUDIO,
        "Suffix of the lyrics",
        "What follows the song's name in the lyrics file's name.",
        nullable=True,
    ),
    *(
        Setting(key, kind, None, _AUDIO, label, "For video models; no effect.", nullable=True, status="ignored")
        for key, kind, label in _IGNORED_AUDIO
    ),
)
