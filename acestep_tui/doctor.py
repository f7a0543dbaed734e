"""The look at this computer, in words: what is fine, what is not, and the command that mends it. No screen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_tui import format as fmt
from acestep_tui.paths import shown

if TYPE_CHECKING:
    from engine.hardware.machine import Machine

_NETWORK_TIMEOUT_S = 4.0
# Below this a LoRA of the real model with its save points does not fit (screens.md section 4, "disk").
_LITTLE_DISK_BYTES = 20 * fmt.GB
_LIBRARIES = ("torch", "diffusers", "transformers", "textual")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        state: ``ok``, ``warning``, ``error`` or ``unknown``; ``value`` for a value that is recommended.
        name: What was looked at.
        fact: What was found.
        cure: What to do, or what follows; may be empty.
    """

    state: str
    name: str
    fact: str
    cure: str = ""

    @property
    def glyph(self) -> str:
        """✓ ▲ ✗ –."""
        return {"ok": "✓", "warning": "▲", "error": "✗", "value": "·"}.get(self.state, fmt.UNKNOWN)

    @property
    def style(self) -> str:
        """The colour of the glyph."""
        return {"ok": "$success", "warning": "$warning", "error": "$error"}.get(self.state, "$text-muted")


def machine_checks(machine: Machine) -> list[Check]:
    """Everything known without asking anybody else, what trains first."""
    checks = [_graphics(machine)]
    if machine.driver is not None or machine.driver_problem:
        checks.append(_driver(machine))
    checks += [_libraries(machine), _memory(machine), _disk(machine), _audio(machine)]
    if machine.log_out.ends_programs:
        fact = "this server ends your programs when you log out"
        checks.append(Check("warning", "Log-out", fact, machine.log_out.fix))
    elif machine.log_out.ends_programs is False:
        checks.append(Check("ok", "Log-out", "programs go on when you log out"))
    return checks


def _graphics(machine: Machine) -> Check:
    if machine.cards:
        best = max(machine.cards, key=lambda card: card.free_bytes or 0)
        more = f" and {len(machine.cards) - 1} more" if len(machine.cards) > 1 else ""
        fact = f"{best.short_name}, {free_of(best.free_bytes, best.total_bytes)}{more}"
        problem = machine.cuda_problem(best)
        if problem and problem != machine.driver_problem:
            return Check("error", "Graphics card", fact, problem)
        return Check("ok", "Graphics card", fact)
    if machine.apple is not None:
        lent = fmt.size(machine.apple.lent_bytes)
        return Check("ok", "Graphics card", f"{machine.apple.name or 'Apple chip'}, macOS lends {lent}")
    fact = f"none found; the processor has {fmt.plural(machine.num_cores, 'core')}"
    return Check(
        "warning", "Graphics card", fact, "A processor needs days. Good for the demo; rent a card for the rest."
    )


def _driver(machine: Machine) -> Check:
    if machine.driver_problem:
        return Check("error", "Driver", machine.driver or fmt.UNKNOWN, machine.driver_problem)
    return Check("ok", "Driver", f"{machine.driver} with CUDA {machine.driver_cuda}")


def _libraries(machine: Machine) -> Check:
    import importlib.metadata  # 20 ms, in a thread

    found, missing = [], []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name).partition('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("error", "Libraries", f"missing: {', '.join(missing)}", "Install acestep-tui again with pip.")
    if machine.cards and machine.torch_cuda == "":
        return Check("error", "Libraries", ", ".join(found), "This torch has no CUDA: install it again with pip.")
    return Check("ok", "Libraries", ", ".join(found))


def _memory(machine: Machine) -> Check:
    if machine.ram_total_bytes is None:
        return Check("unknown", "Memory", fmt.UNKNOWN)
    fact = f"{fmt.size(machine.ram_total_bytes)}, {fmt.size(machine.ram_free_bytes)} free"
    is_little = (machine.ram_free_bytes or 0) < 8 * fmt.GB
    cure = "Reading the real model wants 8 GB free." if is_little else ""
    return Check("warning" if is_little else "ok", "Memory", fact, cure)


def _disk(machine: Machine) -> Check:
    if machine.disk_free_bytes is None:
        return Check("unknown", "Disk", fmt.UNKNOWN)
    fact = f"{fmt.size(machine.disk_free_bytes)} free in {shown(machine.folder)}"
    if machine.disk_free_bytes < _LITTLE_DISK_BYTES:
        return Check("warning", "Disk", fact, "Model, songs and save points of a real run want about 20 GB.")
    return Check("ok", "Disk", fact)


def _audio(machine: Machine) -> Check:
    if machine.missing_formats:
        missing = " ".join(machine.missing_formats)
        return Check(
            "warning", "Audio", f"cannot read {missing}", "Install acestep-tui again: its decoders are missing."
        )
    return Check("ok", "Audio", " ".join(machine.audio_formats))


def free_of(part_bytes: int | None, total_bytes: int | None, *, word: str = "free") -> str:
    """``11.6 of 12.0 GB free``: the unit once where it is the same; ``word`` says what the part is."""
    part, total = fmt.size(part_bytes), fmt.size(total_bytes)
    number, _, unit = part.partition(" ")
    return f"{number if unit and total.endswith(f' {unit}') else part} of {total} {word}"


def write_speed_check(folder: Path) -> Check:
    """How fast the disk of the runs folder takes 16 MB; for a thread."""
    import time

    probe = folder
    while not probe.is_dir() and probe != probe.parent:
        probe = probe.parent
    path = probe / f".acestep-write-test.{os.getpid()}"
    block = os.urandom(2**20)
    try:
        started = time.perf_counter()
        with path.open("wb") as file:
            for _ in range(16):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        seconds = max(time.perf_counter() - started, 1e-6)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Check("error", "Writing", f"{shown(probe)}: {reason}", "Choose another runs folder in the settings.")
    finally:
        path.unlink(missing_ok=True)
    rate = 16 * 2**20 / seconds
    state = "ok" if rate >= 20 * 2**20 else "warning"
    cure = "" if state == "ok" else "A save point takes minutes at this rate: a network folder?"
    return Check(state, "Writing", f"{fmt.size(rate)} a second in {shown(probe)}", cure)


def network_check() -> Check:
    """Whether the model hub answers; for a thread. Nothing is sent where the user wants to stay offline."""
    from acestep_tui.wizard.download import offline_variable

    variable = offline_variable()
    if variable:
        return Check("ok", "Network", f"not asked: {variable} is set", "Models must be on this computer already.")
    import urllib.error  # 30 ms with its kin, in a thread
    import urllib.request

    from huggingface_hub import constants

    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        with urllib.request.urlopen(request, timeout=_NETWORK_TIMEOUT_S):
            return Check("ok", "Network", "the model hub answers")
    except urllib.error.HTTPError:
        return Check("ok", "Network", "the model hub answers")
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error))
        return Check(
            "warning", "Network", f"the model hub does not answer: {reason}", "Bring the model's folder along."
        )


def report_lines(checks: list[Check]) -> list[str]:
    """The report as plain text, to copy."""
    lines = []
    for check in checks:
        lines.append(f"{check.glyph} {check.name:<16} {check.fact}")
        if check.cure:
            lines.append(f"  {'':<16} {check.cure}")
    return lines
