"""A field for a path: tab completes as a shell does. Folders are listed in a thread, since a disk may be slow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.message import Message

from acestep_tui.failures import TellsFailures
from acestep_tui.widgets.fields import Field
from acestep_tui.widgets.paint import MUTED, Part, join
from engine.contract.paths import expanded

_MOST_NAMES = 200


@dataclass(frozen=True, slots=True)
class Completion:
    """What a typed path could become.

    Attributes:
        typed: The text it was looked up for.
        longest: The text with what all candidates have in common.
        names: The candidates; folders end in ``/``.
    """

    typed: str
    longest: str
    names: tuple[str, ...] = ()


def complete(typed: str, *, endings: Sequence[str] = ("",)) -> Completion:
    """Look up what a path could go on with; nothing where the folder cannot be read. For a thread.

    Args:
        typed: The path so far. Upper and lower case are one; where both are there, what is typed decides.
        endings: Files that may follow, by the end of their name; none = folders alone.
    """
    head, slash, begun = typed.rpartition("/")
    if typed in ("~", ".", ".."):
        return Completion(typed, f"{typed}/", (f"{typed}/",))
    folder = expanded(f"{head}{slash}" or ".")
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name.casefold()
                if not name.startswith(begun.casefold()) or (name.startswith(".") and not begun):
                    continue
                is_folder = entry.is_dir()
                if is_folder or name.endswith(tuple(endings)):
                    names.append(f"{entry.name}/" if is_folder else entry.name)
                if len(names) >= _MOST_NAMES:
                    break
    except (OSError, ValueError):  # ValueError: what was pasted can be no name
        return Completion(typed, typed)
    names.sort(key=str.casefold)
    return Completion(typed, f"{head}{slash}{_longest(begun, names)}", tuple(names))


def _longest(begun: str, names: Sequence[str]) -> str:
    """What was begun, with what all candidates have in common; those of another case only where there are no others."""
    fitting = [name for name in names if name.startswith(begun)]
    if fitting:
        return os.path.commonprefix(fitting)  # noqa: RUF071 - letters, as a shell completes
    if len(names) == 1:
        return names[0]
    shared = os.path.commonprefix([name.casefold() for name in names])  # noqa: RUF071
    return names[0][: len(shared)] if len(shared) > len(begun) else begun


class PathField(TellsFailures, Field):
    """A field whose text is a path."""

    # Files that may be typed, by the end of their name; none = folders alone.
    endings: ClassVar[tuple[str, ...]] = ("",)

    @dataclass
    class Looked(Message):
        """A folder was listed."""

        completion: Completion

    def on_mount(self) -> None:
        """Nothing is looked up yet."""
        self._completion: Completion | None = None
        self._waits_for_tab = False

    def is_found(self) -> bool:
        """Whether what is typed is what was looked for, so that tab goes on although it could be completed."""
        return False

    def put(self, value: str) -> None:
        """Type this text in place of the old one."""
        super().put(value)
        self._look()

    def watch_has_focus(self, has_focus: bool) -> None:
        """What could follow is looked up."""
        super().watch_has_focus(has_focus)
        if has_focus:
            self._look()

    def on_key(self, event: events.Key) -> None:
        """Tab completes where there is something to complete, else it goes on."""
        if event.key == "tab" and self._may_complete():
            event.stop()
            event.prevent_default()
            self._tab()
            return
        before = self.typed
        super().on_key(event)
        if self.typed != before:
            self._look()

    def _look(self) -> None:
        typed = self.typed
        if not typed:
            self._completion = None
            return

        def look() -> None:
            self.post_message(self.Looked(complete(typed, endings=self.endings)))

        self.run_worker(look, thread=True, exclusive=True, exit_on_error=False, group="completion")

    def _may_complete(self) -> bool:
        if not self.typed or self.typed.isspace() or self.is_found():
            return False
        known = self._completion
        if known is None or known.typed != self.typed:
            return True  # still being looked up: decided when it is known
        return known.longest != self.typed

    def _tab(self) -> None:
        known = self._completion
        if known is None or known.typed != self.typed:
            self._waits_for_tab = True
        elif known.longest != self.typed:
            self.put(known.longest)

    def on_path_field_looked(self, message: Looked) -> None:
        """Take what was found, unless something else was typed meanwhile."""
        message.stop()
        if message.completion.typed != self.typed:
            return
        self._completion = message.completion
        waits, self._waits_for_tab = self._waits_for_tab, False
        if waits and message.completion.longest != self.typed:
            self.put(message.completion.longest)
        elif waits and len(message.completion.names) <= 1:
            self.screen.focus_next()
        self.show()

    def candidates(self) -> Part:
        """What the text could become, for the line under the field; empty where there is no choice."""
        known = self._completion
        if not self.has_focus or known is None or known.typed != self.typed or len(known.names) < 2:
            return ""
        return join((shortened(known.names), MUTED))


def shortened(names: Sequence[str], length: int = 55) -> str:
    """Names side by side, as many as fit."""
    text = ""
    for index, name in enumerate(names):
        rest = len(names) - index
        tail = f"  and {rest} more"
        if text and len(text) + 2 + len(name) + (len(tail) if rest > 1 else 0) > length:
            return f"{text}{tail}"
        text = f"{text}  {name}" if text else name
    return text
