"""The table of songs: what its rows say, what is counted, what is said below, and what marks change."""

from __future__ import annotations

import pytest

from acestep_tui.wizard.song_messages import long_songs, messages, nothing_usable, song_facts
from acestep_tui.wizard.songs import sung_lines, total_words
from engine.dataset.report import Problem
from tests.unit.wizard.song_rows import night_ferry, row, table


def columns(shown):
    return [(one.glyph, one.row.file_name, one.length, one.lyrics, one.language, one.note) for one in shown]


def texts(songs):
    return [message.text for message in messages(songs)]


def test_rows_read_as_the_mock_ups():
    assert columns(night_ferry().visible()) == [
        ("✓", "01 Night Ferry.flac", "3:52", "34 lines", "en", ""),
        ("✓", "02 Harbour Lights.flac", "4:10", "28 lines", "en", "cut at 4:00"),
        ("▲", "04 Paper Lanterns.flac", "3:58", "none", "", "no lyrics file"),
        ("✓", "10 Åland.flac", "3:49", "33 lines", "sv", ""),
        ("✗", "13 Lighthouse demo.m4a", "–", "–", "", "cannot be read"),
        ("▲", "14 Cold Harbour.flac", "4:00", "none", "", "no lyrics file"),
    ]


def test_the_line_above_counts_as_the_mock_ups():
    counts = night_ferry().counts()
    assert [text for _, text in counts.words()] == ["✓ 3 ready", "▲ 2 no lyrics", "✗ 1 unreadable"]
    assert total_words(counts) == "6 songs  19 min 49 s"
    assert counts.num_usable == 5


def test_what_is_said_below_names_files_consequence_and_key():
    assert texts(night_ferry()) == [
        (
            "2 songs have no lyrics. They train as instrumentals, so the voice in them is learned as an instrument. "
            "Add 04 Paper Lanterns.lyrics "
            "and 14 Cold Harbour.lyrics next to the songs, or press i if they have no voice."
        ),
        "13 Lighthouse demo.m4a is left out: the file is damaged after 0.4 s.",
    ]
    assert messages(night_ferry())[1].cure == "Export it again from your editor."
    assert long_songs(night_ferry()) == "1 song is longer than 4:00 and will be cut there"


def test_marks_change_rows_counts_and_sentences_without_another_scan():
    songs = night_ferry().marked(left_out={"13 Lighthouse demo.m4a"}, no_voice={"04 Paper Lanterns.flac"})
    shown = {one.row.file_name: one for one in songs.visible()}
    assert (shown["04 Paper Lanterns.flac"].glyph, shown["04 Paper Lanterns.flac"].lyrics) == ("✓", "instrumental")
    lighthouse = shown["13 Lighthouse demo.m4a"]
    assert (lighthouse.state, lighthouse.glyph, lighthouse.note) == ("left out", "○", "left out")
    assert [text for _, text in songs.counts().words()] == ["✓ 4 ready", "▲ 1 no lyrics", "○ 1 left out"]
    assert len(texts(songs)) == 1
    assert texts(songs)[0].startswith("1 song has no lyrics. It trains as an instrumental")


def test_a_song_without_voice_is_trained_without_its_lyrics():
    songs = table(row("a.flac"), row("b.flac"), no_voice=frozenset({"a.flac"}), left_out=frozenset({"b.flac"}))
    assert [(song.relative_path, song.lyrics) for song in songs.usable()] == [("a.flac", None)]


def test_no_song_with_lyrics_asks_for_the_goal():
    songs = table(row("a.flac", "no_lyrics"), row("b.flac", "no_lyrics"))
    assert texts(songs)[0].startswith("No song has lyrics. If this is instrumental music, choose that goal in step 4.")
    assert texts(table(*songs.rows, goal="instrumental")) == []
    assert {one.lyrics for one in table(*songs.rows, goal="instrumental").visible()} == {"instrumental"}


def test_lyrics_are_used_whatever_the_goal_and_that_is_said():
    songs = table(row("a.flac"), row("b.flac", "no_lyrics"), goal="instrumental")
    assert songs.show(songs.rows[0]).lyrics == "2 lines"
    assert texts(songs) == ["1 song has lyrics, and the lyrics are used. Press i on it if not."]


def test_many_missing_lyrics_are_counted_not_listed():
    songs = table(row("z.flac"), *(row(f"{number}.flac", "no_lyrics") for number in range(9)))
    assert "Add 0.lyrics, 1.lyrics and 7 more next to the songs" in texts(songs)[0]


def test_pieces_without_times_lose_their_words_and_that_is_said():
    songs = table(
        row("a.flac", seconds=200), row("b.flac", seconds=200, timed=True), row("c.flac", seconds=50),
        longest_s=60.0, in_pieces=True,
    )  # fmt: skip
    assert texts(songs)[0].startswith("1 song trains without words: in pieces of 1 min nobody knows which lines")
    assert "[mm:ss]" in messages(songs)[0].cure
    assert long_songs(songs) == "2 songs are longer than 1:00 and will be used in pieces"
    assert {one.note for one in songs.visible()} == {"in pieces", ""}


def test_songs_without_caption_are_said_together():
    songs = table(row("a.flac"), row("b.flac", "no_caption", used=False), row("c.flac", "empty_caption", used=False))
    assert texts(songs) == ["2 songs have no caption and are set aside."]
    assert "captions from file names" in messages(songs)[0].cure
    assert [text for _, text in songs.counts().words()] == ["✓ 1 ready", "✗ 2 without caption"]


def test_many_unreadable_files_are_not_all_listed():
    songs = table(row("a.flac"), *(row(f"{number}.m4a", "unreadable", used=False) for number in range(5)))
    assert len(texts(songs)) == 3
    assert texts(songs)[-1] == "3 more files cannot be used; ! shows them first."


def test_nothing_usable_lists_the_reasons():
    songs = table(*(row(f"{number}.flac", "no_caption", used=False) for number in range(24)))
    assert nothing_usable(songs) == (
        "None of the 24 files can be used, so nothing starts. 24 have no caption: put a .txt with the same name next "
        "to each song, or set “captions from file names” in More settings (^t)."
    )
    assert nothing_usable(night_ferry()) == ""
    assert nothing_usable(table()) == ""
    alone = table(row("a.flac"), left_out=frozenset({"a.flac"}))
    assert nothing_usable(alone) == (
        "The one file cannot be used, so nothing starts. 1 is left out by you: take some back with space."
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("lyrics none", ["04 Paper Lanterns.flac", "14 Cold Harbour.flac"]),
        ("SV", ["10 Åland.flac"]),
        ("harbour cut", ["02 Harbour Lights.flac"]),
        ("cannot", ["13 Lighthouse demo.m4a"]),
        ("3:52", ["01 Night Ferry.flac"]),
        ("nothing like it", []),
    ],
)
def test_the_filter_looks_at_every_column(text, names):
    assert [one.row.file_name for one in night_ferry().visible(text=text)] == names


def test_problems_come_first_when_asked():
    states = [one.state for one in night_ferry().visible(problems_first=True)]
    assert states == ["error", "warning", "warning", "ready", "ready", "ready"]


def test_what_is_heard_later_joins_the_problems():
    key = ("songs", "01 Night Ferry.flac")
    found = {key: (Problem(key[1], "warning", "clipped", "clips 1.2 %"),)}
    songs = night_ferry().with_problems(found)
    assert (songs.show(songs.rows[0]).state, songs.show(songs.rows[0]).note) == ("warning", "clips 1.2 %")
    assert songs.with_problems(found).rows[0].problems == songs.rows[0].problems


def test_the_worst_problem_is_the_note():
    assert table(row("a.flac", "encoding", "no_lyrics")).visible()[0].note == "no lyrics file"
    assert table(row("a.flac", "long_clip", "encoding", seconds=250)).visible()[0].note == "not UTF-8"
    assert table(row("a.flac", "something_new")).visible()[0].note == "something new"


def test_languages_come_when_they_are_known():
    songs = night_ferry().with_languages({("songs", "01 Night Ferry.flac"): "ja"})
    assert songs.visible()[0].language == "ja"
    assert songs.visible()[1].language == "en"


def test_facts_for_the_review():
    facts = song_facts(night_ferry(left_out=frozenset({"10 Åland.flac"})))
    assert (facts.num_files, facts.num_usable, facts.num_left_out) == (6, 4, 2)
    assert facts.without_lyrics == ("04 Paper Lanterns.flac", "14 Cold Harbour.flac")
    assert facts.unusable == (("13 Lighthouse demo.m4a", "the file is damaged after 0.4 s"),)


def test_only_sung_lines_count():
    assert sung_lines("[verse]\none\n\n  two  \n[chorus: loud]\nand [not] a tag") == ["one", "two", "and [not] a tag"]
    assert table(row("a.flac", lyrics="[instrumental]")).visible()[0].lyrics == "instrumental"


def test_a_thousand_songs_are_shown_at_once():
    import time

    songs = table(*(row(f"{number:04}.flac", *(["no_lyrics"] if number % 7 == 0 else [])) for number in range(1000)))
    songs.visible()
    begun = time.process_time()
    songs.visible(text="lyrics none", problems_first=True)
    songs.counts()
    messages(songs)
    assert time.process_time() - begun < 0.2
