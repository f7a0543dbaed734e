"""How the model's page is written: what is here, how far the download is, what to do. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.paths import shown
from acestep_tui.widgets.paint import (
    ACCENT,
    BOLD,
    ERROR,
    MUTED,
    SUCCESS,
    WARNING,
    Part,
    bar,
    fit,
    join,
    spread,
    text,
    wrap,
)
from acestep_tui.wizard.download import Seen
from engine.contract.model_files import DEMO_MODEL, HUB_ID, LAYOUT, layout_words
from engine.hardware.models import ModelStatus, PartStatus

PART_WORDS = {
    "ace_step_transformer": "the model itself",
    "music_dcae_f8c8": "turns sound into numbers",
    "music_vocoder": "turns numbers into sound",
    "umt5-base": "reads your captions",
}
_NAME_WIDTH = max(map(len, PART_WORDS))
_LEAST_BAR = 10
# Longer lines are hard to read.
_TEXT_WIDTH = 76


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the page shows.

    Attributes:
        status: What is here, with what the download says; None before it was looked at.
        seen: The download.
        is_asked: It was asked to start or to stop, and has not done so yet.
        offline: The variable that forbids to download; empty while none does.
    """

    status: ModelStatus | None = None
    seen: Seen = field(default_factory=Seen)
    is_asked: bool = False
    offline: str = ""

    @property
    def is_downloading(self) -> bool:
        """Whether the model is on its way."""
        return self.seen.is_running and self.status is not None and not self.status.is_whole

    @property
    def _is_to_come(self) -> bool:
        return self.status is not None and self.status.kind == "hub" and not self.status.is_whole

    @property
    def is_cut_off(self) -> bool:
        """Whether there is something to download, and a variable forbids it."""
        return self._is_to_come and not self.seen.is_running and bool(self.offline)

    @property
    def can_download(self) -> bool:
        """Whether there is something to download that is not on its way."""
        return self._is_to_come and not self.seen.is_running and not self.offline

    @property
    def needs_layout(self) -> bool:
        """Whether the files that belong into the folder are listed."""
        status = self.status
        if status is None or status.is_ready:
            return False
        return status.kind != "hub" or self.seen.state == "failed" or self.is_cut_off

    @property
    def problem(self) -> str:
        """What keeps from going on with this model; a download does not."""
        status = self.status
        if status is None or status.is_ready or status.kind == "hub":
            return ""
        if status.kind == "nowhere":
            return nowhere_words(status.name)
        wrong = [part.name for part in status.parts if part.state != "whole"]
        return f"This folder is no whole model: {', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not whole."


def nowhere_words(name: str) -> str:
    """Why a name is no model."""
    if not name.strip():
        return "Type the name of a model, or a folder that holds one."
    if name.startswith("demo:"):
        return f"The demo's model is called {DEMO_MODEL}."
    if "/" in name and not HUB_ID.fullmatch(name):
        return f"There is no folder {name}."
    return f"There is no folder {name}, and a hub name is OWNER/NAME."


def download_words(facts: ModelFacts) -> str:
    """What Enter does: ``Download 8.2 GB``, ``Go on, 4.8 GB left``; empty where it does nothing."""
    status = facts.status
    if status is None or not facts.can_download:
        return ""
    missing = status.missing_bytes
    if not status.bytes:
        return f"Download {fmt.size(missing)}" if missing is not None else "Download"
    return f"Download the other {fmt.size(missing)}" if missing is not None else "Download the rest"


def heading(facts: ModelFacts) -> Part:
    """What stands at the right of "What is here"."""
    status = facts.status
    if status is None:
        return ("looking", MUTED)
    here = _part_of(status.bytes, status.total_bytes)
    if status.is_whole:
        sign, said = ("✓", SUCCESS), f"complete, {fmt.size(status.bytes)}"
    elif status.is_ready:
        sign, said = ("✓", SUCCESS), "made when it is needed"
    elif facts.is_downloading:
        sign, said = ("◐", ACCENT), f"downloading {here}" if facts.seen.progress is not None else "asking the hub"
    elif facts.problem:
        sign, said = ("✗", ERROR), "not whole" if status.kind == "folder" else "no model of that name"
    elif facts.is_cut_off:
        sign, said = ("▲", WARNING), f"offline, {here} here" if status.bytes else "offline, not on this computer"
    elif facts.seen.state == "failed":
        sign, said = ("✗", ERROR), "the download did not work"
    else:
        sign, said = ("○", MUTED), f"{here} here" if status.bytes else "not on this computer yet"
    return join(sign, (f" {said}", MUTED))


def _part_of(done: float, total: float | None) -> str:
    """``3.4 of 8.2 GB``; with two units where they differ."""
    if total is None:
        return fmt.size(done)
    whole = fmt.size(total)
    part, _, unit = fmt.size(done).partition(" ")
    return f"{part} of {whole}" if whole.endswith(f" {unit}") else f"{part} {unit} of {whole}"


def part_lines(facts: ModelFacts, width: int) -> list[Content]:
    """The four parts: what each is for, and how much of it is here; or the files that belong into it."""
    status = facts.status
    if status is None:
        return [_row(("○", MUTED), name, (words, MUTED), (fmt.UNKNOWN, MUTED), width) for name, words in _NAMES]
    lines: list[Content] = []
    for part in status.parts:
        if facts.needs_layout and part.state != "whole":
            mark = ("○", MUTED) if status.kind == "hub" else ("✗", ERROR)
            lines += _layout_lines(part, mark, width)
        else:
            sign, said = _state(part, facts)
            lines.append(_row(sign, part.name, (PART_WORDS.get(part.name, ""), MUTED), said, width))
    return lines


_NAMES = tuple(PART_WORDS.items())


def _row(sign: Part, name: str, words: Part, said: Part, width: int) -> Content:
    left = join(sign, " ", fit(name, _NAME_WIDTH), "  ", words)
    return spread(left, said, width)


def _state(part: PartStatus, facts: ModelFacts) -> tuple[Part, Part]:
    """The sign and the words of a part."""
    status = facts.status
    if part.state == "whole":
        return ("✓", SUCCESS), fmt.size(part.bytes)
    if status is not None and status.kind == "demo":
        return ("○", MUTED), ("written when it is needed", MUTED)
    total = part.total_bytes
    if facts.is_downloading and part.state == "incomplete":
        return ("◐", ACCENT), _part_of(part.bytes, total)
    if part.state == "incomplete":
        return ("◐", MUTED), (_part_of(part.bytes, total), MUTED)
    word = "waiting" if facts.is_downloading else "missing"
    return ("○", MUTED), (f"{word}, {fmt.size(total)}" if total is not None else word, MUTED)


def _layout_lines(part: PartStatus, sign: Part, width: int) -> list[Content]:
    """``○ umt5-base/  config.json, model.safetensors, …``: its files, and what is wrong with a part that is there."""
    files = ", ".join(LAYOUT.get(part.name, ()))
    said = f"{part.problem}. It holds {files}" if part.problem else files
    head = join(sign, " ", fit(f"{part.name}/", _NAME_WIDTH + 1), " ")
    return wrap(join(head, (said, MUTED)), width, indent=head.cell_length)


def bar_line(seen: Seen, width: int, *, is_focused: bool) -> Content:
    """``━━━━━━╸───────── 40 %  61 MB/s, 1 min 20 s``."""
    progress = seen.progress
    share = progress.done_bytes / progress.total_bytes if progress is not None and progress.total_bytes > 0 else None
    said = f"{math.floor(min(share, 1.0) * 100)} %" if share is not None else fmt.UNKNOWN
    if progress is not None and progress.bytes_per_s:
        said += f"  {fmt.size(progress.bytes_per_s)}/s, {fmt.duration(seen.seconds_left)}"
    tail = text(said, f"{BOLD} {ACCENT}" if is_focused else "")
    return join(bar(max(width - tail.cell_length - 1, _LEAST_BAR), share), " ", tail)


def action_line(facts: ModelFacts, width: int, *, is_focused: bool) -> Content:
    """``▸ Download 8.2 GB``, or that it begins."""
    if facts.is_asked:
        return fit(join(("◐ ", ACCENT), ("one moment …", MUTED)), width)
    mark = ("▌ ", ACCENT) if is_focused else "  "
    row = join(mark, (f"▸ {download_words(facts)}", f"{BOLD} {ACCENT}"), "   ", (_after_words(facts), MUTED))
    return fit(row.stylize("on $block-cursor-background") if is_focused else row, width)


def _after_words(facts: ModelFacts) -> str:
    said = {"stopped": "It was stopped.", "cut_off": "It was cut off.", "failed": "↵ tries it again."}
    return said.get(facts.seen.state, "") or "↵ begins it; it goes on when you leave."


def message_lines(facts: ModelFacts, folder: Path, width: int) -> list[Content]:
    """What to know, and what to do."""
    lines: list[Content] = []
    for said in _messages(facts, folder):
        lines += wrap(join(said), min(width, _TEXT_WIDTH), indent=2 if not isinstance(said, tuple) else 0)
    return lines


def _messages(facts: ModelFacts, folder: Path) -> Sequence[Part]:
    status, seen = facts.status, facts.seen
    if status is None:
        return ()
    if status.is_ready:
        return ((_ready_words(status, folder), MUTED),)
    if facts.problem:
        return (join(("✗ ", ERROR), facts.problem), (_FOLDER, MUTED))
    if facts.is_downloading:
        warned = [join(("▲ ", WARNING), _sentence(seen.message))] if seen.message else []
        return (*warned, (_GOES_ON, MUTED))
    return _idle_messages(facts)


def _idle_messages(facts: ModelFacts) -> Sequence[Part]:
    """Of a model that is neither here nor on its way."""
    seen = facts.seen
    if facts.is_cut_off:
        return (join(("▲ ", WARNING), f"{facts.offline} is set here, so nothing is downloaded."), (_OFFLINE, MUTED))
    if seen.state == "failed":
        hint = seen.hint.replace(f": it holds {layout_words()}.", ": it holds the four folders above.")
        return (join(("✗ ", ERROR), _sentence(seen.message)), (hint, MUTED))
    return ((_BEGINS, MUTED),)


def _ready_words(status: ModelStatus, folder: Path) -> str:
    if status.is_whole:
        where = shown(status.path) if status.path is not None else shown(folder)
        return f"Everything is here, in {where}. Nothing will be downloaded."
    return "The demo's own model: tiny, with random weights. It is written in a second when training starts."


_NO_INTERNET = "No internet here? Put the folder on this machine yourself and type its path above."
_OFFLINE = (
    "Unset it and start acestep-tui again, or put a folder with the four folders above on this machine and type its "
    "path above. You can go on meanwhile; Start needs the model."
)
_FOLDER = "A model's folder holds the four folders above with these files."
_GOES_ON = (
    "You can go on: the download continues in the background, and picks up where it was if the connection drops. "
    f"{_NO_INTERNET}"
)
_BEGINS = f"You can go on without it: Start waits for the download. {_NO_INTERNET}"


def _sentence(said: str) -> str:
    """With a capital letter at its beginning and one full stop at its end."""
    said = " ".join(said.split())
    if not said:
        return ""
    first = said.split(" ", 1)[0]
    head = said[:1].upper() if first.isalpha() and first.islower() else said[:1]
    return f"{head}{said[1:].rstrip('.')}."
