"""Pictures are read whole and upright, or refused in words."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import EdgeError
from edge.images import SUFFIXES, decode_picture, read_picture

GREEN = (40, 200, 60)


def flat_picture(height: int = 40, width: int = 60) -> np.ndarray:
    return np.full((height, width, 3), GREEN, np.uint8)


def noisy_picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def encode(picture: np.ndarray, ending: str, *options: int) -> bytes:
    return cv2.imencode(ending, picture, options)[1].tobytes()


def with_exif(jpeg: bytes, orientation: int, preview: bytes = b"") -> bytes:
    """Put an EXIF block behind a JPEG's start marker: one orientation tag, then a preview."""
    tag = b"\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation, 0, 0, 0])
    tiff = b"II*\x00\x08\x00\x00\x00" + b"\x01\x00" + tag + bytes(4) + preview
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


@pytest.mark.parametrize("ending", SUFFIXES)
def test_each_format_gives_bgr(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"face{ending}"
    path.write_bytes(encode(flat_picture(), ending))
    picture = read_picture(path)
    assert picture.dtype == np.uint8
    assert picture.shape == (40, 60, 3)
    assert np.abs(picture.astype(int) - GREEN).max() <= 4


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 4)])
def test_grey_and_transparent_pictures_become_three_channels(shape: tuple[int, ...]) -> None:
    data = encode(np.full(shape, 128, np.uint8), ".png")
    assert decode_picture(data, "x").shape == (9, 7, 3)


def test_sixteen_bit_pictures_become_eight_bit() -> None:
    picture = decode_picture(encode(np.full((4, 4, 3), 0x8000, np.uint16), ".png"), "x")
    assert picture.dtype == np.uint8
    assert set(picture.ravel().tolist()) == {128}


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (39, 59)), (6, (0, 39))])
def test_exif_orientation_turns_the_picture(orientation: int, corner: tuple[int, int]) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:8, :8] = 255
    upright = decode_picture(with_exif(encode(picture, ".jpg"), orientation), "x")
    assert upright.shape[:2] == ((60, 40) if orientation == 6 else (40, 60))
    assert upright[corner].min() > 200
    assert upright.mean() < 30


@pytest.mark.parametrize("ending", SUFFIXES)
@pytest.mark.parametrize("share", [0.99, 0.7, 0.3, 0.05])
def test_a_picture_cut_short_is_refused(
    ending: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encode(noisy_picture(), ending)
    with pytest.raises(EdgeError, match=r"face.* (is cut short|is not a picture)"):
        decode_picture(data[: int(len(data) * share)], f"face{ending}")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("share", [0.99, 0.6])
def test_a_progressive_jpeg_cut_short_is_refused(share: float) -> None:
    data = encode(noisy_picture(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert decode_picture(data, "x").shape == (64, 64, 3)
    with pytest.raises(EdgeError, match="cut short"):
        decode_picture(data[: int(len(data) * share)], "x")


def test_restart_markers_are_not_the_end() -> None:
    data = encode(noisy_picture(), ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    assert b"\xff\xd0" in data
    assert decode_picture(data, "x").shape == (64, 64, 3)
    with pytest.raises(EdgeError, match="cut short"):
        decode_picture(data[:-40], "x")


def test_the_end_of_a_preview_is_not_the_end_of_the_picture() -> None:
    preview = encode(flat_picture(8, 8), ".jpg")
    data = with_exif(encode(noisy_picture(), ".jpg"), 1, preview)
    assert decode_picture(data, "x").shape == (64, 64, 3)
    for length in (len(data) - 100, data.rindex(b"\xff\xda") - 4):
        with pytest.raises(EdgeError, match="cut short"):
            decode_picture(data[:length], "x")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
def test_what_follows_the_picture_is_ignored(ending: str) -> None:
    film = b"\xff\xda\x00\x01" * 100  # looks like the start of another scan
    assert decode_picture(encode(flat_picture(), ending) + film, "x").shape == (40, 60, 3)


@pytest.mark.parametrize("data", [b"not a picture\n", bytes(500), b"\xff\xd8", b"\x89PNG", b"RIFF"])
def test_what_is_no_picture_is_refused(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EdgeError, match=r"^face"):
        decode_picture(data, "face")
    assert capfd.readouterr().err == ""


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    path.touch()
    with pytest.raises(EdgeError, match=r"face\.jpg is empty"):
        read_picture(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="No such file"):
        read_picture(tmp_path / "none.jpg")
    with pytest.raises(EdgeError, match="Is a directory"):
        read_picture(tmp_path)


@pytest.mark.data
def test_no_real_picture_is_taken_for_cut(data_dir: Path) -> None:
    for folder in ("genki4k/files", "mtfl/lfw_5590", "celeba/img_align_celeba"):
        for path in sorted((data_dir / folder).iterdir())[-150:]:
            assert read_picture(path).ndim == 3


def test_a_picture_too_large_to_warp_is_refused(tmp_path):
    path = tmp_path / "strip.png"
    cv2.imwrite(str(path), np.zeros((2, 32_767, 3), np.uint8))
    with pytest.raises(EdgeError, match="32,767×2 pixels, at most 32,766 a side"):
        read_picture(path)


def resized(data: bytes, size: bytes, at: int) -> bytes:
    return data[:at] + size + data[at + len(size) :]


@pytest.mark.parametrize(
    "data",
    [
        resized(encode(flat_picture(), ".jpg"), b"\x75\x30\x75\x30", 163),
        resized(encode(flat_picture(), ".png"), b"\0\0\x75\x30\0\0\x75\x30", 16),
        resized(encode(flat_picture(), ".bmp"), b"\x30\x75\0\0\xd0\x8a\xff\xff", 18),
        b"BM" + bytes(12) + b"\x0c\0\0\0\x30\x75\x30\x75",
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x2f\x75\0\x2f\x75\0",
        b"II*\0\x08\0\0\0\2\0\0\1\3\0\1\0\0\0\x30\x75\0\0\1\1\3\0\1\0\0\0\x30\x75\0\0",
        b"MM\0+\0\x08\0\0" + bytes(7) + b"\x10" + bytes(7) + b"\2"
        b"\1\0\0\4" + bytes(7) + b"\1\0\0\x75\x30\0\0\0\0"
        b"\1\1\0\4" + bytes(7) + b"\1\0\0\x75\x30\0\0\0\0",
    ],
    ids=["jpeg", "png", "bmp", "os/2 bmp", "webp", "tiff", "bigtiff"],
)
def test_a_few_bytes_that_claim_gigabytes_are_refused_unread(data: bytes) -> None:
    with pytest.raises(EdgeError, match="face is 30,000×30,000 pixels, at most 134 million"):
        decode_picture(data, "face")


@pytest.mark.parametrize("quality", [80, 101])
def test_both_kinds_of_webp_tell_their_size(quality: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.images._MAX_SIDE", 50)
    with pytest.raises(EdgeError, match="60×40 pixels, at most 50 a side"):
        decode_picture(encode(flat_picture(), ".webp", cv2.IMWRITE_WEBP_QUALITY, quality), "face")


@pytest.mark.parametrize("ending", [".ppm", ".ras"])
def test_what_opencv_reads_beside_is_refused(ending: str) -> None:
    with pytest.raises(EdgeError, match="not a picture that can be decoded"):
        decode_picture(encode(flat_picture(), ending), "face")


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + check


def test_of_an_animated_png_the_still_picture_is_read_whatever_else_it_holds() -> None:
    still = encode(noisy_picture(), ".png")
    start, end = still.index(b"IDAT") - 4, still.index(b"IEND") - 4
    counts = chunk(b"acTL", b"\0\0\0\x02\0\0\0\0")
    places = [chunk(b"fcTL", bytes([0, 0, 0, at]) + b"\xff" * 22) for at in (0, 1)]
    moving = chunk(b"fdAT", b"\0\0\0\x02damaged")
    data = still[:start] + counts + places[0] + still[start:end] + places[1] + moving + still[end:]
    np.testing.assert_array_equal(decode_picture(data, "x"), noisy_picture())


def test_a_png_whose_chunk_claims_more_than_there_is_is_refused() -> None:
    data = encode(noisy_picture(), ".png")
    place = data.index(b"IDAT") - 4
    with pytest.raises(EdgeError, match="cut short"):
        decode_picture(resized(data, b"\x7f\xff\xff\xff", place), "x")


def test_a_jpeg_with_scans_without_end_is_refused() -> None:
    data = encode(noisy_picture(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data.rindex(b"\xff\xda")
    assert decode_picture(data[:-2] + data[last:-2] * 20 + data[-2:], "x").shape == (64, 64, 3)
    with pytest.raises(EdgeError, match="more than 100 scans"):
        decode_picture(data[:-2] + data[last:-2] * 100 + data[-2:], "x")


def test_a_file_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(EdgeError, match="more than 1,073,741,824 bytes"):
        read_picture(path)
