"""The suites: which cases there are to measure here, and why others cannot be."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge.benchmarks.cases import SUITES, Case
from edge.benchmarks.models import BUNDLED, KERAS_ENGINES, Model, models_of, whole_zoo
from edge.benchmarks.peers import PEERS
from edge.benchmarks.venvs import haar_absent, tflite_runtime_absent
from edge.environment import usable_cores
from edge.errors import EdgeError
from edge.measure import Protocol

# The package of each engine, and the extra that brings it.
_ENGINES = {
    "litert": ("ai_edge_litert", ""),
    "openvino": ("openvino", "openvino"),
    "tflite-runtime": ("tflite_runtime", ""),
    "tensorflow": ("tensorflow", "train"),
    "onnxruntime": ("onnxruntime", "peers"),
    "keras-predict": ("keras", "train"),
    "keras-call": ("keras", "train"),
    "mediapipe": ("mediapipe", "mediapipe"),
    "keras": ("keras", "train"),
    "mtcnn": ("mtcnn", "peers"),
    "dlib-hog": ("dlib", "peers"),
}
RUNTIMES = tuple(_ENGINES)[:7]
DEVICES = ("cpu", "gpu")
_ON_GPU = ("litert", *KERAS_ENGINES)

_BLAZEFACE = ("blazeface", "blazeface-full")
_OPENCV = ("yunet", "haar")
_MOST_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `edge bench` was asked to measure.

    Args:
        suites: Of `edge.benchmarks.cases.SUITES`; none means a short selection of all but
            training, on what the base installation brings.
        models: Bundled models, .tflite files, run folders or networks ("zoo/NAME"); none means
            the suite's own.
        devices: Of `DEVICES`; none means the CPU, and the GPU where there is a real one.
        runtimes: Of `RUNTIMES`; none means those that are installed.
        threads: How many each engine gets; none means the powers of two for LiteRT, 1 for others.
        protocol: How much is measured.
        data: Labelled pictures to measure accuracy on.

    Raises:
        EdgeError: A name is unknown, or no engine asked for runs on a GPU that was asked for.
    """

    suites: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    protocol: Protocol = field(default_factory=Protocol)
    data: Path | None = None

    def __post_init__(self) -> None:
        for what, given, known in (
            ("suite", self.suites, SUITES),
            ("device", self.devices, DEVICES),
            ("runtime", self.runtimes, RUNTIMES),
        ):
            for name in given:
                if name not in known:
                    raise EdgeError(f"unknown {what} {name}", f"choose of {', '.join(known)}")

        if "gpu" in self.devices and self.suites and "classifiers" not in self.suites:
            raise EdgeError(
                f"{', '.join(self.suites)} cannot be measured on a GPU",
                "leave gpu out of --device, or measure classifiers",
            )
        if "gpu" in self.devices and self.runtimes and not {*self.runtimes} & {*_ON_GPU}:
            raise EdgeError(
                f"{', '.join(self.runtimes)} cannot be measured on a GPU",
                f"add one of {', '.join(_ON_GPU)} to --runtime, or leave gpu out of --device",
            )

    def engines(self, *full: str) -> tuple[str, ...]:
        """Return the engines that a suite measures: those asked for, all, or LiteRT alone."""
        return self.runtimes or (full if self.suites else ("litert",))

    def wants(self, device: str) -> bool:
        """Tell whether a device belongs into the table."""
        return not self.devices or device in self.devices


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A case that cannot be measured here, and why."""

    case: Case
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the row of the results file."""
        names = ("suite", "name", "variant", "runtime", "device", "threads")
        return dict(zip(names, self.case.key, strict=True)) | {"reason": self.reason}


def plan(request: Request, no_gpu: str | None) -> tuple[list[Case], list[Skipped]]:
    """List the cases of a request, and those that this machine cannot measure.

    Args:
        request: What was asked for.
        no_gpu: Why nothing is measured on a GPU; None where it is.

    Raises:
        EdgeError: A model is missing or damaged, or what was asked for is not installed.
    """
    cases: dict[Any, Case] = {}
    skipped: dict[Any, Skipped] = {}
    makers = {
        "classifiers": _classifiers,
        "detectors": _detectors,
        "pipeline": _pipelines,
        "training": _trainings,
    }
    for case in (case for suite in request.suites or SUITES[:3] for case in makers[suite](request)):
        reason = no_gpu if case.device == "gpu" else _absent(case)
        if reason is None:
            other = cases.setdefault(case.key, case)
            if other.model != case.model:
                raise EdgeError(
                    f"{other.model} and {case.model} are both {case.name} {case.variant}",
                    "measure them one after the other, then `edge bench compare` their results",
                )
        elif case.asked:
            raise EdgeError(f"{case.runtime} cannot be measured: {reason}", _remedy(case))
        else:
            skipped[case.key] = Skipped(case=case, reason=reason)
    if not cases:
        reasons = "; ".join(dict.fromkeys(one.reason for one in skipped.values()))
        raise EdgeError(
            f"there is nothing to measure{': ' + reasons if reasons else ''}",
            _remedy(next(iter(skipped.values())).case)
            if skipped
            else "ask for another suite, runtime or device; see `edge bench --help`",
        )
    return list(cases.values()), list(skipped.values())


def _classifiers(request: Request) -> Iterator[Case]:
    sources = request.models or (*BUNDLED, *(whole_zoo() if request.suites else ()))
    models = [model for source in sources for model in models_of(source)]
    for engine in request.engines(*RUNTIMES):
        for model in models:
            case = _case("classifiers", model, engine, request)
            if model.runs_on(engine) and request.wants("cpu"):
                yield from _on_threads(case, request)
    for engine in request.runtimes or ("litert",):
        for model in models:
            case = _case("classifiers", model, engine, request)
            if model.runs_on(engine) and request.wants("gpu") and engine in _ON_GPU:
                yield replace(case, device="gpu", asked="gpu" in request.devices)


def _detectors(request: Request) -> Iterator[Case]:
    if not request.wants("cpu"):
        return
    for engine in request.engines("litert", "openvino"):
        for name in _BLAZEFACE:
            case = Case(suite="detectors", name=name, variant="float32", runtime=engine,
                        asked=engine in request.runtimes)  # fmt: skip
            if engine in ("litert", "openvino", "tflite-runtime", "tensorflow"):
                yield from _on_threads(case, request)
    if request.suites and not request.runtimes:
        others = [("mediapipe", "mediapipe"), *((name, "opencv") for name in _OPENCV),
                  *((name, name) for name in PEERS)]  # fmt: skip
        for name, engine in others:
            yield Case(suite="detectors", name=name, variant="float32", runtime=engine)


def _pipelines(request: Request) -> Iterator[Case]:
    """Yield pipelines, also those of the seeds: MediaPipe's detector and one Keras call."""
    if not request.wants("cpu"):
        return
    detect = "mediapipe" if find_spec("mediapipe") else "litert"
    models = [model for source in request.models or BUNDLED for model in models_of(source)]
    for engine in request.engines("litert", "openvino", "mediapipe+litert", *KERAS_ENGINES):
        chain = f"{detect}+{engine}" if engine in KERAS_ENGINES else engine
        for model in models:
            if model.runs_on(engine.rpartition("+")[2]) and engine != "onnxruntime":
                case = _case("pipeline", model, chain, request)
                yield from _on_threads(replace(case, asked=engine in request.runtimes), request)


def _trainings(request: Request) -> Iterator[Case]:
    if not request.wants("cpu"):
        return
    policies: tuple[str, ...] = ("float32",)
    if find_spec("tensorflow"):
        from edge.train.config import fastest_policy

        policies = tuple(dict.fromkeys((fastest_policy(), "float32")))
    for policy in policies:
        yield Case(suite="training", name="default", variant=policy, runtime="keras",
                   threads=max(request.threads, default=usable_cores()))  # fmt: skip


def _case(suite: str, model: Model, engine: str, request: Request) -> Case:
    return Case(suite=suite, name=model.name, variant=model.variant, runtime=engine,
                model=model.source, asked=engine in request.runtimes)  # fmt: skip


def _on_threads(case: Case, request: Request) -> Iterator[Case]:
    counts = request.threads
    if not counts:
        most = min(usable_cores(), _MOST_THREADS)
        powers = tuple(2**power for power in range(most.bit_length()))
        counts = powers if case.runtime == "litert" else (1,)
    for count in counts:
        yield replace(case, threads=count)


def _absent(case: Case) -> str | None:
    """Return why a case's software is not here; None where it is."""
    if case.name == "haar":
        return haar_absent()
    for engine in case.runtime.split("+"):
        if engine == "tflite-runtime":
            reason = tflite_runtime_absent(make=case.asked)
            if reason is not None:
                return reason
        elif engine in _ENGINES and find_spec(_ENGINES[engine][0]) is None:
            return f"{_ENGINES[engine][0]} is not installed"
    return None


def _remedy(case: Case) -> str:
    extra = _ENGINES.get(case.runtime.rpartition("+")[2], ("", ""))[1]
    if case.device == "gpu":
        return "leave gpu out of --device"
    if extra:
        return f"pip install 'edge-tflite[{extra}]'"
    return f"leave {case.runtime} out of --runtime"
