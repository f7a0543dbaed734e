"""Language libraries, imported at the first line of lyrics that needs them."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from types import ModuleType

from engine.contract.errors import ModelError

PACKAGES = {
    "tokenizers": "tokenizers",
    "py3langid.langid": "py3langid",
    "num2words": "num2words",
    "pypinyin": "pypinyin",
    "unidic_lite": "unidic-lite",
    "cutlet": "cutlet",
    "hangul_romanize": "hangul-romanize",
    "hangul_romanize.rule": "hangul-romanize",
}
"""Module -> the package that pip installs it with."""


@lru_cache(maxsize=None)
def load_library(module: str, *, purpose: str) -> ModuleType:
    """Imports a language library.

    Every one of them is slow to import (py3langid 0.2 s, pypinyin 0.4 s, cutlet with its dictionary 0.5 s), so an English song
    must not pay for the Chinese ones.

    Args:
        module: A key of `PACKAGES`.
        purpose: What needs it, for the message: "Chinese lyrics".

    Raises:
        ModelError: The package, or one that it needs, is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        package = PACKAGES[module] if missing.split(".")[0] == module.split(".")[0] else missing
        raise ModelError(
            f"{purpose} need the Python package {package}, which is not installed",
            hint=f"Install it into this environment: pip install {package}",
        ) from error
