"""Training with the rounding of integers: that it rounds as the file does, and what is kept."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edge.contract import InputContract
from edge.convert import doctor, integers
from edge.convert.convert import convert
from edge.convert.quantize import quantize
from edge.convert.rewrite import for_integers
from edge.errors import EdgeError
from edge.modelfile import read_model
from edge.runtime.interpreter import Interpreter
from edge.train.folding import fold
from edge.train.fresh import fresh
from edge.train.job import Job, config_of, load_data
from edge.train.networks import build
from edge.train.recipes import recipe_named
from edge.train.rounding import rounded
from tests.convert.conftest import build as foreign

CONTRACT = InputContract(width=32, height=32)


@pytest.fixture(scope="module")
def run(portraits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of a network of `edge train` that has learnt nothing."""
    folder = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(1)
    build("simple-cnn", CONTRACT, 1).save(folder / "model.keras")
    recipe = replace(recipe_named("simple-cnn"), contract=CONTRACT, batch=8, subset=None)
    job = Job(recipe=recipe, data=((portraits, "folder"),), attributes=("bright",), seed=4)
    (folder / "config.json").write_text(json.dumps(config_of(job, "tiny", load_data(job))))
    return folder


@pytest.mark.parametrize("name", ["compact", "mobilenet-v3-small"])
def test_training_rounds_as_much_as_the_file_does(name: str) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
    network = fold(fresh(name, CONTRACT, 2, crops, seed=1))
    graph = for_integers(quantize(network, "float32", CONTRACT))
    file = integers.static(
        graph, integers.calibrate(graph, CONTRACT, crops), floats=doctor._answer(graph)
    )
    interpreter = Interpreter(file, name)
    pixels = crops.astype(np.float32)
    said = np.stack([interpreter.run_pixels(crop, CONTRACT.value_range)[0][0] for crop in crops])
    plain, with_rounding = (np.asarray(one(pixels)) for one in (network, rounded(network)))

    # Which way each value is rounded is chance, from the second layer on.
    assert 0.5 < np.abs(with_rounding - plain).mean() / np.abs(said - plain).mean() < 2


def test_it_is_tried_last_and_told(run: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(EdgeError, match="int8 loses") as caught:
        convert(run, ["int8"], calibration=6, max_drop=-101, fine_tune=2, say=said.append,
                out=tmp_path / "a.tflite")  # fmt: skip
    assert "2 epochs of training with rounding" in caught.value.hint.split(": or choose")[0]
    assert [line.split(":")[0] for line in said[1:]] == ["as int8, epoch 1/2", "as int8, epoch 2/2"]
    assert list(tmp_path.iterdir()) == []


def test_the_card_keeps_how_long_it_took(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the other remedies, which mend this network as well.
    monkeypatch.setattr(doctor, "_FLOAT_LAYERS", ())
    out = tmp_path / "a.tflite"
    before = (run / "model.keras").read_bytes()
    tries = iter([False, False, False])  # as it is, the answer as floats, more pictures
    monkeypatch.setattr("edge.convert.bounds.within", lambda *_, **__: next(tries, True))
    report = convert(run, ["int8"], calibration=6, max_drop=100, fine_tune=1, out=out)
    attempts = report["doctor"]["attempts"]
    assert attempts[-1]["remedy"] == "1 epoch of training with rounding"
    card = read_model(out).card
    assert card.calibration is not None
    assert card.calibration["epochs"] == attempts[-1]["epochs"] == 1
    assert (run / "model.keras").read_bytes() == before


def test_a_network_of_another_make_is_refused_at_once(run: Path, tmp_path: Path) -> None:
    foreign(outputs=1).save(tmp_path / "model.keras")
    (tmp_path / "config.json").write_bytes((run / "config.json").read_bytes())
    with pytest.raises(EdgeError, match="not a network of `edge train`"):
        convert(tmp_path, ["int8"], fine_tune=1)


@pytest.mark.parametrize(("variants", "force"), [(["int8"], True), (["dynamic"], False)])
def test_it_is_refused_where_it_would_do_nothing(
    run: Path, variants: list[str], force: bool
) -> None:
    with pytest.raises(EdgeError, match="--fine-tune mends int8"):
        convert(run, variants, fine_tune=1, force=force)
