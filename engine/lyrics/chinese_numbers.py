"""Numbers in Chinese text, read as the original reads them (spec 8.6, "Chinese numbers").

The reader goes over the text once per kind of number, and each kind replaces the *first* occurrence of the digits that
it found, wherever that is. Now and then this is not the place where they were found; the token ids of the original
depend on it, so it stays.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

_DIGITS = "零一二三四五六七八九"
_UNITS: tuple[tuple[int, str], ...] = tuple(
    zip((1, 2, 3, 4, *range(8, 48, 4)), "十百千万亿兆京垓秭穰沟涧正载", strict=True)
)
"""Power of ten and its character, small first."""
_UNIT_CHARACTERS = frozenset(character for _, character in _UNITS)

_MONEY_UNITS = "亿|千万|百万|万|千|百|[元块角毛分]"
_MEASURE_WORDS = (
    "匹张座回场尾条个首阙阵网炮顶丘棵只支袭辆挑担颗壳窠曲墙群腔砣客贯扎捆刀令打手罗坡山岭江溪钟队单双对出口头脚板跳枝件贴针线管名位身堂课本页家户层"
    "丝毫厘分钱两斤铢石钧锱忽寸尺丈里寻常铺程米撮勺合升斗盘碗碟叠桶笼盆盒杯斛锅簋篮罐瓶壶卮盏箩箱煲啖袋钵"
    "年月日季刻时周天秒旬纪岁世更夜春夏秋冬代伏辈丸泡粒幢堆根道面片块"
)

_DATE = re.compile(r"\D+((?:(?:[089]\d|(?:19|20)\d{2})年)?(?:\d{1,2}月(?:\d{1,2}[日号])?)?)")
_MONEY = re.compile(rf"\D+(\d+(?:\.\d+)?[多余几]?(?:{_MONEY_UNITS})(?:\d(?:{_MONEY_UNITS})?)?)")
_MOBILE = re.compile(r"\D((?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8})\D")
_LANDLINE = re.compile(r"\D((?:0(?:10|2[1-3]|[3-9]\d{2})-?)?[1-9]\d{6,7})\D")
_FRACTION = re.compile(r"(\d+/\d+)")
_PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?%)")
_QUANTITY = re.compile(rf"(\d+(?:\.\d+)?)[多余几]?(?:公分|千克|毫克|微克|千米|分米|厘米|毫米|微米|[{_MEASURE_WORDS}])")
_LONG_DIGITS = re.compile(r"(\d{4,32})")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")
_TWO_BETWEEN_LETTERS = re.compile(r"([a-zA-Z]+)二([a-zA-Z]+)")

_CHINESE_PUNCTUATION = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃《》「」『』"
    "【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏·〈〉"
)
_TO_COMMAS = str.maketrans(dict.fromkeys(_CHINESE_PUNCTUATION + string.punctuation, ","))


def spell_digits(digits: str) -> str:
    """Digit by digit: "2024" -> 二零二四."""
    return "".join(_DIGITS[int(digit)] for digit in digits)


def cardinal(number: str, *, has_liang: bool = True) -> str:
    """A number as a quantity: "2024" -> 两千零二十四, "3.5" -> 三点五.

    Args:
        number: Digits, with at most one dot.
        has_liang: Two is 两 before 百, 千, 万 and larger units, unless 十 comes before it.
    """
    whole, _, decimals = number.partition(".")
    words = _in_places(whole) if len(whole) > 1 else spell_digits(whole)
    if decimals:
        words = (words or "零") + "点" + spell_digits(decimals)
    if has_liang:
        words = "".join("两" if _is_liang(words, index) else word for index, word in enumerate(words))
    return words[1:] if words.startswith("一十") else words


def _in_places(digits: str) -> str:
    """Digits with their units: "1001" -> 一千零一. A zero is said before a last single digit and nowhere else."""
    significant = digits.lstrip("0")
    if not significant:
        return ""
    if len(significant) == 1:
        return ("零" if len(digits) > 1 else "") + spell_digits(significant)
    power, unit = next(entry for entry in reversed(_UNITS) if entry[0] < len(significant))
    return _in_places(digits[:-power]) + unit + _in_places(significant[-power:])


def _is_liang(words: str, index: int) -> bool:
    is_before_large_unit = words[index + 1 : index + 2] in _UNIT_CHARACTERS - {"十"}
    is_first_or_after_large_unit = index == 0 or words[index - 1] in _UNIT_CHARACTERS - {"十"}
    return words[index] == "二" and is_before_large_unit and is_first_or_after_large_unit


def _date(text: str) -> str:
    year, has_year, rest = text.rpartition("年")
    month, has_month, day = rest.partition("月")
    words = spell_digits(year) + has_year
    if has_month:
        words += cardinal(month) + has_month
    return words + cardinal(day[:-1]) + day[-1] if day else words


def _money(text: str) -> str:
    for number in _NUMBER.findall(text):
        text = text.replace(number, cardinal(number))
    return text


def _telephone(text: str) -> str:
    return spell_digits(re.sub(r"[+\s-]", "", text))


def _fraction(text: str) -> str:
    numerator, denominator = text.split("/")
    return f"{cardinal(denominator)}分之{cardinal(numerator)}"


def _percentage(text: str) -> str:
    return "百分之" + cardinal(text.rstrip("%"))


_READERS: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (_DATE, _date),
    (_MONEY, _money),
    (_MOBILE, _telephone),
    (_LANDLINE, _telephone),
    (_FRACTION, _fraction),
    (_PERCENTAGE, _percentage),
    (_QUANTITY, cardinal),
    (_LONG_DIGITS, spell_digits),
    (_NUMBER, cardinal),
)


def read_chinese_numbers(text: str) -> str:
    """Puts every number of a Chinese text into words and every punctuation mark into a comma."""
    # The ends are made visible to patterns that want something before or after a number.
    text = f"^{text}$"
    for pattern, read in _READERS:
        if pattern is _PERCENTAGE:
            text = text.replace("％", "%")
        for found in pattern.findall(text):
            if found:
                text = text.replace(found, read(found), 1)
    for match in _TWO_BETWEEN_LETTERS.finditer(text):
        text = text.replace(match[0], f"{match[1]}2{match[2]}", 1)
    return text.lstrip("^").rstrip("$").translate(_TO_COMMAS)
