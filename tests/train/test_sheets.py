"""Sheets of faces: which faces stand where, in which colours, and in which order."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.train import mistakes as worst
from edge.train import sheets
from edge.train.canvas import DPI

NAN = float("nan")

# Colours as RGB; OpenCV reads PNGs as BGR.
RED, GREEN, BLUE, GREY = (200, 30, 20), (20, 180, 40), (10, 40, 220), (120, 120, 120)


def plain(*colours):
    """Return one plain crop a colour: uint8 (n, 24, 24, 3)."""
    return np.stack([np.full((24, 24, 3), colour, np.uint8) for colour in colours])


def cell(path, row, column, *, lines, columns_before=0.0):
    """Return the colour in the middle of a cell of a sheet, as RGB."""
    pixels = cv2.imread(str(path))
    face, gap, header, line = 1.25, 0.1, 0.45, 0.17
    x = gap + columns_before + column * (face + gap) + face / 2
    y = header + row * (face + gap + lines * line) + face / 2
    return tuple(int(value) for value in pixels[round(y * DPI), round(x * DPI)][::-1])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sheet.png"


def test_faces_stand_in_rows_of_eight(path):
    sheets.sample_grid(plain(*[RED] * 8, GREEN), ["words"] * 9, path)
    assert cell(path, 0, 0, lines=1) == RED
    assert cell(path, 0, 7, lines=1) == RED
    assert cell(path, 1, 0, lines=1) == GREEN
    assert cell(path, 1, 1, lines=1) == (255, 255, 255)
    shape = cv2.imread(str(path)).shape
    assert shape[1] == round((0.1 + 8 * 1.35) * DPI)


def test_a_caption_stands_under_its_face(path):
    def ink(captions):
        sheets.sample_grid(plain(RED, RED), captions, path, title="")
        pixels = cv2.imread(str(path))
        under = pixels[round(1.72 * DPI) : round(1.86 * DPI)]
        half = under.shape[1] // 2
        return (under[:, :half] < 128).sum(), (under[:, half:] < 128).sum()

    left, right = ink(["words", ""])
    assert left > 50
    assert right == 0


@pytest.mark.parametrize(("colour", "seen"), [("RGB", RED), ("BGR", RED[::-1])])
def test_the_channel_order_is_heeded(path, colour, seen):
    sheets.sample_grid(plain(RED), [""], path, colour=colour)
    assert cell(path, 0, 0, lines=1) == seen


def test_a_face_keeps_its_proportions(path):
    tall = np.full((1, 40, 20, 3), RED, np.uint8)
    sheets.sample_grid(tall, [""], path, title="")
    red = np.argwhere((cv2.imread(str(path)) == RED[::-1]).all(axis=2))
    height, width = red.max(0) - red.min(0) + 1
    assert (height, width) == (pytest.approx(1.25 * DPI, abs=2), pytest.approx(0.625 * DPI, abs=2))


def test_more_faces_than_can_be_seen_are_refused(path):
    with pytest.raises(ValueError, match="65 faces, at most 64"):
        sheets.sample_grid(np.zeros((65, 8, 8, 3), np.uint8), [""] * 65, path)
    assert not path.exists()


def test_no_faces_are_said_rather_than_left_out(path):
    sheets.sample_grid(np.zeros((0, 8, 8, 3), np.uint8), [], path)
    assert cv2.imread(str(path)).std() > 5


def test_augmentations_stand_beside_their_face(path):
    augmented = np.stack([plain(*[GREEN] * 9, BLUE), plain(*[GREY] * 10)])
    sheets.augmentation_grid(plain(RED, BLUE), augmented, path)
    assert cell(path, 0, 0, lines=0) == RED
    assert cell(path, 1, 0, lines=0) == BLUE
    assert cell(path, 0, 1, lines=0, columns_before=0.2) == GREEN
    assert cell(path, 0, 10, lines=0, columns_before=0.2) == BLUE
    assert cell(path, 1, 10, lines=0, columns_before=0.2) == GREY


def test_augmentations_of_other_faces_are_refused(path):
    with pytest.raises(ValueError, match=r"\(2, 9\) augmentations of 2 faces"):
        sheets.augmentation_grid(plain(RED, BLUE), np.zeros((2, 9, 8, 8, 3), np.uint8), path)


def test_the_most_confident_mistake_comes_first():
    labels = np.array([1, 0, 1, 0, NAN, 1, 0], np.float32)
    said = np.array([0.4, 0.9, 0.05, 0.1, 0.99, NAN, 0.55], np.float32)
    assert worst.mistakes(labels, said).tolist() == [2, 1, 0, 6]
    assert worst.mistakes(labels, said, most=2).tolist() == [2, 1]


def test_confidence_is_measured_from_the_threshold():
    labels = np.array([0, 1], np.float32)
    said = np.array([0.92, 0.4], np.float32)
    # From 0.8 on it is yes: 0.92 is more than half of the way to 1, 0.4 half of the way to 0.
    assert worst.mistakes(labels, said, 0.8).tolist() == [0, 1]
    assert worst.mistakes(labels, np.array([0.9, 0.3], np.float32), 0.8).tolist() == [1, 0]
    assert worst.mistakes(labels, np.array([0.79, 0.81], np.float32), 0.8).tolist() == []


def test_the_worst_mistake_is_drawn_first(path):
    labels = np.array([1, 0, 1, 1], np.float32)
    said = np.array([0.3, 0.99, 0.9, 0.2], np.float32)
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    worst.worst_mistakes(plain(RED, GREEN, GREY, BLUE), labels, said, names, "Smiling", path)
    assert [cell(path, 0, column, lines=2) for column in range(3)] == [GREEN, BLUE, RED]


def test_captions_tell_label_answer_and_file(path, monkeypatch):
    told = []
    monkeypatch.setattr(
        worst, "sample_grid", lambda crops, captions, path, **_: told.extend(captions)
    )
    worst.worst_mistakes(
        plain(RED), np.array([1], np.float32), np.array([0.25], np.float32), ["a.jpg"], "x", path
    )
    worst.mistaken_people(
        plain(RED), np.array([0]), np.array([[0.25, 0.75]], np.float32), ["b.jpg"],
        ["Ann", "Bob"], path,
    )  # fmt: skip
    assert told == ["label yes, said 0.250\na.jpg", "is Ann\nsaid Bob 0.75\nb.jpg"]
    assert worst.caption(NAN, 0.5) == "label unknown, said 0.500"


def test_no_mistakes_are_said(path):
    right = np.array([1, 0], np.float32)
    worst.worst_mistakes(plain(RED, RED), right, right, ["a", "b"], "Smiling", path)
    assert cv2.imread(str(path)).std() > 5


def test_people_are_mistaken_by_how_sure_the_answer_was():
    truth = np.array([0, 0, 1, 2, 1])
    said = np.array(
        [[0.9, 0.1, 0], [0.2, 0.5, 0.3], [0.8, 0.1, 0.1], [0, 0, 1], [NAN, NAN, NAN]], np.float32
    )
    assert worst.mistaken(truth, said).tolist() == [2, 1]


def test_maps_that_show_something_come_before_constant_ones():
    values = np.zeros((4, 4, 8), np.float32)
    values[0, 0, [2, 5]] = 1.0
    for seed in range(5):
        chosen = sheets.chosen_maps(values, np.random.default_rng(seed))
        assert set(chosen[:2]) == {2, 5}
        assert len(set(chosen)) == 3
        assert chosen == sheets.chosen_maps(values, np.random.default_rng(seed))
    values = np.random.default_rng(0).random((4, 4, 8)).astype(np.float32)
    drawn = [tuple(sheets.chosen_maps(values, np.random.default_rng(at))) for at in range(5)]
    assert len(set(drawn)) > 1
    assert len(sheets.chosen_maps(values[:, :, :2], np.random.default_rng(0))) == 2


def test_a_map_goes_from_dark_to_bright(path):
    ramp = np.zeros((2, 2, 3), np.float32)
    ramp[:, 1] = 7.0
    flat = np.full((5, 5, 1), 3.0, np.float32)
    sheets.feature_maps([("conv", ramp), ("flat", flat)], plain(RED)[0], path)
    pixels = cv2.imread(str(path))[:, :, ::-1].astype(int)
    assert cell(path, 0, 0, lines=1) == RED
    # The layer after the input begins three cells and a gap to the right.
    x = round((0.1 + 3 * 1.35 + 0.1) * DPI)
    y = round((0.45 + 0.6) * DPI)
    dark, bright = pixels[y, x + 30], pixels[y, x + 120]
    assert dark.tolist() == [68, 1, 84]  # the ends of viridis
    assert bright.tolist() == [253, 231, 36]
    assert cell(path, 0, 6, lines=1, columns_before=2 * 0.1) == (68, 1, 84)


def test_a_name_for_a_file_is_no_way_out(tmp_path):
    from edge.train.told import _file_name

    assert _file_name("../a b/Ärger") == "_a_b_Ärger"
    assert Path(_file_name("5_o_Clock_Shadow")).name == "5_o_Clock_Shadow"
