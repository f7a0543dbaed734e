"""All randomness of a training sample, as a function of (seed, global sample position, purpose) alone.

A resumed run, a run with another number of loader workers and a run with another batch size therefore draw the same
noise, timestep, crop and dropout for the same sample; no generator state has to be saved for any of them.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, position: int, purpose: str) -> int:
    """Hash (seed, position, purpose) into a 63-bit non-negative integer.

    Args:
        seed: The run's seed.
        position: Global position of the sample in the run, counted from 0 and never reset.
        purpose: What the numbers are for ("noise", "timestep", "crop", ...): each purpose has its own stream.
    """
    digest = hashlib.blake2b(f"{seed}/{position}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def sample_generator(seed: int, position: int, purpose: str) -> torch.Generator:
    """A fresh CPU generator for one purpose of one sample.

    On the CPU whatever the training device is: the numbers are then the same on every machine. (torch's CPU generator
    keeps the low 32 bits of the seed; two of a million samples may share a noise tensor, which harms nothing.)
    """
    return torch.Generator(device="cpu").manual_seed(derive_seed(seed, position, purpose))
