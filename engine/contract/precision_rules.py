"""Rules of how the model is stored (config-formats.md 1.1 and 1.10): what other tools call it, what goes together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.contract.rules import Draft

PRECISION_KEYS = ("base_model_precision", "text_encoder_1_precision")


def check_precisions(draft: Draft) -> None:
    """Say what another tool's name became; a quantised model cannot be trained as a whole."""
    values = draft.values
    for key in PRECISION_KEYS:
        if key in draft.written and str(draft.written[key].value).strip().casefold() not in ("", values[key]):
            message = f"{key} {draft.written[key].value} is treated as {values[key]}, which needs no other library"
            draft.notice("precision_replaced", key, message)
    is_quantised = values["base_model_precision"] != "no_change"
    if is_quantised and values["model_type"] == "full":
        draft.error(
            "base_model_precision",
            "a full fine-tune changes every weight, and weights stored with fewer digits cannot be trained",
            "no_change, or model_type lora",
        )
    if not is_quantised and values["base_model_default_dtype"] == "fp32":
        draft.notice(
            "no_effect",
            "base_model_default_dtype",
            "base_model_default_dtype has no effect while base_model_precision is no_change",
        )
    is_said = "base_model_default_dtype" in draft.written and values["base_model_default_dtype"] == "bf16"
    if is_said and is_quantised and values["mixed_precision"] != "bf16":
        computed = {"no": "fp32"}.get(values["mixed_precision"], values["mixed_precision"])
        draft.notice(
            "dtype_replaced",
            "base_model_default_dtype",
            f"base_model_default_dtype bf16 needs mixed_precision bf16; {computed} is used",
        )
