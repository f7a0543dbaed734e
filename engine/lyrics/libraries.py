"""Language libraries, imported at the first line of lyrics that needs them."""

from __future__ import annotations

from functools import cache
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


@cache
def load_library(module: str, *, purpose: str) -> ModuleType:
    """Imports a language library.

    They cost from 20 ms (num2words) to 0.2 s (pypinyin; several times that from a cold disk) and some carry a
    dictionary, so an English song must not pay for the others.

    Args:
        module: A key of `PACKAGES`.
        purpose: What needs it, for the message: "Chinese lyrics".

    Raises:
        ModelError: The package, or one that it needs, is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # A library can be there without one that it needs itself; pip wants to hear about that one.
        package = error.name if error.name and not module.startswith(error.name) else PACKAGES[module]
        raise ModelError(
            f"{purpose} need the Python package {package}, which is not installed",
            hint=f"Install it into this environment: pip install {package}",
        ) from error
