"""Whether a file is as long as its container says: a few header bytes tell a copy that broke off, without decoding."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

_MAX_ATOMS = 1000
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_EBML_HEADER = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
_XING_WINDOW_BYTES = 256


def is_cut_off(file: BinaryIO, container: str) -> bool:
    """Whether fewer bytes are there than the container's own size field says; False when it has none.

    Args:
        file: The open file.
        container: FFmpeg's name of the format ("mov,mp4,m4a,3gp,3g2,mj2", "asf", "matroska,webm", "mp3", …).
    """
    size = os.fstat(file.fileno()).st_size
    if container.startswith("mov"):
        promised = _mp4_size(file, size)
    elif container == "asf":
        promised = _asf_size(file)
    elif container.startswith("matroska"):
        promised = _matroska_size(file)
    elif container == "mp3":
        promised = mp3_tag(file)[1]
    elif container == "aac":
        promised = _adts_size(file)
    else:
        return False
    return promised is not None and promised > size


def mp3_tag(file: BinaryIO) -> tuple[bool, int | None]:
    """Whether an MP3's first frame counts its frames (Xing, Info or VBRI), and the size of the file it promises.

    Without such a count the length of an MP3 is a guess from its bit rate.
    """
    start = id3_size(file)
    file.seek(start)
    frame = file.read(_XING_WINDOW_BYTES)
    for name in (b"Xing", b"Info"):
        place = frame.find(name)
        if place >= 0 and len(frame) >= place + 16:
            flags, _, num_bytes = struct.unpack_from(">III", frame, place + 4)
            counts_frames, counts_bytes = bool(flags & 1), flags & 3 == 3
            # Some encoders count the tag's own frame and some do not; a copy that broke off misses more than a frame.
            return counts_frames, start + num_bytes - 1500 if counts_bytes else None
    return b"VBRI" in frame, None


def id3_size(file: BinaryIO) -> int:
    """Bytes of the ID3 tags at the beginning of a file."""
    start = 0
    while True:
        file.seek(start)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            return start
        # The size is "sync-safe": 7 bits a byte; a footer is announced by a flag.
        start += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        start += 10 if head[5] & 0x10 else 0


def _adts_size(file: BinaryIO) -> int | None:
    """End of the last frame of raw AAC, by the length in each frame's header; None when something lies between."""
    start = id3_size(file)
    file.seek(start)
    data = file.read()
    place = 0
    while place + 7 <= len(data):
        length = (data[place + 3] & 3) << 11 | data[place + 4] << 3 | data[place + 5] >> 5
        if data[place] != 0xFF or data[place + 1] & 0xF6 != 0xF0 or length < 7:
            return None
        place += length
    return start + place


def _mp4_size(file: BinaryIO, size: int) -> int | None:
    """End of the last top-level atom."""
    position = 0
    for _ in range(_MAX_ATOMS):
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            return position
        length: int = struct.unpack_from(">I", header)[0]
        if length == 1 and len(header) == 16:
            length = struct.unpack_from(">Q", header, 8)[0]
        # 0 = up to the end of the file. Anything shorter than its header is not an atom: padding after the last one.
        if length < 8:
            return position
        position += length
        if position >= size:
            return position
    return None


def _asf_size(file: BinaryIO) -> int | None:
    """File size from the file properties object; a live broadcast has none."""
    file.seek(0)
    head = file.read(65536)
    place = head.find(_ASF_FILE_PROPERTIES)
    if not head.startswith(_ASF_HEADER) or place < 0 or len(head) < place + 92:
        return None
    (size,) = struct.unpack_from("<Q", head, place + 40)
    (flags,) = struct.unpack_from("<I", head, place + 88)
    return None if flags & 1 else int(size)


def _matroska_size(file: BinaryIO) -> int | None:
    """End of the segment; a live stream has none."""
    file.seek(0)
    head = file.read(4096)
    if not head.startswith(_EBML_HEADER):
        return None
    header_size, place = _ebml_size(head, 4)
    if header_size is None or head[place + header_size : place + header_size + 4] != _MATROSKA_SEGMENT:
        return None
    segment_size, start = _ebml_size(head, place + header_size + 4)
    return None if segment_size is None else start + segment_size


def _ebml_size(data: bytes, place: int) -> tuple[int | None, int]:
    """A variable-length size at `place` and where it ends; None for "unknown" (all ones) or no size at all."""
    if place >= len(data) or data[place] == 0:
        return None, place
    length = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), place + length
