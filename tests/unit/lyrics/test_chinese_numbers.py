from collections.abc import Callable

import pytest

from engine.lyrics.chinese_numbers import cardinal, read_chinese_numbers, spell_digits
from engine.lyrics.markup import read_currency, read_date, read_number, read_telephone


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("0", "零"),
        ("2", "二"),
        ("10", "十"),
        ("12", "十二"),
        ("20", "二十"),
        ("22", "二十二"),
        ("105", "一百零五"),
        ("110", "一百一十"),
        ("200", "两百"),
        ("222", "两百二十二"),
        ("1001", "一千零一"),
        ("2002", "两千零二"),
        ("12000", "一万两千"),
        ("22000", "两万两千"),
        ("120000", "十二万"),
        ("200000000", "两亿"),
        ("3.14", "三点一四"),
        ("2.5", "二点五"),
        ("0.5", "零点五"),
        ("00.5", "零点五"),
        ("007", "零七"),
    ],
)
def test_cardinals(number: str, words: str) -> None:
    assert cardinal(number) == words


def test_digits() -> None:
    assert spell_digits("2024") == "二零二四"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("在2024年5月12日", "在二零二四年五月十二日"),
        ("98年", "九八年"),
        ("1850年", "一千八百五十年"),  # no year of our time: a count of years
        ("12月25号", "十二月二十五号"),
        ("2000元", "两千元"),
        ("3块5", "三块五"),
        ("三万5000块钱", "三万五千块钱"),
        ("打13900001111吧", "打一三九零零零零一一一一吧"),
        ("打+86 13900001111吧", "打八六一三九零零零零一一一一吧"),
        ("打010-62345678吧", "打零一零六二三四五六七八吧"),
        ("3/4的心", "四分之三的心"),
        ("100%", "百分之一百"),
        ("12.5％", "百分之十二点五"),
        ("2000个梦", "两千个梦"),
        ("5000多颗星", "五千多颗星"),
        ("密码4096", "密码四零九六"),
        ("200和2", "两百和二"),
        ("b2c", "b2c"),
        ("mp3", "mp三"),
        ("你（好）！a.b~", "你,好,,a,b,"),
        ("￥5", "￥五"),
        ("^_^", ",,"),  # a leading ^ goes with the mark that stands for the start
    ],
)
def test_text(text: str, words: str) -> None:
    assert read_chinese_numbers(text) == words


def test_the_first_occurrence_of_the_digits_is_replaced_wherever_it_is() -> None:
    # The original's slip: "45" was found before 个 but stands earlier inside a longer number.
    assert read_chinese_numbers("a1245b45个") == "a十二四十五b四十五个"


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (read_number, "3.14", "三点一四"),
        (read_telephone, "+86110", "幺幺零"),
        (read_currency, "110元", "一百一十元"),
        (read_date, "2024-8-24", "二零二四年八月二十四日"),
        (read_date, "8/24", "八月二十四日"),
        (read_date, "2024年8月", "二零二四年八月"),
        (read_date, "24", "二十四日"),
        (read_date, "2024.8.24 10:05:30", "二零二四年八月二十四日十点零五分三十秒"),
        (read_date, "10:30", "十点三十分"),
    ],
)
def test_reading_rules_of_the_mark_up(read: Callable[[str], str], text: str, words: str) -> None:
    assert read(text) == words
