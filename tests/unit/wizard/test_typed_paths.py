"""What is half typed is no path yet, and nothing breaks over it."""

from __future__ import annotations

import pytest

from acestep_tui.widgets.path_field import complete
from acestep_tui.wizard.draft import Draft
from engine.contract.paths import expanded


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/music") == tmp_path / "music"
    assert str(expanded("~nobody-is-called-so/music")) == "~nobody-is-called-so/music"


@pytest.mark.parametrize("typed", ["~nobody-is-called-so/so", "a\0b/c"])
def test_what_can_be_no_path_completes_to_nothing(typed):
    found = complete(typed)
    assert (found.longest, found.names) == (typed, ())


def test_a_folder_of_nobody_is_a_folder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draft = Draft()
    draft.hub_folder = "~nobody-is-called-so"
    assert draft.cache_dir == tmp_path / "~nobody-is-called-so" / "hub"


def test_what_is_typed_goes_on_as_typed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("home/music", "Night Ferry", "nightly", ".hidden", "night-owl"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "night.json").touch()
    assert complete("ni").names == ("Night Ferry/", "night-owl/", "night.json", "nightly/")
    assert complete("ni").longest == "night"
    assert complete("ni", endings=()).names == ("Night Ferry/", "night-owl/", "nightly/")
    assert complete("~/m").longest == "~/music/"
    assert complete("nothing/x").names == ()
    assert complete("NI").longest == "Night"
    assert complete("NIGHT ").longest == "Night Ferry/"
    assert complete("Ni").longest == "Night Ferry/"
    assert complete("NIGHTX").longest == "NIGHTX"
    assert complete("ni", endings=(".json",)).names == ("Night Ferry/", "night-owl/", "night.json", "nightly/")
    assert complete("ni", endings=(".txt",)).names == ("Night Ferry/", "night-owl/", "nightly/")
    assert complete(".h").longest == ".hidden/"
    assert complete(f"{tmp_path}/night.").longest == f"{tmp_path}/night.json"
