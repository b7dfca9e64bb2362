"""The detectors that are only compared with: that they find the face, and what they say if not."""

import sys

import numpy as np
import pytest

from edge.assets import fetch
from edge.benchmarks.peers import PEERS, create_peer
from edge.errors import EdgeError
from edge.images import read_picture
from edge.runtime.blazeface import BlazeFace

MODULES = {"mtcnn": "mtcnn", "dlib-hog": "dlib"}


@pytest.fixture(scope="module", params=PEERS)
def peer(request, need):
    need(MODULES[request.param])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            patch.setenv(name, "1")  # so that what MTCNN sets is undone
        yield request.param, create_peer(request.param)


@pytest.fixture(scope="module")
def portrait():
    return read_picture(fetch("demo"))


def test_finds_the_portrait_where_blazeface_does(peer, portrait):
    name, detector = peer
    face, [reference] = detector.detect(portrait)[0], BlazeFace().detect(portrait)
    assert face.box.intersection_over_union(reference.box) > 0.5
    assert 0.5 < face.score <= 1
    if name == "mtcnn":
        assert np.array(face.eyes) == pytest.approx(np.array(reference.eyes), abs=0.02)
    else:
        assert face.eyes is None


def test_the_best_comes_first(peer, portrait):
    scores = [face.score for face in peer[1].detect(np.hstack([portrait, portrait // 3]))]
    assert len(scores) >= 2
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (9, 40), (120, 160)])
def test_finds_nothing_where_there_is_nothing(peer, shape):
    assert peer[1].detect(np.zeros((*shape, 3), np.uint8)) == []


def test_an_unknown_peer_is_answered_with_the_known_ones():
    with pytest.raises(EdgeError, match="unknown peer blazeface") as caught:
        create_peer("blazeface")
    assert caught.value.hint == "choose one of mtcnn, dlib-hog"


@pytest.mark.parametrize("name", PEERS)
def test_says_how_to_install_what_is_missing(name, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[name], None)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "1")
    with pytest.raises(EdgeError, match=f"the package {MODULES[name]} cannot be loaded") as caught:
        create_peer(name)
    assert caught.value.hint == "pip install 'edge-tflite[peers]'"


@pytest.mark.data
def test_finds_faces_in_photographs(peer, data_dir):
    paths = sorted((data_dir / "genki4k" / "files").iterdir())[:40]
    found = sum(bool(peer[1].detect(read_picture(path))) for path in paths)
    assert found >= 0.9 * len(paths)
