"""Sentences of our own in every language; expected words come from the tables of spec 8.6 and from the language."""

import pytest

from engine.lyrics.languages import SUPPORTED, UnsupportedLanguageError
from engine.lyrics.normalize import normalize
from engine.lyrics.words import ABBREVIATIONS, SYMBOL_NAMES, SYMBOLS

SENTENCES = {
    "en": [
        ("Mrs. Lee & Dr. Who", "misess lee and doctor who"),
        ("the 3rd of 7 at 2.5%", "the third of seven at two point five percent"),
        (
            "$3 or £2.50 or 1,200€",
            "three dollars or two pounds sterling, fifty pence or one thousand, two hundred euro",
        ),
        ('"Say" it\tTWICE  now', "say it twice now"),
        ("St. John, Ft. Worth, drs. co.", "saint john, fort worth, doctors company"),
        ("5,25 and 1,2345", "five point two five and one point two three four five"),
    ],
    "es": [
        ("La Sra. Ruiz y el Dr. Sol", "la señora ruiz y el doctor sol"),
        ("el 2º de 1.500 es 5%", "el segundo de mil quinientos es cinco por ciento"),
        ("me debes 3,50€", "me debes tres euros con cincuenta céntimos"),
    ],
    "fr": [
        ("Mme. Roux & le 2e jour", "madame roux et le deuxième jour"),
        ("à 30° ou 5%", "à trente degrés ou cinq pour cent"),
        ("pour 2.000€ ou 1,50€", "pour deux mille euros ou un euro et cinquante centimes"),
    ],
    "de": [
        ("Fr. Öz & Dr. Groß", "frau öz und doktor groß"),
        ("am 5. mit 2.000 #1", "am fünfte mit zweitausend raute eins"),
        ("für 3,20€", "für drei Euro und zwanzig Cent"),
    ],
    "pt": [
        ("O Sr. Melo tem 2 cães", "o senhor melo tem dois cães"),
        ("a 1ª custa 7%", "a primeiro custa sete por cento"),
    ],
    "it": [
        ("Sig. Neri e il 3° uomo", "signore neri e il terzo uomo"),
        ("10.000 baci @ casa", "diecimila baci chiocciola casa"),
    ],
    "pl": [("P. Nowak & 3 koty", "pani nowak i trzy koty"), ("100% i 2,5", "sto procent i dwa przecinek pięć")],
    "cs": [
        ("Ing. Malý má 3 psy", "inženýr malý má 3 psy"),
        ("1.500 & 2. kolo za 5€", "1.500 a 2. kolo za 5€"),
    ],
    "ru": [("Д-р Чехов и 3 сестры", "доктор чехов и три сестры"), ("1-й из 1,000 №", "первый из одна тысяча №")],
    "nl": [("Mevr. Bos is 30", "mevrouw bos is dertig"), ("de 2de keer, 5%", "de tweede keer, vijf procent")],
    "ar": [("عندي 3 & 5%", "عندي ثلاثة و خمسة في المئة")],
    "tr": [
        ("Dr. ÖZGÜR 7 IRMAK", "doktor özgür yedi irmak"),
        ("İSTANBUL %50", "istanbul yüzde elli"),
    ],
    "hu": [("Dr. Kis és 3 b. úr", "doktor kis és három bácsi úr"), ("5% & 2,5", "öt százalék és kettő egész öt tized")],
    "ko": [("밤 & 낮", "bam geuligo naj"), ("나는 3", "naneun sam")],
    "zh": [
        ("我和你", "wo3he2ni3"),
        ("“好”（A）B·C", ",hao3,,a,b,c"),
        ("20°的水", "er4shi2 du4 de5shui3"),
        ("英文ABC和123", "ying1wen2abche2yi1bai3er4shi2san1"),
        ("天\u3000地", "tian1 di4"),
    ],
    "ja": [("海へ行きました", "umi e ikimashita"), ("タワー", "tower"), ("ABC", "abc")],
    "hi": [("मेरा  घर 5", "मेरा घर 5"), ("LOVE  है", "love है")],
}


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [(language, text, expected) for language, cases in SENTENCES.items() for text, expected in cases],
)
def test_sentences(language: str, text: str, expected: str) -> None:
    assert normalize(text, language) == expected


def test_every_supported_language_has_a_sentence() -> None:
    assert set(SENTENCES) == set(SUPPORTED)


@pytest.mark.parametrize("language", sorted(ABBREVIATIONS))
def test_every_abbreviation_is_written_out(language: str) -> None:
    dot = "" if language == "ru" else "."
    for short, long in ABBREVIATIONS[language].items():
        assert normalize(f"la {short.upper()}{dot} la", language) == f"la {long} la"


@pytest.mark.parametrize("language", sorted(set(SYMBOL_NAMES) - {"zh", "ko"}))
def test_every_symbol_is_named(language: str) -> None:
    # Alone, without a digit that would make money of it. Chinese turns most of them into commas first.
    for symbol, name in zip(SYMBOLS, SYMBOL_NAMES[language], strict=True):
        assert normalize(f"a{symbol}b", language) == f"a {name} b"


def test_an_amount_that_cannot_be_read_ends_the_money_step_alone() -> None:
    # Two dots are no number: the dollars stay signs, the digits are still read one run at a time.
    assert normalize("$1.2.3 & 4", "en") == "dollar one point two.three and four"


def test_money_that_num2words_does_not_know_keeps_its_sign() -> None:
    assert normalize("5$", "tr") == "beş dolar"


def test_a_step_that_fails_leaves_the_text_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str, *, language: str) -> str:
        raise ValueError(text)

    monkeypatch.setattr("engine.lyrics.normalize.expand_numbers", fail)
    assert normalize("Mr. 5 & 6", "en") == "mister 5 and 6"


def test_other_languages_are_refused() -> None:
    with pytest.raises(UnsupportedLanguageError, match="gl"):
        normalize("a lúa", "gl")
