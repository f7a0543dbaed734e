"""How steps are made fast is told: beforehand, afterwards, at each further shape, and where something fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engine.batches.collate import Batch
from engine.contract import events
from engine.telemetry.emitter import Emitter
from engine.train import speed as speed_module
from engine.train.speed import Speed


def a_batch(num_songs: int = 1, num_frames: int = 64, num_text: int = 128, num_lyrics: int = 128) -> Batch:
    return Batch(
        latents=torch.zeros(num_songs, 8, 16, num_frames), frame_mask=None,
        text_states=torch.zeros(num_songs, num_text, 4), text_mask=torch.ones(num_songs, num_text),
        lyric_ids=torch.zeros(num_songs, num_lyrics), lyric_mask=torch.ones(num_songs, num_lyrics),
        noise=torch.zeros(num_songs, 8, 16, num_frames), timestep_index=torch.zeros(num_songs), ssl_targets=None,
        files=("a",) * num_songs, positions=(0,) * num_songs, audio_s=1.0, bucket="6 s",
    )  # fmt: skip


class Model:
    """Stands for a model: only whether it is compiled is asked."""

    is_compiled = True
    is_dynamic = False

    def set_compiled(self, wanted: bool, *, dynamic: bool = False) -> None:
        self.is_compiled, self.is_dynamic = wanted, dynamic


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Speed, list[events.Event]]]:
    monkeypatch.setattr(speed_module, "is_compiled", lambda model: model.is_compiled)
    monkeypatch.setattr(speed_module, "set_compiled", Model.set_compiled)
    said: list[events.Event] = []
    emitter = Emitter(tmp_path / "events.jsonl")
    emitter.listen(said.append)
    yield Speed(Model(), emitter, num_lengths=3), said  # type: ignore[arg-type]
    emitter.close()


def step_of(speed: Speed, *batches: Batch) -> Callable[[], int]:
    return lambda: len(speed.seen(batches))


def run(speed: Speed, *batches: Batch) -> int:
    return speed.without_on_failure(step_of(speed, *batches), restore=lambda: True)


def test_the_warm_up_is_told_before_and_after_with_its_shapes(told):
    speed, said = told
    with speed.warming_up():
        (first,) = said
        assert (first.expected_s, first.num_lengths, first.is_compiled, first.took_s) == (60.0, 3, None, None)
        assert run(speed, a_batch(), a_batch(num_songs=2), a_batch()) == 3
        run(speed, a_batch())
    assert len(said) == 2
    assert said[1].is_compiled and said[1].has_graphs is False and said[1].took_s >= 0
    assert (said[1].num_shapes, said[1].num_lengths, said[1].reasons) == (2, 3, ())


@pytest.mark.parametrize("change", ["num_songs", "num_frames", "num_text", "num_lyrics"])
def test_a_step_of_a_further_shape_is_told(told, change):
    speed, said = told
    speed.seen([a_batch()])
    run(speed, a_batch())
    assert said == []
    run(speed, a_batch(**{change: 256}))
    assert [(event.num_shapes, event.is_compiled) for event in said] == [(2, True)]
    run(speed, a_batch(**{change: 256}))
    assert len(said) == 1


def test_after_many_shapes_one_compilation_serves_all_that_follow(told, monkeypatch):
    monkeypatch.setattr(speed_module, "MOST_STATIC_SHAPES", 3)
    speed, said = told
    for num_lyrics in (128, 256, 384):
        run(speed, a_batch(num_lyrics=num_lyrics))
    assert not speed.is_dynamic and not speed.model.is_dynamic
    run(speed, a_batch(num_lyrics=512))
    assert speed.is_dynamic and speed.model.is_dynamic and speed.model.is_compiled
    run(speed, a_batch(num_lyrics=640))
    assert [(event.num_shapes, event.is_dynamic) for event in said] == [(1, False), (2, False), (3, False), (4, True)]


def test_where_one_compilation_serves_all_lengths_no_shape_is_told(told):
    speed, said = told
    speed.is_dynamic = True
    run(speed, a_batch())
    assert said == []
    speed.tell()
    assert said[0].is_dynamic and said[0].took_s is None and said[0].num_shapes == 1


def test_a_failure_is_told_with_its_reason(told):
    speed, said = told
    error = type("Unsupported", (Exception,), {"__module__": "torch._dynamo.exc"})
    fails = [True]

    def work() -> str:
        if fails:
            fails.pop()
            raise error("no working triton\nand more")
        return "done"

    assert speed.without_on_failure(work, restore=lambda: True) == "done"
    warning, result = said
    assert warning.code == "not_compiled" and "no working triton" in warning.message
    assert result.is_compiled is False and result.reasons == ("the compiler failed: no working triton",)
    assert result.num_shapes is None
    run(speed, a_batch())
    assert len(said) == 2, "it is told once, and shapes of eager steps are not"


def test_graphs_are_given_up_once_the_ladder_lets_something_wait(told, monkeypatch):
    speed, said = told
    runner = SimpleNamespace(is_all_here=True)
    monkeypatch.setattr(speed_module, "runner_of", lambda model: runner)
    cleared: list[bool] = []
    speed.graphs = SimpleNamespace(clear=lambda: cleared.append(True))  # type: ignore[assignment]
    speed.seen([a_batch()])
    run(speed, a_batch())
    assert speed.graphs is not None and said == []

    def step_down() -> None:
        runner.is_all_here = False

    speed.without_on_failure(step_down, restore=lambda: True)
    assert speed.graphs is None and cleared == [True]
    assert (said[0].has_graphs, said[0].is_compiled) == (False, True)
    assert said[0].reasons == ("weights or inner results wait in main memory",)
    run(speed, a_batch())
    assert len(said) == 1


def test_what_is_no_failure_of_ours_is_not_caught(told):
    speed, said = told
    with pytest.raises(ValueError, match="broken"):
        speed.without_on_failure(lambda: (_ for _ in ()).throw(ValueError("broken")), restore=lambda: True)
    assert said == []


def test_a_warm_up_that_breaks_off_gives_no_result(told):
    speed, said = told
    with pytest.raises(MemoryError), speed.warming_up():
        raise MemoryError
    assert len(said) == 1
    run(speed, a_batch())
    assert len(said) == 2, "training tells of shapes again"
