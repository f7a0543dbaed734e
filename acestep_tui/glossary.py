"""The words of the screens, each in one plain line; docs/glossary.md says more."""

from __future__ import annotations

WORDS: tuple[tuple[str, str], ...] = (
    ("step", "one small change to the LoRA, made from one or a few songs"),
    ("loss", "how far the model is from your songs; lower is closer"),
    ("held-out loss", "the same on a song kept aside; rising means memorising"),
    ("LoRA", "a small add-on file that teaches the model something new"),
    ("rank", "how much a LoRA can learn; more also copies sooner"),
    ("pass", "every song heard once (an epoch)"),
    ("gradient size", "how strongly a step pulls; big jumps mean trouble"),
    ("GPU memory", "where training happens; when full, smaller bites are taken"),
    ("recomputing", "forget and work out again, to save memory (gradient checkpointing)"),
    ("int8, int4", "the model stored with fewer digits, so it is smaller"),
    ("seed", "the number that makes a test clip come out the same every time"),
    ("save point", "everything needed to go on from that step (a checkpoint)"),
    ("prepared songs", "songs turned into numbers once and kept (the cache)"),
)
# Only on the page of all screens.
MORE_WORDS: tuple[tuple[str, str], ...] = (
    ("learning rate", "how big each change is"),
    ("bf16, fp16", "short forms of numbers: half the memory of full ones"),
    ("draft", "a set-up you have not started yet; it is kept for you"),
    ("preset", "a file with settings to start from, the same as config.json"),
)

SHELL: tuple[tuple[str, str], ...] = (
    ("acestep-tui attach", "open the newest run here"),
    ("acestep-tui attach --plain", "the same as lines of text, for logs and screen readers"),
    ("acestep-tui runs", "list runs"),
    ("acestep-tui save | sample | pause | stop [RUN]", "tell a run what to do"),
)
