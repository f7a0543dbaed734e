"""Which models a run takes for musical features: here, named, agreed to, required; and what is said otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.contract.feature_models import FEATURE_MODELS, MERT, MHUBERT, feature_model_of, files_to_fetch
from engine.contract.fields import SETTINGS
from engine.fetch.task import Order
from engine.hardware import feature_models as on_disk
from engine.model.tiny_features import write_tiny_feature_model
from engine.train import features
from engine.train.features import NO_FEATURES, plan_features

WIDTHS = {"mert": 32, "m-hubert": 24}


@dataclass
class Shop:
    """A hub client's cache and a run that looks into it."""

    root: Path
    widths: dict[str, int] = field(default_factory=lambda: dict(WIDTHS))
    warned: list[tuple[str, str]] = field(default_factory=list)
    fetched: list[Order] = field(default_factory=list)

    @property
    def hub(self) -> Path:
        return self.root / "hub"

    def put(self, *models) -> None:
        """As a download leaves them."""
        for model in models:
            storage = self.hub / f"models--{model.hub_id.replace('/', '--')}"
            (storage / "refs").mkdir(parents=True, exist_ok=True)
            (storage / "refs" / "main").write_text("0" * 40)
            write_tiny_feature_model(storage / "snapshots" / ("0" * 40), model)

    def plan(self, **settings: Any):
        values = {setting.key: setting.default for setting in SETTINGS} | {"cache_dir": str(self.root / "cache")}
        run = SimpleNamespace(
            config=Config.from_dict(values | settings),
            family=SimpleNamespace(ssl_widths=self.widths),
            reporter=SimpleNamespace(warn=lambda code, message: self.warned.append((code, message))),
            emitter=None,
            inbox=None,
        )
        return plan_features(run)


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    shop = Shop(tmp_path)
    monkeypatch.delenv("ACESTEP_CACHE", raising=False)
    storage_folder = on_disk.storage_folder
    monkeypatch.setattr(on_disk, "storage_folder", lambda name, cache_dir: storage_folder(name, cache_dir or shop.hub))

    def download(order: Order, *_: object) -> None:
        shop.fetched.append(order)
        shop.put(feature_model_of(order.model))

    monkeypatch.setattr(features, "download", download)
    return shop


def test_models_that_are_here_are_taken_and_their_licences_said(shop):
    shop.put(*FEATURE_MODELS)
    plan = shop.plan()
    assert plan.weight == 0.1 and plan.names == ("mert", "mhubert") and plan.ssl_id and not plan.reason
    assert [(source.model, source.width) for source in plan.sources] == [(MERT, 32), (MHUBERT, 24)]
    assert shop.warned == [("non_commercial", shop.warned[0][1])]
    assert "MERT (CC-BY-NC 4.0) and mHuBERT (CC-BY-NC-SA 4.0)" in shop.warned[0][1]
    assert "non-commercial use only" in shop.warned[0][1]


@pytest.mark.parametrize("settings", [{"ace_step_ssl_loss_weight": 0.0}, {"ssl_models": "off"}])
def test_switched_off_nothing_is_looked_for(shop, settings):
    shop.put(*FEATURE_MODELS)
    assert shop.plan(**settings) is NO_FEATURES and not shop.warned


def test_without_models_and_without_a_word_nothing_is_fetched(shop):
    shop.put(MHUBERT)
    plan = shop.plan()
    assert not plan.sources and plan.weight == 0.1 and not shop.fetched
    assert "MERT is not on this computer" in plan.reason
    with pytest.raises(ModelError, match="ssl_models is required, but MERT is not on this computer") as error:
        shop.plan(ssl_models="required")
    assert "acestep-tui model fetch mert mhubert --accept-non-commercial" in error.value.hint
    assert "non-commercial use only" in error.value.hint


def test_a_word_fetches_what_is_missing(shop):
    shop.put(MHUBERT)
    plan = shop.plan(ssl_accept_non_commercial=True)
    assert shop.fetched == [Order(MERT.hub_id, accept_non_commercial=True)] and len(plan.sources) == 2
    assert [code for code, _ in shop.warned] == ["fetching_features", "non_commercial"]
    assert "MERT (1.2 GB)" in shop.warned[0][1]


def test_a_hub_that_cannot_be_reached_costs_the_features_alone(shop, monkeypatch):
    def refuse(*_: object) -> None:
        raise ModelError("m-a-p/MERT-v1-330M could not be downloaded: no route")

    monkeypatch.setattr(features, "download", refuse)
    assert "no route" in shop.plan(ssl_accept_non_commercial=True).reason
    with pytest.raises(ModelError, match="no route"):
        shop.plan(ssl_accept_non_commercial=True, ssl_models="required")


def test_folders_that_are_named_are_taken_or_an_error(shop):
    folders = {model.path_key: str(write_tiny_feature_model(shop.root / model.name, model)) for model in FEATURE_MODELS}
    plan = shop.plan(**folders)
    assert [str(source.folder) for source in plan.sources] == list(folders.values())
    with pytest.raises(ModelError, match=r"ssl_mert_path = .*nowhere: this is no whole MERT: there is no folder"):
        shop.plan(**folders | {"ssl_mert_path": str(shop.root / "nowhere")})
    with pytest.raises(ModelError, match=r"is not MERT: its features are 24 wide"):
        shop.plan(**folders | {"ssl_mert_path": folders["ssl_mhubert_path"]})
    (shop.root / "mert" / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="holds neither"):
        shop.plan(**folders)


def test_models_of_the_hub_that_do_not_fit_cost_the_features_alone(shop):
    shop.put(*FEATURE_MODELS)
    shop.widths = {"mert": 1024, "m-hubert": 24}
    assert "foretells 1024" in shop.plan().reason
    shop.widths = {"music2vec": 32}
    assert "nothing here gives: music2vec" in shop.plan().reason
    shop.widths = {}
    assert shop.plan() is NO_FEATURES


def test_features_can_be_used_after_their_models_are_gone(shop):
    """The cache knows what they were made with; another pair of models would have entries of its own."""
    shop.put(*FEATURE_MODELS)
    ssl_id = shop.plan().ssl_id
    (shop.hub / f"models--{MERT.hub_id.replace('/', '--')}" / "refs" / "main").unlink()
    assert shop.plan().ssl_id == ssl_id


def test_of_a_repository_one_form_of_the_weights_is_fetched():
    everything = ["README.md", "config.json", "model.safetensors", "pytorch_model.bin", "index.faiss", "modeling.py"]
    assert files_to_fetch(everything) == ["config.json", "model.safetensors"]
    assert files_to_fetch(["config.json", "pytorch_model.bin", "x.py"]) == ["config.json", "pytorch_model.bin"]
    assert files_to_fetch(["config.json"]) == ["config.json"]
    assert [feature_model_of(name) for name in ("m-hubert", "MERT", MERT.hub_id, "x")] == [MHUBERT, MERT, MERT, None]
