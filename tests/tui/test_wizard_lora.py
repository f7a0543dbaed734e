"""Page 4: going on from a finished LoRA."""

from __future__ import annotations

import json
import struct

import pytest

from acestep_tui.wizard.setting_field import SettingField
from acestep_tui.wizard.special_fields import LoraField
from tests.tui.harness import screen_text, until
from tests.tui.wizard_facts import night_ferry, quiet_pages, ready, wizard_app

__all__ = ["quiet_pages"]
pytestmark = pytest.mark.usefixtures("quiet_pages")


def write_lora(path, rank):
    module = "transformer_blocks.0.attn.to_q"
    shapes = {f"{module}.lora_A.weight": (rank, 2), f"{module}.lora_B.weight": (2, rank)}
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 8 * rank
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
    return path


async def test_a_lora_to_start_from_is_read_and_its_rank_counts(tmp_path):
    path = write_lora(tmp_path / "rap.safetensors", 128)
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        field = screen.query_one(LoraField)
        field.focus()
        field.put(str(path))
        await pilot.press("shift+tab")
        await until(pilot, lambda: screen.draft.value("init_lora") == str(path))
        shown = lambda: "\n".join(screen_text(app))  # noqa: E731
        await until(pilot, lambda: "Its rank counts: 128" in shown())
        await until(pilot, lambda: "has rank 128, which is kept" in shown())
        assert not screen.query_one("#field-lora_rank", SettingField).can_focus


async def test_what_is_no_lora_is_said_at_the_field(tmp_path):
    (tmp_path / "song.safetensors").write_bytes(b"no header")
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        field = screen.query_one(LoraField)
        for typed, said in ((tmp_path / "gone", "no LoRA file"), (tmp_path / "song.safetensors", "is no LoRA")):
            field.focus()
            field.put(str(typed))
            await pilot.press("enter")
            await until(pilot, lambda said=said: said in field.error)
        assert screen.draft.value("init_lora") is None
