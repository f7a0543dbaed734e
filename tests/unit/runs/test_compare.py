from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acestep_tui.runs.compare import Comparison, compare
from acestep_tui.runs.facts import FileFact, FolderFacts
from acestep_tui.runs.state import RunState, fold_all
from engine.contract import events
from tests.unit.runs.build import T0, heldout, records, started, step

MB = 2**20
SONGS = [{"id": "songs", "instance_data_dir": "/home/mara/music/lofi"}]


def run(name: str, *, reached: int, best: float | None = None, origins: Any = None, **config: Any) -> RunState:
    said: list[events.Event | tuple[float, events.Event]] = [started(), step(reached, total=1500)]
    if best is not None:
        said.append(heldout(reached, best))
    state = fold_all(records(*said, (2640.0, events.RunEnded(outcome="stopped", exit_code=130))))
    state.folder = Path("/runs") / name
    values = {"data_backend_config": SONGS, "max_train_steps": 1500, "num_train_epochs": 0}
    state.config = {"lora_rank": 32, "learning_rate": 0.0001, "gradient_accumulation_steps": 4, **values, **config}
    state.origins = {"origins": {"lora_rank": "file", "max_train_steps": "file"} if origins is None else origins}
    rank = state.config["lora_rank"]
    state.folder_facts = FolderFacts(export=FileFact(Path("x"), (rank if isinstance(rank, int) else 1) * 2 * MB, T0))
    return state


def mock_up() -> Comparison:
    a = run("lofi-tapes", reached=1500, best=0.4102)
    b = run(
        "lofi-tapes-r16", reached=900, best=0.4188, lora_rank=16, learning_rate=0.0002, gradient_accumulation_steps=2,
        output_dir="elsewhere", resume_from_checkpoint="",
    )  # fmt: skip
    return compare([a, b], now=T0 + 9999)


def test_only_what_differs_in_the_mock_ups_order() -> None:
    found = mock_up()
    assert (found.letters, found.names) == (("A", "B"), ("lofi-tapes", "lofi-tapes-r16"))
    assert [(row.label, *(cell.text for cell in row.cells)) for row in found.settings] == [
        ("Rank", "32", "16"),
        ("Steps", "1,500", "900 of 1,500"),
        ("Learning rate", "0.0001", "0.0002"),
        ("Songs per step", "1 × 4", "1 × 2"),
    ]
    assert found.num_settings == 4


def test_what_came_out() -> None:
    found = mock_up()
    rows = {row.label: [f"{cell.text} {cell.note}".strip() for cell in row.cells] for row in found.results}
    assert rows == {
        "Best held-out loss": ["0.4102 lower", "0.4188"],
        "Style hit": ["–", "–"],
        "Closest song": ["–", "–"],
        "Time": ["44 min", "44 min"],
        "File": ["64 MB", "32 MB"],
    }
    assert found.judgement == "A has the lower held-out loss. Style and closeness are not measured yet."
    assert found.is_clear


def test_settings_that_are_set_but_equal_count_among_those_looked_at() -> None:
    a = run("a", reached=1, origins={"seed": "flag", "output_dir": "flag", "lora_rank": "default"})
    found = compare([a, run("b", reached=1, origins={})], now=T0)
    assert found.settings == ()
    assert found.num_settings == 1


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"best": 0.4103}, "No clear difference in the held-out loss."),
        ({"best": None}, "No judgement: not every run has a held-out loss."),
        ({"best": 0.1, "seed": 7}, "No judgement: the held-out losses were measured on different songs."),
        (
            {"best": 0.1, "data_backend_config": [{"instance_data_dir": "/x/jazz"}]},
            "No judgement: the held-out losses were measured on different songs.",
        ),
    ],
)
def test_no_judgement_without_a_reason(other: dict[str, Any], reason: str) -> None:
    found = compare([run("a", reached=1500, best=0.4102), run("b", reached=1500, **other)], now=T0)
    assert found.judgement.startswith(reason)
    assert not found.is_clear
    assert all(cell.note == "" for row in found.results for cell in row.cells)


def test_three_runs_other_songs_and_values_written_by_hand() -> None:
    states = [
        run("a", reached=1500, best=0.5),
        run("b", reached=1500, best=0.4, data_backend_config=SONGS),
        run("c", reached=1500, best=0.6, lora_rank="many", caption_dropout_probability=[1, 2]),
    ]
    found = compare(states, now=T0)
    assert found.letters == ("A", "B", "C")
    assert found.judgement.startswith("B has the lowest held-out loss.")
    assert found.settings[0].cells[2].text == "many"
    states[1].config["data_backend_config"] = [{"instance_data_dir": "/x/jazz/"}]
    rows = {row.label: [cell.text for cell in row.cells] for row in compare(states, now=T0).settings}
    assert ["lofi", "jazz", "lofi"] in rows.values()


def test_runs_about_which_nothing_is_known() -> None:
    found = compare([RunState(), RunState()], now=T0)
    assert found.settings == ()
    assert [cell.text for row in found.results for cell in row.cells] == ["–"] * 10
