import sys

import pytest

from edge import extras
from edge.errors import EdgeError


def test_an_unknown_backend_is_refused_before_anything_is_imported(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "nope")
    with pytest.raises(EdgeError, match="KERAS_BACKEND is nope") as caught:
        extras.training()
    assert "tensorflow, jax, torch" in caught.value.hint


@pytest.mark.parametrize(
    ("missing", "hint"),
    [("keras", "pip install 'edge-tflite[train]'"), ("torch", "pip install torch")],
)
def test_what_is_missing_is_named_with_how_to_install_it(monkeypatch, missing, hint):
    def absent(name, *rest, **more):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    for name in [name for name in sys.modules if name.startswith("edge.train")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("builtins.__import__", absent)
    with pytest.raises(EdgeError, match=f"{missing} is not installed here") as caught:
        extras.training()
    monkeypatch.undo()
    assert caught.value.hint == hint


def test_what_watches_a_run_is_named_with_how_to_install_it():
    with (
        pytest.raises(EdgeError, match="uvicorn is not installed here") as caught,
        extras.watching(),
    ):
        raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
    assert caught.value.hint == "pip install 'edge-tflite[watch]'"
