"""One plain line an event, for pipes, logs and screen readers (design: screens.md section 5).

No glyphs, nothing localised:
``2026-11-22T14:12:15Z step step=1 total=120 loss=1.0388 lr=1.0e-05 step_s=0.71 eta_s=85``
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from acestep_tui.format import timestamp
from acestep_tui.paths import shown
from engine.contract import event_lines

# The fields worth a place in a line, in order; a kind that is not here shows all its plain fields.
# Unknown (null) values are left out.
FIELDS: dict[str, tuple[str, ...]] = {
    "run_started": ("name", "dir", "version", "device", "resumed_step"),
    "plan": ("vram_bytes", "ram_bytes", "disk_bytes", "seconds", "num_steps"),
    "phase_started": ("phase", "total"),
    "phase_ended": ("phase", "done", "total", "seconds", "summary"),
    "download_progress": ("model", "done_bytes", "total_bytes", "bytes_per_s"),
    "file_problem": ("severity", "file", "reason"),
    "cache_progress": ("done", "total", "file", "audio_s"),
    "model_loaded": ("model", "num_parameters", "num_trainable", "dtype", "device"),
    "step": ("step", "total", "loss", "lr", "step_s", "eta_s", "rollout_share", "rollout_s"),
    "validation_loss": ("step", "loss", "ema_loss", "base_loss", "num_songs"),
    "sample_saved": ("step", "path", "seconds", "verdict"),
    "checkpoint_saved": ("step", "path", "bytes", "verified"),
    "adapter_exported": ("path", "format", "bytes", "verified"),
    "proofs": ("works", "loads", "resumes", "is_yours"),
    "command_done": ("command", "ok", "message"),
    "memory_measured": ("peak_bytes", "reserved_bytes", "total_bytes", "step_s", "bucket", "batch_size"),
    "memory_stepped_down": ("phase", "step", "rung", "needed_bytes", "free_bytes", "why"),
    "steps_compiled": ("expected_s", "is_compiled", "has_graphs", "num_shapes", "num_lengths", "took_s", "reasons"),
    "run_ended": ("outcome", "exit_code", "steps", "heldout_first", "heldout_last", "error", "hint"),
}

# Kinds that say "alive" or "a little further" and would bury the rest.
SILENT = frozenset({"heartbeat", "hardware", "sample_progress"})
_THINNED = frozenset({"scan_progress", "cache_progress", "download_progress"})

# Free text is always quoted; identifiers only when they would break the line.
_TEXT = frozenset({"file", "reason", "message", "summary", "error", "hint", "model", "why", "reasons"})
_BARE = re.compile(r"[^\s\"=\\]+\Z")
_LOSSES = frozenset({"loss", "ema_loss", "base_loss", "heldout_first", "heldout_last", "ssl_loss", "grad_norm"})


def event_line(record: event_lines.Record) -> str:
    """The line of one event, without a newline."""
    data = record.data
    nonfinite = data.get("nonfinite") or ()
    names = FIELDS.get(record.kind) or tuple(name for name in data if name != "nonfinite")
    parts = [timestamp(record.t), record.kind]
    for name in names:
        value = math.nan if name in nonfinite else data.get(name)
        if name == "reasons" and isinstance(value, list):
            value = "; ".join(map(str, value))
        if value is not None and value != "" and not isinstance(value, dict | list):
            parts.append(f"{name}={_value(name, value)}")
    return " ".join(parts)


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(name, value)
    if isinstance(value, int):
        return str(value)
    text = shown(Path(str(value))) if name == "dir" else str(value)
    return text if name not in _TEXT and _BARE.match(text) else json.dumps(text, ensure_ascii=False)


def _number(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if name in _LOSSES:
        return f"{value:.4f}"
    if name == "lr":
        return _scientific(value)
    if name == "eta_s" or (name.endswith(("_s", "seconds")) and abs(value) >= 100):
        return f"{value:.0f}"
    return f"{value:.3g}" if name.endswith(("_s", "seconds")) else f"{value:g}"


def _scientific(value: float) -> str:
    """At least one decimal, at most three: ``1.0e-05``, ``2.53e-05``."""
    mantissa, exponent = f"{value:.3e}".split("e")
    mantissa = mantissa.rstrip("0")
    return f"{mantissa}{'0' if mantissa.endswith('.') else ''}e{exponent}"


class Thinner:
    """Decides which events get a line: progress shows at most its tenths and its end."""

    def __init__(self) -> None:
        self._tenths: dict[str, int] = {}

    def wants(self, record: event_lines.Record) -> bool:
        """Whether this event gets a line."""
        if record.kind in SILENT:
            return False
        if record.kind == "phase_started":
            self._tenths.clear()
        if record.kind not in _THINNED:
            return True
        unit = "_bytes" if record.kind == "download_progress" else ""
        done, total = record.data.get(f"done{unit}"), record.data.get(f"total{unit}")
        if not isinstance(done, int) or not isinstance(total, int) or total <= 0:
            return False
        tenth = done * 10 // total
        if tenth == self._tenths.get(record.kind, 0):
            return False
        self._tenths[record.kind] = tenth
        return True
