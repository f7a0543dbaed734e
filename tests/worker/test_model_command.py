"""`model fetch|status|verify` as somebody types them: against a hub of our own, and on what is on this computer."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_tui import consent
from acestep_tui.cli import run_command_line
from acestep_tui.headless import model_command, model_verify
from acestep_tui.headless.options import Options
from acestep_tui.wizard.download import DownloadTask, Order, Seen
from engine.contract.errors import ConfigError, ModelError
from engine.contract.events import DownloadProgress, ModelChecked
from engine.contract.feature_models import FEATURE_MODELS
from engine.contract.model_checks import CHECKS
from engine.hardware.models import model_status
from tests.worker.fetch_desk import ROOT, hub
from tests.worker.loopback_hub import NAME, LoopbackHub

__all__ = ["hub"]

# A verifying task that takes no time: it keeps the worker's side of its folder and fails where it is told to.
FAKE = """
import json, sys, time
from pathlib import Path
from engine.contract import event_lines, events
from engine.contract.run_dir import RunDir
run = RunDir(Path(sys.argv[1]))
order = json.loads(run.config_json.read_text())
made = [
    events.RunStarted(name="x", dir=str(run.path), version="1", pid=1, host="h", device="a card"),
    events.ModelChecked(check="parts", state="running"),
    events.ModelChecked(check="parts", state="passed", words="4 parts, 8 GB", values={"bytes": 8.0}),
    events.ModelChecked(check="configuration", state="noted", words="rope_theta is 1 (2)", details=("a", "b")),
]
if order["model"] == "broken/model":
    made.append(events.ModelChecked(check="mel", state="failed", words="another window"))
    made.append(events.RunEnded(outcome="failed", exit_code=6, error="1 of 11 checks failed: mel", hint="Again."))
else:
    made.append(events.RunEnded(outcome="finished", exit_code=0, seconds=61.0))
if order["model"] == "mute/model":
    sys.exit("no way")
with run.events_jsonl.open("a") as file:
    for seq, event in enumerate(made):
        file.write(event_lines.encode(event, seq=seq, t=time.time()))
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    return tmp_path


@pytest.fixture
def online(hub: LoopbackHub, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    for key, value in hub.environment(place / "hf").items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield hub
    DownloadTask(Order(NAME)).stop()


def call(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command_line(["model", *arguments])
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def test_a_model_is_fetched_once_and_then_needs_no_network(online, place, capfd, monkeypatch):
    code, out, _ = call(capfd, "status", NAME)
    assert code == 6 and f"to complete it: acestep-tui model fetch {NAME}" in out and "✗ umt5-base" in out
    code, out, err = call(capfd, "fetch", NAME)
    assert code == 0, err
    assert f"✓ {NAME} is whole" in out and model_status(NAME).is_whole
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert call(capfd, "fetch", NAME)[0] == 0
    code, out, _ = call(capfd, "status", NAME, "--json")
    [found] = json.loads(out)["models"]
    assert code == 0 and found["is_whole"] and found["missing_bytes"] == 0 and found["kind"] == "hub"
    assert {part["state"] for part in found["parts"]} == {"whole"}


def test_what_the_hub_refuses_is_said_and_so_is_a_variable_that_forbids(online, capfd, monkeypatch):
    code, _, err = call(capfd, "fetch", "nobody/nothing")
    assert code == 6 and "nobody/nothing is not on the hub" in err
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = call(capfd, "fetch", NAME)
    assert code == 6 and "HF_HUB_OFFLINE forbids" in err


def test_ctrl_c_stops_a_download_and_what_arrived_stays(online, capfd, monkeypatch):
    online.bytes_per_s = 200_000

    class Impatient(model_command.Interrupts):
        """Somebody presses Ctrl-C as soon as something has arrived."""

        @property
        def count(self) -> int:
            return int(model_status(NAME).bytes > 100_000)

        @count.setter
        def count(self, value: int) -> None: ...

    with monkeypatch.context() as patched:
        patched.setattr(model_command, "Interrupts", Impatient)
        code, _, err = call(capfd, "fetch", NAME)
    assert code == 130 and "■ stopped; " in err and "goes on from there" in err
    assert model_status(NAME).bytes > 0 and not model_status(NAME).is_whole
    online.bytes_per_s = None
    assert call(capfd, "fetch", NAME)[0] == 0


def test_models_for_non_commercial_use_are_fetched_only_once_somebody_agreed(place, capfd):
    code, _, err = call(capfd, "fetch", "mert", "mhubert")
    assert code == 2 and "non-commercial purposes only" in err
    assert all(one.licence in err and one.licence_url in err for one in FEATURE_MODELS)
    assert "acestep-tui model fetch mert mhubert --accept-non-commercial" in err and not consent.has_agreed()
    code, out, _ = call(capfd, "status", "mert")
    assert code == 6 and "MERT for musical features, CC-BY-NC 4.0" in out


def test_an_agreement_is_remembered_and_goes_with_the_order(place, capfd, monkeypatch):
    ordered: list[Order] = []

    def note(name: str, options: Options, *, has_agreed: bool, command: object) -> int:
        ordered.append(Order(name, accept_non_commercial=has_agreed))
        return 0

    monkeypatch.setattr(model_command, "_fetch_one", note)
    assert call(capfd, "fetch", "mert", "--accept-non-commercial")[0] == 0 and consent.has_agreed()
    assert call(capfd, "fetch", "mhubert")[0] == 0
    assert ordered == [Order("mert", accept_non_commercial=True), Order("mhubert", accept_non_commercial=True)]


def test_the_status_of_a_folder_says_what_is_wrong_in_it(checkpoint, place, capfd):
    folder = Path(shutil.copytree(checkpoint, place / "tiny"))
    code, out, _ = call(capfd, "status", "tiny")
    assert code == 0 and out.count("✓") == 4 and "MERT" not in out
    (folder / "umt5-base" / "tokenizer.json").unlink()
    shutil.rmtree(folder / "music_vocoder")
    code, out, _ = call(capfd, "status", "tiny")
    assert code == 6 and "✗ music_vocoder" in out and "▲ umt5-base" in out and "tokenizer.json is missing" in out
    code, _, err = call(capfd, "fetch", "tiny")
    assert code == 2 and "a folder here; nothing can be fetched" in err
    code, out, _ = call(capfd, "status")
    assert code == 6 and "ACE-Step/ACE-Step-v1-3.5B" in out and "optional; fetch both" in out
    assert call(capfd, "status", "demo:tiny-model")[0] == 0


def test_how_far_a_download_is_fits_a_line():
    assert model_command.progress_line("a/b", Seen("running")) == "◐ a/b   asking the hub …"
    progress = DownloadProgress(model="a/b", done_bytes=3 * 2**30, total_bytes=8 * 2**30, bytes_per_s=2**20)
    line = model_command.progress_line("a/b", Seen("running", progress))
    assert "3.0 GB of 8.0 GB   1 MB a second   1 h 25 min left" in line and "━" in line and len(line) < 100


def test_the_checks_are_shown_as_a_table_and_as_data(place, capfd):
    command = (sys.executable, "-c", FAKE)
    assert model_verify.verify("some/model", Options(), command=command) == 0
    out = capfd.readouterr().out.splitlines()
    assert out[0] == "✓ four parts         4 parts, 8 GB"
    assert out[1] == "▲ configuration      rope_theta is 1 (2)"
    assert out[2] == "✓ some/model is right, in 1 min 1 s on a card; 1 row with ▲ to read"
    assert model_verify.verify("broken/model", Options(json=True), command=command) == 6
    data = json.loads(capfd.readouterr().out)
    assert data["ok"] is False and data["device"] == "a card" and data["error"].startswith("1 of 11")
    assert [check["state"] for check in data["checks"]] == ["passed", "noted", "failed"]
    assert data["checks"][0] == {
        "check": "parts",
        "name": "four parts",
        "state": "passed",
        "words": "4 parts, 8 GB",
        "values": {"bytes": 8.0},
        "details": [],
    }
    assert model_verify.verify("broken/model", Options(), command=command) == 6
    captured = capfd.readouterr()
    assert "✗ mel transform      another window" in captured.out and "✗ 1 of 11 checks failed: mel" in captured.err
    with pytest.raises(ModelError, match="without a word, code 1") as error:
        model_verify.verify("mute/model", Options(), command=command)
    assert "no way" in error.value.hint


def test_the_table_names_every_check_of_the_engine():
    for check, name in CHECKS.items():
        assert model_verify.check_rows(ModelChecked(check=check, state="passed", words="w"))[0].startswith(f"✓ {name} ")
    row = model_verify.check_rows(ModelChecked(check="tone", state="skipped", words="not made: " + "word " * 40))
    assert row[0].startswith("○ a tone") and len(row) > 1 and all(len(line) < 100 for line in row)


@pytest.mark.parametrize("typed", [[], ["remove"], ["verify", "a/b", "c/d"], ["status", "--nonsense"]])
def test_what_is_typed_wrong_is_said(typed, capfd):
    assert call(capfd, *typed)[0] == 2
    with pytest.raises(ConfigError):
        model_command.model(typed)
