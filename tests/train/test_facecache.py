import errno
import fcntl
import gc
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract import InputContract
from edge.datasets import load
from edge.errors import EdgeError
from edge.images import read_picture
from edge.runtime.blazeface import BlazeFace
from edge.train import facecache
from edge.train.facecache import cut_faces


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch, request):
    from edge.assets import fetch

    source = fetch("blazeface")
    monkeypatch.setenv("EDGE_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "assets").mkdir(parents=True)
    (tmp_path / "home" / "assets" / source.name).write_bytes(source.read_bytes())


@pytest.mark.parametrize("size", [32, 96])
def test_crops_are_those_of_the_contract_pixel_for_pixel(portraits, size):
    contract = InputContract(width=size, height=size)
    dataset = load(portraits).only("val")
    faces = cut_faces([dataset], contract)
    detector = BlazeFace()
    for crop, sample in zip(faces.crops(range(len(faces))), dataset.samples, strict=True):
        picture = sample.read()
        expected = contract.cut(picture, detector.detect(picture)[0])
        # A wider crop rounds its sampling positions elsewhere, by a 32nd of a pixel.
        assert np.abs(crop.astype(int) - expected).max() <= 4
        assert np.abs(crop.astype(int) - expected).mean() < 0.2


def test_cutting_again_reads_the_cache(portraits):
    contract = InputContract(width=32, height=32)
    first = cut_faces([load(portraits)], contract)
    second = cut_faces([load(portraits)], contract)
    assert second.wide[0].path == first.wide[0].path
    assert np.array_equal(first.crops(range(40)), second.crops(range(40)))


def test_a_folder_named_from_here_is_the_same_folder(portraits, monkeypatch):
    contract = InputContract(width=32, height=32)
    first = cut_faces([load(portraits).only("val")], contract)
    for here, named in ((portraits.parent, portraits.name), (portraits, ".")):
        monkeypatch.chdir(here)
        again = cut_faces([load(Path(named)).only("val")], contract)
        assert again.wide[0].path == first.wide[0].path


def test_another_contract_is_cut_anew(portraits):
    dataset = load(portraits).only("val")
    tight = cut_faces([dataset], InputContract(width=32, height=32, margin=0.0))
    loose = cut_faces([dataset], InputContract(width=32, height=32, margin=0.5))
    assert not np.array_equal(tight.crops([0]), loose.crops([0]))


def test_unreadable_pictures_and_those_without_a_face_are_counted(portraits, tmp_path):
    root = tmp_path / "mixed"
    pictures = sorted((portraits / "val" / "dark").iterdir())
    for name in ("yes", "no"):
        (root / name).mkdir(parents=True)
        (root / name / "face.png").write_bytes(pictures[0].read_bytes())
    cv2.imwrite(str(root / "yes" / "wall.png"), np.full((200, 200, 3), 128, np.uint8))
    (root / "no" / "cut.png").write_bytes(pictures[0].read_bytes()[:1000])
    (root / "no" / "link.png").symlink_to("nowhere.png")
    data = load(root)
    faces = cut_faces([data], InputContract(width=32, height=32))
    assert {why: len(places) for why, places in faces.missing.items()} == {
        "no face found": 1, "unreadable": 2,
    }  # fmt: skip
    unreadable = {data.samples[row].name for _, row in faces.missing["unreadable"].tolist()}
    assert unreadable == {"cut.png", "link.png"}
    assert sorted(faces.names([data])) == ["face.png", "face.png"]


def test_no_face_at_all_is_an_error(tmp_path):
    for name in ("yes", "no"):
        (tmp_path / "walls" / name).mkdir(parents=True)
        cv2.imwrite(
            str(tmp_path / "walls" / name / "wall.png"), np.full((99, 99, 3), 200, np.uint8)
        )
    with pytest.raises(EdgeError, match="no face found in 2 pictures"):
        cut_faces([load(tmp_path / "walls")], InputContract(width=32, height=32))


def test_a_rim_lets_an_augmented_face_keep_real_pixels(portraits):
    faces = cut_faces([load(portraits).only("val")], InputContract(width=96, height=96))
    assert faces.with_rim(0).shape == (128, 128, 3)
    assert faces.rim == (16, 16)


def test_what_a_killed_process_left_is_swept_away(portraits, tmp_path):
    caches = tmp_path / "home" / "faces"
    leftover, busy = caches / ".filling-dead", caches / ".filling-busy"
    for folder in (leftover, busy):
        folder.mkdir(parents=True)
        (folder / "lock").touch()
    with (busy / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cut_faces([load(portraits).only("val")], InputContract(width=32, height=32))
    assert not leftover.exists()
    assert busy.exists()


def test_a_replaced_picture_is_cut_anew(portraits, tmp_path):
    root = tmp_path / "pictures"
    shutil.copytree(portraits / "val", root)
    contract = InputContract(width=32, height=32)
    before = cut_faces([load(root)], contract).wide[0].path
    picture = next((root / "dark").iterdir())
    os.utime(picture, (1, 1))
    assert cut_faces([load(root)], contract).wide[0].path != before


def test_the_file_of_the_crops_is_one_of_numpy(portraits):
    faces = cut_faces([load(portraits).only("val")], InputContract(width=96, height=96))
    wide = np.load(faces.wide[0].path)
    assert wide.shape == (8, 128, 128, 3)
    for index, (_, row) in enumerate(faces.places):
        assert np.array_equal(faces.with_rim(index), wide[row])


def test_a_face_with_its_rim_is_for_reading(portraits):
    faces = cut_faces([load(portraits).only("val")], InputContract(width=32, height=32))
    with pytest.raises(ValueError, match="read-only"):
        faces.with_rim(0)[:] = 0
    with pytest.raises(IndexError, match="row 8 of 8"):
        faces.wide[0][8]


def test_batches_are_all_crops_in_order(portraits):
    faces = cut_faces([load(portraits)], InputContract(width=32, height=32))
    batches = list(faces.batches(16))
    assert [len(batch) for batch in batches] == [16, 16, 8]
    assert np.array_equal(np.concatenate(batches), faces.crops(range(40)))


def test_a_subset_keeps_faces_and_labels_together(portraits):
    data = [load(portraits)]
    faces = cut_faces(data, InputContract(width=32, height=32))
    chosen = np.array([30, 3, 17])
    some = faces.subset(chosen)
    assert np.array_equal(some.crops(range(3)), faces.crops(chosen))
    assert np.array_equal(some.labels, faces.labels[chosen])
    names = faces.names(data)
    assert some.names(data) == tuple(names[index] for index in chosen)


def test_threads_read_what_one_reads(portraits):
    faces = cut_faces([load(portraits)], InputContract(width=96, height=96))
    rows = np.random.default_rng(0).integers(len(faces), size=2000)
    expected = [int(faces.with_rim(row).sum(dtype=np.int64)) for row in rows]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda row: int(faces.with_rim(row).sum(dtype=np.int64)), rows)
        assert list(found) == expected


def test_a_file_is_closed_with_the_faces(portraits):
    def descriptors() -> int:
        gc.collect()
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    contract = InputContract(width=32, height=32)
    cut_faces([load(portraits)], contract)
    before = descriptors()
    faces = cut_faces([load(portraits).only("train"), load(portraits).only("val")], contract)
    faces.crops(range(len(faces)))
    assert descriptors() == before + 2
    del faces
    assert descriptors() == before


def test_a_cache_cut_short_names_the_folder_to_remove(portraits):
    contract = InputContract(width=32, height=32)
    path = cut_faces([load(portraits)], contract).wide[0].path
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(EdgeError, match="ends in row 39 of 40") as caught:
        cut_faces([load(portraits)], contract)
    assert str(path.parent) in caught.value.hint


def test_a_full_disk_is_an_error_and_leaves_nothing(portraits, tmp_path, monkeypatch):
    written = []
    pwrite = os.pwrite

    def full(descriptor: int, data: bytes, place: int) -> int:
        written.append(len(data))
        if len(written) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, data, place)

    monkeypatch.setattr(os, "pwrite", full)
    contract = InputContract(width=32, height=32)
    with pytest.raises(EdgeError, match="No space left on device") as caught:
        cut_faces([load(portraits)], contract)
    assert "EDGE_HOME" in caught.value.hint
    assert list((tmp_path / "home" / "faces").iterdir()) == []
    monkeypatch.undo()


def test_a_disk_that_takes_a_part_at_a_time_is_written_to_the_end(portraits, monkeypatch):
    contract = InputContract(width=32, height=32)
    dataset = load(portraits).only("val")
    expected = cut_faces([dataset], contract)
    expected_crops = expected.crops(range(8))
    shutil.rmtree(expected.wide[0].path.parent)
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: pwrite(file, data[:1000], place))
    assert np.array_equal(cut_faces([dataset], contract).crops(range(8)), expected_crops)


def test_a_home_that_cannot_be_made_is_an_error(portraits, tmp_path, monkeypatch):
    contract = InputContract(width=32, height=32)
    (tmp_path / "file").touch()
    monkeypatch.setattr(facecache, "home", lambda: tmp_path / "file")
    with pytest.raises(EdgeError, match="Not a directory") as caught:
        cut_faces([load(portraits)], contract)
    assert "set EDGE_HOME elsewhere" in caught.value.hint


def _tilt(left: tuple[float, float], right: tuple[float, float]) -> float:
    """Return the angle of the line through the eyes in degrees."""
    return math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))


def _eyes_in_crop(contract: InputContract, picture, eyes, face) -> list[tuple[float, float]]:
    """Send dots in the places of the eyes through the very cut."""
    dots = np.zeros_like(picture)
    radius = max(2, round(face.box.width * picture.shape[1] / 40))
    for channel, (x, y) in enumerate(eyes):
        one = np.zeros(picture.shape[:2], np.uint8)
        cv2.circle(one, (round(x), round(y)), radius, 255, -1)
        dots[:, :, channel] = one
    cut = contract.cut(dots, face).astype(float)
    down, right = np.mgrid[: contract.height, : contract.width]
    return [
        (float((dot * right).sum() / dot.sum()), float((dot * down).sum() / dot.sum()))
        for dot in (cut[:, :, 0], cut[:, :, 1])
    ]


@pytest.mark.data
def test_alignment_levels_the_eyes_that_people_marked(data_dir):
    """MTFL's marked eyes, of faces that are tilted by 10° and more."""
    aligned = InputContract(border="black", colour="BGR")
    plain = replace(aligned, align_eyes=False)
    detector, before, after = BlazeFace(), [], []
    for line in (data_dir / "mtfl" / "training.txt").read_text().split("\n"):
        if not line.strip():
            continue
        name, *values = line.split()
        x, y = [float(value) for value in values[:2]], [float(value) for value in values[5:7]]
        eyes = list(zip(x, y, strict=True))
        path = (data_dir / "mtfl" / name.replace("\\", "/")).with_suffix(".webp")
        if len(before) == 80 or abs(_tilt(*eyes)) < 10 or not path.exists():
            continue
        picture = read_picture(path)
        height, width = picture.shape[:2]
        for face in detector.detect(picture)[:1]:
            left, top, across, down = face.box.in_pixels(width, height)
            if all(left < a < left + across and top < b < top + down for a, b in eyes):
                before.append(abs(_tilt(*_eyes_in_crop(plain, picture, eyes, face))))
                after.append(abs(_tilt(*_eyes_in_crop(aligned, picture, eyes, face))))
    assert len(before) == 80
    assert np.median(before) > 10
    assert np.median(after) < 3
    assert np.quantile(after, 0.9) < 8
