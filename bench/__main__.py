"""`make bench`: training steps on this machine; one JSON and one Markdown table under bench/results/.

On a CUDA card with room for it the released sizes with random weights are measured; elsewhere the tiny model, which
says only that everything runs and how it compares with itself.
"""

from __future__ import annotations

import json
import platform
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import torch

from bench.checkpoint import write_released_sizes
from bench.step import measure, table
from engine.model.tiny import write_tiny_checkpoint
from engine.train.device import choose_device, describe

RESULTS = Path(__file__).parent / "results"
ROOM_FOR_RELEASED_BYTES = 20 * 2**30


def main() -> None:
    """Measure and write."""
    device = choose_device()
    is_large = device.type == "cuda" and torch.cuda.mem_get_info(device)[0] > ROOM_FOR_RELEASED_BYTES
    with tempfile.TemporaryDirectory(prefix="acestep-bench-") as name:
        folder = Path(name) / "checkpoint"
        checkpoint = write_released_sizes(folder) if is_large else write_tiny_checkpoint(folder)
        rows = [
            measure(checkpoint, batch_size=batch, seconds=60.0 if is_large else 10.0, rank=64, recompute=recompute)
            for batch in (1, 4)
            for recompute in (False, True)
        ]
    facts = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": describe(device),
        "model": "released sizes, random weights" if is_large else "tiny",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps({**facts, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    head = "\n".join(f"- {key}: {value}" for key, value in facts.items())
    (RESULTS / "bench.md").write_text(f"# Training steps\n\n{head}\n\n{table(rows)}", encoding="utf-8")
    print((RESULTS / "bench.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
