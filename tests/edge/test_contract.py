"""The input contract: what stands in a crop, and what is refused."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.faces import Box, Detection

SMALL = InputContract(width=32, height=32, margin=0.0, align_eyes=False)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(7).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def soft(noise):
    """A smooth picture, in which a shift of part of a pixel changes little."""
    return cv2.GaussianBlur(noise, None, 3)


def face_at(picture, x, y, width, height, eyes=None):
    """Return a detection given in pixels."""
    rows, columns = picture.shape[:2]
    if eyes is not None:
        eyes = tuple((ex / columns, ey / rows) for ex, ey in eyes)
    return Detection(Box(x / columns, y / rows, width / columns, height / rows), 1.0, eyes)


def greatest_difference(one, other):
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("kernel", ["area", "linear"])
def test_a_box_of_the_size_of_the_crop_is_copied(noise, kernel):
    contract = replace(SMALL, kernel=kernel, colour="BGR")
    crop = contract.cut(noise, face_at(noise, 40, 50, 32, 32))
    np.testing.assert_array_equal(crop, noise[50:82, 40:72])


def test_red_comes_first(noise):
    crop = SMALL.cut(noise, face_at(noise, 40, 50, 32, 32))
    np.testing.assert_array_equal(crop, noise[50:82, 40:72, ::-1])


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("border", ["replicate", "black"])
def test_the_colours_of_a_large_face_stay_in_their_channels(soft, colour, border):
    """Averaged pixels are turned in four channels: to what each channel gives by itself."""
    contract = replace(SMALL, colour=colour, border=border, align_eyes=True)
    face = face_at(soft, 30, 5, 90, 90, ((60.0, 40.0), (100.0, 60.0)))
    crop = contract.cut(soft, face)
    assert len({tuple(channel.ravel()) for channel in np.moveaxis(crop, 2, 0)}) == 3
    for place, name in enumerate(colour):
        alone = np.dstack([soft[..., "BGR".index(name)]] * 3)
        np.testing.assert_array_equal(crop[..., place], contract.cut(alone, face)[..., 0])


def test_the_picture_is_not_changed(noise):
    before = noise.copy()
    SMALL.cut(noise, face_at(noise, 0, 0, 32, 32))
    SMALL.cut(noise, face_at(noise, 0, 0, 120, 120))
    np.testing.assert_array_equal(noise, before)


def test_the_margin_adds_to_each_side(noise):
    contract = replace(SMALL, margin=0.5, colour="BGR")
    crop = contract.cut(noise, face_at(noise, 48, 58, 16, 16))
    np.testing.assert_array_equal(crop, noise[50:82, 40:72])


def test_square_widens_the_shorter_side_and_free_stretches_it(noise):
    face = face_at(noise, 40, 50, 32, 16)
    square = replace(SMALL, colour="BGR").cut(noise, face)
    np.testing.assert_array_equal(square, noise[42:74, 40:72])
    stretched = replace(SMALL, colour="BGR", square=False).cut(noise, face)
    expected = cv2.resize(noise[50:66, 40:72], (32, 32), interpolation=cv2.INTER_LINEAR)
    # Rows at the rim look one pixel further than a resize of the box alone can.
    assert greatest_difference(stretched[1:-1], expected[1:-1]) <= 4


@pytest.mark.parametrize("side", [32, 23.7, 48.3, 64, 96, 110])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_the_mirrored_face_of_the_mirrored_picture_is_the_mirrored_crop(soft, side, margin):
    contract = replace(SMALL, margin=margin, align_eyes=True)
    left, right = (50.3, 60.2), (71.9, 66.8)
    crop = contract.cut(soft, face_at(soft, 33.4, 20.2, side, side, (left, right)))
    mirrored = np.ascontiguousarray(soft[:, ::-1])
    eyes = ((160 - right[0], right[1]), (160 - left[0], left[1]))
    other = contract.cut(mirrored, face_at(mirrored, 160 - 33.4 - side, 20.2, side, side, eyes))
    assert greatest_difference(crop, other[:, ::-1]) <= 6


@pytest.mark.parametrize("degrees", [-70, -20, 15, 45, 90])
def test_eyes_become_level(degrees):
    picture = np.zeros((200, 240, 3), np.uint8)
    turn = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
    eyes = [np.array([120, 100]) + side * 24 * turn for side in (-1, 1)]
    for eye, colour in zip(eyes, ((255, 0, 0), (0, 0, 255)), strict=True):
        cv2.circle(picture, tuple(int(v) for v in np.rint(eye)), 5, colour, -1)
    contract = InputContract(width=96, height=96, margin=0.0, colour="BGR")
    crop = contract.cut(picture, face_at(picture, 72, 52, 96, 96, tuple(map(tuple, eyes))))
    places = [np.argwhere(crop[..., channel] > 128).mean(0) for channel in (0, 2)]
    assert places[0] == pytest.approx((48, 24), abs=1.5)
    assert places[1] == pytest.approx((48, 72), abs=1.5)


def test_eyes_are_ignored_where_the_contract_says_so(noise):
    box = (40, 50, 32, 32)
    tilted = face_at(noise, *box, eyes=((45, 55), (60, 75)))
    np.testing.assert_array_equal(SMALL.cut(noise, tilted), SMALL.cut(noise, face_at(noise, *box)))


@pytest.mark.parametrize(("border", "outside"), [("black", 0), ("replicate", 200)])
@pytest.mark.parametrize("side", [32, 100])
def test_what_stands_outside_the_picture(border, outside, side):
    picture = np.full((120, 160, 3), 200, np.uint8)
    contract = replace(SMALL, border=border)
    crop = contract.cut(picture, face_at(picture, -side / 2, -side / 2, side, side))
    assert (crop[17:, 17:] == 200).all()
    assert (crop[:15] == outside).all()
    assert (crop[:, :15] == outside).all()


@pytest.mark.parametrize("place", [(-500, 20), (900, 20), (20, -500), (20, 900)])
@pytest.mark.parametrize("side", [10, 32, 90])
def test_a_box_wholly_outside_shows_the_border(place, side):
    picture = np.full((120, 160, 3), 90, np.uint8)
    face = face_at(picture, *place, side, side)
    assert (SMALL.cut(picture, face) == 90).all()
    assert (replace(SMALL, border="black").cut(picture, face) == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("contract", [SMALL, InputContract(), replace(SMALL, square=False)])
def test_the_smallest_pictures_have_a_crop(shape, contract):
    picture = np.full((*shape, 3), 77, np.uint8)
    whole = Detection(Box(0, 0, 1, 1), 1.0)
    for crop in (contract.cut(picture, whole), contract.cut_whole(picture)):
        assert crop.shape == (contract.height, contract.width, 3)
        assert (crop == 77).all()


def test_a_box_without_area_has_a_crop(noise):
    assert SMALL.cut(noise, face_at(noise, 40, 50, 0, 0)).shape == (32, 32, 3)


def test_area_does_not_alias():
    """Pixels that alternate become their mean; sampling alone would show either."""
    y, x = np.mgrid[0:240, 0:240]
    board = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    face = face_at(board, 0, 0, 128, 128)
    grey = SMALL.cut(board, face).astype(int)
    assert np.abs(grey - 127.5).max() <= 1
    sampled = replace(SMALL, kernel="linear").cut(board, face_at(board, 0.5, 0.5, 128, 128))
    assert abs(sampled.mean() - 127.5) > 100


@pytest.mark.parametrize("side", [20, 41.3, 64, 70.5, 99, 128.6])
@pytest.mark.parametrize("border", ["replicate", "black"])
def test_the_centre_of_a_wider_crop_is_the_crop(soft, side, border):
    """The training cache holds wider crops, from which shifted ones are taken."""
    narrow = InputContract(width=32, height=32, margin=0.2, border=border)
    wide = replace(narrow, width=48, height=48, margin=((1 + 2 * 0.2) * 48 / 32 - 1) / 2)
    for x, y in ((30, 20), (-12.4, 60.3), (101.7, 44.4)):
        eyes = ((x + side * 0.3, y + side * 0.42), (x + side * 0.7, y + side * 0.36))
        face = face_at(soft, x, y, side, side, eyes)
        center = wide.cut(soft, face)[8:40, 8:40]
        difference = np.abs(center.astype(int) - narrow.cut(soft, face).astype(int))
        assert difference.max() <= 6
        assert difference.mean() < 0.1


def test_blocks_at_the_far_rim_are_averaged_whole():
    """161 columns are no multiple of the block of 4: the last column still counts."""
    picture = np.zeros((161, 161, 3), np.uint8)
    picture[:, -1] = 255
    crop = SMALL.cut(picture, face_at(picture, 33, 33, 128, 128))
    assert crop[16, -1].mean() > 30


def test_the_whole_picture_is_the_crop_without_a_face(noise):
    contract = InputContract(width=160, height=120, square=False, colour="BGR")
    np.testing.assert_array_equal(contract.cut_whole(noise), noise)
    square = InputContract(width=160, height=160, border="black", colour="BGR").cut_whole(noise)
    np.testing.assert_array_equal(square[20:140], noise)
    assert not square[:19].any()
    assert not square[141:].any()


def test_views_into_a_picture_are_cut_as_they_look(noise):
    view = noise[::-1, ::-1]
    face = face_at(view, 31.5, 12.2, 70, 70)
    copied = SMALL.cut(np.ascontiguousarray(view), face)
    np.testing.assert_array_equal(SMALL.cut(view, face), copied)


def test_a_contract_survives_json():
    contract = InputContract(
        width=96, height=64, margin=0.35, square=False, align_eyes=False, border="black",
        kernel="linear", colour="BGR", value_range=(-1.0, 1.0), detector="yunet",
    )  # fmt: skip
    assert InputContract.from_json(json.loads(json.dumps(contract.to_json()))) == contract
    assert hash(contract) == hash(InputContract.from_json(contract.to_json()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zoom": 2, "blur": 1}, "blur, zoom"),
        ({"width": "128"}, "width .* type int"),
        ({"height": 64.5}, "height .* type int"),
        ({"square": 1}, "square .* type bool"),
        ({"value_range": ["a", "b"]}, "value_range .* two rising numbers"),
        ({"value_range": None}, "value_range .* type list"),
    ],
)
def test_a_file_with_other_fields_is_refused(change, message):
    with pytest.raises(EdgeError, match=message):
        InputContract.from_json(InputContract().to_json() | change)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0),
        ("height", 5000),
        ("margin", -0.5),
        ("margin", float("nan")),
        ("border", "mirror"),
        ("kernel", "cubic"),
        ("colour", "GRB"),
        ("value_range", (1.0, 0.0)),
        ("value_range", (0.0, 0.5, 1.0)),
        ("dtype", "float32"),
    ],
)
def test_a_value_out_of_range_cannot_be_made(field, value):
    with pytest.raises(EdgeError, match="of an input contract must be"):
        replace(InputContract(), **{field: value})


def test_contracts_that_differ_are_refused_with_both_values():
    contract, other = InputContract(margin=0.2), InputContract(margin=0.35)
    with pytest.raises(EdgeError) as caught:
        contract.require_same(other, "the model", "the run")
    assert caught.value.message == (
        "margin of the input contract is 0.2 in the model but 0.35 in the run"
    )


def test_another_detector_is_allowed():
    InputContract().require_same(InputContract(detector="yunet"), "the model", "the run")
