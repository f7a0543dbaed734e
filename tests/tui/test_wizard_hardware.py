"""Page 1: devices, recommended values as lists and numbers, what else was checked."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from acestep_tui.widgets.choice_list import ChoiceList
from acestep_tui.wizard.forms import field_of
from acestep_tui.wizard.look import WizardFacts
from acestep_tui.wizard.steps.hardware import check_lines, device_row, short_check_lines
from engine.hardware.logout import LogOut
from engine.hardware.machine import Card, Machine, Program
from engine.hardware.mps import AppleReading
from engine.planning.recommend import recommend
from tests.tui.harness import screen_text, until
from tests.tui.wizard_facts import GB, MACHINE, quiet_pages, ready, wizard_app

__all__ = ["quiet_pages"]
pytestmark = pytest.mark.usefixtures("quiet_pages")

CARD = MACHINE.cards[0]
NO_CARD = dataclasses.replace(MACHINE, cards=(), driver=None, driver_cuda=None)


def row_with(app, words: str) -> str:
    return next((row for row in screen_text(app) if words in row), "")


def facts_of(machine: Machine, device_id: str = "") -> WizardFacts:
    device = machine.device(device_id)
    return WizardFacts(machine=machine, device=device, recommendation=recommend(machine, device))


async def test_a_list_opens_closes_and_chooses(tmp_path):
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: bool(row_with(app, "❯ int8")) and bool(row_with(app, "  int4")))
        await pilot.press("up", "enter")
        await until(pilot, lambda: screen.draft.value("base_model_precision") == "no_change")
        await until(pilot, lambda: "● yours" in row_with(app, "Model precision"))
        assert app.focused.label == "Save memory by"
        await pilot.press("shift+tab", "backspace")
        assert screen.draft.value("base_model_precision") == "int8-quanto"
        await pilot.press("enter")
        await until(pilot, lambda: bool(row_with(app, "  int4")))
        await pilot.press("escape")
        await until(pilot, lambda: not row_with(app, "  int4"))
        assert screen.draft.step == "hardware" and app.focused.label == "Model precision"
        await pilot.press("tab", "space")
        await until(pilot, lambda: "❯ recomputing" in "\n".join(screen_text(app)))
        await pilot.press("n", "enter")
        await until(pilot, lambda: screen.draft.value("gradient_checkpointing") is False)
        await until(pilot, lambda: "● yours" in row_with(app, "Save memory by"))
        assert "recomputing is recommended; ⌫ brings it back." in "\n".join(screen_text(app))
        assert app.focused.label == "Songs at once"
        await pilot.press("shift+tab", "backspace")
        assert screen.draft.value("gradient_checkpointing") is True
        assert "yours" not in row_with(app, "Save memory by")
        await pilot.press("right")
        assert screen.draft.value("gradient_checkpointing") is False
        await pilot.press("left")
        assert screen.draft.value("gradient_checkpointing") is True


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
async def test_nothing_beneath_an_open_list_reads_on_in_its_rows(tmp_path, size):
    app = wizard_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: bool(screen.query(ChoiceList)))
        shown = screen.query_one(ChoiceList)
        await until(pilot, lambda: bool(row_with(app, "  int4")))
        margin = screen.step.content_region.x
        before = [row[margin : screen.step.content_region.right].rstrip() for row in screen_text(app)]
        for index, option in enumerate(shown.options):
            words = f"{option.word}  a later version" if option.is_later else option.word
            # The label of a field beneath may stand before it, nothing after it.
            assert before[shown.region.y + index][shown.region.x - margin :].strip("❯ ") == words
        width = shown.own_width
        await pilot.click(offset=(shown.region.x + width + 2, shown.region.y + 1))
        await until(pilot, lambda: not screen.query(ChoiceList))
        assert screen.draft.value("base_model_precision") == "int8-quanto" and app.focused.label == "Model precision"
        await until(pilot, lambda: "Half the size, nearly the same sound" in "\n".join(screen_text(app)))


@pytest.fixture
def compile_comes_later():
    """As long as a version knows a value that it cannot do yet: today's can do all of this page."""
    setting = field_of("compile")
    object.__setattr__(setting, "later_values", ("on",))
    yield
    object.__setattr__(setting, "later_values", ())


@pytest.mark.usefixtures("compile_comes_later")
async def test_a_value_of_a_later_version_is_named_and_cannot_be_taken(tmp_path):
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        app.focused.screen.query("SettingField").last().focus()
        await until(pilot, lambda: getattr(app.focused, "label", "") == "Compile")
        await pilot.press("enter")
        await until(pilot, lambda: bool(row_with(app, "yes  a later version")))
        await pilot.press("up", "enter")
        await pilot.pause()
        assert bool(row_with(app, "❯ yes  a later version")) and screen.draft.value("compile") == "auto"
        await pilot.press("escape")
        await until(pilot, lambda: not row_with(app, "a later version"))
        assert screen.draft.step == "hardware" and app.focused.label == "Compile"


async def test_a_list_is_left_by_the_mouse(tmp_path):
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.click(offset=(25, 9))
        await until(pilot, lambda: "❯ recomputing" in "\n".join(screen_text(app)))
        await pilot.click(offset=(25, 11))
        await until(pilot, lambda: screen.draft.value("gradient_checkpointing") is False)
        await pilot.click(offset=(25, 9))
        await until(pilot, lambda: "❯ nothing" in "\n".join(screen_text(app)))
        await pilot.click(offset=(25, 13))
        await until(pilot, lambda: "❯" not in "\n".join(screen_text(app)))
        assert app.focused.label == "Longest piece"


async def test_a_number_is_typed_stepped_and_brought_back(tmp_path):
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("tab", "tab")
        assert app.focused.label == "Songs at once"
        recommended = screen.draft.value("train_batch_size")
        await pilot.press("up", "up")
        assert screen.draft.value("train_batch_size") == recommended * 4
        await pilot.press("down")
        assert screen.draft.value("train_batch_size") == recommended * 2
        await pilot.press("0")
        assert "✗ at least 1" in row_with(app, "✗")
        assert screen.draft.value("train_batch_size") == recommended * 2
        await pilot.press("backspace")
        assert f"⌫ brings {recommended} back." in row_with(app, "brings")
        assert screen.draft.value("train_batch_size") == recommended
        await pilot.press("backspace", "tab", "down")
        assert screen.draft.value("audio_max_duration_seconds") == 120
        assert "2 min 00 s" in row_with(app, "Longest piece")
        await pilot.press("1", ":", "3", "0", "tab")
        assert screen.draft.value("audio_max_duration_seconds") == 90
        assert "1 min 30 s" in row_with(app, "Longest piece")
        await pilot.click(offset=(43, 13))  # the sign ± of "Longest piece"
        assert screen.draft.value("audio_max_duration_seconds") == 120


async def test_another_device_gets_other_values(tmp_path):
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("shift+tab")
        assert screen_text(app)[3].startswith(" ▌◉ NVIDIA")
        await pilot.press("down")
        await until(pilot, lambda: "Recommended for this processor" in "\n".join(screen_text(app)))
        assert screen.draft.device == "cpu" and screen.facts.device.id == "cpu"
        assert row_with(app, " Plan ").startswith(" Plan  memory ")
        assert "rent a card for the rest." in "\n".join(screen_text(app))
        assert screen.preset.command.startswith("ACESTEP_DEVICE=cpu ")
        await pilot.press("enter")
        assert app.focused.label == "Model precision"
        await pilot.click(offset=(10, 3))
        await until(pilot, lambda: screen.draft.device == "cuda:0")


async def test_until_the_computer_is_known_the_places_are_kept(tmp_path):
    seen = threading.Event()
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        screen.look = lambda folder: seen.wait(10) and dataclasses.replace(MACHINE, num_cores=7)
        screen.facts.machine = None
        screen.step.facts_changed("machine")
        await pilot.pause()
        rows = screen_text(app)
        assert rows[3].startswith("  ◉ looking at this computer …")
        assert all("–" in row for row in rows if row.startswith((" Songs at once", " Longest piece", " Compile")))
        await pilot.press("ctrl+r")
        seen.set()
        await until(pilot, lambda: "7 cores" in "\n".join(screen_text(app)))


@pytest.mark.parametrize(
    ("machine", "device_id", "expected"),
    [
        (MACHINE, "", "NVIDIA RTX 4070      11.6 of 12.0 GB free   41 °C      idle"),
        (MACHINE, "cpu", "Processor only       51 of 64 GB free       16 cores   days, not hours"),
        (
            dataclasses.replace(
                MACHINE, cards=(dataclasses.replace(CARD, programs=(Program("blender", 7, int(3.1 * GB)),)),)
            ),
            "",
            "NVIDIA RTX 4070      11.6 of 12.0 GB free   41 °C      blender 3.1 GB",
        ),
        (
            dataclasses.replace(MACHINE, cards=(Card(0, "NVIDIA A100", 80 * GB, int(9.5 * GB), None, 80.0),)),
            "",
            "NVIDIA A100          9.5 of 80 GB free      –          busy 80 %",
        ),
        (
            dataclasses.replace(MACHINE, cards=(Card(0, "NVIDIA card"),)),
            "",
            "NVIDIA card          – free                 –",
        ),
        (
            dataclasses.replace(NO_CARD, apple=AppleReading("Apple M3 Max", 36 * GB, 27 * GB), ram_free_bytes=30 * GB),
            "",
            "Apple M3 Max         27 of 27 GB lent",
        ),
    ],
)
def test_the_row_of_a_device(machine, device_id, expected):
    assert device_row(machine.device(device_id), machine, 75).plain.rstrip() == expected


def test_what_else_was_checked_in_short_and_in_full():
    facts = facts_of(MACHINE)
    short = [line.plain.rstrip() for line in short_check_lines(facts, MACHINE, 78)]
    assert short == [
        "✓ Memory 51 GB free    ✓ Driver 580.95, CUDA 13.0    ✓ All audio formats",
        "▲ This server ends your programs at log-out.  ^p Keep running has the fix.",
    ]
    full = [line.plain.rstrip() for line in check_lines(facts, MACHINE, 76)]
    assert full[1:4] == [
        "✓ Driver     580.95 with CUDA 13.0",
        "✓ Audio      wav flac mp3 m4a aac alac ogg opus wma aiff, built in",
        "✓ Disk       212 GB free in /home/mara",
    ]


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (
            dataclasses.replace(MACHINE, driver="520.1", driver_cuda="11.8"),
            "▲ Driver: Driver 520.1 ends at CUDA 11.8; torch needs 13.0. Update it to 580 or newer.",
        ),
        (dataclasses.replace(MACHINE, audio_formats=("wav", "flac")), "▲ mp3 m4a aac alac ogg opus wma aiff cannot"),
        (dataclasses.replace(MACHINE, ram_free_bytes=2 * GB), "▲ Memory: 2.0 GB free"),
        (dataclasses.replace(MACHINE, disk_free_bytes=3 * GB), "▲ Disk: 3.0 GB free in"),
        (NO_CARD, "▲ A processor needs days for what a card does in an hour."),
        (dataclasses.replace(MACHINE, cards=(CARD, dataclasses.replace(CARD, index=1))), "○ One card trains;"),
        (dataclasses.replace(MACHINE, cards=(dataclasses.replace(CARD, capability=(5, 2)),)), "▲ This card is too old"),
        (dataclasses.replace(MACHINE, cards=(dataclasses.replace(CARD, free_bytes=GB),)), "▲ The model needs"),
    ],
)
def test_what_is_not_well_is_said_and_nothing_is_wider_than_the_page(machine, words):
    machine = dataclasses.replace(machine, log_out=LogOut(), folder=Path("/data/runs"))
    facts = facts_of(machine)
    for lines in (short_check_lines(facts, machine, 78), check_lines(facts, machine, 76)):
        assert all(line.cell_length <= 78 for line in lines)
    said = " ".join(line.plain.strip() for line in short_check_lines(facts, machine, 78))
    assert words in said


async def test_the_better_of_two_cards_is_chosen_and_named_to_the_worker(tmp_path):
    second = dataclasses.replace(CARD, index=1, name="NVIDIA RTX 4090", total_bytes=24 * GB, free_bytes=23 * GB)
    app = wizard_app(tmp_path, machine=dataclasses.replace(MACHINE, cards=(CARD, second)))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert screen_text(app)[3].startswith("  ◉ NVIDIA RTX 4090")
        assert screen_text(app)[4].startswith("  ○ NVIDIA RTX 4070")
        assert "ACESTEP_DEVICE=cuda:1 " in screen.preset.command
