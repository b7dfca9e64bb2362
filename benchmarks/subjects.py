"""What a worker measures: a case opened, as a call that takes one sample."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.benchmarks.cases import Case
from edge.benchmarks.reach import reach, shown
from edge.contract import Picture
from edge.errors import EdgeError
from edge.files import sha256_of
from edge.measure import Call
from edge.modelfile import ForeignModelError, ModelFile, read_model
from edge.quiet import quiet
from edge.runtime.classifier import Classifier, FaceClassifier
from edge.runtime.detectors import DETECTORS, Detector, create_detector
from edge.runtime.interpreter import RUNTIMES, Interpreter
from edge.runtime.locator import Locator
from edge.runtime.pipeline import Pipeline
from edge.runtime.sources import Frame, Source

# By name: the model, its inputs, and what a case needs beside them.
Files = dict[str, str]

_STAGES = ("detect", "crop", "classify")


@dataclass(kw_only=True)
class Subject:
    """A case, opened.

    Args:
        call: Takes one sample.
        about: What results say of it: runtime_version, precision, adapter, size_bytes,
            multiply_adds, model, batch, reach.
        stages_ms: Milliseconds of each stage of each call since `forget_stages`.
        accuracy: Measures it on the labelled inputs in a file, with the code that was timed.
        later: Tells more for `about`, at a cost in time and memory that is none of the case's.
    """

    call: Call
    about: dict[str, Any]
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    accuracy: Callable[[str], dict[str, Any]] | None = None
    later: Callable[[], dict[str, Any]] | None = None

    def forget_stages(self) -> None:
        """Begin the stages anew, after the warm-up."""
        for taken in self.stages_ms.values():
            taken.clear()


def open_subject(case: Case, files: Files) -> Subject:
    """Open a case.

    Args:
        case: What to open.
        files: "model", "inputs" (crops or pictures as .npy), "onnx" and "keras" where the case
            wants them.

    Raises:
        EdgeError: It cannot be opened here; the message names the reason.
    """
    return {
        "classifiers": _classifier,
        "detectors": _detector,
        "pipeline": _pipeline,
        "training": _training,
    }[case.suite](case, files)


def _classifier(case: Case, files: Files) -> Subject:
    try:
        classifier, about = _open_classifier(case, case.runtime, files)
    except ForeignModelError:
        return _graph(case, files)
    crops = np.load(files["inputs"])
    # The labels that `edge bench` reads say nothing of who is who.
    judged = about["model"]["trained"] and classifier.task == "attributes"
    return Subject(
        call=_over(classifier.probabilities, crops),
        about=about,
        accuracy=(lambda labelled: _accuracy(classifier, labelled)) if judged else None,
        later=_count_of(Path(files["model"])) if "onnx" in files else None,
    )


def _count_of(model: Path) -> Callable[[], dict[str, Any]]:
    """Return what counts a graph's multiply-adds: the same work, whatever engine does it."""
    return lambda: {
        "multiply_adds": Interpreter(read_model(model).graph, model.name).multiply_adds()
    }


def _graph(case: Case, files: Files) -> Subject:
    """Open a .tflite file that `edge convert` did not make: it is timed on noise."""
    path = Path(files["model"])
    network = Interpreter(
        path.read_bytes(), path.name, runtime=case.runtime, threads=case.threads,
        device=case.device,
    )  # fmt: skip
    random = np.random.default_rng(0)
    shape = network.input.shape[1:]
    inputs = list(random.random((4, *shape), np.float32))
    about = _about_network(network) | {
        "size_bytes": path.stat().st_size,
        "model": {"name": path.stem, "sha256": sha256_of(path), "contract": None, "trained": None},
    }
    return Subject(call=_over(network.run, inputs), about=about)


def _open_classifier(
    case: Case, runtime: str, files: Files
) -> tuple[FaceClassifier, dict[str, Any]]:
    if runtime in RUNTIMES:
        model = read_model(Path(files["model"]))
        classifier = Classifier(model, runtime=runtime, threads=case.threads, device=case.device)
        return classifier, _about_network(classifier.network) | _about_model(model)
    if runtime == "onnxruntime":
        from edge.benchmarks.baselines import OnnxClassifier

        model, onnx = read_model(Path(files["model"])), Path(files["onnx"])
        session = OnnxClassifier(model, onnx, threads=case.threads)
        about = _about_model(model) | {"size_bytes": onnx.stat().st_size}
        return session, about | {"runtime_version": session.version}
    with _keras():
        from edge.train import single

        single.hold_to(case.threads, case.device)
        network = single.SingleCalls(Path(files["model"]), compiled=runtime == "keras-call")
    return network, {
        "runtime_version": single.backend(),
        "size_bytes": network.size_bytes,
        "multiply_adds": network.multiply_adds,
        "model": network.identity
        | {"contract": network.contract.to_json(), "trained": network.trained},
    }


@contextmanager
def _keras() -> Iterator[None]:
    """Hold back what TensorFlow writes; say what to install where it is missing."""
    try:
        with quiet(ImportError):
            yield
    except ImportError as error:
        raise EdgeError(
            f"{error.name} is not installed here", "pip install 'edge-tflite[train]'"
        ) from error


def _detector(case: Case, files: Files) -> Subject:
    detector = _open_detector(case.name, case)
    pictures = np.load(files["inputs"])
    about: dict[str, Any] = {"runtime_version": _version_of(case.runtime)}
    if isinstance(network := getattr(detector, "network", None), Interpreter):
        about |= _about_network(network)
    if files.get("model"):
        path = Path(files["model"])
        about["size_bytes"] = path.stat().st_size
        about["model"] = {
            "name": case.name, "sha256": sha256_of(path), "contract": None, "trained": True,
        }  # fmt: skip
    return Subject(
        call=_over(detector.detect, pictures),
        about=about,
        accuracy=lambda labelled: _found(detector, labelled),
        later=lambda: {"reach": reach(detector, shown(files.get("labelled")))},
    )


def _version_of(engine: str) -> str:
    """Return a detector's engine and its version; the engine's name alone if it tells none."""
    if engine == "opencv":
        return f"opencv {cv2.__version__}"
    package = {"dlib-hog": "dlib-bin"}.get(engine, engine)
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return engine


def _open_detector(name: str, case: Case) -> Detector:
    if name in DETECTORS:
        runtime = case.runtime.partition("+")[0]
        runtime = runtime if runtime in RUNTIMES else "auto"
        return create_detector(name, runtime=runtime, threads=case.threads)
    from edge.benchmarks.peers import create_peer

    return create_peer(name, case.threads)


def _pipeline(case: Case, files: Files) -> Subject:
    first, _, second = case.runtime.partition("+")
    classifier, about = _open_classifier(case, second or first, files)
    name = "mediapipe" if first == "mediapipe" else classifier.contract.detector
    results = Pipeline(Locator(_open_detector(name, case)).locate, classifier).results(
        Endless(np.load(files["inputs"]))
    )
    stages: dict[str, list[float]] = {name: [] for name in _STAGES}

    def one_frame() -> None:
        latency = next(results).latency_ms
        for name, taken in stages.items():
            taken.append(latency[name])

    # One network is not the work of a frame.
    about["multiply_adds"] = None
    return Subject(call=one_frame, about=about | {"detector": name}, stages_ms=stages)


class Endless(Source):
    """Prepared frames, over and over."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        super().__init__("prepared frames")
        self._pictures = pictures

    def __iter__(self) -> Iterator[Frame]:
        for index, picture in enumerate(cycle(self._pictures)):
            yield Frame(index, self.name, picture, time.perf_counter())


def _training(case: Case, files: Files) -> Subject:
    with _keras():
        from edge.train import single

        single.hold_to(case.threads, case.device)
        step, batch = single.training_steps(case.name, case.variant, np.load(files["inputs"]))
    return Subject(call=step, about={"runtime_version": single.backend(), "batch": batch})


def _over(call: Callable[[Any], object], inputs: Sequence[Any]) -> Call:
    """Return a call without arguments that takes the inputs in turn."""
    turn = cycle(list(inputs))
    return lambda: call(next(turn))


def _about_network(network: Interpreter) -> dict[str, Any]:
    about: dict[str, Any] = {
        "runtime_version": network.version(),
        "precision": network.precision,
        "multiply_adds": network.multiply_adds(),
    }
    if network.adapter is not None:
        about["adapter"] = {"name": network.adapter.name, "software": network.adapter.software}
    return about


def _about_model(model: ModelFile) -> dict[str, Any]:
    card = model.card
    trained = not card.recipe.get("untrained")
    accuracy = card.accuracy.get(card.variant) if trained else None
    return {
        "size_bytes": model.path.stat().st_size,
        "model": {
            "name": card.name,
            "sha256": model.sha256,
            "contract": card.contract.to_json(),
            "trained": trained,
        },
        # What `edge convert` measured on the validation faces, until this run measures its own.
        "accuracy": accuracy or None,
        "accuracy_from": "card" if accuracy else None,
    }


def _accuracy(classifier: FaceClassifier, labelled: str) -> dict[str, Any]:
    """Judge faces that the parent found and cut; a picture without one counts as wrong."""
    from edge.runtime.evaluate import attribute_scores

    with np.load(labelled, allow_pickle=False) as file:
        crops, rows, labels = file["crops"], file["rows"], file["labels"]
        names = [str(name) for name in file["attributes"]]
    values = np.full((len(labels), len(classifier.attributes)), np.nan, np.float32)
    for row, crop in zip(rows, crops, strict=True):
        values[row] = classifier.probabilities(crop)
    scores = {}
    for column, name in enumerate(names):
        if name not in classifier.attributes or np.isnan(labels[:, column]).all():
            continue
        place = classifier.attributes.index(name)
        found = attribute_scores(labels[:, column], values[:, place], classifier.thresholds[place])
        scores[name] = {
            "accuracy": found["accuracy"], "ci95": found["ci95"], "samples": found["labelled"],
        }  # fmt: skip
    return scores


def _found(detector: Detector, labelled: str) -> dict[str, Any]:
    """Tell in how many pictures of faces a detector finds one."""
    from edge.images import read_picture
    from edge.measure import wilson

    found = readable = 0
    for path in Path(labelled).read_text("utf-8").splitlines():
        with suppress(EdgeError):  # unreadable pictures are left out, as `edge evaluate` does
            picture = read_picture(Path(path))
            readable += 1
            found += bool(detector.detect(picture))
    share = found / readable if readable else None
    return {
        "face found": {
            "accuracy": share, "ci95": list(wilson(found, readable)), "samples": readable,
        }
    }  # fmt: skip
