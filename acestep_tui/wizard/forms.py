"""One value of a form: text to value while it is typed, value to text, and what the arrow keys make of it.

Whether a value is accepted is decided by the same code that reads a configuration file; here it only gets words that
fit under a field.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.fields_base import Setting
from engine.contract.validate import Findings, KeyTable, Written, check

MAX_ERROR_LENGTH = 55
NONE_WORD = "none"
_NONE_WORDS = ("", "none", "null", "–", "-")
_YES, _NO = ("yes", "true", "on", "1", "y"), ("no", "false", "off", "0", "n")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,  _]\d{3})+(\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_CLOCK = re.compile(r"(\d+):([0-5]?\d(?:\.\d+)?)")
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)\s*(?:min|m))?\s*(?:(\d+(?:\.\d+)?)\s*(?:s|sec)?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a typed text means.

    Attributes:
        value: The value, where there is no error.
        error: Why it is not accepted, at most 55 characters; empty when it is.
        is_empty: Nothing was typed: the recommendation comes back.
    """

    value: Any = None
    error: str = ""
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a list and the words it is shown with."""

    value: Any
    word: str


def parse(setting: Setting, text: str, values: Mapping[str, Any] | None = None) -> Parsed:
    """Read what was typed into a field.

    Args:
        setting: The field's declaration.
        text: The text as it stands now.
        values: The draft's other values, for words that name them.
    """
    typed = text.strip()
    if not typed:
        return Parsed(is_empty=True)
    for choice in choices(setting, values) or _worded(setting, values):
        if typed.casefold() == choice.word.casefold():
            return Parsed(choice.value)
    if typed.casefold() in _NONE_WORDS and (setting.nullable or setting.type == "list"):
        return Parsed(None if setting.nullable else ())
    raw: Any = typed
    if setting.type == "bool" and typed.casefold() in (*_YES, *_NO):
        raw = typed.casefold() in _YES
    if setting.type == "list":
        raw = tuple(part.strip() for part in typed.split(",") if part.strip())
    if setting.type in ("int", "float") and typed not in setting.words:
        if _DECIMAL_COMMA.fullmatch(typed) and not _THOUSANDS.fullmatch(typed):
            return Parsed(error=_fitted(f"write it with a point: {typed.replace(',', '.')}"))
        raw = _number_text(setting, typed)
    return accept(setting, raw)


def accept(setting: Setting, raw: Any) -> Parsed:
    """Check a value against its declaration, as a configuration file's would be."""
    findings = Findings()
    written = {setting.key: Written(setting.key, raw, setting.key, "", "yours")}
    values = check(_table(setting), written, findings)
    if findings.errors or findings.notices or setting.key not in values:
        return Parsed(error=_sentence(setting, raw))
    value = values[setting.key]
    if value in setting.later_values or setting.status != "works":
        return Parsed(error=_fitted(f"{value} is not in this version yet"))
    return Parsed(value)


def show(setting: Setting, value: Any, values: Mapping[str, Any] | None = None) -> str:
    """A value as its field shows it: ``2,000``, ``0.0001``, ``4 min 00 s``, ``recomputing``, ``as it is (bf16)``."""
    word = dict(setting.value_words).get(_name(value))
    if word is not None:
        return _filled(word, values)
    if value is None or value == ():
        return NONE_WORD
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return _seconds(value) if setting.unit == "s" else _number(value)
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) if all(isinstance(item, str) for item in value) else _num_objects(value)
    return str(value)


def choices(setting: Setting, values: Mapping[str, Any] | None = None) -> tuple[Choice, ...]:
    """The values to choose from that do something in this version; empty for a field that is typed into."""
    if setting.type == "bool":
        options: tuple[Any, ...] = (True, False)
    elif setting.choices:
        options = setting.working_choices
    else:
        return ()
    if setting.nullable:
        options = (None, *options)
    return tuple(Choice(option, show(setting, option, values)) for option in options)


def step_value(setting: Setting, value: Any, direction: int) -> Any:
    """The value that the up (+1) or down (-1) key makes of this one, always an accepted one; itself at the end."""
    options = [choice.value for choice in choices(setting)]
    if options:
        place = options.index(value) if value in options else 0
        return options[(place + direction) % len(options)]
    if setting.type not in ("int", "float"):
        return value
    if not isinstance(value, (int, float)):
        return _first_number(setting)
    wanted = _stepped(setting, float(value), direction)
    if wanted == value:
        return value
    stepped = round(wanted) if setting.type == "int" else float(f"{wanted:.10g}")
    clamped = _clamped(setting, stepped)
    return clamped if not accept(setting, clamped).error else value


def note(setting: Setting, value: Any) -> str:
    """A reservation about an accepted value, at most 55 characters; empty when there is none."""
    if setting.key == "lora_rank" and isinstance(value, int) and value > 256:
        return f"{value:,} is very high; 8 to 128 is usual"
    if setting.key == "audio_max_duration_seconds" and isinstance(value, (int, float)) and value > 240:
        return "the model ends at 4 minutes: longer songs are cut there"
    return ""


def field_of(key: str) -> Setting:
    """The declaration of a key."""
    return SETTINGS_BY_KEY[key]


@functools.cache
def _table(setting: Setting) -> KeyTable:
    return KeyTable((setting,))


def _name(value: Any) -> str:
    """How a value is called in ``value_words``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _filled(word: str, values: Mapping[str, Any] | None) -> str:
    """Put other values' words into a word: ``as it is ({mixed_precision})``."""

    def fill(match: re.Match[str]) -> str:
        other = SETTINGS_BY_KEY[match.group(1)]
        return show(other, (values or {}).get(other.key, other.default), values)

    return re.sub(r"\{(\w+)\}", fill, word)


def _worded(setting: Setting, values: Mapping[str, Any] | None) -> tuple[Choice, ...]:
    """The words of a field that is typed into; the first word wins where two values share one."""
    meanings = {"null": None, "true": True, "false": False}
    return tuple(Choice(meanings.get(name, name), _filled(word, values)) for name, word in setting.value_words)


def _number_text(setting: Setting, typed: str) -> str:
    """A number without what people write around it: thousands, the unit, minutes and seconds."""
    unit = setting.unit
    if unit and unit != "s" and typed.casefold().endswith(unit):
        typed = typed[: -len(unit)].strip()
    if _THOUSANDS.fullmatch(typed):
        typed = re.sub(r"[,  _]", "", typed)
    if unit == "s":
        if clock := _CLOCK.fullmatch(typed):
            return f"{int(clock[1]) * 60 + float(clock[2]):.10g}"
        duration = _DURATION.fullmatch(typed)
        if duration and (duration[1] or duration[2]):
            return f"{float(duration[1] or 0) * 60 + float(duration[2] or 0):.10g}"
    # "2e3" is a whole number to people.
    if setting.type == "int" and re.fullmatch(r"[+-]?\d+(\.\d+)?[eE][+-]?\d{1,2}", typed) and float(typed).is_integer():
        return str(int(float(typed)))
    return typed


def _sentence(setting: Setting, raw: Any) -> str:
    """Why a value is not accepted, short enough to stand under its field."""
    if setting.type in ("int", "float"):
        return _number_sentence(setting, _as_number(raw))
    if setting.type == "choice":
        refused = dict(setting.refused_values).get(str(raw).strip().casefold())
        words = ", ".join(choice.word for choice in choices(setting))
        return _fitted(refused or f"one of: {words}", otherwise="not one of the choices; ↓ shows them")
    return "yes or no" if setting.type == "bool" else _fitted(f"{setting.accepted()} is needed")


def _number_sentence(setting: Setting, number: float | None) -> str:
    low, high = setting.minimum, setting.maximum
    if number is None or not math.isfinite(number):
        reason = f"{'a whole number' if setting.type == 'int' else 'a number'} is needed"
    elif low is not None and (number < low or (number == low and setting.exclusive_minimum)):
        reason = f"{'above' if setting.exclusive_minimum else 'at least'} {_number(low)}"
    elif high is not None and (number > high or (number == high and setting.exclusive_maximum)):
        reason = f"{'below' if setting.exclusive_maximum else 'at most'} {_number(high)}"
    else:
        reason = "a whole number is needed"
    return _fitted(f"{reason}; {setting.suits}" if setting.suits else reason)


def _fitted(text: str, *, otherwise: str = "") -> str:
    if len(text) <= MAX_ERROR_LENGTH:
        return text
    shorter = otherwise or text.partition(";")[0]
    return shorter if len(shorter) <= MAX_ERROR_LENGTH else f"{shorter[: MAX_ERROR_LENGTH - 1]}…"


def _as_number(raw: Any) -> float | None:
    try:
        return float(raw)
    except (TypeError, ValueError):
        return None


def _number(value: float) -> str:
    """A number without exponent: ``2,000``, ``0.0001``."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if not math.isfinite(value):
        return str(value)
    return f"{Decimal(repr(value)):f}"


def _seconds(value: float) -> str:
    """Seconds of a field: ``30 s``, ``4 min 00 s``, ``1 min 30 s``."""
    if value < 60 or not math.isfinite(value):
        return f"{_number(value)} s"
    minutes, rest = divmod(value, 60)
    return f"{int(minutes)} min {int(rest):02d} s" if float(rest).is_integer() else f"{_number(value)} s"


def _num_objects(value: Any) -> str:
    return "1 data set" if len(value) == 1 else f"{len(value)} data sets"


def _first_number(setting: Setting) -> Any:
    """Where the arrow keys begin when there is no number yet."""
    if isinstance(setting.default, (int, float)):
        return setting.default
    if setting.stepping == "pieces":
        return float(_PIECES[-1])
    # The middle of a short range, else something above its beginning.
    if setting.minimum is not None and setting.maximum is not None and setting.maximum <= 1:
        start = (setting.minimum + setting.maximum) / 2
    else:
        start = max(setting.minimum or 0, 1)
    return round(start) if setting.type == "int" else float(start)


def _clamped(setting: Setting, value: float) -> float:
    low, high = setting.minimum, setting.maximum
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    return round(value) if setting.type == "int" else float(value)


_PIECES = (30.0, 60.0, 120.0, 240.0)
_PREFERRED = (1.0, 2.0, 5.0, 10.0)
# Below this an arrow key goes to 0: no rate or decay is meant to be as small, and 10^-324 is 0 to a computer.
_SMALLEST = 1e-9


def _stepped(setting: Setting, value: float, direction: int) -> float:
    rule = _STEPPINGS.get(setting.stepping)
    if rule is not None:
        return rule(value, direction)
    if setting.type == "int":
        return value + direction
    return value + direction * (0.05 if setting.stepping == "share" or abs(value) < 2 else 0.5)


def _by_five_seconds(value: float, direction: int) -> float:
    return (math.floor(value / 5 + 1e-9) + 1) * 5 if direction > 0 else (math.ceil(value / 5 - 1e-9) - 1) * 5


def _along_pieces(value: float, direction: int) -> float:
    beyond = [one for one in _PIECES if (one > value if direction > 0 else one < value)]
    return (beyond[0] if direction > 0 else beyond[-1]) if beyond else value


def _doubled(value: float, direction: int) -> float:
    """The next power of two above or below."""
    if value < 1 or (value == 1 and direction < 0):
        return 1 if direction > 0 else 0
    exponent = math.log2(value)
    return 2.0 ** (math.floor(exponent + 1e-9) + 1 if direction > 0 else math.ceil(exponent - 1e-9) - 1)


def _along_preferred(value: float, direction: int) -> float:
    """The next of … 0.1, 0.2, 0.5, 1, 2, 5 … above or below; from 0 up to a tiny one."""
    if value < _SMALLEST:
        return 1e-7 if direction > 0 else 0.0
    power = math.floor(math.log10(value) + 1e-9)
    digit = value / 10.0**power
    if direction > 0:
        return next(one for one in _PREFERRED if one > digit * (1 + 1e-9)) * 10.0**power
    lower = [one for one in _PREFERRED[:-1] if one < digit * (1 - 1e-9)]
    smaller = (lower[-1] if lower else 0.5) * 10.0**power
    return smaller if smaller >= _SMALLEST else 0.0


def _by_quarter(value: float, direction: int) -> float:
    """To the next round number, coarser as numbers grow: 2,000 to 2,250; 250 to 300; 40 to 45."""
    # Going down from 1,000 the steps are those below it.
    here = value if direction > 0 else value - 1
    if here < 10:
        return value + direction
    unit = 5.0 if here < 100 else 50.0 if here < 1000 else 10.0 ** math.floor(math.log10(here) + 1e-9) / 4
    return (
        (math.floor(value / unit + 1e-9) + 1) * unit if direction > 0 else (math.ceil(value / unit - 1e-9) - 1) * unit
    )


_STEPPINGS: dict[str, Callable[[float, int], float]] = {
    "double": _doubled,
    "1-2-5": _along_preferred,
    "quarter": _by_quarter,
    "seconds": _by_five_seconds,
    "pieces": _along_pieces,
}
