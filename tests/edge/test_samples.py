"""Pictures as they are read, from files of their own and out of zips."""

import threading
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import EdgeError
from edge.samples import Sample


def test_a_sample_is_read_from_a_file_and_from_a_zip(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 6, 3), 77, np.uint8))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "inner/a.png")
    plain = Sample(str(tmp_path / "a.png"), None, "train")
    packed = Sample(str(tmp_path / "all.zip"), "inner/a.png", "train")
    assert plain.name == packed.name == "a.png"
    assert np.array_equal(plain.read(), np.full((8, 6, 3), 77))
    assert np.array_equal(packed.read(), plain.read())


def test_a_zip_is_read_by_many_threads_at_once(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(64):
            picture = np.full((32, 32, 3), n, np.uint8)
            archive.writestr(f"{n}.png", cv2.imencode(".png", picture)[1].tobytes())
    wrong: list[object] = []

    def read_all() -> None:
        for n in range(64):
            try:
                if set(Sample(str(path), f"{n}.png", "train").read().ravel()) != {n}:
                    wrong.append(n)
            except EdgeError as error:
                wrong.append(error)

    threads = [threading.Thread(target=read_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_damaged_picture_is_found_when_it_is_read(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((8, 6, 3), 100, np.uint8))
    (tmp_path / "b.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:-20])
    whole, cut = (Sample(str(tmp_path / name), None, "train") for name in ("a.jpg", "b.jpg"))
    assert whole.read().shape == (8, 6, 3)
    with pytest.raises(EdgeError, match=r"b\.jpg is cut short"):
        cut.read()


def test_a_damaged_or_missing_member_of_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"A" * 100)
        archive.writestr("b.png", b"no picture")
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"BBBB", 1))
    for member, message in {
        "a.png": "Bad CRC", "b.png": "is not a picture", "c.png": "no item named",
    }.items():  # fmt: skip
        with pytest.raises(EdgeError, match=rf"all\.zip:{member}.*{message}"):
            Sample(str(path), member, "test").read()
    with pytest.raises(EdgeError, match=r"gone\.zip"):
        Sample(str(tmp_path / "gone.zip"), "a.png", "test").read()
