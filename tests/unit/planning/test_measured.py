"""The memory plan against what was measured: every cell of the committed table, and the fit that makes it so."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bench.fit_vram import errors, fit, halves, main
from engine.planning.facts import DataFacts
from engine.planning.measured import MEASURED_FILE, Cell, basis_of, measured_cells, planned, tolerance
from engine.planning.memory_terms import memory_terms
from engine.planning.sizes import demo_sizes, published_sizes
from engine.planning.vram import estimate_memory
from tests.unit.planning.machines import GB

CELLS = measured_cells()
PLAIN = Cell("no_change", 64, 60.0, 1, "full")


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_plan_of_a_measured_step_is_off_by_5_percent_or_300_megabytes_at_most(cell):
    plan = planned(cell)
    for figure in ("peak_bytes", "reserved_bytes", "nvml_bytes"):
        measured = getattr(cell, figure)
        if measured:
            assert abs(plan[figure] - measured) <= tolerance(measured), figure


def test_the_table_says_where_it_comes_from_and_leaves_out_what_did_not_run(tmp_path):
    head = json.loads(MEASURED_FILE.read_text())
    assert head["device"] and head["date"] and head["versions"]["torch"]
    rows = [{**dataclasses.asdict(PLAIN), "peak_bytes": 5, "step_s": 1.0}, {**dataclasses.asdict(PLAIN), "oom": True}]
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"cells": rows}))
    assert measured_cells(path) == (dataclasses.replace(PLAIN, peak_bytes=5),)


def peak(**changes):
    return planned(dataclasses.replace(PLAIN, **changes))["peak_bytes"]


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({}, {"recompute": "none"}),
        ({}, {"seconds": 240.0}),
        ({}, {"batch": 8}),
        ({}, {"rank": 256}),
        ({}, {"rank": None}),
        ({"batch": 8}, {"ssl": True, "batch": 8}),
        ({"recompute": "none"}, {"lyric_tokens": 4096, "recompute": "none"}),
        ({"precision": "int8-quanto"}, {}),
        ({"precision": "int4-quanto"}, {"precision": "int8-quanto"}),
    ],
)
def test_what_takes_more_memory(less, more):
    assert peak(**less) < peak(**more)


def test_block_swap_takes_its_blocks_off_the_card_but_for_a_ring_and_puts_them_in_main_memory():
    def memory(blocks):
        config = PLAIN.config().replace(musubi_blocks_to_swap=blocks)
        return estimate_memory(config, data=PLAIN.data(), sizes=published_sizes(), kind="cuda")

    block = published_sizes().num_block * 2
    saved = memory(0).train_bytes - memory(20).train_bytes
    assert memory(20).host_bytes == 20 * block
    assert saved == 18 * block, "two stay for the ring"
    assert memory(8).host_bytes == 8 * block
    assert memory(0).train_bytes - memory(8).train_bytes == 7 * block, "unswapped blocks between: one buffer is enough"
    assert memory(1).train_bytes == memory(0).train_bytes


def test_what_the_card_loses_is_more_than_what_is_handed_out():
    memory = estimate_memory(PLAIN.config(), data=PLAIN.data(), sizes=published_sizes(), kind="cuda")
    assert memory.peak_bytes < memory.reserved_bytes < memory.used_bytes
    assert memory.used_bytes - memory.reserved_bytes == memory.base_bytes > 0.3 * GB
    assert memory.peak_bytes == max(memory.phases.values())
    cpu = estimate_memory(PLAIN.config(), data=PLAIN.data(), sizes=published_sizes(), kind="cpu")
    assert cpu.used_bytes == cpu.peak_bytes


def test_only_what_lies_between_measured_steps_counts_as_measured():
    data = DataFacts((60.0,), (60.0,), num_captions=1)
    config, sizes = PLAIN.config(), published_sizes()

    def basis(*, data=data, sizes=sizes, kind="cuda", **values):
        return basis_of(config.replace(**values), data=data, sizes=sizes, kind=kind)

    assert basis() == "measured"
    assert basis(train_batch_size=2) == "measured"
    assert basis(train_batch_size=64) == "computed"
    assert basis(kind="mps") == basis(sizes=demo_sizes()) == basis(mixed_precision="no") == "computed"
    assert basis(data=DataFacts((2000.0,), (2000.0,), num_captions=1)) == "computed"
    assert basis(data=dataclasses.replace(data, num_lyric_tokens=100)) == "measured"
    assert basis(data=dataclasses.replace(data, num_lyric_tokens=2000)) == "computed"


@pytest.mark.parametrize(
    ("values", "is_measured"),
    [
        ({"musubi_blocks_to_swap": 16}, True),
        ({"musubi_blocks_to_swap": 5}, False),
        ({"gradient_checkpointing_interval": 4}, False),
        ({"gradient_accumulation_steps": 8}, False),
        ({"mixed_precision": "fp16"}, False),
        ({"optimizer": "torch-sgd"}, False),
        ({"acestep_lora_target": "attn_qkv"}, False),
    ],
)
def test_what_no_cell_varies_is_measured_only_as_it_comes(values, is_measured):
    data = DataFacts((60.0,), (60.0,), num_captions=1)
    found = basis_of(PLAIN.config().replace(**values), data=data, sizes=published_sizes(), kind="cuda")
    assert (found == "measured") is is_measured


def test_the_fit_finds_coefficients_again_and_half_of_the_cells_tests_it():
    terms = memory_terms()
    true = dataclasses.replace(terms, kept_frame_lora=terms.kept_frame_lora * 1.3, workspace_bytes=3e8)
    wanted = [
        Cell("no_change", 64, seconds, batch, recompute)
        for seconds in (60.0, 240.0)
        for batch in (1, 4)
        for recompute in ("none", "full")
    ]
    cells = [dataclasses.replace(cell, peak_bytes=planned(cell, terms=true)["peak_bytes"]) for cell in wanted]
    fitting, testing = halves(cells)
    assert (len(fitting), len(testing)) == (4, 4)
    assert not set(fitting) & set(testing)
    assert (fitting, testing) == halves(cells)
    before, after = abs(errors(testing, terms)).max(), abs(errors(testing, fit(fitting, terms))).max()
    assert before > 1
    assert after < 0.5


def test_the_fit_is_one_command(tmp_path, capsys):
    rows = [{**dataclasses.asdict(PLAIN), "batch": batch, "peak_bytes": 7 * GB} for batch in (1, 2)]
    table, out = tmp_path / "table.json", tmp_path / "terms.json"
    table.write_text(json.dumps({"device": "a card", "date": "today", "cells": rows}))
    main([str(table), "--out", str(out)])
    written = json.loads(out.read_text())
    assert written["card"] == "a card"
    assert written["coefficients"].keys() == json.loads(json.dumps(dataclasses.asdict(memory_terms()))).keys()
    assert "tested: 1 cells" in capsys.readouterr().out
