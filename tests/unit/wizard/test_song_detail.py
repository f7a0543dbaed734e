"""One song in full: tokens, languages, use and what is good to know."""

from __future__ import annotations

import hashlib

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from acestep_tui.wizard.song_detail import find_duplicates, song_detail
from acestep_tui.wizard.song_text import read_caption, read_lyrics_text
from engine.contract.config import Config
from engine.dataset.doctor_duplicates import duplicate_problems
from engine.dataset.doctor_sound import sound_problems
from engine.dataset.sound_facts import SoundFacts
from engine.planning.disk import audio_entry_bytes
from tests.unit.wizard.song_rows import row, table

CONFIG = Config.from_dict({})


@pytest.fixture
def model(tmp_path):
    """A folder with a tokenizer of one token a word, and an end mark as UMT5's."""
    folder = tmp_path / "model" / "umt5-base"
    folder.mkdir(parents=True)
    vocabulary = {word: number for number, word in enumerate(["</s>", "<unk>", "dream", "pop", "female", "voice", ","])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    tokenizer.enable_truncation(4)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder.parent


def detail(one, *others, config=CONFIG, **more):
    songs = table(one, *others).usable()
    return song_detail(one, songs=songs, config=config, **more)


def test_a_caption_is_counted_with_the_models_own_tokenizer(model):
    caption = read_caption("dream pop, female voice", model_path=model, max_tokens=256)
    assert (caption.num_tokens, caption.cut_at) == (6, None)
    cut = read_caption("dream pop, female voice", model_path=model, max_tokens=4)
    assert cut.num_tokens == 6
    assert cut.text[: cut.cut_at] == "dream pop, "[: cut.cut_at]
    assert cut.text[cut.cut_at :] == "female voice"


def test_without_the_model_the_tokens_are_unknown(tmp_path):
    assert read_caption("dream pop", model_path=None, max_tokens=256).num_tokens is None
    assert read_caption("dream pop", model_path=tmp_path, max_tokens=256).num_tokens is None
    (tmp_path / "umt5-base").mkdir()
    (tmp_path / "umt5-base" / "tokenizer.json").write_text("{")
    assert read_caption("dream pop", model_path=tmp_path, max_tokens=256).num_tokens is None


def test_lyrics_are_read_line_by_line_as_the_model_does():
    from engine.lyrics.tokenizer import LyricTokenizer

    lyrics = "[verse]\n夜の港に 灯りがともる\nGoodbye, goodbye, harbour lights\n\n[chorus]\n泣かないで 船が出る前に"
    text = read_lyrics_text(lyrics)
    assert [(line.language, line.is_tag) for line in text.lines] == [
        ("", True), ("ja", False), ("en", False), ("", False), ("", True), ("ja", False),
    ]  # fmt: skip
    assert text.num_tokens == len(LyricTokenizer().encode(lyrics).ids)
    assert text.num_sung == 3
    assert text.summary() == f"3 lines, {text.num_tokens} tokens, Japanese"
    # Start, the lines' own tokens, and a mark at each line's end.
    assert text.num_tokens == 1 + sum(line.num_tokens + 1 for line in text.lines)


def test_signs_the_model_does_not_know_are_counted():
    text = read_lyrics_text("hello 𓀀 world")
    assert text.num_unknown >= 1
    assert text.lines[0].num_unknown == text.num_unknown


def test_no_lyrics_is_none():
    assert read_lyrics_text(None).summary() == "none"
    assert read_lyrics_text(" \n ").lines == ()


def test_other_languages_among_the_lines_are_said_to_be_fine():
    one = row(
        "11.flac", lyrics="夜の港に 灯りがともる\n君の声が 波にほどける\n泣かないで\nGoodbye, goodbye, harbour lights"
    )
    notes = detail(one).notes()
    assert ("ready", "Line 4 is English among Japanese. That is fine: every line is read in its own language.") in notes


def test_how_a_song_is_used(model):
    whole = row("a.flac", seconds=216)
    found = detail(whole, row("b.flac", seconds=216), config=CONFIG, num_steps=2000, model_path=model)
    assert found.length_words == "3:36, trained whole"
    assert found.group == "songs of 3:36 (2 songs)"
    assert found.prepared_bytes == audio_entry_bytes(216.0)
    assert found.heard == 1000
    assert found.caption.num_tokens == 6
    assert found.caption_source == "a.txt"
    assert detail(row("c.flac", seconds=250)).length_words == "4:10, cut at 4:00"
    several = row("d.flac", captions=("one", "two", "three"))
    assert detail(several).caption_source == "d.txt, 1 of 3 captions; one is drawn each time"


def test_pieces_and_songs_left_out():
    from engine.contract.backends import AudioBlock, LocalBackend

    backend = LocalBackend("songs", "/music", audio=AudioBlock(max_duration_s=60.0, long_clip="pieces"))
    assert detail(row("a.flac", seconds=200), backends=(backend,)).length_words == "3:20, in 3 pieces of 1 min"
    out = table(row("a.flac"), left_out=frozenset({"a.flac"}))
    found = song_detail(out.rows[0], songs=out.usable(), config=CONFIG)
    assert (found.length_words, found.group, found.heard) == ("3:20, left out", "", None)
    broken = song_detail(row("x.m4a", "unreadable", used=False), songs=(), config=CONFIG)
    assert (broken.length_words, broken.caption.text, broken.lyrics.summary()) == ("–", "", "none")


@pytest.mark.parametrize(
    ("peak", "clipped", "note"),
    [(0.9, 0.0, ""), (1.0, 0.009, ""), (1.0, 0.012, "clips 1.2 %"), (0.0001, 0.0, "silent")],
)
def test_listening_finds_what_headers_do_not_tell(peak, clipped, note):
    sound = SoundFacts(44_100, 2, 1.0, (peak,), peak, clipped, 0.0)
    problems = {("songs", "a.flac"): sound_problems("a.flac", sound)}
    assert table(row("a.flac")).with_problems(problems).visible()[0].note == note


def test_the_same_file_twice_is_named_and_files_of_other_size_are_not_read(tmp_path, monkeypatch):
    rows = []
    for name, content in (("a", b"same"), ("b", b"same"), ("c", b"diff"), ("d", b"longer")):
        path = tmp_path / f"{name}.flac"
        path.write_bytes(content)
        rows.append(row(f"{name}.flac", path=path, size_bytes=len(content)))
    hashed = []
    real = hashlib.sha256
    monkeypatch.setattr("hashlib.sha256", lambda *given: hashed.append(1) or real(*given))
    found = find_duplicates(rows, should_stop=lambda: False)
    assert found == {("songs", "b.flac"): "a.flac"}
    assert len(hashed) == 2  # the middle tells that c is another one
    shown = table(*rows).with_problems(duplicate_problems(found)).visible()
    assert [(one.glyph, one.note) for one in shown][:2] == [("✓", ""), ("▲", "the same as a.flac")]
    (tmp_path / "a.flac").unlink()
    assert find_duplicates(rows, should_stop=lambda: False) == {}
    assert find_duplicates(rows, should_stop=lambda: True) == {}
