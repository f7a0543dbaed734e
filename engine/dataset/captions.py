"""Captions of a song: the words a user would type to get it (spec config-formats.md 2.3)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.caption_filter import filtered
from engine.dataset.caption_shuffle import shuffled
from engine.dataset.report import Problem
from engine.dataset.text_file import NotTextError, read_text, short_name

if TYPE_CHECKING:
    from engine.contract.backends import LocalBackend

_NEWLINES = re.compile(r"\r\n|\r|\n")


def read_captions(
    path: Path, song: str, backend: LocalBackend, *, own: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], list[Problem]]:
    """Alternative captions of one song, by the backend's `caption_strategy`; none when the song must be left out.

    Its tags are shuffled and words taken out as the backend says; an instance prompt in front stays in front.

    Args:
        path: The audio file.
        song: Its relative path, for problems.
        backend: Strategy, instance prompt, shuffling and filters.
        own: What the row of a hub data set says, for strategy `huggingface`.

    Returns:
        Captions, and the problems met; without captions the last problem is the error that says why.
    """
    filters = backend.text_embeds.caption_filters
    prompts = tuple(filter(None, (filtered(prompt, filters) for prompt in backend.instance_prompt or ())))
    if backend.only_instance_prompt or backend.caption_strategy == "instanceprompt":
        return prompts, [] if prompts else [_filtered_away(song)]
    captions, problems = _written(path, song, backend, own)
    kept = tuple(dict.fromkeys(filter(None, (filtered(caption, filters) for caption in captions))))
    if captions and not kept:
        problems = [*problems, _filtered_away(song)]
    captions = shuffled(kept, backend.caption_shuffle)
    if backend.prepend_instance_prompt and prompts:
        captions = tuple(f"{prompt} {caption}" for prompt in prompts for caption in captions)
    return captions, problems


def _written(
    path: Path, song: str, backend: LocalBackend, own: tuple[str, ...]
) -> tuple[tuple[str, ...], list[Problem]]:
    """The song's captions as they stand in its text file, its name or its row."""
    if backend.caption_strategy == "huggingface":
        return own, [] if own else [_left_out(song, "no_caption", "its row has no caption")]
    if backend.caption_strategy == "filename":
        captions: tuple[str, ...] = tuple(filter(None, [path.stem.replace("_", " ").strip()]))
        return captions, [] if captions else [
            _left_out(song, "no_caption", "its file name holds no words for a caption")
        ]
    return _from_text_file(path, song, keep_lines=backend.disable_multiline_split)


def _filtered_away(song: str) -> Problem:
    return _left_out(song, "empty_caption", "caption_filter_list leaves nothing of its caption")


def caption_file(path: Path) -> Path:
    """The caption file of strategy `textfile`: same stem, `.txt`."""
    return path.with_suffix(".txt")


def _from_text_file(path: Path, song: str, *, keep_lines: bool) -> tuple[tuple[str, ...], list[Problem]]:
    text_path = caption_file(path)
    try:
        text, problems = read_text(text_path, song, "caption")
    except FileNotFoundError:
        return (), [_left_out(song, "no_caption", f"no caption, add {short_name(text_path)} next to it")]
    except OSError as error:
        reason = f"caption {short_name(text_path)} cannot be read, {(error.strerror or str(error)).lower()}"
        return (), [_left_out(song, "no_caption", reason)]
    except NotTextError as error:
        return (), [_left_out(song, "no_caption", f"caption {short_name(text_path)} is {error}")]
    lines = [line.strip() for line in _NEWLINES.split(text)]
    captions = ("\n".join(lines).strip(),) if keep_lines else tuple(lines)
    captions = tuple(filter(None, captions))
    if not captions:
        problems.append(_left_out(song, "empty_caption", f"empty caption, write one into {short_name(text_path)}"))
    return captions, problems


def _left_out(song: str, code: str, reason: str) -> Problem:
    return Problem(song, "error", code, f"left out: {reason}")
