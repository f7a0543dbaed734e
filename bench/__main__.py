"""`make bench`: everything that this machine can measure; one JSON file and one Markdown table under bench/results/.

``python -m bench [PART ...] [--list] [--tiny] [--out FOLDER] [--work FOLDER]``. On a CUDA card with room for it the
released sizes with random weights are measured; elsewhere the tiny model, which says only that everything runs and how
it compares with itself. Each part is a program of its own in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench.child import run_logged
from bench.figures import Reading, read
from bench.machine import GIB, Machine
from bench.parts import PARTS, Part, Place, choose, part_named, size_for
from bench.report import JSON_FILE, MARKDOWN_FILE, kept_parts, new_report, shown, write_report
from engine.__main__ import set_environment

RESULTS = Path(__file__).parent / "results"
PATIENCE_S = 1800.0
SIZES = {"released": "released sizes, random weights", "tiny": "tiny model"}
_PROBE_S = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write after every part; 1 when something failed, 2 when nothing could be measured."""
    options = _parse(arguments)
    set_environment()  # as the worker does, whose own call comes too late in programs that have torch already
    with tempfile.TemporaryDirectory(prefix="acestep-bench-", dir=None if options.work else _work_parent()) as name:
        work = (options.work or Path(name)).resolve()
        machine = probe(work / "machine.log")
        if machine is None:
            return 2
        size, reason = size_for(machine, disk_gib=shutil.disk_usage(work).free / GIB, is_tiny=options.tiny)
        parts, left_out = choose(options.parts, size, reason)
        # Models and caches of both sizes bear the same names.
        work = work / size
        work.mkdir(exist_ok=True)
        print(f"{machine.device}: the {SIZES[size]} ({reason})", flush=True)
        if options.list:
            _list(parts, left_out, machine, size, work)
            return 0
        return Bench(options.out.resolve(), work, machine, size, options.tiny).run(parts, left_out)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(part.name for part in PARTS))
    parser.add_argument("--list", action="store_true", help="say what would be measured, and measure nothing")
    parser.add_argument("--tiny", action="store_true", help="the tiny model, also where there is a card")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder for model, songs and runs, kept (default: a temporary one)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.parts if part_named(name) is None]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(part.name for part in PARTS)}")
    return options


def _work_parent() -> Path:
    """In memory where there is room: a disk takes a minute for the checkpoint."""
    from bench.vram import work_folder

    return work_folder().parent


def probe(log: Path) -> Machine | None:
    """What this machine is, asked in a process that takes its memory of the card with it; None = said why not."""
    ended = run_logged(["-m", "bench.machine"], log, patience_s=_PROBE_S, tell=lambda seconds: None)
    if ended.failure:
        print(f"This machine cannot be measured: {ended.failure}", file=sys.stderr)
        return None
    text = log.read_text(encoding="utf-8")
    # Libraries warn on the same stream in front of it.
    return Machine(**json.loads(text[text.index('{"kind"') :]))


def _list(parts: Sequence[Part], left_out: dict[str, str], machine: Machine, size: str, work: Path) -> None:
    for part in parts:
        place = Place(Path("OUT") / part.name, work, work / "checkpoint")
        print(f"{part.name:9} {part.what}\n{'':9} python {shlex.join(part.arguments(machine, size, place))}")
    for name, reason in left_out.items():
        print(f"{name:9} not here: {reason}")


class Bench:
    """Runs parts one after the other and keeps the report.

    Args:
        out: Folder of the results; each part has a folder of its own in it.
        work: Folder for model, songs, caches and runs.
        machine: Where it runs.
        size: ``released`` or ``tiny``.
        is_asked: The tiny model was asked for, which the command to rerun has to say.
    """

    def __init__(self, out: Path, work: Path, machine: Machine, size: str, is_asked: bool = False) -> None:
        self.out, self.work, self.machine, self.size, self.is_asked = out, work, machine, size, is_asked

    def run(self, parts: Sequence[Part], left_out: dict[str, str]) -> int:
        """Measure these; the figures of others that were taken on the same machine before stay in the report."""
        report = new_report(self.machine, _now())
        names = [part.name for part in parts]
        report["parts"] = {name: kept for name, kept in kept_parts(self.out, self.machine).items() if name not in names}
        report["left_out"] = {name: reason for name, reason in left_out.items() if name not in report["parts"]}
        for name, reason in left_out.items():
            print(f"{name}: not here; it {reason}", flush=True)
        if any(self.size in part.reads_checkpoint for part in parts):
            self._write_checkpoint()
        for number, part in enumerate(parts, start=1):
            print(f"[{number}/{len(parts)}] {part.name}: {part.what}", flush=True)
            report["parts"][part.name] = entry = self.measure(part)
            write_report(self.out, report)
            _tell_entry(entry)
        write_report(self.out, report)
        print(f"\n{(self.out / MARKDOWN_FILE).read_text(encoding='utf-8')}")
        print(f"Written: {self.out / JSON_FILE}, {self.out / MARKDOWN_FILE}")
        failed = [name for name in names if report["parts"][name]["failure"] or report["parts"][name]["problems"]]
        if failed:
            print(f"Failed: {', '.join(failed)}; each part's own words are in {self.out}/PART/log.txt", file=sys.stderr)
        return 1 if failed else 0 if parts else 2

    def measure(self, part: Part) -> dict[str, Any]:
        """One part.

        Returns:
            name, what, size, command (to run it again), ran (the program that it is), when, seconds, exit_code,
            failure (empty, or its last line), problems (inside it), figures (what, values by unit, goal), result (its
            own JSON file, below the folder of results).
        """
        folder = self.out / part.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        arguments = part.arguments(self.machine, self.size, Place(folder, self.work, self.work / "checkpoint"))
        when = _now()
        ended = run_logged(arguments, folder / "log.txt", patience_s=PATIENCE_S, tell=_still_running)
        reading, failure = self._read(part, folder / part.result)
        return {
            "name": part.name,
            "what": part.what,
            "size": self.size,
            "command": f"python -m bench {part.name}{' --tiny' if self.is_asked else ''}",
            "ran": shlex.join(["python", *arguments]),
            "when": when,
            "seconds": ended.seconds,
            "exit_code": ended.exit_code,
            "failure": ended.failure or failure,
            "problems": reading.problems,
            "figures": [asdict(figure) for figure in reading.figures],
            "result": f"{part.name}/{part.result}",
        }

    def _read(self, part: Part, path: Path) -> tuple[Reading, str]:
        """What it left behind, also where it failed on its way."""
        if not path.is_file():
            return Reading(), f"it wrote no {part.result}"
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            return read(part.name, result, size=self.size, kind=self.machine.kind), ""
        except (KeyError, TypeError, ValueError) as error:
            return Reading(), f"{part.result} cannot be read: {type(error).__name__}: {error}"

    def _write_checkpoint(self) -> None:
        """The model that several parts read; where it fails they say so themselves."""
        print(f"writing the model: {SIZES[self.size]}", flush=True)
        words = ["-m", "bench.checkpoint", str(self.work / "checkpoint"), *(["--tiny"] if self.size == "tiny" else [])]
        ended = run_logged(words, self.work / "checkpoint.log", patience_s=PATIENCE_S, tell=_still_running)
        if ended.failure:
            print(f"  failed: {ended.failure}", flush=True)


def _tell_entry(entry: dict[str, Any]) -> None:
    for figure in entry["figures"]:
        print(f"  {figure['what']}: {shown(figure['values'])}")
    for problem in [*([entry["failure"]] if entry["failure"] else []), *entry["problems"]]:
        print(f"  failed: {problem}")
    print(f"  {entry['seconds']:g} s", flush=True)


def _still_running(seconds: float) -> None:
    print(f"  … {seconds:.0f} s", flush=True)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
