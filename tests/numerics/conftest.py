"""Comparisons inside the golden modules fail with both values shown, as in any test module."""

import pytest

for _area in ("common", "codec", "lyrics", "sampling", "training", "transformer"):
    pytest.register_assert_rewrite(f"tests.numerics.golden_{_area}")
