"""Reading pictures, whole or not at all."""

import re
from pathlib import Path

import cv2
import numpy as np

from edge.contract import Picture
from edge.errors import EdgeError

# OpenCV 4 warps no larger picture.
_MAX_SIDE = 32_766

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

# Coded data escapes its 0xff bytes with 0x00 and holds restart markers, 0xd0 to 0xd7.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JPEG_END = 0xD9
_JPEG_BARE = (0x01, 0xD8)


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
        EdgeError: The file is missing, not a picture, or cut short.
    """
    try:
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
        EdgeError: The bytes are not a picture, or are cut short.
    """
    if not data:
        raise EdgeError(f"{name} is empty", "copy the picture again")
    if _cut_short(data):
        raise EdgeError(f"{name} is cut short after {len(data):,} bytes", "copy the picture again")
    silence_opencv()  # what it would write to stderr is said by the error below
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise EdgeError(
            f"{name} is not a picture that can be decoded", "expected JPEG, PNG, WebP, BMP or TIFF"
        )
    if max(picture.shape) > _MAX_SIDE:
        raise EdgeError(
            f"{name} is {picture.shape[1]:,}×{picture.shape[0]:,} pixels, at most {_MAX_SIDE:,} a "
            "side can be handled",
            "make it smaller",
        )
    return picture


def _cut_short(data: bytes) -> bool:
    """Say whether a file ends before its picture does; OpenCV decodes such files half grey."""
    if data.startswith(b"\xff\xd8"):
        return not _reaches_end_of_jpeg(data)
    if data.startswith(b"\x89PNG"):
        return b"\0\0\0\0IEND" not in data
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return False


def _reaches_end_of_jpeg(data: bytes) -> bool:
    """Follow the markers of a JPEG to its end marker.

    Searching for the last one is not enough: phones append films to their pictures, and a preview
    inside the picture has an end marker of its own.
    """
    position = 2
    while marker := _JPEG_MARKER.search(data, position):
        kind = marker.group()[1]
        if kind == _JPEG_END:
            return True
        position = marker.end()
        if kind not in _JPEG_BARE:
            position += int.from_bytes(data[position : position + 2], "big")
    return False
