"""Settings of musical features: the loss they add, the two models that give them (config-formats.md section 1.5)."""

from __future__ import annotations

from engine.contract.feature_models import CONSENT_KEY, LICENCE_SENTENCE, MERT, MHUBERT
from engine.contract.fields_base import Setting

_SECTION = "Flow and losses"

FEATURE_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "ace_step_ssl_loss_weight",
        "float",
        0.1,
        _SECTION,
        "Weight of musical features",
        "How much the likeness of musical features counts beside the sound itself; 0 leaves them out. They take 14 MB "
        "of disk a minute of music.",
        minimum=0.0,
        stepping="share",
    ),
    Setting(
        "ssl_models",
        "choice",
        "auto",
        _SECTION,
        "Models for musical features",
        "Use MERT and mHuBERT for musical features if they are here (auto), never (off), or stop without them "
        "(required).",
        choices=("auto", "off", "required"),
        main_order=-1,
        value_words=(("auto", "if they are here"), ("off", "never"), ("required", "always, or stop")),
    ),
    Setting(
        CONSENT_KEY,
        "bool",
        False,
        _SECTION,
        "Accept their licences",
        f"{LICENCE_SENTENCE}. Yes accepts that, and fetches what is missing of them (1.5 GB) when training starts.",
        main_order=-1,
        value_words=(("true", "accepted"), ("false", "not accepted")),
    ),
    Setting(
        MERT.path_key,
        "path",
        None,
        _SECTION,
        "Folder of MERT",
        f"Take MERT from this folder; it holds what {MERT.hub_id} holds. Empty: the hub's, where it is here.",
        nullable=True,
    ),
    Setting(
        MHUBERT.path_key,
        "path",
        None,
        _SECTION,
        "Folder of mHuBERT",
        f"Take mHuBERT from this folder; it holds what {MHUBERT.hub_id} holds. Empty: the hub's, where it is here.",
        nullable=True,
    ),
)
