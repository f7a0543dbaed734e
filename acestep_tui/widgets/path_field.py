"""A field for a path: tab completes as a shell does. Folders are listed in a thread, since a disk may be slow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

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


def complete(typed: str, *, only_folders: bool = False) -> Completion:
    """Look up what a path could go on with; nothing where the folder cannot be read. For a thread."""
    head, slash, begun = typed.rpartition("/")
    if typed in ("~", ".", ".."):
        return Completion(typed, f"{typed}/", (f"{typed}/",))
    folder = expanded(f"{head}{slash}" or ".")
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(begun) or (entry.name.startswith(".") and not begun):
                    continue
                is_folder = entry.is_dir()
                if is_folder or not only_folders:
                    names.append(f"{entry.name}/" if is_folder else entry.name)
                if len(names) >= _MOST_NAMES:
                    break
    except (OSError, ValueError):  # ValueError: what was pasted can be no name
        return Completion(typed, typed)
    names.sort(key=str.casefold)
    shared = os.path.commonprefix(names) if names else begun  # noqa: RUF071 - letters, as a shell completes
    return Completion(typed, f"{head}{slash}{shared}", tuple(names))


class PathField(TellsFailures, Field):
    """A field whose text is a path."""

    only_folders = False

    @dataclass
    class Looked(Message):
        """A folder was listed."""

        completion: Completion

    def on_mount(self) -> None:
        """Nothing is looked up yet."""
        self._completion: Completion | None = None
        self._waits_for_tab = False

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
            self.post_message(self.Looked(complete(typed, only_folders=self.only_folders)))

        self.run_worker(look, thread=True, exclusive=True, exit_on_error=False, group="completion")

    def _may_complete(self) -> bool:
        if not self.typed or self.typed.isspace():
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
