from types import SimpleNamespace

import numpy as np
import pytest

from edge.assets import fetch
from edge.images import read_picture
from edge.modelfile import read_model, resolve_model
from edge.runtime import trial
from edge.runtime.blazeface import FULL_RANGE, SHORT_RANGE, BlazeFace
from edge.runtime.interpreter import Interpreter

MODEL = read_model(resolve_model("default-float32"))


def test_faces_are_those_of_the_demo_and_differ():
    contract = MODEL.card.contract
    faces = trial.demo_faces(contract)
    assert len(faces) >= 24
    assert {(face.shape, face.dtype.name) for face in faces} == {((80, 80, 3), "uint8")}
    assert len({face.tobytes() for face in faces}) == len(faces)
    assert all(map(np.array_equal, faces, trial.demo_faces(contract)))
    network, limits = Interpreter(MODEL.graph, "m"), contract.value_range
    values = [network.run_pixels(face, limits)[0] for face in faces]
    assert np.ptp(np.stack(values), axis=0).min() > 0.3


def test_the_face_is_where_blazeface_finds_it():
    (found,) = BlazeFace().detect(read_picture(fetch("demo")))
    still = SimpleNamespace(uniform=lambda low, high: 1.0 if low > 0 else 0.0)
    told = trial._moved_face(still)
    assert told.box.intersection_over_union(found.box) > 0.95
    assert told.tilt(512, 512) == 0


@pytest.mark.parametrize("variant", [SHORT_RANGE, FULL_RANGE])
def test_scenes_have_faces_of_many_sizes(variant):
    detector = BlazeFace(variant)
    found = [faces[0] for faces in map(detector.detect, trial.demo_scenes()) if faces]
    assert len(found) >= 20
    widths = [face.box.width for face in found]
    assert max(widths) > 2 * min(widths)


def outputs(logits, boxes):
    scores = np.array(logits, np.float32).reshape(1, -1, 1)
    return [scores, np.array(boxes, np.float32).reshape(1, -1, 16)]


def test_detections_are_compared_where_there_is_a_face():
    boxes = np.tile(np.float32([1, 2, 40, 40, *range(12)]), (2, 1))
    seen = outputs([5, -50], boxes)
    moved, elsewhere = boxes.copy(), boxes.copy()
    moved[0, 7] += 2
    elsewhere[1, :] += 100
    assert trial.face_difference(seen, outputs([5, -50], boxes)) == 0
    assert trial.face_difference(seen, outputs([5, -50], moved)) == pytest.approx(0.05)
    assert trial.face_difference(seen, outputs([5, -50], elsewhere)) == 0
    assert trial.face_difference(seen, outputs([5, 0], boxes)) == pytest.approx(0.5)
    assert trial.face_difference(seen[::-1], outputs([5, 0], boxes)[::-1]) == pytest.approx(0.5)
    nobody = outputs([-50, -50], boxes)
    assert trial.face_difference(nobody, nobody) == 0
    assert np.isnan(trial.face_difference(seen, outputs([5, -50], boxes * np.nan)))
