"""Keys reach the widget that has the focus when their turn comes, however quickly they were typed.

Textual hands every key to whatever has the focus at that moment, while the keys before it still travel up the tree to
the binding that may move the focus: on a busy computer, or after a pause of the line, `tab 1 2` would type the 12 into
the field that tab was to leave. Here each key waits until the one before it has been answered.
"""

from __future__ import annotations

from collections import deque
from time import monotonic

from textual import events
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump

# A key whose answer takes longer than this no longer holds back those after it.
PATIENCE_S = 1.0
# How often keys that wait look whether the one before them can still be answered.
_LOOK_S = 0.05
# The way from the focused widget up to the app is taken twice: behind the key, then behind what its binding posted.
_NUM_ROUNDS = 2


class KeyPassed(Message):
    """Travels behind a key; at the app it tells that everything before it has been answered."""

    def __init__(self, key: Typed, rounds_left: int) -> None:
        super().__init__()
        self.key, self.rounds_left = key, rounds_left


class Typed:
    """A key or a pasted text on its way."""

    def __init__(self, event: events.Key | events.Paste) -> None:
        self.event = event
        self.target: MessagePump | None = None
        self.since = monotonic()

    def is_lost(self) -> bool:
        """Whether no answer is to be waited for: its widget went away with the messenger, or is busy for too long."""
        return self.target is None or not self.target.is_attached or monotonic() - self.since > PATIENCE_S


class KeysInOrder(App[list[str]]):
    """An app that answers one key after the other."""

    _under_way: Typed | None = None

    def _waiting_keys(self) -> deque[Typed]:
        # Made at first use: keys can arrive before the app is all there.
        if "_waiting" not in self.__dict__:
            self._waiting: deque[Typed] = deque()
        return self._waiting

    async def on_event(self, event: events.Event) -> None:
        """Take a key when its turn has come, everything else at once."""
        if not isinstance(event, (events.Key, events.Paste)) or event.is_forwarded:
            await super().on_event(event)
            return
        self._waiting_keys().append(Typed(event))
        await self._answer_when_due()

    async def _answer_when_due(self) -> None:
        if self._under_way is None or self._under_way.is_lost():
            await self._answer_next()
        elif self._waiting_keys():
            self.set_timer(_LOOK_S, self._answer_when_due)

    async def _answer_next(self) -> None:
        waiting = self._waiting_keys()
        self._under_way = None
        while waiting and self._under_way is None:
            self._under_way = typed = waiting.popleft()
            typed.target, typed.since = self.focused or self.screen, monotonic()
            await super().on_event(typed.event)
            self._send_behind(typed, _NUM_ROUNDS)

    def _send_behind(self, typed: Typed, rounds_left: int) -> None:
        """Send the messenger; a target that has gone meanwhile has nothing left to answer."""
        if typed.target is None or not typed.target.post_message(KeyPassed(typed, rounds_left)):
            self._under_way = None

    async def on_key_passed(self, message: KeyPassed) -> None:
        """The messenger is back."""
        message.stop()
        if message.key is not self._under_way:
            return
        if message.rounds_left > 1:
            self._send_behind(message.key, message.rounds_left - 1)
        else:
            self._under_way = None
        if self._under_way is None:
            await self._answer_next()
