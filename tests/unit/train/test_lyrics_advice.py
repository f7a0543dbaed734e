"""Songs without lyrics: counted, with the quickstart's advice, where they are many."""

from __future__ import annotations

import dataclasses

import pytest

from engine.contract.config import Config
from engine.dataset.report import ScanReport
from engine.train.init_lora import Start
from engine.train.start_warnings import start_warnings
from tests.unit.batches.factory import make_song


@pytest.mark.parametrize(
    ("num_without", "told"),
    [(0, []), (1, []), (2, ["2 of 8 songs have no lyrics"]), (8, ["8 of 8 songs have no lyrics"])],
)
def test_many_songs_without_lyrics_need_more_steps(num_without, told):
    songs = tuple(make_song(f"{index}.wav", lyrics=None if index < num_without else "la") for index in range(8))
    report = ScanReport(songs, (), num_files=8, num_without_lyrics=num_without)
    warnings = start_warnings(Config.from_dict({}), report, None, Start())
    assert [message.partition(" and train")[0] for _, message in warnings] == told
    assert all("more steps" in message for _, message in warnings)


def test_files_that_are_there_twice_are_named(tmp_path):
    songs = []
    for name, content in (("a.wav", b"same"), ("b.wav", b"same"), ("c.wav", b"else")):
        path = tmp_path / name
        path.write_bytes(content)
        songs.append(dataclasses.replace(make_song(name), path=path, size_bytes=4))
    report = ScanReport(tuple(songs), (), num_files=3)
    assert start_warnings(Config.from_dict({}), report, None, Start()) == [
        (
            "duplicates",
            "b.wav is the same as a.wav: such songs are heard twice as often (exclude_files leaves one out)",
        )
    ]
