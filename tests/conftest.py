"""What holds for every test: the garbage collector looks less often, and Hypothesis at no clock.

A collection walks every module of torch, transformers and textual that is loaded; at Python's own thresholds that is an
eighth of the whole suite's time.
"""

import gc

from hypothesis import HealthCheck, settings

gc.set_threshold(200_000, 50, 100)

# How long an example takes says nothing where tests share two cores with others.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_collection_finish() -> None:
    """What was loaded for the tests stays to the end: no collection walks it, nor do the five of pytest at the end."""
    gc.freeze()
