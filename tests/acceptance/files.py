"""Files and folders of tests that several rows name."""

from __future__ import annotations

CONTRACT = "tests/unit/contract"
SEED = "tests/contract/test_seed_files.py"
SEED_RUN = "tests/worker/test_seed_run.py"
QUICKSTART = "tests/packaging/test_quickstart.py"
MIGRATE = "tests/unit/headless/test_migrate.py"
DATASET = "tests/unit/dataset"
FORMATS = f"{DATASET}/test_formats.py"
TRAIN = "tests/unit/train"
STEP = f"{TRAIN}/test_rollout_step.py"
EMBEDDER = f"{TRAIN}/test_lyrics_embedder.py"
POLICY = "tests/worker/test_cache_policy.py"
HUB = f"{CONTRACT}/test_hub_backends.py"
