"""One test for many like cases: in place of ``parametrize`` where a test costs more than what it looks at."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def of_each(names: str, cases: Iterable[Any], *, ids: Callable[[Any], object] = str) -> Callable[..., Any]:
    """Run a test's body for every case, whatever becomes of the others; each that fails is named with its own words.

    Args:
        names: The parameters that a case gives: one, or several after commas (then a case is a tuple).
        cases: The values; there must be some.
        ids: What a case is called.
    """
    given, values = [name.strip() for name in names.split(",")], list(cases)
    assert values, "no case at all"

    def for_all(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            failed = []
            for case in values:
                parts = (case,) if len(given) == 1 else case
                try:
                    test(**fixtures, **dict(zip(given, parts, strict=True)))
                except Exception as error:
                    failed.append(f"{ids(case)}: {type(error).__name__}: {error}")
            assert not failed, "\n".join([f"{len(failed)} of {len(values)} cases fail", *failed])

        wanted = inspect.signature(test)
        others = [parameter for name, parameter in wanted.parameters.items() if name not in given]
        run.__signature__ = wanted.replace(parameters=others)  # type: ignore[attr-defined]
        return run

    return for_all
