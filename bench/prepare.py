"""How fast a hundred mp3 songs of four minutes are prepared, and where the time goes.

``python -m bench.prepare --out FOLDER [--probes forms text stages profile] [--compiled] [--tiny]``. The real worker is
started as the program starts it, on a checkpoint of the released sizes with random weights; musical features are off.
Afterwards the parts are measured one by one. Writes ``prepare.json`` and ``prepare.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.mp3_songs import write_mp3_songs
from engine.contract.config import Config, resolve
from engine.contract.files import write_json
from engine.contract.run_dir import RunDir
from engine.hardware.host import num_cores

if TYPE_CHECKING:
    from torch import Tensor

    from engine.model.text_encoder import TextEncoder

GOALS = {
    "whole preparation": "≤ 45 s on 16 cores",
    "encode": "≥ 3,000 × real time, latents within 1e-2 of float32",
}
PROBES = ("stages", "forms", "text", "profile")


@dataclass(frozen=True)
class Bench:
    """What is measured.

    Attributes:
        checkpoint: Folder of the model.
        work: Folder for songs, caches and runs.
        seconds: Of each song.
        distinct: Songs that sound different.
        takes: Files of each.
        is_tiny: Small model, few short songs: tries the script itself.
    """

    checkpoint: Path
    work: Path
    seconds: float
    distinct: int
    takes: int
    is_tiny: bool

    @property
    def audio_s(self) -> float:
        """Seconds of sound in all songs."""
        return self.seconds * self.distinct * self.takes

    @property
    def songs(self) -> Path:
        """Where they are."""
        return self.work / "songs"

    def write_checkpoint(self) -> None:
        """One block of the transformer: preparing reads its configuration alone."""
        from bench.checkpoint import write_released_sizes
        from engine.model.tiny import write_tiny_checkpoint

        if self.checkpoint.exists():
            return
        if self.is_tiny:
            write_tiny_checkpoint(self.checkpoint)
        else:
            write_released_sizes(self.checkpoint, num_layers=1)

    def write_songs(self) -> None:
        """The mp3 files and their captions."""
        write_mp3_songs(
            self.songs, distinct=self.distinct, takes=self.takes, seconds=self.seconds, num_processes=num_cores()
        )


def config_of(bench: Bench, folder: Path, settings: Mapping[str, Any]) -> Config:
    """What a user would write to prepare the songs in ``folder``, resolved."""
    preset = folder / "preset.json"
    write_json(
        preset,
        {
            "pretrained_model_name_or_path": str(bench.checkpoint),
            "instance_data_dir": str(bench.songs),
            "output_dir": str(folder),
            "cache_dir": str(folder / "cache"),
            "ace_step_ssl_loss_weight": 0.0,
            "lyrics_language_detection": "script",
            **settings,
        },
    )
    return resolve(preset, [], cwd=folder).config


def prepare_all(bench: Bench, name: str, **settings: Any) -> dict[str, Any]:
    """Run ``python -m engine cache`` on all songs with an empty cache, and read its events.

    Returns:
        exit_code, whole_s (from the start of the process to its end) and its parts: start_s (imports, device), scan_s,
        text_s, sound_s (from the last caption to the last song), end_s; real_time of the whole and of the sound.
    """
    folder = bench.work / "runs" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(RunDir(folder).config_json, config_of(bench, folder, settings).to_dict())
    started = time.time()
    with RunDir(folder).worker_log.open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "engine", "cache", str(folder), "--yes"], stdout=log, stderr=log, check=False
        )
    ended = time.time()
    events = [json.loads(line) for line in RunDir(folder).events_jsonl.read_text(encoding="utf-8").splitlines()]
    result = {"run": name, "exit_code": done.returncode, "whole_s": round(ended - started, 2)}
    result |= _parts(events, started, ended, audio_s=bench.audio_s)
    if done.returncode:
        result["log"] = RunDir(folder).worker_log.read_text(encoding="utf-8", errors="replace")[-3000:]
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return result


def _parts(events: Sequence[dict[str, Any]], started: float, ended: float, *, audio_s: float) -> dict[str, Any]:
    scans = [event["t"] for event in events if event.get("phase") == "scan"]
    progress = [event for event in events if event["kind"] == "cache_progress"]
    sounds = [event["t"] for event in progress if event["part"] == "sound"]
    texts = [event["t"] for event in progress if event["part"] == "captions"]
    problems = [event["reason"] for event in events if event["kind"] == "file_problem"]
    warnings = [f"{event['code']}: {event['message']}" for event in events if event["kind"] == "warning"]
    parts: dict[str, Any] = {
        "songs": len(sounds),
        "encoded_audio_s": round(sum(event["audio_s"] for event in progress), 1),
        "problems": problems[:5],
        "warnings": warnings[:10],
    }
    if not scans or not sounds or not texts:
        return parts
    text_end, sound_end = max(texts), max(sounds)
    return parts | {
        "start_s": round(min(scans) - started, 2),
        "scan_s": round(max(scans) - min(scans), 2),
        "text_s": round(text_end - max(scans), 2),
        "first_sound_s": round(min(sounds) - text_end, 2),
        "sound_s": round(sound_end - text_end, 2),
        "end_s": round(ended - sound_end, 2),
        "sound_real_time": round(audio_s / (sound_end - text_end), 1),
        "whole_real_time": round(audio_s / (ended - started), 1),
    }


def stages(bench: Bench) -> list[dict[str, Any]]:
    """Decoding, resampling, reading from the pipe, encoding and writing, each alone."""
    import torch

    from engine.cache.audio_latents import begin_encoding, finished_entries
    from engine.cache.clip_sound import ClipOrder, as_heard, read_clip
    from engine.cache.decoding import ClipDecoder, num_processes
    from engine.cache.store import write_audio
    from engine.dataset.audio_file import read_audio
    from engine.model.card import CODEC_RATE, SAMPLE_RATE
    from engine.model.sinc import resampled

    clips = _clips(bench)
    rows: list[dict[str, Any]] = []

    def note(stage: str, seconds: float, audio_s: float, **more: Any) -> None:
        rows.append({"stage": stage, "seconds": round(seconds, 4), "real_time": round(audio_s / seconds, 1), **more})

    clip, order = clips[0], ClipOrder.of(clips[0], rate=CODEC_RATE)
    samples, rate = read_audio(clip.song.path)
    note("decode mp3, one core", _seconds(lambda: read_audio(clip.song.path)), clip.length_s)
    both = _seconds(lambda: resampled(resampled(samples, rate, SAMPLE_RATE), SAMPLE_RATE, CODEC_RATE))
    note("resample to 48 and 44.1 kHz, one thread", both, clip.length_s)
    note(
        "both, mono, clamp, silence, one process",
        _seconds(lambda: as_heard(read_clip(order), CODEC_RATE)),
        clip.length_s,
    )
    codec, device = _codec(bench)
    pin = device.type == "cuda"
    started = time.perf_counter()
    with ClipDecoder(clips, max_workers=32, rate=CODEC_RATE, pin=pin) as decoder:
        sounds = [sound for _, sound in decoder if isinstance(sound, torch.Tensor)][-4:]
    took = time.perf_counter() - started
    note("decode and resample all", took, bench.audio_s, processes=num_processes(clips, max_workers=32))

    def encode() -> None:
        # All begun before the first is waited for, as a run has them.
        begun = [begin_encoding(codec, [sound]) for sound in sounds]
        for latents in begun:
            latents.cpu()

    encode()
    note("encode, from pinned memory", _seconds(encode), clip.length_s * len(sounds))
    [entry] = finished_entries(codec, sounds[:1], begin_encoding(codec, sounds[:1]), num_samples=clip.num_samples)
    path = bench.work / "entry.safetensors"
    note("write an entry", _seconds(lambda: write_audio(path, entry), times=10), clip.length_s)
    return rows


def forms(bench: Bench, *, with_compiled: bool) -> list[dict[str, Any]]:
    """`bench.codec_forms` on one of the songs."""
    from bench.codec_forms import COMPILED, VARIANTS, measure_forms

    codec, device = _codec(bench)
    on_card = device.type == "cuda"
    windows = (2048, 1024, 4096, 8192) if on_card else (2048,)
    return measure_forms(codec, _sound(bench), VARIANTS + (COMPILED if with_compiled else ()), windows=windows)


def profile(bench: Bench) -> list[str]:
    """What the card does while it encodes."""
    from bench.codec_forms import profile_form

    return profile_form(_codec(bench)[0], _sound(bench), window=2048)


def text(bench: Bench) -> list[dict[str, Any]]:
    """Captions a second, at several sizes of batch, and how far a batch's states lie from single ones."""
    import torch

    from bench.codec_forms import timed
    from engine.model.family import AceStepV1
    from engine.model.load import resolve_checkpoint
    from engine.train.device import choose_device

    device = choose_device()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    encoder = AceStepV1(resolve_checkpoint(bench.checkpoint)).load_text_encoder(
        dtype=dtype, device=device, max_length=256
    )
    captions = [path.read_text(encoding="utf-8").strip() for path in sorted(bench.songs.glob("*.txt"))]
    single = encoder.encode(captions[:1])[0].float()
    rows = []
    for size in (1, 8, 32, 128):
        parts = [captions[begin : begin + size] for begin in range(0, len(captions), size)]
        encoder.encode(parts[0])
        seconds, states = timed(
            lambda parts=parts: [encoder.encode(part, batch_size=len(part)) for part in parts], device
        )
        error = float((states[0][0].float() - single).norm() / single.norm())
        rows.append({"batch": size, "captions_per_s": round(len(captions) / seconds, 1), "relative_error": error})
    return rows


def _encode_parts(encoder: TextEncoder, parts: Sequence[Sequence[str]]) -> list[Tensor]:
    return [states for part in parts for states in encoder.encode(part, batch_size=len(part))]


def _clips(bench: Bench) -> list[Any]:
    """The clips of the songs as a run plans them."""
    from engine.batches.bucket import plan_clips
    from engine.contract.backends import load_backends
    from engine.dataset.scan import scan_backend

    backend = load_backends(config_of(bench, bench.work, {}), base_dir=bench.work).training[0]
    songs = scan_backend(backend, bench.songs).songs
    return [clip for entry in plan_clips(songs, backend.audio, 1).entries for clip in entry.clips]


def _codec(bench: Bench) -> tuple[Any, Any]:
    """The codec as a run loads it by default, and its device."""
    import torch

    from engine.model.family import AceStepV1
    from engine.model.load import resolve_checkpoint
    from engine.train.device import choose_device, set_tf32

    device = choose_device()
    set_tf32(config_of(bench, bench.work, {}), device)
    family = AceStepV1(resolve_checkpoint(bench.checkpoint))
    return family.load_codec(dtype=torch.float32, device=device, parts=("encoder",)), device


def _sound(bench: Bench) -> Any:
    """One song at the codec's rate."""
    import torch

    from engine.dataset.audio_file import read_audio

    samples, _ = read_audio(sorted(bench.songs.glob("*.mp3"))[0])
    return torch.from_numpy(samples).clamp(-1, 1)


def _seconds(work: Callable[[], Any], *, times: int = 1) -> float:
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


def markdown(result: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = ["# Preparation", "", *(f"- {key}: {value}" for key, value in result["machine"].items()), ""]
    lines += [f"- goal, {what}: {goal}" for what, goal in GOALS.items()] + [""]
    for name in ("runs", "stages", "forms", "text"):
        rows = result.get(name)
        if rows:
            lines += [f"## {name.capitalize()}", "", *markdown_table(rows), ""]
    if result.get("profile"):
        lines += ["## Where the card's time goes", "", *(f"- {line}" for line in result["profile"]), ""]
    return "\n".join(lines)


def markdown_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows as a Markdown table of all their keys."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "log"))
    head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return head + [f"| {' | '.join(_shown(row.get(column, '–')) for column in columns)} |" for row in rows]


def _shown(value: Any) -> str:
    return f"{value:.2e}" if isinstance(value, float) and 0 < abs(value) < 0.01 else str(value)


def main() -> None:
    """Measure and write, after every part, so that a time limit loses little."""
    parser = argparse.ArgumentParser(prog="python -m bench.prepare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "prepare")
    parser.add_argument("--work", type=Path, help="folder for model, songs and caches (default: a temporary one)")
    parser.add_argument("--probes", nargs="*", choices=PROBES, default=list(PROBES))
    parser.add_argument("--compiled", action="store_true", help="measure compiled forms too (a minute more)")
    parser.add_argument("--no-whole", action="store_true", help="leave the whole preparation out")
    parser.add_argument("--songs", type=int, nargs=2, metavar=("DISTINCT", "TAKES"))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    distinct, takes = options.songs or ((2, 2) if options.tiny else (10, 10))
    seconds = options.seconds or (8.0 if options.tiny else 240.0)
    with tempfile.TemporaryDirectory(prefix="acestep-prepare-") as name:
        work = options.work or Path(name)
        bench = Bench(work / "checkpoint", work, seconds, distinct, takes, options.tiny)
        run(bench, options)


def run(bench: Bench, options: argparse.Namespace) -> None:
    """Every part asked for."""
    result: dict[str, Any] = {"machine": {}}
    options.out.mkdir(parents=True, exist_ok=True)

    def keep(name: str, make: Callable[[], Any]) -> None:
        started = time.perf_counter()
        result[name] = make()
        print(f"{name}: {time.perf_counter() - started:.1f} s", flush=True)
        (options.out / "prepare.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (options.out / "prepare.md").write_text(markdown(result), encoding="utf-8")

    keep("write_songs", bench.write_songs)
    keep("write_checkpoint", bench.write_checkpoint)
    if not options.no_whole:
        keep("runs", lambda: [prepare_all(bench, "default")])
    keep("machine", machine)
    parts: dict[str, Callable[[], Any]] = {
        "stages": lambda: stages(bench),
        "forms": lambda: forms(bench, with_compiled=options.compiled),
        "text": lambda: text(bench),
        "profile": lambda: profile(bench),
    }
    for name in options.probes:
        keep(name, parts[name])
    print((options.out / "prepare.md").read_text(encoding="utf-8"))


def machine() -> dict[str, Any]:
    """What it ran on. Touches the device, so it is asked after the worker ran."""
    import torch

    from engine.train.device import choose_device, describe

    return {
        "device": describe(choose_device()),
        "cores": num_cores(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "files": os.environ.get("TMPDIR", tempfile.gettempdir()),
    }


if __name__ == "__main__":
    main()
