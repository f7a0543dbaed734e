"""How many samples an MP3 without a count of its frames holds: its frame headers, one after the other.

A tenth of the time that asking FFmpeg for each packet takes. Where anything is unusual nothing is said, and FFmpeg is
asked after all.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from engine.dataset.completeness import id3_size

_LARGEST_BYTES = 64_000_000
_ID3V1_BYTES = 128
# Layer III by MPEG version as its two bits stand in the header: kbit/s, rates in Hz, samples a frame.
_OF_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_VERSIONS = {
    0b11: ((0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320), (44_100, 48_000, 32_000), 1152),
    0b10: (_OF_2, (22_050, 24_000, 16_000), 576),
    0b00: (_OF_2, (11_025, 12_000, 8_000), 576),
}
_LAYER_III = 0b01


def mp3_num_samples(file: BinaryIO) -> int | None:
    """Samples a channel of an unbroken row of frames of one rate; None where it is none, or is cut off."""
    start = id3_size(file)
    size = os.fstat(file.fileno()).st_size
    if size - start > _LARGEST_BYTES:
        return None
    file.seek(start)
    data = file.read(size - start)
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    if layer != _LAYER_III or version not in _VERSIONS:
        return None
    samples = _VERSIONS[version][2]
    lengths = _frame_lengths(version, rate_index=data[2] >> 2 & 3)
    second, place, num_frames, last = data[1] & 0xFE, 0, 0, len(data) - 4
    while place <= last and data[place] == 0xFF and data[place + 1] & 0xFE == second:
        length = lengths[data[place + 2]]
        if length == 0:
            return None
        place += length
        num_frames += 1
    rest = data[place:]
    is_whole = place == len(data) or (len(rest) == _ID3V1_BYTES and rest.startswith(b"TAG"))
    return num_frames * samples if is_whole and num_frames > 1 else None


def _frame_lengths(version: int, *, rate_index: int) -> list[int]:
    """Bytes of a frame by the third byte of its header; 0 for what cannot be, or is of another rate."""
    kbits, rates, samples = _VERSIONS[version]
    lengths = [0] * 256
    if rate_index >= len(rates):
        return lengths
    for kbit_index, kbit in enumerate(kbits):
        for low in range(4):
            byte = kbit_index << 4 | rate_index << 2 | low
            padding = low >> 1
            lengths[byte] = samples // 8 * kbit * 1000 // rates[rate_index] + padding if kbit else 0
    return lengths
