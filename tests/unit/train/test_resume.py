"""What a resumed run keeps of its learning rates, and that what an optimizer counted is never lost silently (4.3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.contract.config import Config
from engine.train.resume import with_kept_rate
from engine.train.state import load_optimizer_tensors, optimizer_tensors
from tests.unit.train.test_lyrics_embedder import built, no_dropout, step  # noqa: F401  a fixture

NEW, OLD, OWN = 2e-4, 1e-4, 5e-5
TRAINED = {"lyrics_embedder_train": True}
CURVE, FLAT = {"lr_scheduler": "cosine"}, {"lr_scheduler": "constant"}
OWN_CURVE, OWN_FLAT = {"lyrics_embedder_lr_scheduler": "cosine"}, {"lyrics_embedder_lr_scheduler": "constant"}


@pytest.mark.parametrize(
    ("began", "wanted", "kept", "says"),
    [
        # The main rate alone.
        (CURVE, {}, (OLD, None), 1),
        (FLAT, {}, (NEW, None), 0),
        (FLAT, CURVE, (NEW, None), 0),  # another curve than the one it began with
        (CURVE, {"lr_scheduler": "linear"}, (NEW, None), 0),
        # The embedder at the main rate: it stays in the main optimizer's only group.
        (CURVE | TRAINED, {}, (OLD, None), 1),
        (CURVE | TRAINED, {"learning_rate": OLD, "lyrics_embedder_lr": OWN}, (OLD, None), 1),
        # At a rate of its own.
        (CURVE | TRAINED | {"lyrics_embedder_lr": OWN}, {"lyrics_embedder_lr": NEW}, (OLD, OWN), 2),
        (CURVE | TRAINED | {"lyrics_embedder_lr": OWN}, {"lyrics_embedder_lr": None}, (OLD, OWN), 1),
        (FLAT | TRAINED | {"lyrics_embedder_lr": OWN}, {"lyrics_embedder_lr": NEW}, (NEW, NEW), 0),
        # With a schedule of its own.
        (CURVE | TRAINED | OWN_FLAT, {}, (OLD, NEW), 1),
        (FLAT | TRAINED | OWN_CURVE, {}, (NEW, OLD), 0),
        (CURVE | TRAINED | OWN_CURVE | {"lyrics_embedder_lr": 0.0}, {"learning_rate": OLD}, (OLD, 0.0), 0),
        (TRAINED | FLAT | {"lyrics_embedder_optimizer": "torch-sgd"}, CURVE, (NEW, None), 0),
    ],
)
def test_a_curve_goes_on_as_it_began_and_all_else_takes_the_changed_rate(
    began: dict[str, Any], wanted: dict[str, Any], kept: tuple[float, float | None], says: int, tmp_path: Path
) -> None:
    first = Config.from_dict({"learning_rate": OLD} | began)
    (tmp_path / "config.json").write_text(json.dumps(first.to_dict()), encoding="utf-8")
    told: list[str] = []
    config = with_kept_rate(
        first.replace(**{"learning_rate": NEW} | wanted), tmp_path, warn=lambda code, _: told.append(code)
    )
    assert (config.learning_rate, config.lyrics_embedder_lr) == kept
    assert told == ["learning_rate_kept"] * says


COUNTING = {"optimizer": "adamw_schedulefree", "lr_scheduler": "constant"}


@pytest.mark.parametrize(("then", "now"), [(None, OWN), (OWN, None)])
def test_weights_counted_in_other_groups_are_refused(then: float | None, now: float | None) -> None:
    _, first, config = built(**COUNTING, lyrics_embedder_lr=then)
    step(first, config)
    tensors = optimizer_tensors(first)
    _, resumed, _ = built(**COUNTING, lyrics_embedder_lr=now)
    with pytest.raises(ValueError, match="lyrics_embedder_lr"):
        load_optimizer_tensors(resumed, tensors)
    assert not any(resumed.optimizer.state.values())
    _, same, _ = built(**COUNTING, lyrics_embedder_lr=then)
    assert load_optimizer_tensors(same, tensors) == ()
    assert [group["k"] for group in same.optimizer.param_groups] == [1] * (1 if then is None else 2)


def test_an_embedder_that_was_not_trained_before_begins_to_count() -> None:
    _, first, config = built(**COUNTING, lyrics_embedder_train=False)
    step(first, config)
    _, resumed, _ = built(**COUNTING, lyrics_embedder_lr=OWN)
    assert load_optimizer_tensors(resumed, optimizer_tensors(first)) == ()
    assert [group["k"] for group in resumed.optimizer.param_groups] == [1, 0]


def test_an_embedder_that_is_not_trained_any_more_is_told() -> None:
    _, first, config = built(**COUNTING, lyrics_embedder_lr=OWN)
    step(first, config)
    _, resumed, _ = built(**COUNTING, lyrics_embedder_train=False)
    assert load_optimizer_tensors(resumed, optimizer_tensors(first))
    assert [group["k"] for group in resumed.optimizer.param_groups] == [1]
