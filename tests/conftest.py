"""What holds for every test: the garbage collector looks less often.

A collection walks every module of torch, transformers and textual that is loaded; at Python's own thresholds that is an
eighth of the whole suite's time.
"""

import gc

gc.set_threshold(200_000, 50, 100)
