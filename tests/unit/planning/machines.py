"""Computers made up for tests."""

from __future__ import annotations

from engine.hardware.machine import Card, Machine, Program
from engine.hardware.mps import AppleReading

GB = 2**30


def with_cards(*total_gb: float, free_gb: float | None = None, capability=(8, 9), programs=(), **more) -> Machine:
    cards = tuple(
        Card(
            index,
            "NVIDIA GeForce RTX 4070",
            round(total * GB),
            round((total - 0.4 if free_gb is None else free_gb) * GB),
            41.0,
            0.0,
            capability,
            tuple(Program(name, 1, round(size * GB)) for name, size in programs),
        )
        for index, total in enumerate(total_gb)
    )
    facts = {
        "ram_total_bytes": 64 * GB,
        "ram_free_bytes": 51 * GB,
        "num_cores": 16,
        "disk_free_bytes": 204 * GB,
        "has_compiler": True,
    }
    return Machine(cards=cards, **{**facts, **more})


def mac(total_gb: float) -> Machine:
    return Machine(
        apple=AppleReading("Apple M3 Max", round(total_gb * GB), round(0.75 * total_gb * GB)),
        ram_total_bytes=round(total_gb * GB),
        ram_free_bytes=round(0.8 * total_gb * GB),
        num_cores=12,
        disk_free_bytes=500 * GB,
    )
