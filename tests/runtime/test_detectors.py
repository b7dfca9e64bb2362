import pytest

from edge.assets import fetch
from edge.contract import InputContract
from edge.errors import EdgeError
from edge.images import read_picture
from edge.runtime.detectors import create_detector, other_than_trained


@pytest.mark.parametrize("name", ["blazeface", "blazeface-full", "yunet"])
def test_each_finds_the_astronaut(name: str) -> None:
    [face] = create_detector(name).detect(read_picture(fetch("demo")))
    middle = face.box.x + face.box.width / 2, face.box.y + face.box.height / 2
    assert middle == pytest.approx((0.44, 0.24), abs=0.05)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(EdgeError, match="unknown detector dlib") as caught:
        create_detector("dlib")
    assert "blazeface, blazeface-full, mediapipe, yunet, haar" in caught.value.hint


def test_another_detector_than_in_training_is_worth_a_warning() -> None:
    contract = InputContract(detector="blazeface")
    assert other_than_trained("blazeface", contract) == []
    [sentence] = other_than_trained("mediapipe", contract)
    assert "blazeface" in sentence
    assert "mediapipe" in sentence
