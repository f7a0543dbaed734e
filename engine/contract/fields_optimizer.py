"""Settings of optimizer, schedule and losses (config-formats.md sections 1.4, 1.5 and 1.11)."""

from __future__ import annotations

from engine.contract.fields_base import Setting
from engine.contract.fields_features import FEATURE_SETTINGS
from engine.contract.optimizers import OPTIMIZERS

_SECTION = "Optimizer"
_FLOW = "Flow and losses"

OPTIMIZER_NAMES = ("auto", *OPTIMIZERS)
SCHEDULES = ("linear", "sine", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup")
SCHEDULE_ALIASES = (("cosine_with_warmup", "cosine"),)
_KNOWN_TO_SIMPLETUNER = (  # noqa: SIM905 - one name a line would fill a page
    "torch-radam torch-nadam torch-rmsprop torch-adagrad torch-adadelta torch-adamax torch-asgd ao-adamw4bit "
    "ao-adamfp8 ao-adamwfp8 adamw_schedulefree+aggressive adamw_schedulefree+no_kahan optimi-stableadamw optimi-radam "
    "optimi-ranger optimi-adan optimi-adam optimi-sgd soap muon bnb-adagrad bnb-adagrad8bit bnb-adam bnb-adam8bit "
    "bnb-adamw bnb-adamw-paged bnb-adamw8bit-paged bnb-lion bnb-lion8bit bnb-lion-paged bnb-lion8bit-paged "
    "bnb-ademamix bnb-ademamix8bit bnb-ademamix-paged bnb-ademamix8bit-paged sdnq-adamw sdnq-adafactor sdnq-lion "
    "sdnq-muon sdnq-came"
).split()
_REMOVED = (("adafactor", "torch-adafactor"), ("adamw8bit", "bnb-adamw8bit"), ("dadaptation", "prodigy"))


def _nearest(name: str) -> str:
    endings = {
        "sgd": "torch-sgd",
        "lion": "optimi-lion",
        "adafactor": "torch-adafactor",
        "schedulefree": "adamw_schedulefree",
        "adam8bit": "ao-adamw8bit",
        "adamw4bit": "ao-adamw8bit",
        "fp8": "ao-adamw8bit",
        "8bit": "bnb-adamw8bit",
    }
    for part, nearest in endings.items():
        if part in name:
            return nearest
    return "torch-adam" if name.endswith("-adam") else "torch-adamw"


# Names that are known and not available, each with the reason.
OTHER_OPTIMIZERS: tuple[tuple[str, str], ...] = (
    *((name, f"a name that SimpleTuner removed too; it is {new} now") for name, new in _REMOVED),
    *(
        (name, f"known to SimpleTuner but not available here; nearest: {_nearest(name)}")
        for name in _KNOWN_TO_SIMPLETUNER
    ),
)

OPTIMIZER_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "optimizer",
        "choice",
        "auto",
        _SECTION,
        "Optimizer",
        "The rule that turns gradients into steps; auto takes AdamW with the trained weights in fp32. Some come from "
        "libraries that are installed apart: optimi, bnb, ao, prodigy, schedulefree.",
        choices=OPTIMIZER_NAMES,
        on_resume="fixed",
        refused_values=OTHER_OPTIMIZERS,
    ),
    Setting(
        "optimizer_config",
        "str",
        None,
        _SECTION,
        "Optimizer's options",
        "Further options of the optimizer as name=value, separated by commas: eps=1e-6,weight_decay=0.",
        nullable=True,
        on_resume="fixed",  # some of them (amsgrad) change what the optimizer remembers
        value_words=(("null", "none"),),
    ),
    Setting(
        "optimizer_beta1",
        "float",
        None,
        _SECTION,
        "First beta",
        "Overrides adam_beta1; only together with optimizer_beta2.",
        minimum=0.0,
        maximum=1.0,
        exclusive_maximum=True,
        nullable=True,
        value_words=(("null", "as Adam's"),),
        stepping="share",
    ),
    Setting(
        "optimizer_beta2",
        "float",
        None,
        _SECTION,
        "Second beta",
        "Overrides adam_beta2; only together with optimizer_beta1.",
        minimum=0.0,
        maximum=1.0,
        exclusive_maximum=True,
        nullable=True,
        value_words=(("null", "as Adam's"),),
        stepping="share",
    ),
    Setting(
        "adam_beta1",
        "float",
        0.9,
        _SECTION,
        "Adam's first beta",
        "How long the direction of earlier steps is remembered.",
        minimum=0.0,
        maximum=1.0,
        exclusive_maximum=True,
        stepping="share",
    ),
    Setting(
        "adam_beta2",
        "float",
        0.999,
        _SECTION,
        "Adam's second beta",
        "How long the size of earlier gradients is remembered.",
        minimum=0.0,
        maximum=1.0,
        exclusive_maximum=True,
        stepping="share",
    ),
    Setting(
        "adam_weight_decay",
        "float",
        0.01,
        _SECTION,
        "Weight decay",
        "How strongly the trained weights are pulled towards zero.",
        minimum=0.0,
        stepping="1-2-5",
    ),
    Setting(
        "adam_epsilon",
        "float",
        1e-8,
        _SECTION,
        "Adam's epsilon",
        "A small number that keeps Adam from dividing by zero.",
        minimum=0.0,
        stepping="1-2-5",
    ),
    Setting(
        "lr_scheduler",
        "choice",
        "constant_with_warmup",
        _SECTION,
        "Learning rate over time",
        "How the learning rate changes during the run.",
        choices=SCHEDULES,
        value_aliases=SCHEDULE_ALIASES,
    ),
    Setting(
        "lr_warmup_steps",
        "int",
        0,
        _SECTION,
        "Warm-up",
        "The learning rate rises from zero during the first so many steps.",
        unit="steps",
        minimum=0,
        suits="100 is usual",
        stepping="quarter",
    ),
    Setting(
        "lr_num_cycles",
        "int",
        1,
        _SECTION,
        "Cycles",
        "How often cosine_with_restarts and sine go through their curve.",
        minimum=1,
    ),
    Setting(
        "lr_power",
        "float",
        0.8,
        _SECTION,
        "Power",
        "Shape of the polynomial curve.",
        minimum=0.0,
        exclusive_minimum=True,
        stepping="share",
    ),
    Setting(
        "lr_end",
        "float",
        4e-7,
        _SECTION,
        "Lowest learning rate",
        "Curves that fall end here.",
        minimum=0.0,
        maximum=1.0,
        stepping="1-2-5",
    ),
    Setting(
        "lr_scale",
        "bool",
        False,
        _SECTION,
        "Scale with the batch",
        "Multiply the learning rate by the number of songs in a step.",
    ),
    Setting(
        "lr_scale_sqrt",
        "bool",
        False,
        _SECTION,
        "Scale with the root",
        "Multiply the learning rate by the square root of the number of songs in a step.",
    ),
    Setting(
        "flow_schedule_shift",
        "float",
        3.0,
        _FLOW,
        "Shift",
        "Moves training towards noisier moments; the model was made with 3.",
        minimum=0.0,
        exclusive_minimum=True,
        suits="the model was made with 3",
    ),
    Setting(
        "flow_schedule_auto_shift",
        "bool",
        False,
        _FLOW,
        "Shift by length",
        "A key for pictures; no effect on ACE-Step.",
        status="ignored",
    ),
    Setting(
        "logit_mean",
        "float",
        0.0,
        _FLOW,
        "Centre of the moments",
        "Which moments of the noise are practised most: below 0 noisier ones, above 0 cleaner ones.",
        stepping="share",
    ),
    Setting(
        "logit_std",
        "float",
        1.0,
        _FLOW,
        "Spread of the moments",
        "How widely the practised moments are spread.",
        minimum=0.0,
        exclusive_minimum=True,
        stepping="share",
    ),
    Setting(
        "flow_cubic_schedule_weights",
        "bool",
        False,
        _FLOW,
        "Cubic weights",
        "Another distribution of moments.",
        status="refused",
    ),
    Setting(
        "flow_use_uniform_schedule",
        "bool",
        False,
        _FLOW,
        "Uniform moments",
        "Practise all moments equally.",
        status="refused",
    ),
    Setting(
        "flow_custom_timesteps",
        "str",
        None,
        _FLOW,
        "Own moments",
        "Practise only these moments.",
        nullable=True,
        status="refused",
    ),
    *FEATURE_SETTINGS,
    Setting(
        "loss_type",
        "choice",
        "l2",
        _FLOW,
        "Loss",
        "How a wrong prediction is measured; only the squared difference.",
        choices=("l2",),
    ),
    Setting(
        "caption_dropout_probability",
        "float",
        0.1,
        _FLOW,
        "Captions left out",
        "So often a song is learned without its caption, so that the LoRA also works with short prompts.",
        minimum=0.0,
        maximum=1.0,
        main_order=7,
        suits="0.1 is usual",
        stepping="share",
    ),
    Setting(
        "noise_offset",
        "float",
        None,
        _FLOW,
        "Noise offset",
        "A key for pictures.",
        nullable=True,
        status="ignored",
    ),
    Setting(
        "input_perturbation",
        "float",
        None,
        _FLOW,
        "Input noise",
        "A key for pictures.",
        nullable=True,
        status="ignored",
    ),
)
