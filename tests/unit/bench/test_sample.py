"""The sampling bench runs through on the tiny model, and its figures are of clips that were made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench import sample


def test_a_small_bench_runs_through(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", f"sample --tiny --steps 2 --seconds 1 --profile --out {tmp_path}".split())
    sample.main()
    result = json.loads((tmp_path / "sample.json").read_text())
    assert {(row["calls"], row["steps"]) for row in result["clips"]} == {("eager", 2), ("graphs", 2)}
    assert all(row["real_time"] > 0 and row["fallbacks"] == [] for row in result["clips"])
    assert {(row["branches"], row["calls"]) for row in result["network"]} >= {(1, "eager"), (2, "graphs")}
    assert all(row["relative_error"] < 1e-2 for row in (*result["network"], *result["decoding"]))
    assert {row["part"] for row in result["decoding"]} == {"autoencoder", "vocoder", "resample to 48 kHz"}
    assert set(result["profile"]) == {"guided call", "autoencoder", "vocoder"}
    assert "| 2 | eager |" in capsys.readouterr().out
