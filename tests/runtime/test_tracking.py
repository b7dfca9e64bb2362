import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.contract import Picture
from edge.faces import Box, Detection
from edge.images import read_picture
from edge.runtime.detectors import create_detector
from edge.runtime.locator import Locator
from edge.runtime.sources import open_source
from edge.runtime.tracking import Tracker

WIDTH, HEIGHT = 640, 480
BLANK = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def at(x: float, y: float = 0.3, width: float = 0.2) -> Detection:
    """A square face of a square frame."""
    eyes = ((x + 0.3 * width, y + 0.3 * width), (x + 0.7 * width, y + 0.3 * width))
    return Detection(Box(x, y, width, width), 0.9, eyes)


def ids(tracker: Tracker, *detections: Detection) -> list[int]:
    return [track.id for track in tracker.detected(BLANK, list(detections))]


class Scene:
    """The demo's portrait, moved by known similarities, and the true place of its face."""

    def __init__(self) -> None:
        portrait = read_picture(fetch("demo"))
        # Room on all sides, so that what the camera uncovers is no black.
        self._wall = cv2.copyMakeBorder(portrait, 300, 300, 300, 300, cv2.BORDER_REFLECT_101)
        self._face = create_detector("blazeface").detect(portrait)[0]
        height, width = portrait.shape[:2]
        x, y, self._side, _ = self._face.box.in_pixels(width, height)
        self._eyes = [(px * width + 300, py * height + 300) for px, py in self._face.eyes or ()]
        self._middle = (x + self._side / 2 + 300, y + self._side / 2 + 300)

    def frame(
        self, x: float = 0.5, y: float = 0.5, *, side: float = 0.3, tilt: float = 0.0
    ) -> tuple[Picture, Detection]:
        """Show the face with its middle at x and y, `side` frames wide, turned by some degrees."""
        matrix = cv2.getRotationMatrix2D(self._middle, tilt, side * WIDTH / self._side)
        matrix[:, 2] += x * WIDTH - self._middle[0], y * HEIGHT - self._middle[1]
        picture = cv2.warpAffine(self._wall, matrix, (WIDTH, HEIGHT))
        left, right = (tuple(matrix @ (*eye, 1) / (WIDTH, HEIGHT)) for eye in self._eyes)
        box = Box(x - side / 2, y - side * WIDTH / HEIGHT / 2, side, side * WIDTH / HEIGHT)
        return picture, Detection(box, 0.9, (left, right))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def overlap(one: Detection, other: Detection) -> float:
    return one.box.intersection_over_union(other.box)


def noisy(picture: Picture, seed: int, sigma: float) -> Picture:
    noise = np.random.default_rng(seed).normal(0, sigma, (HEIGHT, WIDTH, 1))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_faces_keep_their_ids_while_they_move() -> None:
    tracker = Tracker(follows=False)
    assert ids(tracker, at(0.1), at(0.6)) == [1, 2]
    assert ids(tracker, at(0.15), at(0.55, 0.25, 0.22)) == [1, 2]
    # As the detections come.
    assert ids(tracker, at(0.5), at(0.2)) == [2, 1]
    assert ids(tracker, at(0.5), at(0.8), at(0.2)) == [2, 3, 1]
    assert ids(tracker) == []


def test_a_face_elsewhere_is_another_one() -> None:
    tracker = Tracker(follows=False)
    assert ids(tracker, at(0.1)) == [1]
    assert ids(tracker, at(0.29)) == [2]
    assert ids(tracker, at(0.7)) == [3]


def test_side_by_side_and_in_step_faces_are_not_taken_for_each_other() -> None:
    tracker = Tracker(follows=False)
    assert ids(tracker, at(0.2), at(0.41)) == [1, 2]
    for shift in np.linspace(0.05, 0.35, 7):
        assert ids(tracker, at(0.41 + shift), at(0.2 + shift)) == [2, 1]


def test_faces_that_pass_each_other_keep_their_ids() -> None:
    tracker = Tracker(follows=False)
    for step in np.linspace(0, 0.6, 31):
        assert ids(tracker, at(0.1 + step, 0.3), at(0.7 - step, 0.4)) == [1, 2]


def test_one_detection_of_two_that_were_is_the_nearer_one() -> None:
    tracker = Tracker(follows=False)
    ids(tracker, at(0.2), at(0.32))
    assert ids(tracker, at(0.3)) == [2]
    assert ids(tracker, at(0.3), at(0.2)) == [2, 1]


def test_a_face_that_was_missed_for_a_while_has_its_id_again_and_not_for_ever() -> None:
    tracker = Tracker(follows=False)
    ids(tracker, at(0.1))
    for _ in range(25):
        assert ids(tracker) == []
    assert ids(tracker, at(0.12)) == [1]
    for _ in range(35):
        assert ids(tracker) == []
    assert ids(tracker, at(0.12)) == [2]


def test_who_is_there_goes_before_who_is_gone() -> None:
    tracker = Tracker(follows=False)
    ids(tracker, at(0.1), at(0.5))
    for x in (0.4, 0.3, 0.2):
        assert ids(tracker, at(x)) == [2]
    assert ids(tracker, at(0.1)) == [2]


def test_no_id_comes_twice() -> None:
    tracker = Tracker(follows=False)
    seen = [ids(tracker, at(0.1 if frame % 2 else 0.7, 0.01 * frame)) for frame in range(40)]
    seen += [ids(tracker, at(0.9, 0.9), at(0.4, 0.9)) for _ in range(3)]
    numbers = [number for frame in seen for number in frame]
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
    first = {number: numbers.index(number) for number in set(numbers)}
    assert sorted(first, key=lambda number: first[number]) == sorted(first)


def test_pictures_are_not_looked_at_where_nothing_is_followed() -> None:
    tracker = Tracker(follows=False)
    nothing: Picture = None  # type: ignore[assignment]
    assert [track.id for track in tracker.detected(nothing, [at(0.1)])] == [1]
    with pytest.raises(ValueError, match="follows nothing"):
        tracker.follow(BLANK)


@pytest.mark.parametrize("sigma", [0.0, 8.0])
def test_a_face_is_followed_through_a_pan_with_zoom_and_tilt(scene: Scene, sigma: float) -> None:
    """Every number is that of the truth, not of a detector; errors do not add up."""
    tracker = Tracker()
    start, face = scene.frame(0.3, 0.5)
    (named,) = tracker.detected(noisy(start, 0, sigma), [face])
    found = []
    for step in range(1, 61):
        angle = step * math.tau / 60
        picture, truth = scene.frame(
            0.5 - 0.2 * math.cos(angle),
            0.5 + 0.08 * math.sin(3 * angle),
            side=0.3 + 0.1 * math.sin(2 * angle),
            tilt=20 * math.sin(angle),
        )
        (track,) = tracker.follow(noisy(picture, step, sigma))
        assert track.id == named.id
        assert track.detection.score == face.score
        assert track.detection.eyes is not None
        assert truth.eyes is not None
        assert np.abs(np.subtract(track.detection.eyes, truth.eyes)).max() < 0.01
        found.append(overlap(track.detection, truth))
    assert min(found) > 0.96
    assert np.mean(found[-5:]) > 0.97


@pytest.mark.parametrize(
    ("x", "side", "tilt"), [(0.41, 0.3, 0), (0.59, 0.3, 0), (0.5, 0.35, 0), (0.5, 0.26, 0),
                            (0.5, 0.3, 12), (0.5, 0.3, -12), (0.54, 0.32, 6)]
)  # fmt: skip
def test_a_large_step_is_found_at_once(scene: Scene, x: float, side: float, tilt: float) -> None:
    start, face = scene.frame()
    tracker = Tracker()
    tracker.detected(start, [face])
    picture, truth = scene.frame(x, side=side, tilt=tilt)
    (track,) = tracker.follow(picture)
    assert overlap(track.detection, truth) > 0.96


def test_a_face_without_eyes_is_followed_too(scene: Scene) -> None:
    start, face = scene.frame()
    tracker = Tracker()
    tracker.detected(start, [Detection(face.box, 0.8)])
    picture, truth = scene.frame(0.55)
    (track,) = tracker.follow(picture)
    assert track.detection.eyes is None
    assert overlap(track.detection, truth) > 0.97


def test_several_faces_are_followed_in_their_order_and_named_again(scene: Scene) -> None:
    def frame(shift: float) -> tuple[Picture, list[Detection]]:
        shown = [scene.frame(x + shift, side=0.2) for x in (0.25, 0.75)]
        half = WIDTH // 2
        picture = np.hstack([shown[0][0][:, :half], shown[1][0][:, half:]])
        return picture, [shown[1][1], shown[0][1]]

    tracker = Tracker()
    tracker.detected(*frame(0))
    for step in range(1, 8):
        picture, faces = frame(step * 0.01)
        tracks = tracker.follow(picture)
        assert [track.id for track in tracks] == [1, 2]
        assert min(map(overlap, (track.detection for track in tracks), faces)) > 0.95
    picture, faces = frame(0.08)
    assert [track.id for track in tracker.detected(picture, faces[::-1])] == [2, 1]


def test_a_hand_does_not_take_the_face_along_and_it_is_found_again(scene: Scene) -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(60, 200, (30, 10, 3)).astype(np.uint8)
    hand = cv2.resize(coarse, (180, HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture, face = scene.frame()
    tracker = Tracker()
    tracker.detected(picture, [face])
    found = []
    for left in range(20, 460, 16):
        covered = picture.copy()
        covered[:, left : left + 180] = hand
        found.append(tracker.follow(covered))
    assert not all(found)
    assert all(overlap(track.detection, face) > 0.9 for (track,) in filter(None, found))
    assert [track.id for track in found[-1]] == [1]


def test_a_face_that_moves_and_changes_its_look_is_not_lost(scene: Scene) -> None:
    """Its parts move against each other, further than those of one detection may differ."""
    start, face = scene.frame(0.3)
    tracker = Tracker()
    tracker.detected(start, [face])
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for step in range(1, 26):
        picture, truth = scene.frame(0.3 + step * 0.015)
        bend = np.float32(14 * math.sin(math.pi * step / 25))
        middle = np.float32((0.3 + step * 0.015) * WIDTH)
        across = x - bend * np.sin((y - HEIGHT // 2) / 25)
        down = y - bend * np.sin((x - middle) / 25)
        (track,) = tracker.follow(cv2.remap(picture, across, down, cv2.INTER_LINEAR))
        assert overlap(track.detection, truth) > 0.85
    assert overlap(track.detection, truth) > 0.97


@pytest.mark.parametrize("factor", [0.6, 0.85, 1.3])
def test_a_lamp_or_an_exposure_changes(scene: Scene, factor: float) -> None:
    picture, face = scene.frame()
    tracker = Tracker()
    tracker.detected(picture, [face])
    for step in range(1, 4):
        moved, truth = scene.frame(0.5 + step * 0.02)
        (track,) = tracker.follow(cv2.convertScaleAbs(moved, alpha=factor))
        assert overlap(track.detection, truth) > 0.93


def other_scene(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[::-1])


def black(picture: Picture) -> Picture:
    return np.zeros_like(picture)


def constant(picture: Picture) -> Picture:
    return np.full_like(picture, 128)


def half_size(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[::2, ::2])


def padded(picture: Picture) -> Picture:
    return cv2.copyMakeBorder(picture, 0, 100, 0, 200, cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("cut", [other_scene, black, constant, half_size, padded])
def test_another_picture_has_no_face_and_the_detector_names_it_again(
    scene: Scene, cut: Callable[[Picture], Picture]
) -> None:
    picture, face = scene.frame()
    tracker = Tracker()
    tracker.detected(picture, [face])
    for _ in range(3):
        assert tracker.follow(cut(picture)) == []
    assert [track.id for track in tracker.detected(picture, [face])] == [1]
    assert [track.id for track in tracker.follow(picture)] == [1]


def test_a_face_that_leaves_is_lost_when_its_middle_has_left(scene: Scene) -> None:
    picture, face = scene.frame()
    tracker = Tracker()
    tracker.detected(picture, [face])
    places = np.linspace(0.5, 1.2, 60)
    for x in places:
        picture, truth = scene.frame(x)
        tracks = tracker.follow(picture)
        assert all(overlap(track.detection, truth) > 0.9 for track in tracks)
        assert bool(tracks) or x > 0.9
        assert not tracks or x < 1.01


@pytest.mark.data
@pytest.mark.parametrize("name", ["again", "brother"])
def test_one_person_of_a_real_video_is_one_face(data_dir: Path, name: str) -> None:
    """He nods, turns and waves his hands before a shirt with a skull on it."""
    locator = Locator(create_detector("blazeface-full"), every=10, related=True)
    with open_source(str(data_dir / "videos" / f"{name}.mkv"), warn=pytest.fail) as source:
        for frame in source:
            tracks = locator.locate(frame.picture)
            assert [track.id for track in tracks] == [1]


@pytest.mark.parametrize(
    "box",
    [Box(0.1, 0.1, 0, 0), Box(0.1, 0.1, -0.2, 0.2), Box(math.nan, 0.1, 0.2, 0.2),
     Box(0.1, 0.1, math.inf, 0.2), Box(1e30, 0, 1e30, 1e30), Box(5, 5, 0.1, 0.1),
     Box(-3, -3, 7, 7), Box(0.5, 0.5, 1e-9, 1e-9)],
)  # fmt: skip
def test_impossible_faces_are_named_and_not_followed(scene: Scene, box: Box) -> None:
    picture, _ = scene.frame()
    tracker = Tracker()
    faces = [Detection(box, 0.9, ((math.nan, 0.2), (0.3, 0.2))), Detection(box, 0.9)]
    assert [track.id for track in tracker.detected(picture, faces)] == [1, 2]
    moved, _ = scene.frame(0.53)
    for track in tracker.follow(moved):
        assert math.isfinite(track.detection.box.x)
    assert len(tracker.detected(moved, faces)) == 2


def test_pictures_of_one_pixel_and_runs_without_faces() -> None:
    tracker = Tracker()
    pixel = np.zeros((1, 1, 3), np.uint8)
    assert tracker.follow(pixel) == []
    assert tracker.detected(pixel, []) == []
    assert tracker.follow(pixel) == []
    assert [track.id for track in tracker.detected(pixel, [at(0.1)])] == [1]
    assert tracker.follow(pixel) == []
