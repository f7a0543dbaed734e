"""The set-up's frame: from page to page, the draft on disk, the plan, presets, small and plain terminals."""

from __future__ import annotations

import json
import threading
import time

import pytest

from acestep_tui.screens import wizard_preset
from acestep_tui.screens.wizard import WizardScreen
from acestep_tui.widgets.radio import Radio
from acestep_tui.wizard import keeper
from acestep_tui.wizard.draft_files import drafts_folder, list_drafts, load_draft
from acestep_tui.wizard.preset import to_preset
from acestep_tui.wizard.stepper import Stepper
from engine.contract.config import resolve
from engine.contract.errors import DiskError
from engine.contract.fields import SETTINGS_BY_KEY
from tests.tui.harness import house_app, screen_text, until
from tests.tui.wizard_facts import MACHINE, Quiet, night_ferry, quiet_pages, ready, screen_of, wizard_app

__all__ = ["quiet_pages"]
pytestmark = pytest.mark.usefixtures("quiet_pages")


SCHEDULER = SETTINGS_BY_KEY["lr_scheduler"].default


def row_with(app, words: str) -> str:
    return next((row for row in screen_text(app) if words in row), "")


async def test_next_goes_through_all_pages_and_back_comes_home(tmp_path):
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        for step in ("model", "dataset", "method", "schedule", "review"):
            await pilot.press("ctrl+n")
            await until(pilot, lambda step=step: screen.draft.step == step and screen.step.display)
        assert "step 6 of 6" in row_with(app, "Ready to start")
        assert screen_text(app)[1] == " ✓ Hardware  ✓ Model  ✓ Dataset  ✓ Method  ✓ Schedule  6 Review"
        for step in ("schedule", "method", "dataset", "model", "hardware"):
            await pilot.press("escape")
            await until(pilot, lambda step=step: screen.draft.step == step)
        assert screen.draft.visited == ["hardware", "model", "dataset", "method", "schedule", "review"]
        home = []
        app.open_home = lambda: home.append(True)
        await pilot.press("escape")
        await until(pilot, lambda: home == [True])


async def test_enter_goes_from_field_to_field_and_then_on(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        for _ in range(5):
            await pilot.press("enter")
        await until(pilot, lambda: screen.draft.step == "review")


async def test_a_problem_keeps_from_going_on_and_marks_its_page(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("tab", "x")
        assert "✗ a whole number is needed; 64 suits a voice" in row_with(app, "✗")
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert screen.draft.step == "method"
        assert app.focused.error
        await pilot.press("escape")
        await until(pilot, lambda: screen.draft.step == "dataset")
        assert "✗ 4 Method" in screen_text(app)[1]
        screen.go_to("method")
        await until(pilot, lambda: screen.draft.step == "method")
        assert app.focused.error and "x" in row_with(app, "Rank")
        await pilot.press("backspace", "backspace", "ctrl+n")
        await until(pilot, lambda: screen.draft.step == "schedule")


async def test_the_stepper_and_the_palette_go_to_pages_seen_before_only(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.click(Stepper, offset=(50, 0))
        await pilot.pause()
        assert screen.draft.step == "method"
        await pilot.click(Stepper, offset=(3, 0))
        await until(pilot, lambda: screen.draft.step == "hardware")
        offered = {sentence: call for sentence, _, call in screen.palette()}
        assert "Go to step: Schedule" not in offered
        offered["Go to step: Dataset"]()
        await until(pilot, lambda: screen.draft.step == "dataset")
        offered["Keep running after log-out…"]()
        assert app.clipboard == "loginctl enable-linger mara"


async def test_a_change_is_on_disk_within_a_second(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        screen.keeping.flush()  # of the page that was gone to
        await pilot.press("tab", "1", "2", "8")
        path = drafts_folder() / "night-ferry.json"
        await until(pilot, lambda: path.exists() and load_draft(path)[0].value("lora_rank") == 128, timeout_s=1.5)
        # The terminal may be killed now: nothing that is typed is only in memory.
        draft, notes = load_draft(path)
        assert (draft.step, draft.name, notes) == ("method", "night-ferry", ())
        await until(pilot, lambda: screen_text(app)[0].endswith("draft saved"))


async def test_leaving_at_once_loses_nothing_and_goes_on_in_the_same_file(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("tab", "9", "6")
        app.open_home = lambda: app.go_to(WizardScreen())
        await pilot.press("f2")
        await until(pilot, lambda: screen.keeping.path is not None and screen_of(app) is not screen)
        await until(pilot, lambda: load_draft(screen.keeping.path)[0].value("lora_rank") == 96)
    (summary,) = list_drafts()
    draft, _ = load_draft(summary.path)
    again = wizard_app(tmp_path, draft, path=summary.path)
    async with again.run_test(size=(80, 24)) as pilot:
        await ready(pilot, again)
        assert "96" in row_with(again, "Rank")
        await pilot.press("tab", "up")
        await until(pilot, lambda: load_draft(summary.path)[0].value("lora_rank") == 128)
    assert len(list_drafts()) == 1
    assert again.return_value is None


async def test_a_full_disk_is_said_and_costs_nothing(tmp_path, monkeypatch):
    def full(data, path=None):
        raise DiskError(f"saving the draft failed: {path}: No space left on device", hint="Free some space.")

    monkeypatch.setattr(keeper, "save_draft", full)
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("tab", "up")
        await until(pilot, lambda: screen_text(app)[0].endswith("draft not saved: disk full"))
        assert screen.draft.value("lora_rank") == 128


async def test_nothing_touched_leaves_no_draft(tmp_path):
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert screen.farewell() == []
        app.open_home = lambda: app.go_to(WizardScreen())
        await pilot.press("escape")
        await until(pilot, lambda: screen_of(app) is not screen)
    assert list_drafts() == []


async def test_a_look_around_leaves_no_draft_either(tmp_path):
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: screen.draft.step == "model")
        await pilot.press("escape")
        await until(pilot, lambda: screen.draft.step == "hardware")
        assert screen.farewell() == []
        app.open_home = lambda: app.go_to(WizardScreen())
        await pilot.press("escape")
        await until(pilot, lambda: screen_of(app) is not screen)
    assert list_drafts() == []


async def test_a_device_that_was_picked_is_kept(tmp_path):
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        screen.query_one(Radio).focus()
        await pilot.press("down")
        device = screen.draft.device
        await until(pilot, lambda: bool(list_drafts()))
    assert load_draft(list_drafts()[0].path)[0].device == device != ""


async def test_the_plan_follows_each_key(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        before = screen.facts.plan.memory.amount
        plan_row = row_with(app, "Plan")
        assert plan_row.endswith("✓ fits")
        await pilot.press("tab", "5", "1", "2")
        await pilot.pause()
        assert screen.facts.plan.memory.amount > before
        begun = time.process_time()
        screen._changed(screen.step.Changed(screen.step))
        assert time.process_time() - begun < 0.1
        assert row_with(app, "Plan") != plan_row


async def test_the_pane_stands_beside_from_100_columns_on(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        assert row_with(app, " Plan ").startswith(" Plan  GPU")
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: "Without screens" in "\n".join(screen_text(app)))
        assert not row_with(app, " Plan  GPU")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "The same without screens" in "\n".join(screen_text(app)))
        assert all(len(row) <= 118 for row in screen_text(app)[4:-1])


@pytest.mark.parametrize("page", ["hardware", "method", "schedule", "review"])
async def test_pages_stay_whole_at_every_size(tmp_path, page):
    app = wizard_app(tmp_path, night_ferry(page))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        step = screen.step
        assert (step.max_scroll_x, step.max_scroll_y) == (0, 0)
        # At the end of its row it is the sign of a field that opens a list of files.
        cut = [row for row in screen_text(app)[3:-1] if "…" in row.replace("runs/…", "").rstrip().removesuffix("  …")]
        assert not cut
        for size in ((100, 30), (60, 20)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: len(screen_text(app)) == size[1])
            await pilot.pause()
            assert step.max_scroll_x == 0
        if step.max_scroll_y:
            step.scroll_home(animate=False)
            await until(pilot, lambda: "of 6" in screen_text(app)[2])
            step.scroll_end(animate=False)
            await until(pilot, lambda: "of 6" not in screen_text(app)[2])
        await pilot.resize_terminal(30, 6)
        await until(pilot, lambda: len(screen_text(app)) == 6 and not any(screen_text(app)[1:]))
        assert "step" in screen_text(app)[0]


async def test_ascii_and_no_colour(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = wizard_app(tmp_path, night_ferry("method"), glyphs="ascii")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        await pilot.press("enter")
        await pilot.pause()
        text = "\n".join(screen_text(app))
        assert text.isascii()
        assert "(x) A voice" in text and "( ) A style" in text
        assert "> a LoRA" in text  # the open list shows its cursor without colour


async def test_f1_explains_the_field_and_leads_to_the_keys(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("f1")
        await until(pilot, lambda: "max_train_steps" in "\n".join(screen_text(app)))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("f1", "k")
        await until(pilot, lambda: "Keys on this screen" in "\n".join(screen_text(app)))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)


async def test_the_preset_is_saved_where_one_says_and_the_command_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is not screen)
        await pilot.press("enter")
        await until(pilot, lambda: screen.preset.is_current)
        saved = json.loads((tmp_path / "night-ferry.json").read_text(encoding="utf-8"))
        assert saved["lora_rank"] == 64 and saved["instance_data_dir"] == "/music/night-ferry"
        await pilot.press("ctrl+y")
        await until(pilot, lambda: app.clipboard == "acestep-tui --run night-ferry.json")
        # What is typed now is not in that file, and the same file is not replaced without a word.
        await pilot.press("tab", "up")
        assert not screen.preset.is_current
        screen.preset.path = None
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is not screen)
        await pilot.press("enter")
        await until(pilot, lambda: "Replace the file?" in "\n".join(screen_text(app)))
        await pilot.press("r")
        await until(pilot, lambda: screen.preset.is_current)
        assert json.loads((tmp_path / "night-ferry.json").read_text(encoding="utf-8"))["lora_rank"] == 128


async def test_where_there_is_a_folder_config_the_preset_goes_where_env_finds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert screen.preset.command.endswith("--run config/night-ferry/config.json")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is not screen)
        await pilot.press("enter")
        await until(pilot, lambda: screen.preset.is_current)
    found = resolve("env=night-ferry", cwd=tmp_path, overrides=[f"--instance_data_dir={tmp_path}"])
    assert (found.name, found.config.lora_rank) == ("night-ferry", 64)


async def test_the_copied_command_works_where_it_is_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draft = night_ferry("review", lora_rank=32)
    draft.name_it("Night Ferry")
    app = wizard_app(tmp_path, draft, runs_folder=str(tmp_path / "runs"))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await ready(pilot, app, lambda: "output_dir" in draft.layers["recommended"])
        await until(pilot, lambda: "acestep-tui --run night-ferry.json" in "\n".join(screen_text(app)))
        await pilot.press("ctrl+y")
        await until(pilot, lambda: bool(app.clipboard))
        assert app.clipboard == "acestep-tui --run night-ferry.json"
        await until(pilot, lambda: "Saved night-ferry.json, copied the command." in "\n".join(screen_text(app)))
        resolved = resolve(app.clipboard.split()[-1], cwd=tmp_path)
        assert resolved.config.lora_rank == 32 and resolved.config.output_dir == draft.value("output_dir")
        # A change reaches the file before the command is copied again: it is this set-up's own file.
        draft.set("lora_rank", 8)
        await pilot.press("ctrl+y")
        await until(pilot, lambda: resolve("night-ferry.json", cwd=tmp_path).config.lora_rank == 8)
        assert app.screen is screen


async def test_the_command_does_not_replace_a_file_of_somebody_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night-ferry.json").write_text("{}", encoding="utf-8")
    draft = night_ferry("method")
    app = wizard_app(tmp_path, draft)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("ctrl+y")
        await until(pilot, lambda: "Replace the file?" in "\n".join(screen_text(app)))
        await pilot.press("escape")
        await until(pilot, lambda: "Nothing was copied." in "\n".join(screen_text(app)))
        assert not app.clipboard and (tmp_path / "night-ferry.json").read_text(encoding="utf-8") == "{}"
        await pilot.press("ctrl+y")
        await until(pilot, lambda: "Replace the file?" in "\n".join(screen_text(app)))
        await pilot.press("r")
        await until(pilot, lambda: bool(app.clipboard))
        assert json.loads((tmp_path / "night-ferry.json").read_text(encoding="utf-8")) == to_preset(draft)
        # What was saved before the app was closed is no stranger's.
        screen.preset.path, app._clipboard = None, ""
        await pilot.press("ctrl+y")
        await until(pilot, lambda: bool(app.clipboard))
        assert app.screen is screen


async def test_what_changes_while_a_preset_is_written_is_not_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    may_write, begun = threading.Event(), threading.Event()
    write = wizard_preset.save_preset

    def slow(draft, path):
        begun.set()
        may_write.wait(10)
        write(draft, path)

    monkeypatch.setattr(wizard_preset, "save_preset", slow)
    draft = night_ferry("method", lora_rank=32)
    app = wizard_app(tmp_path, draft)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("ctrl+y")
        await until(pilot, begun.is_set)
        draft.set("lora_rank", 8)
        may_write.set()
        await until(pilot, lambda: bool(app.clipboard))
        assert json.loads((tmp_path / "night-ferry.json").read_text(encoding="utf-8"))["lora_rank"] == 32
        assert not screen.preset.is_current


async def test_a_preset_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await ready(pilot, app)
        screen.preset._named("file/preset.json")
        await until(pilot, lambda: "could not be saved" in "\n".join(screen_text(app)))
        assert not screen.preset.is_current


async def opened(app, pilot, path):
    screen = WizardScreen.from_preset(path)
    screen.look = lambda folder: MACHINE
    app.go_to(screen)
    return screen


async def test_a_configuration_opens_at_the_review(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"lora_rank": 32, "max_train_steps": 500, "instance_data_dir": str(tmp_path)}), "utf-8")
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        screen = await opened(app, pilot, path)
        await until(pilot, lambda: screen.draft.step == "review" and "500 steps" in row_with(app, " Schedule   "))
        assert "rank 32" in row_with(app, " Method   ")
        assert row_with(app, "Name").split()[1] == "mine"
        # The file means what it means on the command line: nothing proposed slips in.
        assert "as it is (bf16), recomputing" in row_with(app, " Hardware   ")
        assert screen.draft.value("learning_rate") == 1e-4 and screen.draft.value("lr_scheduler") == SCHEDULER
        assert set(to_preset(screen.draft)) <= {"lora_rank", "max_train_steps", "instance_data_dir", "output_dir"}
        assert row_with(app, " Method   ").startswith(" Method     LoRA   ")
        screen.go_to("method")
        await until(pilot, lambda: screen.draft.step == "method")
        assert not row_with(app, "◉") and "● yours" in row_with(app, " Rank")


async def test_leaving_the_app_writes_the_last_change(tmp_path):
    app = wizard_app(tmp_path, night_ferry("method"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("tab", "7", "7")
        assert screen.farewell() == ["Your draft is kept: night-ferry, step 4. Go on with it:  acestep-tui"]
        await pilot.press("ctrl+q")
    for thread in [one for one in threading.enumerate() if one.name == "draft"]:
        thread.join(5)
    assert load_draft(drafts_folder() / "night-ferry.json")[0].value("lora_rank") == 77


async def test_a_broken_configuration_says_what_and_goes_home(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"lora_rank": "many"}', encoding="utf-8")
    app = wizard_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        first = await ready(pilot, app)
        await opened(app, pilot, path)
        await until(pilot, lambda: "lora_rank" in "\n".join(screen_text(app)) and screen_of(app) is not first)


async def test_another_page_of_a_draft_is_learned_without_being_seen(tmp_path):
    app = wizard_app(tmp_path, night_ferry("review"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        assert screen.facts.songs is not None and screen.facts.model is not None
        assert not any(step.display for step in screen.query(Quiet))


async def test_a_new_app_opens_the_real_computer(tmp_path):
    app = house_app(tmp_path)
    app.open_home = lambda: app.go_to(WizardScreen())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WizardScreen) and app.screen.facts.machine is not None)
        assert app.screen.facts.plan is not None
