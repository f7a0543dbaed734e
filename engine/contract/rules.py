"""Rules between settings (config-formats.md section 1): what one value makes of another, and what does not go together.

Each rule takes the values written so far and the findings; some rules change a value, all say so when they do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.fields_base import Setting
from engine.contract.file_rules import apply_file_rules
from engine.contract.optimizer_rules import optimizer_rules
from engine.contract.paths import expanded
from engine.contract.precision_rules import check_precisions
from engine.contract.rules_method import ema_rules, rollout_rules
from engine.contract.validate import Findings, KeyTable, Notice, Written

_MANY_RANKS = 256
_STRONG_GUIDANCE = 30


@dataclass
class Draft:
    """A configuration under way: defaults filled in, with the places the written values came from."""

    values: dict[str, Any]
    written: dict[str, Written]
    findings: Findings

    def error(self, key: str, reason: str, accepted: str) -> None:
        """Note an error at a key that was written."""
        self.findings.errors.append(self.written[key].error(reason, accepted))

    def notice(self, code: str, key: str, message: str) -> None:
        """Note something the user should know."""
        where = f"{self.written[key].where}: " if key in self.written else ""
        self.findings.notices.append(Notice(code, where + message, key))


def apply_rules(draft: Draft, table: KeyTable, *, cwd: Path) -> None:
    """Apply every rule in order: those that change values first, then statuses, then what contradicts."""
    _length(draft)
    _schedule(draft)
    _betas(draft)
    _target_modules(draft, cwd=cwd)
    _slicing(draft)
    apply_file_rules(draft, cwd=cwd)
    check_precisions(draft)
    optimizer_rules(draft)
    if draft.values["ssl_models"] == "off":
        draft.values["ace_step_ssl_loss_weight"] = 0.0
    for setting in table.settings:
        apply_status(setting, draft)
    _without_effect(draft, table)
    _block_swap(draft)
    _features(draft)
    rollout_rules(draft)
    ema_rules(draft)
    _unusual(draft)


def _length(draft: Draft) -> None:
    """Steps or epochs: the one that is not written counts as 0; both above 0 or both 0 is an error."""
    values = draft.values
    has_steps = "max_train_steps" in draft.written and draft.written["max_train_steps"].value not in (None, "")
    has_epochs = bool(values["num_train_epochs"])
    if has_epochs and not has_steps:
        values["max_train_steps"] = 0
    if has_epochs and values["max_train_steps"]:
        draft.error("num_train_epochs", "max_train_steps is set as well; set num_train_epochs to 0", "one of the two")
    if not has_epochs and not values["max_train_steps"]:
        draft.error(
            "max_train_steps", "num_train_epochs is 0 too, so nothing would be trained", "one of the two above 0"
        )
    if has_epochs:
        values["strict_epoch_limit"] = True
    if not has_epochs and not has_steps:
        draft.notice(
            "no_length",
            "max_train_steps",
            f"no length is set, so {values['max_train_steps']:,} steps are trained; stop any time, or set "
            "max_train_steps",
        )


def _schedule(draft: Draft) -> None:
    values = draft.values
    if values["lr_scheduler"] == "constant" and values["lr_warmup_steps"] > 0:
        values["lr_scheduler"] = "constant_with_warmup"
    if values["lr_scheduler"] == "polynomial" and values["lr_end"] >= values["learning_rate"]:
        key = "lr_end" if "lr_end" in draft.written else "lr_scheduler"
        draft.error(key, "polynomial needs lr_end below learning_rate", f"lr_end below {values['learning_rate']:g}")


def _betas(draft: Draft) -> None:
    """`optimizer_beta1` and `optimizer_beta2` stand for the Adam family's betas; both or neither."""
    values = draft.values
    betas = [values["optimizer_beta1"], values["optimizer_beta2"]]
    if betas.count(None) == 1:
        key = "optimizer_beta1" if betas[0] is not None else "optimizer_beta2"
        draft.error(key, "only one of optimizer_beta1 and optimizer_beta2 is set", "both or neither")
    if None not in betas:
        values["adam_beta1"], values["adam_beta2"] = betas


def _slicing(draft: Draft) -> None:
    values = draft.values
    if values["vae_enable_slicing"] and values["vae_batch_size"] > 1:
        values["vae_batch_size"] = 1
        draft.notice("one_at_a_time", "vae_enable_slicing", "vae_enable_slicing prepares one song at a time")


def _target_modules(draft: Draft, *, cwd: Path) -> None:
    """`peft_lora_target_modules` may name a JSON file; it must end as a non-empty list of texts."""
    value = draft.values["peft_lora_target_modules"]
    accepted = "a non-empty list of texts, or a JSON file with one"
    if isinstance(value, str):
        try:
            value = json.loads((cwd / expanded(value)).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            draft.error("peft_lora_target_modules", f"cannot be read: {error}", accepted)
            return
    if value is None:
        return
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(item, str) for item in value):
        draft.error("peft_lora_target_modules", "not a non-empty list of texts", accepted)
        return
    draft.values["peft_lora_target_modules"] = tuple(value)


def apply_status(setting: Setting, draft: Draft) -> None:
    """Ignored settings are reported once; what is not built must stand at its default."""
    item = draft.written.get(setting.key)
    value = draft.values[setting.key]
    if item is None or value == setting.default:
        return
    note = f": {setting.status_note}" if setting.status_note else ""
    if setting.status == "ignored":
        draft.notice("ignored_setting", setting.key, f"{item.name} has no effect{note}")
    elif setting.status == "later" or value in setting.later_values:
        reason = f"not available yet in this version{note}"
        draft.error(setting.key, reason, setting.accepted())
    elif setting.status == "refused":
        draft.error(setting.key, f"not supported{note}", setting.accepted())


def _without_effect(draft: Draft, table: KeyTable) -> None:
    """Settings that are written but cannot act, because another one switches them off."""
    values = draft.values
    if values["model_type"] == "full":
        for setting in table.settings:
            key = setting.key
            if setting.section == "LoRA" and key in draft.written and values[key] != setting.default:
                draft.notice("no_effect", key, f"{key} has no effect on a full fine-tune")
    _recompute_without_effect(draft)


def _recompute_without_effect(draft: Draft) -> None:
    """Ways of recomputing that another setting switches off."""
    values = draft.values
    is_off, is_full = not values["gradient_checkpointing"], values["gradient_checkpointing_policy"] == "full"
    for key, default, needs_full in (
        ("gradient_checkpointing_policy", "full", False),
        ("gradient_checkpointing_interval", None, True),
        ("activation_offload", False, True),
    ):
        if values[key] == default:
            continue
        if is_off:
            draft.notice("no_effect", key, f"{key} has no effect while gradient_checkpointing is off")
        elif needs_full and not is_full:
            draft.notice("no_effect", key, f"{key} has no effect unless gradient_checkpointing_policy is full")


def _block_swap(draft: Draft) -> None:
    """Only frozen blocks that are recomputed whole can wait in main memory (`engine.memory.block_swap`)."""
    values, key = draft.values, "musubi_blocks_to_swap"
    if not values[key]:
        return
    if values["model_type"] == "full":
        draft.error(key, "a full fine-tune trains every block, and only frozen ones can wait in main memory", "0")
    elif not values["gradient_checkpointing"] or values["gradient_checkpointing_policy"] != "full":
        reason = "needs gradient_checkpointing true and gradient_checkpointing_policy full: blocks are computed again"
        draft.error(key, f"{reason} when their weights come back", "0")


def _features(draft: Draft) -> None:
    """Models that are named although musical features are left out."""
    values = draft.values
    if values["ace_step_ssl_loss_weight"] > 0:
        return
    for key in ("ssl_models", "ssl_mert_path", "ssl_mhubert_path"):
        if key in draft.written and values[key] not in (None, "auto", "off"):
            draft.notice("no_effect", key, f"{key} has no effect: musical features are switched off")


def _unusual(draft: Draft) -> None:
    values = draft.values
    if values["lora_rank"] > _MANY_RANKS:
        draft.notice("unusual_value", "lora_rank", f"lora_rank {values['lora_rank']} is very high; 8 to 128 is usual")
    if values["validation_guidance"] > _STRONG_GUIDANCE:
        guidance = values["validation_guidance"]
        draft.notice("unusual_value", "validation_guidance", f"validation_guidance {guidance:g} is very strong")
