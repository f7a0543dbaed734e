"""What a scan found, as text of 80 columns: the numbers first, then everything that is worth a look, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from acestep_tui import format as fmt
from acestep_tui.headless.help import filled
from acestep_tui.headless.scan_report import LOW_RATE_HZ, Diagnosis
from acestep_tui.paths import shown
from acestep_tui.wizard.song_text import language_name
from engine.dataset.report import Problem, duration_words

_MAX_NAMED = 20
_BAR = 40
_COLUMN = 11
_LOOSE = 2  # spaces before a name


@dataclass(frozen=True, slots=True)
class _Group:
    """Problems that are said together: what of one song, what of several, what to do."""

    one: str
    many: str
    advice: str = ""


# In the order in which they are said. Codes that are not here stand together at the end.
_GROUPS: dict[str, _Group] = {
    "no_lyrics": _Group(
        "1 song has no lyrics and trains as an instrumental",
        "{n} songs have no lyrics and train as instrumentals",
        "The model learns their sound from them, not how words are sung, and needs more steps for it "
        "(max_train_steps). Add NAME.lyrics next to each, or name those without a voice in instrumental_files.",
    ),
    "duplicate": _Group(
        "1 song is there twice",
        "{n} songs are there more than once",
        "A song that is there twice is heard twice as often. Set repeats where that is meant.",
    ),
    "silent": _Group("1 song is silent", "{n} songs are silent", "They teach silence. Take them out."),
    "damaged": _Group(
        "1 song cannot be decoded in full", "{n} songs cannot be decoded in full", "Export or copy them again."
    ),
    "clipped": _Group(
        "1 song clips", "{n} songs clip", "The model learns the crackle with the music. Export them with less gain."
    ),
    "long_silence": _Group("1 song has a long silence", "{n} songs have a long silence", "Trim it, or leave it."),
    "caption_cut": _Group("1 caption is too long", "{n} captions are too long", "Shorten what is not heard anyway."),
    "lyrics": _Group("1 line or more of lyrics is not used", "Lyrics are not used in full: {n} notes"),
    "unknown_signs": _Group(
        "1 song has lyrics that the model cannot spell", "{n} songs have lyrics that the model cannot spell"
    ),
}
_SAME = {"empty_lyrics": "no_lyrics"}


def diagnosis_lines(found: Diagnosis) -> Iterator[str]:
    """The whole page."""
    yield f"{found.source.name}: {found.report.summary()}"
    yield ""
    if found.songs:
        yield from _numbers(found)
        yield ""
    for notice in found.source.notices:
        yield from filled(f"▲ {notice}", 0)
    yield from _problem_lines(found)
    yield from _ending(found)


def _numbers(found: Diagnosis) -> Iterator[str]:
    shortest = min(found.songs, key=lambda song: song.duration_s)
    longest = max(found.songs, key=lambda song: song.duration_s)
    lengths = f"{fmt.song_length(shortest.duration_s)} to {fmt.song_length(longest.duration_s)}"
    yield from _row("Length", f"{lengths}, half of them above {fmt.song_length(found.median_s)}")
    yield from _histogram(found)
    yield from _row("Shortest", shortest.relative_path)
    yield from _row("Longest", longest.relative_path)
    yield from _row("Format", _counted(found.counted("format")))
    yield from _row("Rate", _rate_words(found))
    yield from _row("Channels", _channel_words(found))
    yield from _row("Captions", _caption_words(found))
    yield from _row("Lyrics", _lyrics_words(found))
    for language in found.languages:
        name = language_name(language.language) or "unknown"
        share = 100 * language.num_unknown / language.num_tokens if language.num_tokens else 0.0
        unknown = f", {share:.1f} % unknown to the model" if language.num_unknown else ""
        yield f"  {name:<14} {fmt.plural(language.num_songs, 'song'):>10}  {language.num_tokens:>9,} tokens{unknown}"
    yield from _row("Sound", _sound_words(found))
    yield from _row("Prepared", _prepared_words(found))


def _row(name: str, words: str) -> list[str]:
    if not words:
        return []
    first, *others = filled(words, _COLUMN) or [""]
    return [f"{name:<{_COLUMN}}{first[_COLUMN:]}", *others]


def _histogram(found: Diagnosis) -> Iterator[str]:
    rows = found.histogram
    most = max(number for _, _, number in rows)
    for low, high, number in rows:
        to = f"to {fmt.song_length(high)}" if high is not None else "and more"
        bar = "━" * max(round(_BAR * number / most), 1 if number else 0)
        yield f"  {fmt.song_length(low):>5} {to:<9} {number:>6,}  {bar}".rstrip()


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {key}" for key, number in counts.items())


def _rate_words(found: Diagnosis) -> str:
    rates = found.counted("sample_rate")
    said = [f"{number:,} at {int(hertz) / 1000:g} kHz" for hertz, number in rates.items()]
    low = sum(song.sample_rate < LOW_RATE_HZ for song in found.songs)
    few = f"; {low:,} below {LOW_RATE_HZ // 1000} kHz, without the highs that the model hears" if low else ""
    return ", ".join(said) + few


def _channel_words(found: Diagnosis) -> str:
    names = {"1": "mono (heard on both sides)", "2": "stereo"}
    said = [
        f"{number:,} {names.get(key, f'with {key} channels, mixed down to stereo')}"
        for key, number in found.counted("num_channels").items()
    ]
    return ", ".join(said)


def _caption_words(found: Diagnosis) -> str:
    facts = found.captions
    numbers = sorted(facts.tokens.values())
    said = [f"{facts.num_distinct:,} different"]
    if facts.num_alternatives:
        said.append(f"{fmt.plural(facts.num_alternatives, 'song')} with several")
    about = "about " if facts.is_estimate else ""
    said.append(f"{about}{numbers[0]:,} to {numbers[-1]:,} tokens of {facts.max_tokens:,}")
    guess = " (estimated: the model's tokenizer is not on this computer)" if facts.is_estimate else ""
    return ", ".join(said) + guess


def _lyrics_words(found: Diagnosis) -> str:
    checks = [one.lyrics for one in found.checks if one.lyrics is not None]
    if not checks:
        return "no song has any"
    tokens = sum(one.num_tokens for one in checks)
    about = "about " if any(one.is_estimate for one in checks) else ""
    lines = fmt.plural(sum(one.num_lines for one in checks), "line")
    return f"{fmt.part_of(len(checks), len(found.songs))} songs, {lines}, {about}{tokens:,} tokens"


def _sound_words(found: Diagnosis) -> str:
    if found.depth == "quick":
        return "not heard (--quick)"
    heard = [one.heard for one in found.checks if one.heard is not None]
    if not heard:
        return ""
    if all(one.is_whole for one in heard):
        return "every song heard in full"
    total, parts = sum(one.duration_s for one in heard), sum(one.heard_s for one in heard)
    return (
        f"heard in parts, {duration_words(parts)} of {duration_words(total)}: beginning, end, and eight seconds "
        "between; --thorough hears everything"
    )


def _prepared_words(found: Diagnosis) -> str:
    if found.source.config.vae_cache_disable:
        return "songs are not kept (vae_cache_disable)"
    free = f"; {fmt.size(found.free_bytes)} are free in {shown(found.cache_folder)}" if found.free_bytes else ""
    features = fmt.size(found.prepared_bytes + found.features_bytes)
    return f"{fmt.size(found.prepared_bytes)}, with musical features {features}{free}"


def _problem_lines(found: Diagnosis) -> Iterator[str]:
    left_out = found.report.left_out
    if left_out:
        yield f"✗ {fmt.plural(len(left_out), 'song')} {'is' if len(left_out) == 1 else 'are'} left out"
        yield from _named([_without(one, "left out: ") for one in left_out])
    grouped: dict[str, list[Problem]] = {}
    out = set(left_out)
    for problem in found.problems:
        if problem not in out:
            grouped.setdefault(_SAME.get(problem.code, problem.code), []).append(problem)
    for code, group in _GROUPS.items():
        if problems := grouped.pop(code, []):
            yield from filled(f"▲ {group.one if len(problems) == 1 else group.many.format(n=f'{len(problems):,}')}", 0)
            if group.advice:
                yield from filled(group.advice, _LOOSE)
            yield from _named([(one.file, "" if _is_said(one) else one.reason) for one in problems])
    others = [one for problems in grouped.values() for one in problems]
    if others:
        yield f"▲ {fmt.plural(len(others), 'more thing')} to know"
        yield from _named([(one.file, one.reason) for one in others])


def _is_said(problem: Problem) -> bool:
    """Whether the headline of its group says everything: not of lyrics that are there and cannot be used."""
    return problem.code == "silent" or (problem.code == "no_lyrics" and problem.reason.startswith("no lyrics"))


def _without(problem: Problem, beginning: str) -> tuple[str, str]:
    return problem.file, problem.reason.removeprefix(beginning)


def _named(named: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, reason in named[:_MAX_NAMED]:
        yield from filled(f"{name}: {reason}" if reason else name, 2 * _LOOSE)
    if len(named) > _MAX_NAMED:
        yield f"{'':{2 * _LOOSE}}… and {len(named) - _MAX_NAMED:,} more; --json names all"


def _ending(found: Diagnosis) -> Iterator[str]:
    if found.lacks_room:
        need, free = fmt.size(found.prepared_bytes), fmt.size(found.free_bytes)
        told = f"▲ The prepared songs take {need}, but only {free} are free. Set cache_dir to another disk, or"
        yield from filled(f"{told} vae_cache_disable.", 0)
    if found.error:
        # The reasons stand above, song by song.
        yield from filled(f"✗ {found.error.splitlines()[0]}", 0)
        yield from filled(found.hint, _LOOSE) if found.hint else ()
    elif not found.problems and not found.lacks_room:
        yield "✓ nothing is wrong"
    took = f"Looked at in {fmt.duration(found.seconds)}."
    one = " What the model sees of one song: --show NAME" if found.songs else ""
    yield took + one
