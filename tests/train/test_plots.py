"""Scores and circumstances: what a figure holds, and that it is a PNG that can be looked at."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from edge.runtime.evaluate import roc_auc
from edge.runtime.sensitivity import Sensitivity, Step
from edge.train import calibration, circumstances, maps, plots
from edge.train.canvas import DPI, words

NAN = float("nan")


def assert_a_picture(path, inches=None):
    """Assert that a file is a PNG that shows something, perhaps of a given size."""
    pixels = cv2.imread(str(path))
    assert pixels is not None
    assert pixels.std() > 5
    if inches is not None:
        assert pixels.shape[:2] == (round(inches[1] * DPI), round(inches[0] * DPI))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, in order; nothing is written."""
    figures = []
    for module in (plots, calibration, circumstances, maps):
        monkeypatch.setattr(module, "save", lambda figure, path: figures.append(figure))
    return figures


def texts(axis):
    return [text.get_text() for text in axis.texts]


@pytest.fixture(scope="module")
def said():
    """(probabilities, labels) of 400 samples and three attributes, some unknown or not found."""
    random = np.random.default_rng(0)
    labels = (random.random((400, 3)) < 0.4).astype(np.float32)
    values = np.clip(labels * 0.4 + random.random((400, 3)) * 0.6, 0, 1).astype(np.float32)
    labels[random.random((400, 3)) < 0.1] = NAN
    values[:20] = NAN
    return values, labels


HISTORY = [
    {"epoch": 1, "phase": "head", "rate": 1e-3, "loss": 1.0, "val_loss": 0.9,
     "val_accuracy": {"Smiling": 0.5, "Male": 0.6}},
    {"epoch": 2, "phase": "head", "rate": 1e-4, "loss": 0.9, "val_loss": 0.8,
     "val_accuracy": {"Smiling": 0.6, "Male": 0.7}},
    {"epoch": 3, "phase": "teacher", "rate": 1e-3, "loss": 0.5, "val_loss": 0.5,
     "val_accuracy": {}},
    {"epoch": 4, "phase": "teacher", "rate": 1e-3, "loss": 0.4, "val_loss": 0.4},
    {"epoch": 5, "phase": "all", "rate": 1e-5, "loss": 0.3, "val_loss": 0.3,
     "val_accuracy": {"Smiling": 0.8, "Male": 0.9}},
]  # fmt: skip


def test_curves_mark_the_phases_and_leave_gaps(drawn):
    plots.curves(HISTORY, Path("unused"))
    loss, accuracy, rate = drawn[0].axes
    for axis in (loss, accuracy, rate):
        assert texts(axis) == ["head", "teacher", "all"]
        assert [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"] == [
            2.5,
            4.5,
        ]
    smiling = accuracy.lines[0]
    assert smiling.get_label() == "Smiling"
    assert smiling.get_ydata() == pytest.approx([0.5, 0.6, NAN, NAN, 0.8], nan_ok=True)
    steps = rate.patches[0].get_data()
    assert steps.values.tolist() == [1e-3, 1e-4, 1e-3, 1e-3, 1e-5]
    assert steps.edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert rate.get_yscale() == "log"


def test_curves_of_one_phase_have_no_borders(drawn):
    plots.curves([entry | {"phase": "train"} for entry in HISTORY], Path("unused"))
    assert [texts(axis) for axis in drawn[0].axes] == [[], [], []]


def test_curves_of_forty_attributes_show_their_mean(drawn):
    names = [f"attribute {at}" for at in range(40)]
    entry = {"rate": 1e-3, "loss": 1.0, "val_loss": 1.0}
    history = [
        entry | {"val_accuracy": {name: 0.5 + at / 100 for at, name in enumerate(names)}},
        entry | {"val_accuracy": dict.fromkeys(names, 0.9)},
    ]
    plots.curves(history, Path("unused"))
    accuracy = drawn[0].axes[1]
    assert len(accuracy.lines) == 41
    assert accuracy.lines[-1].get_ydata() == pytest.approx([0.695, 0.9])
    assert len(accuracy.get_legend().get_texts()) == 1


@pytest.mark.parametrize("length", [0, 1, 5])
def test_curves_of_any_length_are_a_picture(tmp_path, length):
    plots.curves(HISTORY[:length], tmp_path / "curves.png")
    assert_a_picture(tmp_path / "curves.png", (13, 3.9))
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_a_confusion_counts_by_the_thresholds(drawn):
    values = np.array([[0.9], [0.6], [0.4], [0.2], [0.8], [NAN]], np.float32)
    labels = np.array([[1], [1], [1], [0], [0], [0]], np.float32)
    plots.confusion(values, labels, ["Smiling"], Path("unused"))
    plots.confusion(values, labels, ["Smiling"], Path("unused"), thresholds=(0.85,))
    half, high = (texts(figure.axes[0]) for figure in drawn)
    assert half == ["1\n50.0%", "1\n50.0%", "1\n33.3%", "2\n66.7%"]
    assert high == ["2\n100.0%", "0\n0.0%", "2\n66.7%", "1\n33.3%"]
    assert drawn[1].axes[0].get_title() == "Smiling\n60.0% right"


def test_forty_attributes_stand_in_rows_of_five(tmp_path, said):
    values, labels = (np.tile(array, (1, 14))[:, :40] for array in said)
    names = [f"attribute number {at}" for at in range(40)]
    plots.confusion(values, labels, names, tmp_path / "confusion.png")
    assert_a_picture(tmp_path / "confusion.png", (5 * 2.5, 8 * 2.5 + 0.25))


def test_classes_are_named_up_to_twenty_five(drawn):
    truth, answers = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 0])
    plots.confusion_of_classes(truth, answers, ["Ann", "Bob", "Cyd"], Path("unused"))
    axis = drawn[0].axes[0]
    expected = np.array([[2 / 3, 1 / 3, 0], [0, 1, 0], [1, 0, 0]])
    assert np.allclose(axis.images[0].get_array(), expected)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["Ann", "Bob", "Cyd"]
    assert "60.0% right" in drawn[0].get_suptitle()
    many = [f"person {at}" for at in range(26)]
    plots.confusion_of_classes(truth, answers, many, Path("unused"))
    assert "person" not in "".join(label.get_text() for label in drawn[1].axes[0].get_xticklabels())


def test_the_area_under_the_curve_is_that_of_the_evaluation():
    random = np.random.default_rng(3)
    truth = random.random(200) < 0.3
    values = np.round(truth * 0.3 + random.random(200), 1).astype(np.float32)
    alarms, hits = plots.roc_points(values, truth)
    assert (alarms[0], hits[0], alarms[-1], hits[-1]) == (0, 0, 1, 1)
    area = np.sum(np.diff(alarms) * (hits[1:] + hits[:-1]) / 2)
    assert area == pytest.approx(roc_auc(truth, values))


def test_a_curve_of_one_class_says_so(drawn):
    plots.roc(np.ones((3, 1), np.float32), np.ones((3, 1), np.float32), ["all"], Path("unused"))
    assert texts(drawn[0].axes[0]) == ["one class only"]


def test_a_calibrated_probability_has_no_error():
    random = np.random.default_rng(1)
    values = random.random(200_000).astype(np.float32)
    truth = random.random(200_000) < values
    assert calibration.calibration_error(values, truth) < 0.01
    said, came_true, counts = calibration.reliability(values, truth)
    assert counts.tolist() == pytest.approx([20_000] * 10, abs=2)
    assert said == pytest.approx(np.linspace(0.05, 0.95, 10), abs=0.01)
    assert came_true == pytest.approx(said, abs=0.015)


def test_a_constant_is_off_by_what_it_promises_too_much():
    values = np.full(1000, 0.9, np.float32)
    truth = np.arange(1000) % 2 == 0
    assert calibration.calibration_error(values, truth) == pytest.approx(0.4)
    assert len(calibration.reliability(values, truth)[0]) == 1


def test_equal_probabilities_stay_in_one_bin():
    values = np.repeat(np.array([0.1, 0.9], np.float32), 50)
    truth = values > 0.5
    said, came_true, counts = calibration.reliability(values, truth)
    assert (said.tolist(), came_true.tolist()) == (pytest.approx([0.1, 0.9]), [0.0, 1.0])
    assert counts.tolist() == [50, 50]


def test_a_calibration_shows_its_error_and_how_often_each_is_said(drawn, said):
    calibration.calibration(*said, ["a", "b", "c"], Path("unused"))
    curve, below = drawn[0].axes[:2]
    values, truth = plots.known(*said, 0)
    error = calibration.calibration_error(values, truth)
    assert [text.get_text() for text in curve.get_legend().get_texts()] == [
        f"calibration error {error:.3f}"
    ]
    assert sum(bar.get_height() for bar in below.patches) == len(values)


def test_labels_are_stacked_to_a_whole(drawn):
    counts = {
        "celeba, train": {"Smiling": (30, 60, 10), "Male": (50, 50, 0)},
        "mtfl, train": {"Smiling": (1, 1, 0), "Male": (0, 0, 0)},
    }
    circumstances.label_balance(counts, Path("unused"))
    first, second = drawn[0].axes
    widths = np.array([bar.get_width() for bar in first.patches]).reshape(3, 2)
    assert widths.T.tolist() == [pytest.approx([0.3, 0.6, 0.1]), pytest.approx([0.5, 0.5, 0.0])]
    assert {"30", "60", "50"} <= set(texts(first))
    assert "10" not in texts(first)  # its bar is too narrow
    assert first.get_title() == "celeba, train: 100 pictures"
    assert second.get_title() == "mtfl, train: 2 pictures"


def test_crops_are_compared_with_their_intervals(drawn):
    detected = {"Smiling": {"accuracy": 0.92, "ci95": [0.9, 0.95]}}
    whole = {"Smiling": {"accuracy": 0.7, "ci95": [0.66, 0.74]}}
    circumstances.crops_compared(whole, detected, Path("unused"))
    axis = drawn[0].axes[0]
    assert [text.strip() for text in texts(axis)] == ["92.0%", "70.0%"]
    face, picture = (container.lines for container in axis.containers)
    assert face[0].get_xdata().tolist() == [0.92]
    assert face[2][0].get_segments()[0][:, 0].tolist() == pytest.approx([0.9, 0.95])
    assert picture[2][0].get_segments()[0][:, 0].tolist() == pytest.approx([0.66, 0.74])


def measured(attribute="Smiling"):
    sizes = (Step(0.03, 0.0, 0.0, None, None), Step(0.5, 1.0, 0.9, 0.95, 0.1))
    tilts = (Step(-90.0, 0.9, 0.6, 0.7, 0.2), Step(0.0, 1.0, 0.9, 0.95, 0.1))
    return Sensitivity(attribute, 0.6, 40, sizes, tilts)


def test_sensitivity_shows_what_was_found_and_what_was_right(drawn):
    circumstances.sensitivity(measured(), Path("unused"))
    score, said, tilted, _ = drawn[0].axes
    assert [list(line.get_ydata()) for line in score.lines] == [[0.0, 1.0], [0.0, 0.9]]
    assert said.lines[0].get_ydata() == pytest.approx([NAN, 0.95], nan_ok=True)
    assert list(said.lines[2].get_ydata()) == [0.6, 0.6]
    assert score.get_xscale() == "log"
    assert list(tilted.lines[0].get_xdata()) == [-90.0, 0.0]
    circumstances.sensitivity(measured("identity"), Path("unused"))
    legend = drawn[1].axes[1].get_legend().get_texts()
    assert [text.get_text() for text in legend] == ["the right person"]


def test_every_figure_is_a_picture(tmp_path, said):
    names = ["Smiling", "5_o_Clock_Shadow", "Male"]
    plots.roc(*said, names, tmp_path / "roc.png")
    plots.confusion_of_classes(
        np.arange(30) % 3, np.arange(30) % 2, names, tmp_path / "classes.png"
    )
    calibration.calibration(*said, names, tmp_path / "calibration.png")
    counts = {"a, train": dict.fromkeys(names, (1, 2, 3))}
    circumstances.label_balance(counts, tmp_path / "balance.png")
    scores = {name: {"accuracy": 0.9, "ci95": [0.8, 0.95]} for name in names}
    circumstances.crops_compared(scores, scores, tmp_path / "crops.png")
    circumstances.sensitivity(measured(), tmp_path / "sensitivity.png")
    assert len(list(tmp_path.iterdir())) == 6
    for path in tmp_path.iterdir():
        assert_a_picture(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two\nlines", "two lines"),
        ("$x_{1}$", r"\$x_{1}\$"),
        ("a" * 50, f"{'a' * 19}…{'a' * 20}"),
        ("bad\udcff.jpg", "bad\\xff.jpg"),
    ],
)
def test_any_name_becomes_words(name, expected):
    assert words(name) == expected


@pytest.mark.parametrize("name", ["$x_{1$ and $", "\udcff", "笑顔", "", "a\tb\x07"])
def test_any_name_can_be_drawn(tmp_path, name):
    values = np.array([[0.9, 0.1]], np.float32)
    plots.confusion(
        values, np.ones((1, 2), np.float32), [name, "b"], tmp_path / "a.png", title=name
    )
    assert_a_picture(tmp_path / "a.png")


def clusters(count):
    random = np.random.default_rng(0)
    groups = np.arange(count) % 2
    features = random.normal(0, 1, (count, 64)) + 40 * groups[:, None]
    return features.astype(np.float32), groups


def test_far_clusters_stay_apart_on_the_plane():
    features, groups = clusters(80)
    points = maps.embedded(features, seed=3)
    assert points.shape == (80, 2)
    centers = np.stack([points[groups == group].mean(axis=0) for group in (0, 1)])
    spread = max(points[groups == group].std() for group in (0, 1))
    assert np.linalg.norm(centers[0] - centers[1]) > 2 * spread
    nearest = ((points[:, None] - centers[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == groups).all()
    assert (maps.embedded(features, seed=3) == points).all()


def test_the_plane_is_coloured_and_named_by_class(drawn):
    features, groups = clusters(60)
    maps.tsne(features, groups + 1, ["nobody", "Ann", "Bob"], Path("unused"))
    axis = drawn[0].axes[0]
    assert [dots.get_label() for dots in axis.collections] == ["Ann", "Bob"]
    assert [len(dots.get_offsets()) for dots in axis.collections] == [30, 30]
    first, second = (tuple(dots.get_facecolor()[0]) for dots in axis.collections)
    assert first != second


def test_a_plane_of_too_many_faces_shows_some_and_of_too_few_says_so(drawn, monkeypatch, tmp_path):
    monkeypatch.setattr(maps, "MOST_POINTS", 50)
    features, groups = clusters(120)
    maps.tsne(features, groups, ["a", "b"], Path("unused"))
    assert sum(len(dots.get_offsets()) for dots in drawn[0].axes[0].collections) == 50
    maps.tsne(features[:3], groups[:3], ["a", "b"], tmp_path / "few.png")
    assert_a_picture(tmp_path / "few.png")


def test_what_draws_needs_neither_keras_nor_pyplot():
    code = (
        "import sys; from edge.train import looks;"
        "heavy = {'keras', 'tensorflow', 'sklearn', 'matplotlib.pyplot'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_figures_are_no_pyplot_figures(drawn, said):
    plots.roc(*said, ["a", "b", "c"], Path("unused"))
    assert type(drawn[0]) is Figure
    assert len(drawn[0].axes) == 3
