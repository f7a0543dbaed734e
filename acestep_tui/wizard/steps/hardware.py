"""Page 1, Hardware: what will train, the values that suit it with their reasons, and what else was checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.content import Content
from textual.widget import Widget

from acestep_tui import format as fmt
from acestep_tui.commands import Command
from acestep_tui.paths import shown
from acestep_tui.widgets.paint import BOLD, MUTED, SUCCESS, WARNING, columns, join, text, wrap
from acestep_tui.widgets.radio import Radio
from acestep_tui.wizard.fields import main_fields
from acestep_tui.wizard.look import WizardFacts
from acestep_tui.wizard.setting_field import SettingField
from acestep_tui.wizard.steps.base import Fact, Passage, Section, Step
from engine.contract.fields_base import WizardStep
from engine.hardware.machine import Card, Device, Machine

_REASONS = "the reason is under each"
_LITTLE_MEMORY, _LITTLE_DISK = 4 * fmt.GB, 10 * fmt.GB
_BUSY_PERCENT = 5
_NAME_WIDTH = 13
_ROOMY_ROW = 70


class HardwareStep(Step):
    """The page."""

    key: ClassVar[WizardStep] = "hardware"
    answers: ClassVar[frozenset[str]] = frozenset({"rescan"})

    def compose_step(self) -> Iterable[Widget]:
        """Devices, fields, checks."""
        yield Radio(self._device_row, [""], id="devices")
        yield Section("Recommended", text(_REASONS, MUTED), id="recommended")
        for setting in main_fields("hardware"):
            yield SettingField(setting.key, self.draft, is_known=lambda: self.facts.machine is not None)
        yield Section("Also checked", id="checked")
        yield Checks(self)

    def on_mount(self) -> None:
        """What is known already."""
        self._show_devices()

    def _device_row(self, index: int, width: int, is_chosen: bool) -> Content:
        machine = self.facts.machine
        if machine is None:
            return text("looking at this computer …", MUTED)
        return device_row(machine.devices()[index], machine, width, is_chosen=is_chosen)

    def _show_devices(self) -> None:
        machine, radio = self.facts.machine, self.query_one(Radio)
        if machine is None:
            radio.show([""], "")
            return
        devices = machine.devices()
        radio.show([device.id for device in devices], machine.device(self.draft.device).id)
        found = self.facts.recommendation
        name = f"Recommended for {found.title}" if found is not None else "Recommended"
        self.query_one("#recommended", Section).show(name, text(_REASONS, MUTED))

    def on_radio_picked(self, message: Radio.Picked) -> None:
        """Another device: other values."""
        message.stop()
        if self.facts.machine is not None:
            self.draft.device = str(message.value)
            self.changed()

    def on_radio_finished(self, message: Radio.Finished) -> None:
        """Enter on the devices."""
        message.stop()
        self.go_on_from(message.radio)

    def facts_changed(self, fact: Fact) -> None:
        """Another computer, device or value."""
        super().facts_changed(fact)
        if self.is_mounted:
            self._show_devices()
            self.query_one(Checks).show()

    def on_enter(self) -> None:
        """Draw what was learned meanwhile."""
        self.facts_changed("plan")

    def footer_word(self, command: Command) -> str | None:
        """Looking again is for the palette: it happens by itself."""
        return "" if command.id == "wizard.rescan" else None

    def rescan(self) -> None:
        """Look at the computer again."""
        self.wizard.look_again()


class Checks(Passage):
    """What else was looked at."""

    def __init__(self, step: HardwareStep) -> None:
        super().__init__()
        self._step = step

    def drawn(self, width: int) -> Sequence[Content]:
        """In two lines, or a line each."""
        facts = self._step.facts
        if facts.machine is None:
            return [text(fmt.UNKNOWN, MUTED)]
        is_roomy = self._step.wizard.size.width >= 120 and self._step.wizard.size.height >= 32
        return check_lines(facts, facts.machine, width) if is_roomy else short_check_lines(facts, facts.machine, width)


def device_row(device: Device, machine: Machine, width: int, *, is_chosen: bool = False) -> Content:
    """``NVIDIA RTX 4070      11.6 of 12.0 GB free   41 °C      idle``."""
    word = "lent" if device.kind == "mps" else "free"
    free = f"{share_of(device.free_bytes, device.total_bytes)} {word}"
    heat, state = "", ""
    if device.kind == "cpu":
        heat, state = fmt.plural(machine.num_cores, "core"), "days, not hours"
    elif device.card is not None:
        card = device.card
        heat = f"{card.celsius:.0f} °C" if card.celsius is not None else fmt.UNKNOWN
        state = card_state(card)
    name = (device.name, BOLD if is_chosen else "")
    widths = [20, 22, 10] if width >= _ROOMY_ROW else [15, 20, 8]
    return columns([name, free, (heat, MUTED), (state, MUTED)], [*widths, max(width - sum(widths) - 3, 1)], gap=1)


def share_of(free: float | None, total: float | None) -> str:
    """``11.6 of 12.0 GB``, ``51 of 64 GB``; unknown parts as such."""
    if free is None or total is None:
        return fmt.size(total if free is None else free)
    whole = fmt.size(total)
    part, _, unit = fmt.size(free).partition(" ")
    return f"{part} of {whole}" if whole.endswith(f" {unit}") else f"{part} {unit} of {whole}"


def card_state(card: Card) -> str:
    """Who else is on a card: the largest program by name, else how busy it is."""
    known = sorted(card.programs, key=lambda one: -(one.used_bytes or 0))
    if known:
        first = known[0]
        more = f" +{len(known) - 1}" if len(known) > 1 else ""
        return f"{first.name} {fmt.size(first.used_bytes)}{more}"
    if card.percent is not None and card.percent >= _BUSY_PERCENT:
        return f"busy {card.percent:.0f} %"
    return "idle" if card.percent is not None else ""


def checks(facts: WizardFacts, machine: Machine) -> list[tuple[bool, str, str, str]]:
    """(all is well, name, in short, in full) of everything that was checked beside the device."""
    found = [_memory_check(machine)]
    if machine.cards:
        found.append(_driver_check(machine))
    elif machine.apple is not None:
        found.append((True, "Graphics", "Metal", "Metal, with memory that macOS lends"))
    found += [_audio_check(machine), _disk_check(machine)]
    warning = facts.recommendation.warning if facts.recommendation is not None else ""
    if facts.recommendation is not None and facts.recommendation.device.kind == "cpu":
        warning = facts.recommendation.sentence
    if warning and warning != machine.driver_problem:
        found.append((False, "Device", warning, warning))
    if sum(device.kind == "cuda" for device in machine.devices()) > 1:
        said = "One card trains; several together come with a later version."
        found.append((True, "Cards", said, said))
    return found


def _memory_check(machine: Machine) -> tuple[bool, str, str, str]:
    free = machine.ram_free_bytes
    is_well = free is None or free >= _LITTLE_MEMORY
    return is_well, "Memory", f"{fmt.size(free)} free", f"{share_of(free, machine.ram_total_bytes)} free"


def _driver_check(machine: Machine) -> tuple[bool, str, str, str]:
    problem = machine.driver_problem
    if problem:
        return False, "Driver", problem, problem
    driver = machine.driver or fmt.UNKNOWN
    if machine.driver_cuda is None:
        return machine.driver is not None, "Driver", driver, driver
    return True, "Driver", f"{driver}, CUDA {machine.driver_cuda}", f"{driver} with CUDA {machine.driver_cuda}"


def _audio_check(machine: Machine) -> tuple[bool, str, str, str]:
    missing = " ".join(machine.missing_formats)
    if missing:
        return False, "Audio", f"{missing} cannot be read here.", f"{missing} cannot be read here"
    return True, "Audio", "All audio formats", f"{' '.join(machine.audio_formats)}, built in"


def _disk_check(machine: Machine) -> tuple[bool, str, str, str]:
    free = machine.disk_free_bytes
    said = f"{fmt.size(free)} free in {shown(machine.folder)}"
    return free is None or free >= _LITTLE_DISK, "Disk", said, said


def short_check_lines(facts: WizardFacts, machine: Machine, width: int) -> list[Content]:
    """What is well side by side; what is not in a line of its own."""
    well: list[Content] = []
    lines: list[Content] = []
    for is_well, name, short, _ in checks(facts, machine):
        if not is_well:
            said = short if name in ("Device", "Audio") else f"{name}: {short}"
            lines += wrap(join(("▲ ", WARNING), said), width, indent=2)
        elif name == "Cards":
            lines += wrap(join(("○ ", MUTED), (short, MUTED)), width, indent=2)
        elif name != "Disk":
            well.append(join(("✓ ", SUCCESS), short if name == "Audio" else f"{name} {short}"))
    if machine.log_out.fix:
        said = "This server ends your programs at log-out.  "
        lines += wrap(join(("▲ ", WARNING), said, ("^p Keep running has the fix.", MUTED)), width, indent=2)
    return [*_side_by_side(well, width), *lines]


def _side_by_side(pieces: Sequence[Content], width: int) -> list[Content]:
    """As many pieces in a line as fit."""
    lines: list[Content] = []
    for piece in pieces:
        if lines and lines[-1].cell_length + 4 + piece.cell_length <= width:
            lines[-1] = join(lines[-1], "    ", piece)
        else:
            lines.append(piece)
    return lines


def check_lines(facts: WizardFacts, machine: Machine, width: int) -> list[Content]:
    """A line each, in full."""
    lines: list[Content] = []
    for is_well, name, _, full in checks(facts, machine):
        sign = ("✓ ", SUCCESS) if is_well else ("▲ ", WARNING)
        lines += wrap(join(sign, name.ljust(_NAME_WIDTH - 2), full), width, indent=_NAME_WIDTH)
    fix = machine.log_out.fix
    if fix:
        said = "this server ends your programs when you log out."
        lines.append(join(("▲ ", WARNING), "Log-out".ljust(_NAME_WIDTH - 2), said))
        lines.append(join(" " * _NAME_WIDTH, ("One command fixes it: ", MUTED), fix))
    return lines
