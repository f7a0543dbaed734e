"""Clips decoded ahead: threads and processes give the same sound, files that break are named, nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from engine.batches.bucket import Clip
from engine.cache import decoding
from engine.cache.audio_latents import load_clip_audio
from engine.cache.clip_sound import UnusableSoundError
from engine.cache.decoding import ClipDecoder, num_processes
from engine.hardware.host import HostReading
from engine.model.card import CODEC_RATE, SAMPLE_RATE
from engine.model.resample import resample
from tests.unit.cache.stand_ins import entries_of, song_of, write_songs


def clips_of(folder: Path, seconds: list[float]) -> list[Clip]:
    return [clip for entry in entries_of(write_songs(folder, seconds), duration_interval=0.5) for clip in entry.clips]


@pytest.fixture
def by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "WORTH_PROCESSES_S", 0.0)


def children() -> set[int]:
    """Processes that this one has started and that have not ended."""
    me = str(os.getpid())
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == me and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


@pytest.mark.parametrize("rate", [SAMPLE_RATE, CODEC_RATE])
def test_processes_give_the_sound_that_threads_give(tmp_path, monkeypatch, rate):
    clips = clips_of(tmp_path, [1.0, 2.5, 0.5])
    with ClipDecoder(clips, max_workers=2, rate=rate) as decoder:
        assert decoder.num_processes == 0
        by_threads = list(decoder)
    before = children()
    monkeypatch.setattr(decoding, "WORTH_PROCESSES_S", 0.0)
    with ClipDecoder(clips, max_workers=2, rate=rate) as decoder:
        assert 1 <= decoder.num_processes <= 2
        by_processes = list(decoder)
    assert children() == before
    assert [clip for clip, _ in by_threads] == [clip for clip, _ in by_processes] == clips
    for (clip, sound), (_, other) in zip(by_threads, by_processes, strict=True):
        assert isinstance(sound, torch.Tensor) and isinstance(other, torch.Tensor)
        assert torch.equal(sound, other)
        assert torch.equal(sound, resample(load_clip_audio(clip), SAMPLE_RATE, rate))


def test_a_broken_and_a_silent_file_are_named_by_either(tmp_path, monkeypatch):
    clips = clips_of(tmp_path, [1.0, 1.0, 1.0])
    clips[1].song.path.write_bytes(b"no sound at all")
    soundfile.write(clips[2].song.path, np.zeros((22_050, 2)), 22_050)
    said = []
    for worth_s in (600.0, 0.0):
        monkeypatch.setattr(decoding, "WORTH_PROCESSES_S", worth_s)
        with ClipDecoder(clips, max_workers=2) as decoder:
            found = [decoded for _, decoded in decoder]
        assert isinstance(found[0], torch.Tensor)
        said.append([(one.code, one.reason) for one in found[1:] if isinstance(one, UnusableSoundError)])
    assert said[0] == said[1]
    assert [code for code, _ in said[0]] == ["unreadable", "silent"]


def test_a_name_in_no_encoding_is_decoded_too(tmp_path, by_processes):
    (clip,) = clips_of(tmp_path, [1.0])
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/s\xf6ng.wav"))
    clip.song.path.rename(path)
    clip = replace(clip, song=song_of(path, tmp_path))
    with ClipDecoder([clip], max_workers=1) as decoder:
        assert [type(decoded) for _, decoded in decoder] == [torch.Tensor]


def test_a_process_that_is_killed_is_replaced_and_twice_costs_the_song_alone(tmp_path, by_processes, monkeypatch):
    clips = clips_of(tmp_path, [1.0, 1.0, 1.0])
    killed: list[Path] = []
    decode = decoding._Process.decode

    def dies(self, order, *, pin):
        path = Path(order.path)
        if (path == clips[0].song.path and path not in killed) or path == clips[1].song.path:
            killed.append(path)
            self._child.kill()
            self._child.wait()
        return decode(self, order, pin=pin)

    monkeypatch.setattr(decoding._Process, "decode", dies)
    with ClipDecoder(clips, max_workers=1) as decoder:
        found = [decoded for _, decoded in decoder]
    assert isinstance(found[0], torch.Tensor) and isinstance(found[2], torch.Tensor)
    assert isinstance(found[1], UnusableSoundError)
    assert found[1].code == "unreadable" and "crashed on it, twice" in found[1].reason
    assert len(killed) == 3


def test_whoever_stops_early_leaves_no_process_and_no_thread(tmp_path, by_processes):
    before, threads = children(), threading.active_count()
    with pytest.raises(KeyError), ClipDecoder(clips_of(tmp_path, [1.0] * 6), max_workers=2) as decoder:
        next(iter(decoder))
        assert children() > before
        raise KeyError
    assert children() == before
    assert threading.active_count() == threads


def test_a_process_without_a_master_ends(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", "engine.cache.decode_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    # Signals to the whole group are the master's business.
    child.send_signal(signal.SIGCONT)
    child.communicate(timeout=30)
    assert child.returncode == 0


def test_a_decoding_process_needs_no_torch():
    code = "import sys, engine.cache.decode_worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_little_sound_is_decoded_by_threads_and_much_by_as_many_processes_as_there_is_room_for(tmp_path, monkeypatch):
    (clip,) = clips_of(tmp_path, [0.5])
    clips = [clip] * 3000
    monkeypatch.setattr(decoding, "num_cores", lambda: 16)
    monkeypatch.setattr(decoding, "read_host", lambda: HostReading(free_bytes=64 * 2**30))
    assert num_processes(clips[:1000], max_workers=32) == 0
    assert num_processes(clips, max_workers=32) == 16
    assert num_processes(clips, max_workers=3) == 3
    monkeypatch.setattr(decoding, "read_host", lambda: HostReading(free_bytes=5 * 10**9))
    assert num_processes(clips, max_workers=32) == 5
    monkeypatch.setattr(decoding, "read_host", HostReading)
    assert num_processes(clips, max_workers=32) == 16


def test_what_waits_for_the_encoder_is_bounded(tmp_path, monkeypatch):
    clips = clips_of(tmp_path, [0.5] * 12)
    size = clips[0].num_samples * 8
    monkeypatch.setattr(decoding, "read_host", lambda: HostReading(free_bytes=int(size * 3.5 / 0.25)))
    with ClipDecoder(clips, max_workers=4) as decoder:
        most = 0
        for _ in decoder:
            most = max(most, len(decoder._waiting))
        assert most == 3
    monkeypatch.setattr(decoding, "read_host", lambda: HostReading(free_bytes=0))
    with ClipDecoder(clips, max_workers=4) as decoder:
        assert len(list(decoder)) == 12, "one is always under way"
