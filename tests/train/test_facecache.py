import fcntl
import os
import shutil

import numpy as np
import pytest

from edge.contract import InputContract
from edge.datasets import load
from edge.errors import EdgeError
from edge.runtime.blazeface import BlazeFace
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
    assert second.wide[0].filename == first.wide[0].filename
    assert np.array_equal(first.crops(range(40)), second.crops(range(40)))


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
    import cv2

    cv2.imwrite(str(root / "yes" / "wall.png"), np.full((200, 200, 3), 128, np.uint8))
    (root / "no" / "cut.png").write_bytes(pictures[0].read_bytes()[:1000])
    (root / "no" / "link.png").symlink_to("nowhere.png")
    faces = cut_faces([load(root)], InputContract(width=32, height=32))
    assert faces.missing == {"no face found": 1, "unreadable": 2}
    assert sorted(faces.names) == ["face.png", "face.png"]


def test_no_face_at_all_is_an_error(tmp_path):
    import cv2

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
    before = cut_faces([load(root)], contract).wide[0].filename
    picture = next((root / "dark").iterdir())
    os.utime(picture, (1, 1))
    assert cut_faces([load(root)], contract).wide[0].filename != before
