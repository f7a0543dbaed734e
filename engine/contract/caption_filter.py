"""What is taken out of captions: ``caption_filter_list`` of a text_embeds entry (config-formats.md 2.1)."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.contract.paths import expanded
from engine.contract.validate import Findings, shown

_ACCEPTED = "texts, regular expressions, s/find/replace/, in a list or in a .txt or .json file"
# An entry with one of these is a regular expression; other signs (brackets, a full stop) stand in plain words too.
_REGEX = re.compile(r"[\\^$|\[\]]|\.[*+?]|\(\?|\)[*+?]|\{\d")
_SPACES, _COMMAS = re.compile(r"[ \t]+"), re.compile(r"(?:[ \t]*,){2,}")

Change = Callable[[str], str]


def read_filters(written: Any, where: str, base_dir: Path, findings: Findings) -> tuple[str, ...]:
    """The entries of a list or of a file with one a line (.txt) or a JSON list; every bad one is an error.

    Args:
        written: A path, or the entries.
        where: What error lines begin with.
        base_dir: Where a relative path starts.
        findings: Takes the errors.
    """
    if written is None:
        return ()
    place = f"{where}: caption_filter_list"
    try:
        entries = _from_file(base_dir / expanded(written)) if isinstance(written, str) else list(written)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        findings.errors.append(f"{place} = {shown(written)}: cannot be read: {reason}. Accepted: {_ACCEPTED}.")
        return ()
    kept = []
    for entry in entries:
        if not isinstance(entry, str):
            findings.errors.append(f"{place}: {shown(entry)}: not a text. Accepted: {_ACCEPTED}.")
        elif entry.strip():
            try:
                _compiled(entry)
            except (re.error, ValueError, OverflowError, RecursionError) as error:
                findings.errors.append(f"{place}: {shown(entry)}: {error}. Accepted: {_ACCEPTED}.")
            else:
                kept.append(entry)
    return tuple(kept)


def _from_file(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() != ".json":
        return text.splitlines()
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError("it holds no list")
    return entries


def filtered(caption: str, filters: Sequence[str]) -> str:
    """A caption without what the filters take out; spaces and commas left behind go too. Empty if nothing is left."""
    if not filters:
        return caption
    changed = caption
    for entry in filters:
        changed = _compiled(entry)(changed)
    if changed == caption:
        return caption
    return _COMMAS.sub(",", _SPACES.sub(" ", changed)).strip(" \t\n,")


@functools.lru_cache(maxsize=1024)
def _compiled(entry: str) -> Change:
    """What one entry does to a caption.

    Raises:
        ValueError, re.error: It is no regular expression, or names a group that is not there.
    """
    if entry.startswith("s/"):
        parts = re.split(r"(?<!\\)/", entry[2:])
        if len(parts) not in (2, 3) or not parts[0] or (len(parts) == 3 and parts[2].strip()):
            raise ValueError("not of the form s/find/replace/")
        find, replacement = re.compile(parts[0].replace("\\/", "/")), parts[1].replace("\\/", "/")
        # A reference to a group that is not there would only be found at the first caption that matches.
        find.sub(replacement, "")
        return functools.partial(find.sub, replacement)
    if _REGEX.search(entry):
        return functools.partial(re.compile(entry).sub, "")
    return lambda caption: caption.replace(entry, "")
