"""Reading pictures, whole or not at all."""

import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edge.contract import Picture
from edge.errors import EdgeError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

# OpenCV 4 warps no larger picture.
_MAX_SIDE = 32_766
# 400 MB once decoded, and as much again on the way. A few bytes can claim a thousand times as much.
_MAX_PIXELS = 1 << 27
_MAX_BYTES = 1 << 30

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_MOVING = (b"acTL", b"fcTL", b"fdAT")

# Coded data escapes its 0xff bytes with 0x00 and holds restart markers, 0xd0 to 0xd7.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JPEG_END = 0xD9
_JPEG_BARE = (0x01, 0xD8)
# The starts of a frame; three others among them start tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
# Ten are usual. Each takes as long as decoding the picture, and may be of 30 bytes.
_MAX_SCANS = 100
# Bytes of the header of OS/2, whose fields are shorter.
_OLD_BMP = 12
# Bytes of a number by its type.
_TIFF_BYTES = {1: 1, 3: 2, 4: 4, 16: 8}

# Width and height.
Size = tuple[int, int]
Order = Literal["little", "big"]


def is_picture(name: str) -> bool:
    """Say whether a file name is that of a picture; hidden files are not."""
    ending = name.rpartition(".")[2].lower()
    return f".{ending}" in SUFFIXES and not name.startswith(".")


def silence_opencv() -> None:
    """Keep OpenCV's own words off stderr, for the whole process."""
    # OpenCV 4 and 5 have the same function in different places.
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_picture(path: Path) -> Picture:
    """Read a picture from disk, turned upright by its EXIF orientation.

    Returns:
        uint8 (height, width, 3), BGR.

    Raises:
        EdgeError: The file is missing, not a picture, too large, or cut short.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise EdgeError(f"{path} has more than {_MAX_BYTES:,} bytes", "make it smaller")
        data = path.read_bytes()
    except OSError as error:
        raise EdgeError(f"cannot read {path}: {error.strerror}", "check the path") from error
    return decode_picture(data, str(path))


def decode_picture(data: bytes, name: str) -> Picture:
    """Decode a picture held in memory.

    Args:
        data: The bytes of a JPEG, PNG, WebP, BMP or TIFF file.
        name: What to call it in messages.

    Returns:
        uint8 (height, width, 3), BGR.

    Raises:
        EdgeError: The bytes are not a picture, claim to be too large a one, or are cut short.
    """
    if not data:
        raise EdgeError(f"{name} is empty", "copy the picture again")
    if reason := _fault(data):
        raise EdgeError(f"{name} {reason}", "copy the picture again")
    size = _size(data)
    require_size(name, size)
    silence_opencv()  # what it would write to stderr is said by the error below
    try:
        coded = np.frombuffer(_still(data), np.uint8)
        picture = cv2.imdecode(coded, cv2.IMREAD_COLOR) if min(size) > 0 else None
    except cv2.error:
        picture = None
    if picture is None:
        raise EdgeError(
            f"{name} is not a picture that can be decoded", "expected JPEG, PNG, WebP, BMP or TIFF"
        )
    return picture


def require_size(name: str, size: Size, most: int = _MAX_PIXELS) -> None:
    """Refuse what claims to be larger than can be handled, before room is made for it.

    Args:
        name: What to call it in messages.
        size: Width and height in pixels.
        most: How many pixels can be handled.

    Raises:
        EdgeError: It does.
    """
    width, height = size
    if max(size) > _MAX_SIDE:
        limit = f"at most {_MAX_SIDE:,} a side"
    elif width * height > most:
        limit = f"at most {most / 1e6:.0f} million"
    else:
        return
    raise EdgeError(
        f"{name} is {width:,}×{height:,} pixels, {limit} can be handled", "make it smaller"
    )


def _fault(data: bytes) -> str | None:
    """Say what keeps a picture from being decoded whole; OpenCV shows some of them half grey."""
    short = f"is cut short after {len(data):,} bytes"
    if data.startswith(b"\xff\xd8"):
        return _jpeg_fault(data, short)
    if data.startswith(_PNG):
        return None if any(kind == b"IEND" for kind, _ in _png_chunks(data)) else short
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return short if len(data) < 8 + int.from_bytes(data[4:8], "little") else None
    return None


def _jpeg_fault(data: bytes, short: str) -> str | None:
    scans = 0
    for kind, _ in _jpeg_markers(data):
        scans += kind == _JPEG_SCAN
        if scans > _MAX_SCANS:
            return f"has more than {_MAX_SCANS} scans, which no program writes"
        if kind == _JPEG_END:
            return None
    return short


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Follow the markers of a JPEG: yield each kind and where what belongs to it begins.

    Searching for the last one is not enough: phones append films to their pictures, and a preview
    inside the picture has markers of its own.
    """
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        kind, position = marker.group()[1], marker.end()
        yield kind, position
        if kind == _JPEG_END:
            return
        if kind not in _JPEG_BARE:
            position += int.from_bytes(data[position : position + 2], "big")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind of each chunk of a PNG, and the whole of it, up to one that is cut short."""
    place = len(_PNG)
    while (end := place + 12 + _number(data, place, 4, "big")) <= len(data):
        yield data[place + 4 : place + 8], data[place:end]
        place = end


def _still(data: bytes) -> bytes:
    """Return a picture without its animation: OpenCV 4.12 crashes on damaged ones of PNG."""
    if not data.startswith(_PNG) or b"acTL" not in data:
        return data
    return _PNG + b"".join(chunk for kind, chunk in _png_chunks(data) if kind not in _PNG_MOVING)


def _size(data: bytes) -> Size:
    """Return the size that a picture claims; zeros where it is none of a known kind."""
    for start, size in _KINDS.items():
        if data.startswith(start):
            return size(data)
    return 0, 0


def _jpeg_size(data: bytes) -> Size:
    before_pixels = takewhile(lambda marker: marker[0] != _JPEG_SCAN, _jpeg_markers(data))
    frames = [place for kind, place in before_pixels if kind in _JPEG_FRAMES]
    place = frames[0] if frames else len(data)
    return _number(data, place + 5, 2, "big"), _number(data, place + 3, 2, "big")


def _png_size(data: bytes) -> Size:
    return _number(data, 16, 4, "big"), _number(data, 20, 4, "big")


def _bmp_size(data: bytes) -> Size:
    if _number(data, 14, 4) == _OLD_BMP:
        return _number(data, 18, 2), _number(data, 20, 2)
    # Below zero where the rows go from top to bottom.
    return abs(_number(data, 18, 4, signed=True)), abs(_number(data, 22, 4, signed=True))


def _webp_size(data: bytes) -> Size:
    kind = data[8:16]
    if kind == b"WEBPVP8X":
        return _number(data, 24, 3) + 1, _number(data, 27, 3) + 1
    if kind == b"WEBPVP8L":
        bits = _number(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8 ":
        return _number(data, 26, 2) & 0x3FFF, _number(data, 28, 2) & 0x3FFF
    return 0, 0


def _tiff_size(data: bytes) -> Size:
    order: Order = "little" if data.startswith(b"II") else "big"
    big = 43 in data[2:4]
    wide, entry = (8, 20) if big else (4, 12)
    start = _number(data, wide, wide, order)
    first = start + (8 if big else 2)
    count = min(_number(data, start, first - start, order), len(data) // entry)
    found = {256: 0, 257: 0}
    for place in range(first, first + count * entry, entry):
        tag, kind = _number(data, place, 2, order), _number(data, place + 2, 2, order)
        if tag in found:
            value = _number(data, place + 4 + wide, _TIFF_BYTES.get(kind, 0), order)
            found[tag] = max(found[tag], value)
    return found[256], found[257]


def _number(
    data: bytes, place: int, length: int, order: Order = "little", *, signed: bool = False
) -> int:
    """Read a number; bytes beyond the end count as missing."""
    return int.from_bytes(data[place : place + length], order, signed=signed)


_KINDS: dict[bytes, Callable[[bytes], Size]] = {
    b"\xff\xd8": _jpeg_size, _PNG: _png_size, b"RIFF": _webp_size, b"BM": _bmp_size,
    b"II*\0": _tiff_size, b"MM\0*": _tiff_size, b"II+\0": _tiff_size, b"MM\0+": _tiff_size,
}  # fmt: skip
