"""The quickstart's files, byte for byte (config-formats.md section 11), and SimpleTuner's example: what they become.

`python -m tests.contract.test_seed_files` writes the snapshots anew; look at every line that changed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from engine.contract.backends import load_backends
from engine.contract.config import Resolved, resolve
from engine.contract.fields import SETTINGS
from engine.contract.files import write_json
from engine.contract.presets import examples_folder

SEED = Path(__file__).parents[1] / "seed"
GOLDEN = Path(__file__).parent / "golden"
NAME = "acestep-training-demo"
EXAMPLE = "ace_step-v1-0.peft-lora"

# As printed in the quickstart; whoever edits one of them sees it here.
SHA256 = {
    "config.json": "66bcd9fc9f2ed42399a85914711ff6a2edb2033126dce77976acd85384417d34",
    "converted_backend.json": "31dc36fbd52c5e57ce7eddd5e4881b606f8d0b29371f7dd90e597578b1b662f6",
    "lyrics_embedder.json": "7177244abc599dfa462331326f9ee9d9ee80bb5fa1bb2749e8d578727f58b19f",
    "lyrics_pattern.jsonpart": "cb76edde9bf1f72f381f854bf5b1fb95df0476c3def6c5d0aabe48c88497c71f",
    "multidatabackend_hub.json": "b768a005c60d568f7e02e96643859b98870abbcddf65933ee0ef04653e4f1bcd",
    "multidatabackend_local.json": "55ddb062c9ee45c70d002062ff4f53401b5e457f8888cd447dad086d066a3cbd",
}


def quickstart(folder: Path, *overrides: str, **more: Any) -> Resolved:
    """`env=acestep-training-demo` in a folder made as the quickstart says, with further keys in the file."""
    home = folder / "config" / NAME
    home.mkdir(parents=True, exist_ok=True)
    content = (SEED / "config.json").read_bytes()
    if more:
        content = json.dumps({**json.loads(content), **more}).encode()
    (home / "config.json").write_bytes(content)
    (home / "multidatabackend.json").write_bytes((SEED / "multidatabackend_local.json").read_bytes())
    return resolve(f"env={NAME}", overrides, cwd=folder)


def effective(resolved: Resolved) -> dict[str, Any]:
    """The whole effective configuration as JSON holds it; where this checkout lies is left out."""
    text = json.dumps(resolved.config.to_dict()).replace(str(examples_folder()), "EXAMPLES")
    return dict(json.loads(text))


def compare(resolved: Resolved, golden: str) -> None:
    """Every key of the snapshot as it was, every key added since at its default."""
    wanted, found = json.loads((GOLDEN / golden).read_text(encoding="utf-8")), effective(resolved)
    assert {key: found.get(key) for key in wanted} == wanted
    defaults = {setting.key: setting.default for setting in SETTINGS}
    added = {key: value for key, value in found.items() if key not in wanted}
    assert added == {key: list(value) if isinstance(value := defaults[key], tuple) else value for key in added}


@pytest.mark.parametrize("file", SHA256)
def test_the_files_are_those_of_the_quickstart(file):
    assert hashlib.sha256((SEED / file).read_bytes()).hexdigest() == SHA256[file]


def test_the_quickstarts_configuration_is_accepted_unchanged_and_has_its_defaults(tmp_path):
    resolved = quickstart(tmp_path)
    compare(resolved, "seed_config.json")
    written = json.loads((SEED / "config.json").read_text())
    assert len(written) == 8
    assert {key: resolved.config[key] for key in written} == written
    assert {key for key, origin in resolved.origins.items() if origin != "default"} == written.keys()
    assert {notice.code for notice in resolved.notices} == {"no_length", "no_clips"}
    assert resolved.config.output_dir == f"output/{NAME}"


@pytest.mark.parametrize("resolution", [0, 1024, "512", 0.5])
def test_resolution_is_accepted_whatever_number_it_is(tmp_path, resolution):
    assert quickstart(tmp_path, resolution=resolution).config.resolution == float(resolution)


def test_the_quickstarts_lyrics_embedder(tmp_path):
    more = json.loads((SEED / "lyrics_embedder.json").read_text())
    config = quickstart(tmp_path, **more).config
    assert {key: config[key] for key in more} == more
    assert config.lyrics_embedder_train is True
    assert (config.lyrics_embedder_lr, config.lyrics_embedder_lr_scheduler) == (5e-5, "cosine_with_restarts")


def test_the_quickstarts_flag_behind_the_name(tmp_path):
    assert quickstart(tmp_path, "--vae_cache_disable").config.vae_cache_disable is True


def test_the_quickstarts_local_data_set_is_read_as_it_is(tmp_path):
    (tmp_path / "datasets" / "my_audio_files").mkdir(parents=True)
    resolved = quickstart(tmp_path)
    (backend,) = load_backends(resolved.config, base_dir=tmp_path).training
    assert backend.id == "my-audio-dataset"
    assert Path(backend.instance_data_dir) == tmp_path / "datasets" / "my_audio_files"


def test_simpletuners_example_in_our_values(tmp_path):
    resolved = resolve(f"example={EXAMPLE}", cwd=tmp_path)
    compare(resolved, "example_v1.json")
    config = resolved.config
    assert (config.lora_rank, config.learning_rate, config.lr_scheduler) == (128, 5e-5, "cosine")
    assert (config.lr_warmup_steps, config.max_train_steps, config.num_train_epochs) == (50, 200, 0)
    assert (config.validation_step_interval, config.checkpointing_steps) == (50, 50)
    assert config.vae_cache_disable is True
    assert [notice.code for notice in resolved.notices] == ["fallback"]
    (backend,) = load_backends(config, base_dir=tmp_path).training
    assert (backend.audio.duration_interval, backend.audio.max_duration_s) == (3.0, 30.0)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        write_json(GOLDEN / "seed_config.json", effective(quickstart(Path(scratch))))
        write_json(GOLDEN / "example_v1.json", effective(resolve(f"example={EXAMPLE}", cwd=Path(scratch))))
    print(GOLDEN)
