"""Captions with their tags in other orders, and without the words that are to be left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.backends import CaptionShuffle, LocalBackend, TextEmbeds
from engine.contract.caption_filter import filtered
from engine.dataset.caption_shuffle import shuffled
from engine.dataset.captions import read_captions

TAGS = "piano, calm, night, rain"


def test_a_caption_and_its_variants_are_the_same_every_time():
    variants = shuffled((TAGS,), CaptionShuffle(count=3, seed=7))
    assert variants == shuffled((TAGS,), CaptionShuffle(count=3, seed=7))
    assert variants[0] == TAGS and len(set(variants)) == 4
    assert all(sorted(one.split(", ")) == sorted(TAGS.split(", ")) for one in variants)
    assert variants != shuffled((TAGS,), CaptionShuffle(count=3, seed=8))


@pytest.mark.parametrize(
    ("split_on", "caption", "join"),
    [("comma", "a, b,c", ", "), ("space", "a b  c", " "), ("period", "a. b. c.", ". ")],
)
def test_what_stands_between_the_tags(split_on, caption, join):
    found = shuffled((caption,), CaptionShuffle(count=50, split_on=split_on, include_original=False))
    assert {tuple(one.split(join)) for one in found} <= {
        tuple(order) for order in (("a", "c", "b"), ("b", "a", "c"), ("b", "c", "a"), ("c", "a", "b"), ("c", "b", "a"))
    }
    assert len(found) == 5, "every other order of three tags, each once"


def test_the_first_tags_stay_in_front():
    for one in shuffled((TAGS,), CaptionShuffle(count=5, position_start=2)):
        assert one.startswith("piano, calm, ")
    # Nothing is left to shuffle: the caption stays.
    assert shuffled((TAGS,), CaptionShuffle(position_start=3, include_original=False)) == (TAGS,)
    assert shuffled(("one tag",), CaptionShuffle(include_original=False)) == ("one tag",)


def test_off_is_off():
    assert shuffled((TAGS, "x"), None) == (TAGS, "x")


@pytest.mark.parametrize(
    ("entries", "caption", "left"),
    [
        (["live"], "rock, live, loud", "rock, loud"),
        (["(live)"], "rock (live)", "rock"),
        (["a.m."], "3 a.m. blues", "3 blues"),
        ([r"\d+ bpm"], "120 bpm, techno", "techno"),
        (["^by .*: "], "by someone: a song", "a song"),
        (["s/guitar/violin/"], "a guitar", "a violin"),
        ([r"s/(\w+) rock/\1 pop"], "hard rock", "hard pop"),
        ([r"s/a\/b/c/"], "a/b", "c"),
        (["rock", "pop"], "rock pop", ""),
        ([], "  as it is ,, ", "  as it is ,, "),
        (["absent"], "as it is ,, ", "as it is ,, "),
    ],
)
def test_what_filters_take_out(entries, caption, left):
    assert filtered(caption, tuple(entries)) == left


def backend(*filters: str, **values: object) -> LocalBackend:
    return LocalBackend("x", "/music", text_embeds=TextEmbeds(caption_filters=filters), **values)


def test_a_song_whose_caption_is_filtered_away_is_left_out():
    captions, [problem] = read_captions(
        Path("some_rock.mp3"), "some_rock.mp3", backend("some rock", caption_strategy="filename")
    )
    assert captions == ()
    assert (problem.code, problem.reason) == (
        "empty_caption",
        "left out: caption_filter_list leaves nothing of its caption",
    )


def test_filters_shuffling_and_a_prompt_in_front_come_in_this_order():
    shuffle = CaptionShuffle(count=1, include_original=False)
    one = backend(
        "live",
        caption_strategy="huggingface",
        caption_shuffle=shuffle,
        instance_prompt=("by X",),
        prepend_instance_prompt=True,
    )
    captions, problems = read_captions(Path("a.mp3"), "a.mp3", one, own=("a, live, b",))
    assert (captions, problems) == (("by X b, a",), [])


@pytest.mark.parametrize(
    ("strategy", "captions"),
    [
        ("textfile", ("one", "two")),
        ("filename", ("my song",)),
        ("instanceprompt", ("for all",)),
        ("huggingface", ("of the row",)),
    ],
)
def test_every_strategy(tmp_path, strategy, captions):
    (tmp_path / "my_song.txt").write_text("one\n\ntwo\n")
    one = backend(caption_strategy=strategy, instance_prompt=("for all",))
    assert read_captions(tmp_path / "my_song.mp3", "my_song.mp3", one, own=("of the row",)) == (captions, [])
