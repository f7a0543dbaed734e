"""The user's word that models for non-commercial use may be fetched: kept in the state folder, asked for once."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from acestep_tui.paths import state_dir
from engine.contract.feature_models import FEATURE_MODELS
from engine.contract.files import read_json, write_json


def consent_file() -> Path:
    """Where it stands."""
    return state_dir() / "licences.json"


def has_agreed() -> bool:
    """Whether the licences of both models for musical features were accepted, as they are now."""
    try:
        said = read_json(consent_file())
        return all(said[model.name]["licence"] == model.licence for model in FEATURE_MODELS)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def agree() -> None:
    """Note that both licences are accepted; the first time stays.

    Raises:
        DiskError: The state folder cannot be written.
    """
    if has_agreed():
        return
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    said = {
        model.name: {"model": model.hub_id, "licence": model.licence, "url": model.licence_url, "accepted": now}
        for model in FEATURE_MODELS
    }
    write_json(consent_file(), said, action="noting that the licences are accepted")
