from itertools import islice

import numpy as np
import pytest

from edge.runtime.demo import FRAMES, Demo
from edge.runtime.detectors import create_detector


@pytest.fixture(scope="module")
def demo() -> Demo:
    return Demo(seed=0)


def test_nearly_every_frame_has_a_face_and_some_have_several(demo: Demo) -> None:
    detector = create_detector("blazeface")
    found = [len(detector.detect(demo.render(index))) for index in range(0, 2 * FRAMES, 3)]
    assert np.mean([count > 0 for count in found]) >= 0.95
    assert max(found) >= 2
    assert found.count(1) > 10


def test_it_is_endless_and_counts_its_frames(demo: Demo) -> None:
    frames = list(islice(demo, 5))
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert {frame.picture.shape for frame in frames} == {(480, 640, 3)}


def test_the_seed_decides(demo: Demo) -> None:
    assert np.array_equal(demo.render(77), Demo(seed=0).render(77))
    assert not np.array_equal(demo.render(77), Demo(seed=1).render(77))


def test_it_moves_smoothly(demo: Demo) -> None:
    pictures = [demo.render(index).astype(int) for index in range(100, 200, 10)]
    nearby = [demo.render(index).astype(int) for index in range(101, 201, 10)]
    steps = [np.abs(b - a).mean() for a, b in zip(pictures, nearby, strict=True)]
    jumps = [np.abs(b - a).mean() for a, b in zip(pictures, pictures[3:], strict=False)]
    assert 0 < max(steps) < min(jumps)
