"""Going on from a checkpoint folder as SimpleTuner leaves it (config-formats.md 4.3, last point)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from engine.contract.errors import ConfigError, ModelError
from engine.contract.run_dir import ADAPTER_FILE, RunDir
from engine.dataset.report import ScanReport
from engine.model.adapters import adapter_state
from engine.model.transformer import AceStepTransformer
from engine.train.foreign_checkpoint import is_foreign
from engine.train.init_lora import FRESH
from engine.train.resume import find_checkpoint, load_checkpoint, with_kept_rate
from engine.train.start_warnings import start_warnings
from tests.unit.train.test_lyrics_embedder import CPU, ON, OWN, built, copies, saver, stepped


@pytest.fixture
def source() -> AceStepTransformer:
    """A trained model."""
    return stepped(**OWN)[0]


@pytest.fixture
def foreign(tmp_path: Path, source: AceStepTransformer) -> Path:
    """Its weights in upstream's layout; what is pickled must never be opened."""
    folder = tmp_path / "run" / "checkpoint-500"
    folder.mkdir(parents=True)
    saver(source, with_embedder=False).save(folder, step=500)
    (folder / "lyrics_embedder").mkdir()
    torch.save(copies(source), folder / "lyrics_embedder" / "pytorch_model.bin")
    for name in ("optimizer.bin", "optimizer_1.bin", "scheduler.bin", "random_states_0.pkl"):
        (folder / name).write_bytes(b"never read")
    state = {"global_step": 500, "epoch_step": 20, "epoch": 3, "exhausted_backends": [], "repeats": {}}
    (folder / "training_state.json").write_text(json.dumps(state))
    manifest = {"version": 1, "model_family": "ace_step", "model_type": "lora", "model_flavour": "base"}
    (folder / "checkpoint_manifest.json").write_text(json.dumps(manifest | {"files": ["optimizer.bin"]}))
    return folder


@pytest.mark.parametrize("wanted", ["latest", "checkpoint-500"])
def test_weights_and_step_are_taken_and_the_optimizer_starts_fresh(
    foreign: Path, source: AceStepTransformer, wanted: str
) -> None:
    model, state, config = built(**OWN, lr_scheduler="linear")
    folder = find_checkpoint(RunDir(foreign.parent), wanted, warn=lambda *told: pytest.fail(str(told)))
    assert folder == foreign
    assert with_kept_rate(config, folder, warn=lambda *told: pytest.fail(str(told))) == config
    assert load_checkpoint(folder, state, saver(model), config=config, device=CPU) == {}
    assert state.step == 500 and not state.optimizer.state
    assert state.schedule.last_epoch == 500
    for name, tensor in adapter_state(source).items():
        assert torch.equal(adapter_state(model)[name], tensor)
    for name, tensor in copies(source).items():
        assert torch.equal(copies(model)[name], tensor)
    report = ScanReport(songs=(), problems=(), num_files=0)
    codes = [code for code, _ in start_warnings(config.replace(lyrics_embedder_train=False), report, folder, FRESH)]
    assert codes == ["foreign_checkpoint", "lyrics_embedder_ignored"]


def test_an_older_one_says_its_step_in_its_name_alone(foreign: Path) -> None:
    for name in ("training_state.json", "checkpoint_manifest.json"):
        (foreign / name).unlink()
    model, state, config = built(**OWN)
    load_checkpoint(foreign, state, saver(model), config=config, device=CPU)
    assert state.step == 500


def test_of_another_kind_or_without_weights_it_is_refused(foreign: Path) -> None:
    model, state, config = built(**OWN)
    with pytest.raises(ConfigError, match="lora checkpoint"):
        load_checkpoint(foreign, state, saver(model), config=config.replace(model_type="full"), device=CPU)
    manifest = foreign / "checkpoint_manifest.json"
    manifest.write_text(manifest.read_text().replace("ace_step", "flux"))
    with pytest.raises(ConfigError, match="flux checkpoint"):
        load_checkpoint(foreign, state, saver(model), config=config, device=CPU)
    (foreign / ADAPTER_FILE).unlink()
    with pytest.raises(ModelError, match="without weights"):
        find_checkpoint(RunDir(foreign.parent), "checkpoint-500", warn=lambda *_: None)


def test_ours_is_none(tmp_path: Path) -> None:
    saver(built(**ON)[0]).save(tmp_path, step=1)
    assert not is_foreign(tmp_path)
