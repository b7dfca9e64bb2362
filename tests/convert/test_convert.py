"""From a run folder to model files, on faces cut from the demo picture."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.convert.convert import checked, convert
from edge.convert.source import open_run, run_data, validation_faces
from edge.errors import EdgeError
from edge.modelfile import VARIANTS, read_model
from edge.runtime.classifier import Classifier
from tests.convert.conftest import PICTURES, build, build_odd, saved


@pytest.fixture(scope="module")
def odd_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of a network that tells bright from dark, and that plain int8 ruins."""
    folder = tmp_path_factory.mktemp("odd")
    network = build_odd(outputs=1)
    saved(network, data, folder)
    run = open_run(folder)
    faces, _ = validation_faces(run, run_data(run, ()))
    crops = faces.crops(range(len(faces))).astype(np.float32)
    logits = np.log(1 / np.asarray(network(crops))[:, 0] - 1) * -1
    bright = faces.labels[:, 0] == 1
    ends = logits[bright].mean(), logits[~bright].mean()
    dense = network.layers[-2]
    dense.kernel.assign(dense.kernel * np.sign(ends[0] - ends[1]))
    dense.bias.assign([-np.mean(ends) * np.sign(ends[0] - ends[1])])
    network.save(folder / "model.keras")
    return folder


@pytest.fixture(scope="module")
def report(run: Path) -> dict[str, Any]:
    return convert(run, VARIANTS, calibration=6)


def test_every_variant_becomes_a_model_file(run: Path, report: dict[str, Any]) -> None:
    assert [entry["name"] for entry in report["variants"]] == list(VARIANTS)
    for entry in report["variants"]:
        path = run / f"tiny-{entry['name']}.tflite"
        assert entry["file"] == str(path)
        assert entry["size_bytes"] == path.stat().st_size
        model = read_model(path)
        assert model.card.variant == entry["name"]
        probability = Classifier(model).probabilities(np.full((32, 32, 3), 99, np.uint8))
        assert 0 <= probability[0] <= 1


def test_the_report_is_the_json_of_the_command(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["samples"] == 2 * PICTURES["val"]
    for entry in report["variants"]:
        assert set(entry["accuracy"]) == set(entry["drop_points"]) == {"smiling"}
        assert entry["latency_ms"]["p50"] > 0
        # No kernel of XNNPACK takes 16 bits.
        assert entry["delegate"]["partitions"] == (entry["name"] != "int16")
    assert 0 <= report["agreement"] <= 1


def test_the_card_says_where_the_model_comes_from(run: Path, report: dict[str, Any]) -> None:
    card = read_model(run / "tiny-int8.tflite").card
    assert (card.name, card.attributes) == ("tiny", ("smiling",))
    assert (card.recipe["network"], card.recipe["seed"]) == ("proposed", 4)
    assert card.data["folder"]["counts"] == {"train": 12, "val": 8, "test": 0}
    assert card.licence == card.data["folder"]["licence"]
    assert set(card.accuracy) == {"float32", "int8"}
    assert card.accuracy["int8"]["smiling"]["samples"] == 2 * PICTURES["val"]
    assert {"edge", "tensorflow"} <= set(card.versions)
    assert read_model(run / "tiny-float16.tflite").card.calibration is None


def test_calibration_pictures_are_balanced_training_pictures(
    run: Path, report: dict[str, Any]
) -> None:
    calibration = read_model(run / "tiny-int8.tflite").card.calibration
    assert calibration is not None
    assert len(calibration["names"]) == 6
    assert sum(name.startswith("train-not_") for name in calibration["names"]) == 3


def test_no_place_on_this_machine_is_told(run: Path, data: Path, report: dict[str, Any]) -> None:
    content = (run / "tiny-int8.tflite").read_bytes()
    assert str(data).encode() not in content
    assert str(run).encode() not in content


def test_the_same_seed_gives_the_same_bytes(
    run: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    again, other = tmp_path / "again.tflite", tmp_path / "other.tflite"
    convert(run / "model.keras", ["int8"], calibration=6, out=again)
    convert(run, ["int8"], calibration=6, seed=1, out=other)
    assert again.read_bytes() == (run / "tiny-int8.tflite").read_bytes()
    assert other.read_bytes() != again.read_bytes()


def test_the_data_may_have_moved(run: Path, data: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    data.rename(moved)
    try:
        with pytest.raises(EdgeError, match="cannot read"):
            convert(run, ["float32"], out=tmp_path / "a.tflite")
        convert(run, ["float32"], data=[moved], out=tmp_path / "a.tflite")
    finally:
        moved.rename(data)


def test_a_drop_beyond_the_bound_writes_nothing_unless_forced(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.tflite"
    with pytest.raises(EdgeError, match="nothing was written"):
        convert(run, ["float16"], max_drop=-1, out=out)
    assert list(tmp_path.iterdir()) == []
    assert convert(run, ["float16"], max_drop=-1, out=out, force=True)["doctor"] is None
    assert read_model(out).card.variant == "float16"


def test_int8_that_loses_too_much_is_mended_and_its_card_says_how(
    odd_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.tflite"
    plain = convert(odd_run, ["int8"], calibration=6, out=out, force=True)
    assert plain["variants"][0]["drop_points"]["smiling"] > 1
    changed = [face["picture"] for face in plain["variants"][0]["worst"]]
    assert changed
    assert all(name.startswith("val-") for name in changed)
    assert "floats" not in (read_model(out).card.calibration or {})
    report = convert(odd_run, ["int8"], calibration=6, out=out)
    assert report["variants"][0]["drop_points"]["smiling"] <= 1
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    last = report["doctor"]["attempts"][-1]
    assert last["drop_points"]["smiling"] <= 1
    card = read_model(out).card
    assert card.calibration is not None
    assert card.calibration["floats"] == last["floats"]
    assert (
        card.accuracy["int8"]["smiling"]["accuracy"] == report["variants"][0]["accuracy"]["smiling"]
    )


def test_int8_that_nothing_mends_is_not_written_and_its_layers_are_named(
    odd_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(EdgeError, match="int8 loses") as caught:
        convert(odd_run, ["int8"], calibration=6, max_drop=-1, out=tmp_path / "a.tflite")
    assert "most noise comes from conv2d" in caught.value.hint
    assert "operators as floats" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_what_is_slower_than_float_is_not_written_if_that_was_required(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(EdgeError, match=r"int16 takes .* ms, its float parent") as caught:
        convert(run, ["int16"], calibration=6, require_faster=True, force=False, max_drop=100,
                out=tmp_path / "a.tflite")  # fmt: skip
    assert "on this CPU --float32" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_terminal_stays_clean(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    convert(run, ["int8"], calibration=6, out=tmp_path / "a.tflite")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("variants", "out", "reason"),
    [
        ([], None, "no variant"),
        (["int4"], None, "unknown variant int4"),
        (["int8", "float32"], "a.tflite", "is one file, 2 variants"),
        (["int8"], "a.bin", "does not end in .tflite"),
    ],
)
def test_wrong_options(run: Path, variants: list[str], out: str | None, reason: str) -> None:
    with pytest.raises(EdgeError, match=reason):
        convert(run, variants, out=None if out is None else Path(out))


def test_too_many_folders(run: Path, data: Path) -> None:
    with pytest.raises(EdgeError, match="2 --data folders, the run has 1"):
        convert(run, ["float32"], data=[data, data])


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="there is no file or folder"):
        convert(tmp_path / "none", ["float32"])
    with pytest.raises(EdgeError, match="not a run folder"):
        convert(tmp_path, ["float32"])
    (tmp_path / "model.tflite").touch()
    with pytest.raises(EdgeError, match=r"neither a run folder, nor a \.keras file"):
        convert(tmp_path / "model.tflite", ["float32"])


def test_an_unfinished_or_damaged_run_is_refused(run: Path, tmp_path: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EdgeError, match="has not finished"):
        convert(tmp_path, ["float32"])
    (tmp_path / "model.keras").write_bytes(b"not Keras")
    with pytest.raises(EdgeError, match="is damaged: not a whole"):
        convert(tmp_path, ["float32"])
    del config["attributes"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EdgeError, match="is damaged"):
        convert(tmp_path, ["float32"])


def test_data_that_moved_is_found_again_and_other_data_refused(
    run: Path, data: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    report = convert(run, ["float32"], data=[moved], out=tmp_path / "moved.tflite")
    assert report["samples"] == 2 * PICTURES["val"]
    next((moved / "val" / "smiling").iterdir()).unlink()
    with pytest.raises(EdgeError, match="other pictures or labels than the run was trained on"):
        convert(run, ["float32"], data=[moved], out=tmp_path / "other.tflite")
    assert not (tmp_path / "other.tflite").exists()


@pytest.mark.parametrize("outputs", [1, 5])
def test_a_network_of_another_number_of_answers_is_refused(
    run: Path, tmp_path: Path, outputs: int
) -> None:
    config = json.loads((run / "config.json").read_text())
    config |= {"attributes": ["smiling", "male"], "thresholds": [0.5, 0.5]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    build(outputs=outputs).save(tmp_path / "model.keras")
    with pytest.raises(EdgeError, match=rf"gives {outputs} values, its config.json names 2: smil"):
        convert(tmp_path, ["float32"])


def test_options_that_would_do_nothing_are_refused(run: Path) -> None:
    with pytest.raises(EdgeError, match="--io int8 is of --int8, and none was asked for"):
        convert(run, ["float16"], io="int8")


def test_a_place_that_cannot_be_written_is_refused_before_the_work(run: Path) -> None:
    with pytest.raises(EdgeError, match="cannot write into"):
        checked(run, ["float32"], out=run / "config.json" / "a.tflite")
