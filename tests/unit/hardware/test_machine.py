"""The look at the machine: what CUDA would see, what decoders read, what ends programs; unknown is None."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from engine.hardware import machine
from engine.hardware.gpu import GpuCard, GpuProcess
from engine.hardware.logout import LogOut, read_log_out
from engine.hardware.machine import AUDIO_FORMATS, Machine, cards_seen, look_at_machine

GB = 2**30
FOUND = [
    GpuCard(
        index=0,
        uuid="GPU-a",
        name="NVIDIA GeForce RTX 4070",
        total_bytes=12 * GB,
        used_bytes=5 * GB,
        celsius=41.0,
        compute_capability=(8, 9),
        processes=(GpuProcess(7, "blender", 3 * GB), GpuProcess(8, None, None)),
    ),
    GpuCard(index=1, uuid="GPU-b"),
]


def test_a_card_is_what_is_free_on_it_and_who_else_is_there():
    card = cards_seen(FOUND, None)[0]
    assert (card.index, card.short_name, card.free_bytes) == (0, "NVIDIA RTX 4070", 7 * GB)
    assert [(program.name, program.used_bytes) for program in card.programs] == [
        ("blender", 3 * GB),
        ("process 8", None),
    ]


def test_an_unknown_card_stays_unknown():
    card = cards_seen(FOUND, None)[1]
    assert (card.name, card.total_bytes, card.free_bytes, card.capability) == ("NVIDIA card", None, None, None)


@pytest.mark.parametrize(
    ("visible", "totals"),
    [
        (None, [12 * GB, None]),
        ("1,0", [None, 12 * GB]),
        ("GPU-a", [12 * GB]),
        ("0,7,1", [12 * GB]),
        ("", []),
        ("-1", []),
    ],
)
def test_only_cards_that_cuda_sees_count_by_its_numbers(visible, totals):
    cards = cards_seen(FOUND, visible)
    assert [card.total_bytes for card in cards] == totals
    assert [card.index for card in cards] == list(range(len(totals)))


def test_this_machine_is_read_without_torch(tmp_path):
    found = look_at_machine(tmp_path, now=5.0)
    assert found.audio_formats == AUDIO_FORMATS
    assert found.missing_formats == ()
    assert found.num_cores >= 1
    assert found.disk_free_bytes > 0
    assert (found.folder, found.looked_at) == (tmp_path, 5.0)
    code = (
        "import sys; from pathlib import Path; from engine.hardware.machine import look_at_machine\n"
        "look_at_machine(Path('.')); assert not {'torch', 'textual', 'pydantic'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("__version__ = '2.11.0+cu130'\ncuda: Optional[str] = '13.0'\n", "13.0"),
        ("cuda = '12.6'\n", "12.6"),
        ("cuda: Optional[str] = None\n", ""),
        ("", ""),
    ],
)
def test_torchs_cuda_is_read_from_its_version_file(tmp_path, monkeypatch, text, version):
    (tmp_path / "version.py").write_text(text)
    monkeypatch.setattr(machine, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    assert machine.torch_cuda_version() == version


def test_without_torch_its_cuda_is_unknown(monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert machine.torch_cuda_version() is None


def test_a_decoder_that_cannot_be_loaded_reads_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert machine.readable_formats() == ("wav", "flac", "aiff")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert machine.readable_formats() == ()


def test_there_is_always_something_that_trains():
    assert [device.id for device in Machine().devices()] == ["cpu"]


def test_a_compiler_is_found_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert not machine.has_c_compiler()
    for name in ("gcc", "mycc"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert machine.has_c_compiler()
    (tmp_path / "gcc").unlink()
    assert not machine.has_c_compiler()
    monkeypatch.setenv("CC", "mycc")
    assert machine.has_c_compiler()


class Systemd:
    """A made-up root with systemd's files, and its commands' answers."""

    def __init__(self, root, busctl=None, loginctl=None):
        self.root, self.answers = root, {"busctl": busctl, "loginctl": loginctl}
        (root / "run/systemd/system").mkdir(parents=True)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, user="mara"):
        return read_log_out(root=self.root, run=lambda command: self.answers[command[0]], user=user)


def test_without_systemd_nothing_is_known(tmp_path):
    found = read_log_out(root=tmp_path, run=lambda command: "b true", user="mara")
    assert found == LogOut()
    assert (found.ends_programs, found.fix, found.scope_prefix) == (None, "", ())


def test_a_server_that_ends_programs_has_one_command_against_it(tmp_path):
    found = Systemd(tmp_path, "b true\n", "Linger=no\n").read()
    assert (found.kills, found.has_linger, found.ends_programs) == (True, False, True)
    assert found.fix == "loginctl enable-linger mara"
    assert found.scope_prefix == ()


def test_with_lingering_a_scope_of_ones_own_outlives_the_session(tmp_path):
    system = Systemd(tmp_path, "b true\n")
    system.write("var/lib/systemd/linger/mara", "")
    found = system.read()
    assert (found.ends_programs, found.fix) == (False, "")
    assert found.scope_prefix[:3] == ("systemd-run", "--user", "--scope")


def test_what_the_service_says_counts_more_than_files(tmp_path):
    system = Systemd(tmp_path, "b false\n")
    system.write("etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n")
    assert system.read().kills is False


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        ({}, None),
        ({"etc/systemd/logind.conf": "[Login]\n#KillUserProcesses=yes\n"}, None),
        ({"etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\n"}, True),
        ({"usr/lib/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\n",
          "etc/systemd/logind.conf.d/10-no.conf": "[Login]\nKillUserProcesses=no\n"}, False),
        ({"etc/systemd/logind.conf.d/20-b.conf": "[Login]\nKillUserProcesses=yes\n",
          "etc/systemd/logind.conf.d/10-a.conf": "[Login]\nKillUserProcesses=no\n"}, True),
        ({"etc/systemd/logind.conf": "not an ini file"}, None),
        ({"etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\nKillOnlyUsers=tom\n"}, False),
        ({"etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=root mara\n"}, False),
    ],
)  # fmt: skip
def test_files_are_read_in_systemds_order(tmp_path, files, kills):
    system = Systemd(tmp_path)
    for name, text in files.items():
        system.write(name, text)
    assert system.read().kills is kills


def test_root_is_spared_unless_named(tmp_path):
    system = Systemd(tmp_path, "b true\n", "Linger=no\n")
    assert system.read(user="root").kills is False
    system.write("etc/systemd/logind.conf", "[Login]\nKillExcludeUsers=\n")
    assert system.read(user="root").kills is True
