"""The words of the model's page: what is here, odd numbers of a download, names that are no model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from acestep_tui.wizard.download import Order, Seen, with_progress
from acestep_tui.wizard.model_page import (
    ModelFacts,
    action_line,
    bar_line,
    download_words,
    heading,
    message_lines,
    nowhere_words,
    part_lines,
)
from engine.contract.model_files import SUB_FOLDERS
from tests.tui.model_facts import bytes_of, missing, progress, whole


def plain(lines: Any) -> list[str]:
    return [line.plain.rstrip() for line in lines]


def test_before_anything_is_known():
    facts = ModelFacts()
    assert heading(facts) == ("looking", "$text-muted") and not facts.can_download and not facts.problem
    assert all(line.endswith("–") for line in plain(part_lines(facts, 78)))
    assert message_lines(facts, Path("/"), 78) == [] and download_words(facts) == ""


def test_of_a_name_whose_size_only_the_hub_knows():
    facts = ModelFacts(missing("someone/model", with_totals=False))
    assert download_words(facts) == "Download"
    assert plain(part_lines(facts, 60))[0].endswith("missing")
    some = ModelFacts(dataclasses.replace(facts.status, partial_bytes=5), Seen("cut_off"))
    assert download_words(some) == "Download the rest"
    assert "It was cut off." in action_line(some, 78, is_focused=True).plain


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen("running"), " –"),
        (Seen("running", progress(rate=0.0)), " 40 %"),
        (Seen("running", dataclasses.replace(progress(), total_bytes=0, bytes_per_s=None)), " –"),
        (Seen("running", dataclasses.replace(progress(), done_bytes=10**12)), " 100 %  61 MB/s, 0.0 s"),
    ],
)
def test_a_bar_of_odd_numbers(seen, words):
    line = bar_line(seen, 60, is_focused=False)
    assert line.cell_length == 60 and line.plain.endswith(words)


def test_bytes_of_an_ended_download_count_only_while_they_are_there():
    ended = Seen("cut_off", progress())
    there = dataclasses.replace(missing(with_totals=False), partial_bytes=bytes_of(3.4))
    merged = with_progress(there, ended)
    assert [part.state for part in merged.parts] == ["incomplete", "whole", "whole", "missing"]
    assert merged.partial_bytes == 0 and merged.bytes == ended.progress.done_bytes
    # Somebody emptied the cache: the sizes are still true, the bytes are not.
    gone = with_progress(missing(with_totals=False), ended)
    assert gone.bytes == 0 and gone.total_bytes == ended.progress.total_bytes
    odd = dataclasses.replace(progress(), parts={SUB_FOLDERS[0]: [1], SUB_FOLDERS[1]: ["a", 2]})  # type: ignore[list-item]
    assert with_progress(missing(), Seen("running", odd)).parts == missing().parts
    assert with_progress(whole(), Seen("running", progress())) == whole()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "Type the name of a model, or a folder that holds one."),
        ("demo:other", "The demo's model is called demo:tiny-model."),
        ("/no/such", "There is no folder /no/such."),
        ("thing", "There is no folder thing, and a hub name is OWNER/NAME."),
    ],
)
def test_a_name_that_is_no_model(name, words):
    assert nowhere_words(name) == words


def test_two_orders_have_two_folders():
    orders = [
        Order("a/b"),
        Order("a/c"),
        Order("a/b", "v2"),
        Order("a/b", cache_dir=Path("/x")),
        Order("../../" + "x" * 300),
    ]
    folders = [order.folder for order in orders]
    assert len(set(folders)) == 5 and len({folder.parent for folder in folders}) == 1
    assert all(len(folder.name) < 100 and ".." not in folder.name for folder in folders)
    assert Order("a/b").folder == folders[0]
