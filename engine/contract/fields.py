"""Every key of config.json, declared once; help, flags, the set-up screens, validation and the docs read this."""

from __future__ import annotations

from engine.contract.fields_base import Setting
from engine.contract.fields_data import DATA_SETTINGS
from engine.contract.fields_lora import LORA_SETTINGS
from engine.contract.fields_model import MODEL_SETTINGS
from engine.contract.fields_optimizer import OPTIMIZER_SETTINGS
from engine.contract.fields_output import OUTPUT_SETTINGS
from engine.contract.fields_rollout import ROLLOUT_SETTINGS
from engine.contract.fields_training import TRAINING_SETTINGS
from engine.contract.fields_validation import VALIDATION_SETTINGS

__all__ = ["NEGATED_ALIASES", "REMOVED_KEYS", "SETTINGS", "SETTINGS_BY_KEY", "Setting"]

SETTINGS: tuple[Setting, ...] = (
    *MODEL_SETTINGS,
    *DATA_SETTINGS,
    *TRAINING_SETTINGS,
    *OPTIMIZER_SETTINGS,
    *LORA_SETTINGS,
    *VALIDATION_SETTINGS,
    *OUTPUT_SETTINGS,
    *ROLLOUT_SETTINGS,
)
SETTINGS_BY_KEY: dict[str, Setting] = {setting.key: setting for setting in SETTINGS}

# Old names whose meaning is turned round: old name -> key that gets the opposite.
NEGATED_ALIASES: dict[str, str] = {
    "vae_cache_preprocess": "vae_cache_ondemand",
    "ignore_final_epochs": "strict_epoch_limit",
}
REMOVED_KEYS: dict[str, str] = {"disable_vae_cache": "vae_cache_disable"}
