import pytest

from engine.lyrics.script import SongContext

SPANISH_SONG = """[verse]
La luna brilla sobre el mar azul
¡Ay, corazón!
Oh yeah
Every night I am dreaming about you
"""


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("我在等你", "zh"),
        ("さよなら", "ja"),
        ("東京タワー", "ja"),
        ("사랑해", "ko"),
        ("Привіт, мамо", "ru"),
        ("يا ليل", "ar"),
        ("मेरा दिल", "hi"),
        ("รักเธอ", "th"),
        ("我爱 you forever and ever and ever", "zh"),  # only the Chinese normaliser can spell 我爱
        ("사랑 is all we need", "ko"),
        ("Это the only love that I will ever know", "en"),  # most letters are Latin
        ("12 34", "en"),
        ("❤ heart on fire 🔥", "en"),
        ("Ich gehe durch die leere Stadt bei Nacht", "de"),
        ("Miluji tě víc než včera", "cs"),
        ("Kocham cię jak nigdy dotąd, moja miła", "pl"),
    ],
)
def test_a_line_alone(line: str, language: str) -> None:
    assert SongContext(line).detect(line) == language


def test_short_latin_lines_take_the_language_of_their_song() -> None:
    song = SongContext(SPANISH_SONG)
    assert song.detect("¡Ay, corazón!") == "es"
    assert song.detect("Oh yeah") == "es"
    assert song.detect("Every night I am dreaming about you") == "en"


def test_han_lines_are_japanese_in_a_song_with_kana() -> None:
    assert SongContext("夜空に星\n永遠").detect("永遠") == "ja"
    assert SongContext("星空\n永遠").detect("永遠") == "zh"


def test_structure_tags_do_not_speak_for_the_song() -> None:
    lyrics = "[instrumental introduction with a soft piano]\nTa main\n"
    assert SongContext(lyrics).detect("La pluie de Paris tombe sur la ville") == "fr"
