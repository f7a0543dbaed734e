"""What stands in the cache, whether it is whole, and what of it may go: `cache status|verify|prune`."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acestep_tui import format as fmt
from acestep_tui.headless import streams
from acestep_tui.headless.asking import agrees
from acestep_tui.headless.options import Options
from acestep_tui.paths import shown
from acestep_tui.runs.caches import UNUSED_DAYS, Inventory, Share, take_stock
from engine.contract.errors import ExitCode
from engine.hardware.cache_files import CacheEntry, entry_problem, find_entries, remove_entry
from engine.hardware.host import disk_free_bytes

_REDRAW_S = 0.2
_MAX_LISTED = 20


def status(folders: Sequence[Path], options: Options, scope: Sequence[str] = ()) -> int:
    """Entries and bytes by data set, which runs take them, what belongs to none.

    Args:
        folders: Where to look.
        options: The switches.
        scope: What was typed to choose the folders; stands in the commands that are proposed.
    """
    stock = take_stock(folders, now=time.time())
    if options.json:
        put_json(status_json(stock))
        return ExitCode.DONE
    for line in status_lines(stock, scope):
        streams.put(line)
    return ExitCode.DONE


def status_lines(stock: Inventory, scope: Sequence[str] = ()) -> list[str]:
    """The table, what is free, and what could go."""
    where = [shown(folder) for folder in stock.folders]
    if not any(share.entries for share in stock.shares):
        return [f"Nothing is prepared in {', '.join(where)}."]
    rows: list[tuple[str, ...]] = [("DATA SET", "ENTRIES", "SIZE", "RUNS", "SONGS")]
    rows += [_row(share.id, share, shown(Path(share.source))) for share in stock.data_sets]
    rows += [_row("captions", stock.captions, "")] if stock.captions.entries else []
    rows += [_row("smaller models", stock.models, "")] if stock.models.entries else []
    rows += [_row("of no known run", stock.orphaned, "")] if stock.orphaned.entries else []
    num_entries = sum(len(share.entries) for share in stock.shares)
    num_bytes = sum(share.num_bytes for share in stock.shares)
    rows.append(("in all", fmt.count(num_entries), fmt.size(num_bytes), "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [f"Prepared songs and captions in {', '.join(where)}", ""]
    for row in rows:
        numbers = f"{row[1]:>{widths[1]}}   {row[2]:>{widths[2]}}"
        lines.append(f"  {row[0]:<{widths[0]}}   {numbers}   {row[3]:<{widths[3]}}   {row[4]}".rstrip())
    free = disk_free_bytes(stock.folders[0]) if stock.folders else None
    lines += ["", f"{fmt.size(free)} are free there."]
    if stock.unused:
        size = fmt.size(sum(entry.num_bytes for entry in stock.unused))
        what = f"{_entries(len(stock.unused))}, {size}"
        lines.append(f"Not taken for {UNUSED_DAYS} days: {what}. Remove: {_command('prune', scope)}")
    return lines


def _row(name: str, share: Share, source: str) -> tuple[str, ...]:
    runs = list(share.runs)
    shown_runs = ", ".join(runs[:2]) + (f" and {len(runs) - 2} more" if len(runs) > 2 else "")
    return (name, fmt.count(len(share.entries)), fmt.size(share.num_bytes), shown_runs or fmt.UNKNOWN, source)


def status_json(stock: Inventory) -> dict[str, Any]:
    """The same as data."""
    return {
        "folders": [str(folder) for folder in stock.folders],
        "num_entries": sum(len(share.entries) for share in stock.shares),
        "bytes": sum(share.num_bytes for share in stock.shares),
        "free_bytes": disk_free_bytes(stock.folders[0]) if stock.folders else None,
        "data_sets": [
            {"id": share.id, "songs": share.source, **_numbers(share), "runs": list(share.runs)}
            for share in stock.data_sets
        ],
        "captions": {**_numbers(stock.captions), "runs": list(stock.captions.runs)},
        "models": _numbers(stock.models),
        "orphaned": _numbers(stock.orphaned),
        "unused": {
            "days": UNUSED_DAYS,
            "num_entries": len(stock.unused),
            "bytes": sum(entry.num_bytes for entry in stock.unused),
        },
    }


def _numbers(share: Share) -> dict[str, int]:
    return {"num_entries": len(share.entries), "bytes": share.num_bytes}


def verify(folders: Sequence[Path], options: Options, scope: Sequence[str] = ()) -> int:
    """Read every entry; name the damaged ones, and remove them once that is agreed to: they are made again when needed.

    Returns:
        DATA while damaged entries are there, else DONE.
    """
    entries = [entry for folder in folders for entry in find_entries(folder)]
    damaged: list[tuple[CacheEntry, str]] = []
    with _interruptible() as stopped, _bar(len(entries), is_wanted=not (options.json or options.quiet)) as step:
        for done, entry in enumerate(entries, start=1):
            problem = entry_problem(entry.path)
            if problem:
                damaged.append((entry, problem))
            step(done)
    if stopped:
        return ExitCode.STOPPED
    if not options.json:
        for entry, problem in damaged:
            streams.say(f"✗ {shown(entry.path)}: {problem}")
    question = f"Remove {_entries(len(damaged))}? They are made again when they are needed."
    removed = sum(remove_entry(entry.path) for entry, _ in damaged) if damaged and _agreed(question, options) else 0
    if options.json:
        listed = [{"path": str(entry.path), "problem": problem} for entry, problem in damaged]
        put_json({"num_entries": len(entries), "damaged": listed, "num_removed": removed})
    elif not damaged:
        streams.put(f"✓ {_entries(len(entries))}: all whole, every number finite")
    elif removed == len(damaged):
        others = len(entries) - removed
        rest = f"the other {fmt.count(others)} {'is' if others == 1 else 'are'} whole" if others else "nothing is left"
        streams.put(f"✓ {_entries(removed)} removed; {rest}")
    else:
        left = f"{_entries(len(damaged) - removed)} of {fmt.count(len(entries))} damaged"
        streams.say(f"{left}. Remove: {_command('verify', [*scope, '--yes'])}")
    return ExitCode.DONE if removed == len(damaged) else ExitCode.DATA


def prune(folders: Sequence[Path], options: Options, scope: Sequence[str] = ()) -> int:
    """Remove, once that is agreed to, what no known run took for 30 days. Songs and runs are never touched."""
    unused = take_stock(folders, now=time.time()).unused
    size = fmt.size(sum(entry.num_bytes for entry in unused))
    what = f"{_entries(len(unused))} ({size}) that no known run took for {UNUSED_DAYS} days"
    if not options.json and unused:
        for folder, number in _by_folder(unused)[:_MAX_LISTED]:
            streams.say(f"  {fmt.count(number):>8}  {shown(folder)}")
    agreed = bool(unused) and _agreed(f"Remove {what}? They are made again when they are needed.", options)
    removed = [entry for entry in unused if remove_entry(entry.path)] if agreed else []
    if options.json:
        freed = sum(entry.num_bytes for entry in removed)
        total = sum(entry.num_bytes for entry in unused)
        put_json({"num_unused": len(unused), "bytes": total, "num_removed": len(removed), "bytes_freed": freed})
    elif not unused:
        streams.put(f"✓ nothing to remove: everything was written or taken in the last {UNUSED_DAYS} days")
    elif agreed:
        streams.put(f"✓ {_entries(len(removed))} removed, {fmt.size(sum(entry.num_bytes for entry in removed))} freed")
    else:
        streams.say(f"{what} could be removed. Nothing was touched. Remove: {_command('prune', [*scope, '--yes'])}")
    return ExitCode.DONE


def _by_folder(entries: Sequence[CacheEntry]) -> list[tuple[Path, int]]:
    counts: dict[Path, int] = {}
    for entry in entries:
        counts[entry.path.parent] = counts.get(entry.path.parent, 0) + 1
    return sorted(counts.items(), key=lambda item: -item[1])


def _agreed(question: str, options: Options) -> bool:
    # Data is asked for by programs, which nobody answers for.
    return options.yes if options.json else agrees(question, is_said=options.yes)


def _command(action: str, scope: Sequence[str]) -> str:
    """The command line that acts on the same folders."""
    return shlex.join(["acestep-tui", "cache", action, *scope])


def _entries(number: int) -> str:
    return fmt.plural(number, "entry", "entries")


def put_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout, in UTF-8 whatever the locale says."""
    streams.put_bytes(json.dumps(value, ensure_ascii=False).encode() + b"\n")


@contextmanager
def _interruptible() -> Iterator[list[bool]]:
    """Ctrl-C ends the block and is said; the list is then not empty."""
    stopped: list[bool] = []
    try:
        yield stopped
    except KeyboardInterrupt:
        stopped.append(True)
        streams.say("Stopped. Nothing was changed.")


@contextmanager
def _bar(total: int, *, is_wanted: bool) -> Iterator[Any]:
    """A line on the terminal that counts; nothing in a pipe."""
    is_drawn = is_wanted and streams.is_screen()
    drawn_t = 0.0

    def step(done: int) -> None:
        nonlocal drawn_t
        now = time.monotonic()
        if is_drawn and now - drawn_t >= _REDRAW_S:
            drawn_t = now
            print(f"\r{fmt.part_of(done, total)} entries", end="", file=sys.stderr, flush=True)

    try:
        yield step
    finally:
        if is_drawn:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="", file=sys.stderr, flush=True)
