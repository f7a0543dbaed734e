"""Every golden vector: `ACESTEP_GOLDEN_DIR=... pytest tests/numerics/test_golden.py` runs them on another folder."""
# ruff: noqa: F403

from collections import Counter

from tests.numerics import golden_codec, golden_lyrics, golden_sampling, golden_training, golden_transformer
from tests.numerics.golden_codec import *
from tests.numerics.golden_lyrics import *
from tests.numerics.golden_sampling import *
from tests.numerics.golden_training import *
from tests.numerics.golden_transformer import *

AREAS = (golden_codec, golden_lyrics, golden_sampling, golden_training, golden_transformer)


def test_no_area_hides_a_test_of_another() -> None:
    defined = Counter(
        name
        for area in AREAS
        for name, value in vars(area).items()
        if name.startswith("test_") and value.__module__ == area.__name__
    )
    assert [name for name, count in defined.items() if count > 1] == []
