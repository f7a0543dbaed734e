"""The mock-ups' facts about the run night-ferry, as events folded into a `RunState`. Made up; never in code.

A state is built from the events that the mock-ups' words need; the loss curve, which they only draw, is put in beside
them, so that 1,240 steps do not have to be folded (and logged) one by one.
"""

from __future__ import annotations

import copy
import functools
import math
from pathlib import Path
from random import Random

from acestep_tui.runs.facts import (
    CheckpointCheck,
    CheckpointFact,
    CrashFacts,
    FileFact,
    FolderFacts,
    KernelKill,
    ProcessMemory,
    SilentFacts,
    WorkerFacts,
)
from acestep_tui.runs.liveness import Life, Verdict
from acestep_tui.runs.series import Series
from acestep_tui.runs.state import RunState
from engine.contract import event_lines, events
from tests.tui.harness import NOW

GB, MB = 2**30, 2**20
TOTAL = 2000
FOLDER = Path("~/acestep/runs/2026-11-22_1349_night-ferry")
HELD_OUT = {0: 0.6402, 250: 0.5012, 500: 0.4630, 750: 0.4452, 1000: 0.4391}
LATER_HELD_OUT = {1250: 0.4357, 1500: 0.4329, 1750: 0.4312, 2000: 0.4336}
SONGS = (
    ("01 Night Ferry.flac", 54), ("02 Harbour Lights.flac", 56), ("03 Salt and Static.wav", 48),
    ("04 Paper Lanterns.flac", 56), ("05 Tide Table.mp3", 39), ("06 Glass Weather.flac", 50), ("07 Low Sun.flac", 52),
    ("08 Kerosene Moon.flac", 46), ("09 Signal Fires.wav", 56), ("10 Åland.flac", 55), ("11 夜の港.flac", 51),
    ("12 Breakwater.flac", 50), ("14 Cold Harbour.flac", 50), ("15 Half the Sky.flac", 50), ("16 Undertow.ogg", 50),
    ("17 Blue Hour.flac", 50), ("18 Slow Bell.flac", 50), ("19 Anchor.flac", 50), ("20 Gulls.flac", 50),
    ("21 Rope Ladder.flac", 50), ("22 Fog Signal.flac", 50), ("23 Pier Nine.flac", 50), ("24 Last Boat.flac", 50),
)  # fmt: skip


class Course:
    """Events one after another, each with its time, folded as they come."""

    def __init__(self, *, folder: Path = FOLDER) -> None:
        self.state = RunState()
        self.records: list[event_lines.Record] = []
        self.state.folder = folder
        self.state.folder_facts = FolderFacts()
        self.state.worker = WorkerFacts(pid=48213, host="studio-pod")
        self.state.verdict = Verdict(Life.RUNNING, silent_s=1.0, is_locked=True, last_t=NOW - 1)

    def say(self, t: float, *said: events.Event) -> None:
        """Fold events at a time."""
        for event in said:
            record = event_lines.decode(event_lines.encode(event, seq=len(self.records), t=t))
            self.records.append(record)
            self.state.fold(record)

    def phase(self, t: float, name: str, seconds: float, summary: str = "") -> None:
        """A phase that is over at ``t``."""
        self.say(t - seconds, events.PhaseStarted(phase=name))
        self.say(t, events.PhaseEnded(phase=name, seconds=seconds, summary=summary))


def hardware(used: float, percent: float, celsius: float, watts: float, fan: float | None) -> events.Hardware:
    """A reading of the mock-ups' card and computer."""
    return events.Hardware(
        vram_used_bytes=round(used * GB), vram_peak_bytes=round(used * GB), vram_total_bytes=12 * GB,
        vram_reserved_bytes=round((used + 0.3) * GB), gpu_percent=percent, gpu_celsius=celsius, gpu_watts=watts,
        gpu_name="NVIDIA GeForce RTX 4070", gpu_watts_limit=200.0, gpu_fan_percent=fan, ram_total_bytes=64 * GB,
        ram_bytes=9 * GB, ram_free_bytes=51 * GB, cpu_percent=14.0, disk_free_bytes=204 * GB,
    )  # fmt: skip


def begun(t: float, *, folder: Path = FOLDER) -> Course:
    """The start: plan, scan; ``t`` is when the scan was over."""
    course = Course(folder=folder)
    course.state.config = {
        "checkpointing_steps": 250, "validation_step_interval": 250, "validation_seed": 42, "max_grad_norm": 0.5,
        "instance_data_dir": "~/music/night-ferry", "validation_prompt": "dream pop, female voice, slow, rain on glass",
        "validation_lyrics": "[verse]\nThe last boat hums across the water\n[chorus]\nNight ferry, carry me over",
        "validation_audio_duration": 30.0, "validation_num_inference_steps": 30, "validation_guidance": 4.0,
    }  # fmt: skip
    course.say(
        t - 2,
        events.RunStarted(
            name="night-ferry", dir=str(folder), version="0.1.0", pid=48213, host="studio-pod", device="RTX 4070"
        ),
        events.Plan(
            vram_bytes=round(6.5 * GB), ram_bytes=4 * GB, disk_bytes=round(3.8 * GB), seconds=3600.0, num_steps=TOTAL,
            num_epochs=91.0, disk_free_bytes=204 * GB,
            parts={"cache_bytes": 1.3 * GB, "prepare_s": 180.0, "load_s": 55.0, "train_s": 2945.0, "validate_s": 420.0,
                   "step_s": 1.5},
        ),
    )  # fmt: skip
    course.say(t - 1, events.PhaseStarted(phase="scan", total=24))
    for name in ("04 Paper Lanterns.flac", "14 Cold Harbour.flac"):
        reason = "no lyrics: trains as an instrumental"
        course.say(t - 1, events.FileProblem(severity="warning", file=name, code="no_lyrics", reason=reason))
    course.say(
        t,
        events.PhaseEnded(phase="scan", seconds=1.0, done=24, total=24, summary="24 songs: 21 ready"),
        events.FileProblem(
            severity="error", file="13 Lighthouse demo.m4a", code="unreadable", reason="left out: damaged after 0.4 s"
        ),
        events.DataReady(
            num_files=24, num_train=22, num_held_out=1, num_left_out=1, num_without_lyrics=2, num_groups=14,
            total_s=5340.0, shortest_s=165.0, longest_s=240.0,
        ),
    )  # fmt: skip
    return course


def preparing_course() -> Course:
    """9 of 23 songs are prepared (monitor-prepare)."""
    start_t = NOW - 161
    course = begun(start_t)
    course.say(start_t, events.PhaseStarted(phase="cache", total=len(SONGS)), hardware(3.1, 88.0, 58.0, 141.0, None))
    last_t = NOW
    for place, (file, _) in enumerate(SONGS):  # the captions of all songs come first
        course.say(
            start_t + 5,
            events.CacheProgress(done=place + 1, total=3 * len(SONGS), file=file, part="captions", bytes=MB),
        )
    entries = [(file, part, mb) for file, mb in SONGS[:10] for part in ("sound", "features")][:-1]
    for place, (file, part, mb) in enumerate(entries):
        # 27 are left, which is 1 min 40 s; 30 s hold the sound of five songs.
        course.say(
            max(last_t - 100 / 27 * (len(entries) - 1 - place), start_t + 6),
            events.CacheProgress(
                done=len(SONGS) + place + 1, total=3 * len(SONGS), file=file, part=part,
                bytes=(mb - 2 if part == "sound" else 1) * MB, audio_s=210.0 if part == "sound" else 0.0,
            ),
        )  # fmt: skip
    course.say(last_t, hardware(3.1, 88.0, 58.0, 141.0, None))
    course.state.verdict = Verdict(Life.RUNNING, silent_s=0.0, is_locked=True, last_t=NOW)
    return course


def training_course(now: float = NOW, *, folder: Path = FOLDER) -> Course:
    """Step 1,240 of 2,000 (monitor)."""
    start_t = now - 31 * 60
    course = begun(start_t - 250, folder=folder)
    course.phase(start_t - 60, "cache", 161.0, "23 of 23 songs")
    course.phase(start_t - 38, "load", 21.0)
    course.phase(start_t - 2, "warmup", 34.0)
    course.say(start_t, events.PhaseStarted(phase="train", total=TOTAL), hardware(6.7, 97.0, 60.0, 170.0, 40.0))
    course.say(start_t, events.ValidationLoss(step=0, loss=HELD_OUT[0], num_songs=1), clip(0))
    _steps(course, range(1, 21), start_t)
    at = now - NOW
    for step, t in ((250, NOW - 1490), (500, NOW - 1120), (750, NOW - 770), (1000, NOW - 461)):
        _steps(course, [step], t + at)
        _landmark(course, step, t + at)
    _steps(course, range(1002, 1010), now - 391)
    _steps(course, [1230], now - 16)
    _steps(course, [1240], now - 1)
    course.say(now - 1, hardware(6.6, 97.0, 66.0, 178.0, 52.0))
    _draw(course.state, 1240)
    _hide_old_lines(course.state)
    on_disk = tuple(_on_disk(step) for step in (250, 500, 750, 1000))
    course.state.folder_facts = FolderFacts(checkpoints=on_disk, disk_free_bytes=204 * GB)
    return course


def compiling_course() -> Course:
    """Steps are being compiled for 14 s; three lengths of pieces."""
    course = begun(NOW - 60)
    course.phase(NOW - 40, "cache", 20.0, "23 of 23 songs")
    course.phase(NOW - 15, "load", 21.0)
    course.say(NOW - 14, events.PhaseStarted(phase="warmup"), events.StepsCompiled(expected_s=60.0, num_lengths=3))
    course.say(NOW - 1, hardware(6.0, 40.0, 55.0, 110.0, 40.0))
    return course


def eager_course(*reasons: str) -> Course:
    """Step 1 of a run whose steps are not compiled."""
    course = compiling_course()
    course.say(NOW, events.StepsCompiled(is_compiled=False, has_graphs=False, took_s=14.0, reasons=reasons))
    course.say(NOW, events.PhaseEnded(phase="warmup", seconds=14.0), events.PhaseStarted(phase="train", total=TOTAL))
    _steps(course, [1], NOW)
    return course


def stalled_course() -> Course:
    """Saving step 1,250 for 1 min 14 s (monitor-stalled)."""
    course = training_course(NOW)
    state = course.state
    course.say(NOW + 14, events.PhaseStarted(phase="save"))
    state.verdict = Verdict(Life.RUNNING, silent_s=74.0, is_locked=True, last_t=NOW + 14)
    state.silent = SilentFacts(
        since_t=NOW + 14, was_doing="saving step 1,250", usual_s=3.0, pid=48213, probe_s=9.0, gpu_percent=97.0
    )
    return course


def finished_course() -> Course:
    """2,000 steps and a LoRA, 12 minutes ago (monitor-finished)."""
    ended_t = NOW - 12 * 60
    course = training_course(ended_t - 18 * 60)
    for place, step in enumerate(LATER_HELD_OUT):
        t = ended_t - 18 * 60 + place * 240
        _steps(course, [step], t)
        _landmark(course, step, t + 60, heldout=LATER_HELD_OUT[step])
    course.say(ended_t - 62, events.PhaseEnded(phase="train", seconds=1860.0, done=TOTAL, total=TOTAL))
    course.say(ended_t - 20, events.PhaseStarted(phase="finish"))
    notes = {
        "works": "the same test song changes by 31 % with the LoRA on",
        "loads": "read back for ComfyUI and ACE-Step: 420 of 420 parts match",
        "is_yours": "closest to 07 Low Sun, 0.71: alike, no copy (alarm 0.90)",
        "resumes": "resume checked: same loss before and after reloading",
    }
    course.say(ended_t - 12, events.Proofs(works=True, loads=True, resumes=True, is_yours=True, notes=notes))
    course.say(
        ended_t - 8,
        events.AdapterExported(
            path="export/night-ferry.safetensors", format="universal", bytes=125 * MB, max_relative_error=0.0,
            verified=True,
        ),
        events.PhaseEnded(phase="finish", seconds=12.0),
    )  # fmt: skip
    ended = events.RunEnded(
        outcome="finished", exit_code=0, steps=TOTAL, seconds=3480.0, heldout_first=HELD_OUT[0], heldout_last=0.4336
    )
    course.say(ended_t, ended)
    state = course.state
    _draw(state, TOTAL)
    kept = (750, 1000, 1250, 1500, 1750, 2000)
    state.folder_facts = FolderFacts(
        checkpoints=tuple(_on_disk(step) for step in kept),
        export=FileFact(FOLDER / "export/night-ferry.safetensors", 125 * MB, ended_t - 8),
        size_bytes=round(3.7 * GB),
        num_files=160,
        disk_free_bytes=200 * GB,
    )
    state.verdict = Verdict(Life.FINISHED, silent_s=720.0, last_t=ended_t)
    return course


def crashed_course() -> Course:
    """Ended from outside three hours ago, at step 1,240 (monitor-crashed)."""
    course = training_course()
    state = course.state
    died_t = NOW - 1
    now = died_t + 3 * 3600
    line = "Out of memory: Killed process 48213 (python)"
    state.crash = CrashFacts(
        died_t=died_t, reached=1240, total=TOTAL, last_words="step", was_doing="training step 1,241", pid=48213,
        ran_s=35 * 60.0, signal=9,
        kernel=KernelKill(t=NOW, line=line, pid=48213, name="python", bytes=9 * GB,
                          others=(ProcessMemory("blender", 40771, 41 * GB),)),
        is_kernel_log_readable=True, ram_total_bytes=64 * GB, ram_used_bytes=62 * GB, ram_worker_bytes=9 * GB,
        reading_t=died_t, checks=(CheckpointCheck(1000, FOLDER / "checkpoint-1000", True),), is_checked=True,
        lost_steps=240,
        lost_s=6 * 60.0, checked_t=now,
    )  # fmt: skip
    state.log.add(NOW + 1, "✗", "no further word; the lock is free, so the process is gone", "error")
    state.verdict = Verdict(Life.CRASHED, silent_s=3 * 3600.0, last_t=died_t)
    return course


# The moment at which each mock-up is looked at.
PREPARING_NOW = COMPILING_NOW = TRAINING_NOW = NOW
STALLED_NOW = NOW + 14 + 74
FINISHED_NOW = NOW
CRASHED_NOW = NOW - 1 + 3 * 3600


def _on_disk(step: int) -> CheckpointFact:
    return CheckpointFact(step, FOLDER / f"checkpoint-{step}", 390 * MB, is_whole=True, is_rolling=False, t=NOW)


def clip(step: int) -> events.SampleSaved:
    """The test clip of a step; that of step 500 clips."""
    noise = Random(step)
    envelope = tuple(min(max(noise.gauss(0.4, 0.16), 0.02), 1.0) for _ in range(64))
    name = f"step_{step}_validation.wav"
    verdict, share = ("clips", 0.003) if step == 500 else ("ok", 0.0)
    return events.SampleSaved(
        step=step, name="validation", path=f"validation/{name}", seconds=30.0, took_s=21.0, verdict=verdict,
        envelope=envelope, clipped_share=share,
    )  # fmt: skip


def _landmark(course: Course, step: int, t: float, *, heldout: float | None = None) -> None:
    """Held-out loss, test clip and save point of a step."""
    loss = HELD_OUT[step] if heldout is None else heldout
    course.say(t, events.ValidationLoss(step=step, loss=loss, num_songs=1))
    course.say(t + 45, clip(step))
    course.say(t + 66, events.PhaseStarted(phase="save"))
    course.say(
        t + 69,
        events.CheckpointSaved(step=step, path=f"checkpoint-{step}", bytes=390 * MB, verified=True, took_s=3.0),
        events.PhaseEnded(phase="save", seconds=3.0, summary=f"step {step:,}"),
    )


def _steps(course: Course, steps: range | list[int], t: float) -> None:
    """Steps at one moment, so that the log has one line for them."""
    for step in steps:
        is_last = step in (1240, TOTAL)
        loss = {1230: 0.4190, 1240: 0.4128, TOTAL: 0.4061}.get(step, 0.43)
        course.say(
            t,
            events.Step(
                step=step, total=TOTAL, loss=loss, lr=4.1e-5, grad_norm=0.24, epoch=step / 22, step_s=1.44, data_s=0.04,
                audio_s=219.0 if is_last else 231.6, eta_s=1260.0, forward_s=0.43, backward_s=0.85, optimizer_s=0.10,
                files=("07 Low Sun.flac",) if is_last else ("03 Salt and Static.wav",), bucket="219 s",
            ),
        )  # fmt: skip


def _draw(state: RunState, last: int) -> None:
    """Curves for the charts, that end in the values of the last step."""
    state.loss, state.lr, state.grad_norm = copy.deepcopy(_curves(last))


@functools.cache
def _curves(last: int) -> tuple[Series, Series, Series]:
    """Loss (between 0.36 and 0.66), learning rate and gradient norm: drawn once, copied for each state."""
    noise = Random(7)
    loss, rate, norm = Series(), Series(), Series()
    for step in range(1, last + 1):
        middle = 0.405 + 0.215 * math.exp(-step / 260) - (0.01 if step > last - 100 else 0.0)
        # So that the line reads 0.4309 at step 760, where the zoomed mock-up reads it.
        middle += 0.0197 if 700 < step <= 760 else 0.0
        value = min(max(noise.gauss(middle, 0.018), 0.362), 0.655)
        value = {3: 0.66, 900: 0.36, 1230: 0.4190, 1240: 0.4128, TOTAL: 0.4061, 760: 0.4417}.get(step, value)
        loss.append(step, value)
        share = min(step / 100, 1.0) * 0.5 * (1 + math.cos(math.pi * max(step - 100, 0) / TOTAL))
        rate.append(step, 4.1e-5 if step == 1240 else 1e-4 * share)
        size = min(abs(noise.gauss(0.24, 0.04)) + 0.3 * math.exp(-step / 120), 0.49)
        norm.append(step, {2: 0.80, 760: 0.24, 1240: 0.24}.get(step, 0.52 if step % 17 == 0 else size))
    return loss, rate, norm


def _hide_old_lines(state: RunState) -> None:
    """The mock-ups' logs leave out the steps between the last save and the newest two."""
    kept = [entry for entry in state.log._chatter if not entry.text.startswith("step 1,00")]
    state.log._chatter.clear()
    state.log._chatter.extend(kept)
