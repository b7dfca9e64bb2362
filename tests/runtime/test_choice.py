"""Which engine runs a graph: the faster one of those that give the same answers."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from edge import environment
from edge.assets import fetch, home
from edge.errors import EdgeError
from edge.images import read_picture
from edge.modelfile import read_model, resolve_model
from edge.runtime import choice, trial
from edge.runtime.blazeface import FULL_RANGE, SHORT_RANGE, BlazeFace, Letterbox
from edge.runtime.choice import Choice, candidates, choose
from edge.runtime.demo import Demo
from edge.runtime.interpreter import Interpreter
from edge.runtime.trial import COMPARED, classifier_trial, detector_trial, face_difference

MODEL = read_model(resolve_model("default-float32"))
TRIAL = classifier_trial(MODEL.card.contract)
FILE = "choices.json"


class Twin:
    """LiteRT under OpenVINO's name, with something wrong where `spoil` says so."""

    def __init__(self, network, spoil):
        self.runtime, self.threads = "openvino", network.threads
        self._network, self._spoil = network, spoil

    def run_pixels(self, crop, value_range):
        return self._spoil(self._network.run_pixels(crop, value_range))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache that has the assets."""
    kept = home() / "assets"
    kept.mkdir(parents=True, exist_ok=True)
    (tmp_path / "assets").symlink_to(kept)
    monkeypatch.setenv("EDGE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def bench(folder, monkeypatch):
    """A machine of two cores with OpenVINO, where times are what the test says."""
    bench = SimpleNamespace(
        folder=folder,
        ms={"litert 1": 2.0, "openvino 1": 1.0},
        spoil=lambda outputs: outputs,
        graph=MODEL.graph,
        opened=[],
        measured=[],
    )

    def opened(graph, name, *, runtime, threads):
        bench.opened.append((runtime, threads))
        if runtime != "openvino":
            return Interpreter(graph, name, runtime=runtime, threads=threads)
        return Twin(Interpreter(bench.graph, name, threads=threads), bench.spoil)

    def medians(calls, budget_s):
        for call in calls.values():
            call()
        bench.measured.append(list(calls))
        return {name: bench.ms[name] for name in calls}

    monkeypatch.setattr(choice, "Interpreter", opened)
    monkeypatch.setattr(choice, "medians", medians)
    monkeypatch.setattr(trial, "COMPARED", 4)
    machine(monkeypatch, cores=2, openvino=True)
    return bench


def machine(monkeypatch, *, cores, openvino):
    monkeypatch.setattr(environment, "usable_core_numbers", lambda: list(range(cores)))
    monkeypatch.setattr(choice, "find_spec", lambda name: object() if openvino else None)


def chosen(sha256="a", trial=TRIAL, **options):
    return choose(MODEL.graph, sha256, "model", trial, **options)


@pytest.mark.parametrize(
    ("cores", "counts"),
    [(1, [1]), (2, [1]), (3, [1]), (4, [1, 2]), (6, [1, 2]), (8, [1, 2, 4]), (64, [1, 2, 4])],
)
def test_each_network_gets_half_of_the_cores_at_most(monkeypatch, cores, counts):
    machine(monkeypatch, cores=cores, openvino=False)
    assert candidates() == [("auto", count) for count in counts]
    machine(monkeypatch, cores=cores, openvino=True)
    assert candidates() == [
        (runtime, count) for runtime in ("auto", "openvino") for count in counts
    ]


def test_what_is_given_is_no_question(monkeypatch):
    machine(monkeypatch, cores=8, openvino=True)
    assert candidates("litert") == [("litert", 1), ("litert", 2), ("litert", 4)]
    assert candidates("openvino") == [("openvino", 1), ("openvino", 2), ("openvino", 4)]
    assert candidates(threads=3) == [("auto", 3), ("openvino", 3)]
    assert candidates("tensorflow", 7) == [("tensorflow", 7)]


@pytest.mark.parametrize("given", [{}, {"runtime": "litert", "threads": 5}])
def test_one_candidate_is_the_answer_without_trying(bench, monkeypatch, given):
    machine(monkeypatch, cores=2, openvino=False)
    answer = {"runtime": "auto", "threads": 1} | given
    assert chosen(trial=None, **given) == Choice(**answer, measured_ms={}, refused={})
    assert bench.opened == []
    assert not (bench.folder / FILE).exists()


def test_the_faster_one_runs_the_graph(bench):
    found = chosen()
    assert (found.runtime, found.threads, found.refused) == ("openvino", 1, {})
    assert found.measured_ms == bench.ms


@pytest.mark.parametrize(
    ("ms", "answer"),
    [
        ((1.00, 0.96, 0.96, 0.96), ("litert", 1)),
        ((1.00, 0.90, 0.90, 0.87), ("litert", 2)),
        ((1.00, 0.99, 0.50, 0.49), ("openvino", 1)),
        ((1.00, 0.99, 0.50, 0.40), ("openvino", 2)),
    ],
)
def test_a_tie_goes_to_litert_and_to_fewer_threads(bench, monkeypatch, ms, answer):
    machine(monkeypatch, cores=4, openvino=True)
    bench.ms = dict(zip(("litert 1", "litert 2", "openvino 1", "openvino 2"), ms, strict=True))
    found = chosen()
    assert (found.runtime, found.threads) == answer
    assert found.measured_ms == bench.ms


def test_threads_alone_are_chosen_without_faces(bench, monkeypatch):
    machine(monkeypatch, cores=4, openvino=False)
    monkeypatch.setattr(trial, "fetch", pytest.fail)
    bench.ms = {"litert 1": 2.0, "litert 2": 1.0}
    assert (chosen().runtime, chosen().threads) == ("litert", 2)


def test_a_runtime_that_is_asked_for_is_compared_with_none(bench, monkeypatch):
    machine(monkeypatch, cores=4, openvino=True)
    bench.spoil = lambda outputs: [output + 1 for output in outputs]
    bench.ms = {"openvino 1": 2.0, "openvino 2": 1.0}
    found = chosen(runtime="openvino")
    assert (found.runtime, found.threads, found.refused) == ("openvino", 2, {})


def broken(outputs):
    raise RuntimeError("out of tiles\nat cpu.cpp:7")


def spoiled(change):
    return lambda outputs: [change(output) for output in outputs]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            spoiled(lambda values: values + np.float32(0.03)),
            "other answers than litert: off by 0.03",
        ),
        (spoiled(lambda values: values * np.nan), "other answers than litert: off by nan"),
        (spoiled(np.zeros_like), "gives other answers than litert: off by"),
        (lambda outputs: [], "shorter"),
        (broken, "out of tiles"),
    ],
)
def test_what_answers_otherwise_is_refused_however_fast(bench, spoil, reason):
    bench.spoil = spoil
    found = chosen()
    assert (found.runtime, found.measured_ms) == ("litert", {})
    assert reason in found.refused["openvino"]
    assert chosen().refused == found.refused
    assert len(bench.opened) == 2


def test_another_graph_is_noticed(bench, monkeypatch):
    monkeypatch.setattr(trial, "COMPARED", COMPARED)
    bench.graph = read_model(resolve_model("default")).graph
    assert "gives other answers" in chosen().refused["openvino"]


def test_rounding_is_no_other_answer(bench):
    bench.spoil = spoiled(lambda values: values - np.float32(0.015))
    assert chosen().runtime == "openvino"


def test_one_count_of_threads_that_answers_otherwise_refuses_the_engine(bench, monkeypatch):
    machine(monkeypatch, cores=4, openvino=True)
    bench.ms = {"litert 1": 2.0, "litert 2": 1.5}
    runs = []

    def spoil(outputs):
        runs.append(1)
        return [output + len(runs) % 2 for output in outputs]

    bench.spoil = spoil
    found = chosen()
    assert (found.runtime, found.threads) == ("litert", 2)
    assert found.measured_ms.keys() == bench.ms.keys()


def test_what_does_not_open_the_graph_is_refused(bench, monkeypatch):
    opened = choice.Interpreter

    def refusing(graph, name, *, runtime, threads):
        if runtime == "openvino":
            raise EdgeError(
                "model cannot be opened by openvino: unknown operator", "choose another"
            )
        return opened(graph, name, runtime=runtime, threads=threads)

    monkeypatch.setattr(choice, "Interpreter", refusing)
    found = chosen()
    assert found.runtime == "litert"
    assert found.refused == {"openvino": "model cannot be opened by openvino: unknown operator"}


def test_a_graph_that_nothing_opens_is_an_error(bench):
    with pytest.raises(EdgeError, match="notes cannot be opened"):
        choose(b"not a model at all " * 20, "a", "notes", TRIAL)


def test_without_faces_to_compare_on_nothing_else_is_believed(bench, monkeypatch):
    def offline(name):
        raise EdgeError("cannot get astronaut.png", "reach a package index")

    (bench.folder / "assets").unlink()
    monkeypatch.setattr(trial, "fetch", offline)
    assert chosen().refused == {"openvino": "cannot get astronaut.png"}


def test_is_tried_again_once_there_are_faces(bench, monkeypatch):
    assets = bench.folder / "assets"
    kept = assets.readlink()
    assets.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(trial, "fetch", lambda name: read_picture(bench.folder / "missing.png"))
        assert chosen().runtime == "litert"
        assert chosen().remembered
    assets.symlink_to(kept)
    found = chosen()
    assert (found.runtime, found.remembered) == ("openvino", False)
    assert chosen().remembered


def test_the_second_time_nothing_is_opened_or_measured(bench):
    first = chosen()
    opened, measured = list(bench.opened), list(bench.measured)
    second = chosen(trial=None)
    assert (first.remembered, second.remembered) == (False, True)
    assert vars(second) == vars(first) | {"remembered": True}
    assert (bench.opened, bench.measured) == (opened, measured)


@pytest.mark.parametrize("change", ["versions", "cores", "processor", "graph", "threads"])
def test_what_changes_the_answer_has_it_measured_again(bench, monkeypatch, change):
    monkeypatch.setattr(choice, "_machine", choice._machine.__wrapped__)
    chosen()
    options = {}
    if change == "versions":
        monkeypatch.setattr(choice, "versions", lambda packages: dict.fromkeys(packages, "9"))
    elif change == "processor":
        monkeypatch.setattr(choice, "processor", lambda: ("another", ["avx512_vnni"]))
    elif change == "cores":
        machine(monkeypatch, cores=3, openvino=True)
    else:
        options = {"graph": {"sha256": "b"}, "threads": {"threads": 2}}[change]
        bench.ms |= {"litert 2": 2.0, "openvino 2": 1.0}
    assert not chosen(**options).remembered
    assert chosen(**options).remembered


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe", b"{", b"[]", b"null", b'{"schema": 1}', b"[" * 100_000,
        b'{"schema": 1, "choices": [7]}', b'{"schema": 1, "choices": [{"for": {}, "choice": []}]}',
    ],
)  # fmt: skip
def test_a_damaged_memory_is_forgotten(bench, content):
    (bench.folder / FILE).write_bytes(content)
    assert not chosen().remembered
    assert chosen().remembered


@pytest.mark.parametrize(
    "damage",
    [
        {"runtime": "abacus"}, {"threads": "1"}, {"threads": None}, {"measured_ms": {"a": "x"}},
        {"measured_ms": []}, {"refused": {"openvino": 3}}, {"more": 1},
    ],
)  # fmt: skip
def test_a_damaged_entry_is_forgotten(bench, damage):
    chosen()
    kept = json.loads((bench.folder / FILE).read_text())
    kept["choices"][0]["choice"] |= damage
    (bench.folder / FILE).write_text(json.dumps(kept))
    assert not chosen().remembered


def test_another_schema_is_not_read(bench):
    chosen()
    kept = json.loads((bench.folder / FILE).read_text())
    (bench.folder / FILE).write_text(json.dumps(kept | {"schema": 2}))
    assert not chosen().remembered


@pytest.mark.parametrize("place", ["folder", "file"])
def test_what_cannot_be_kept_is_no_error(bench, monkeypatch, place):
    if place == "file":
        (bench.folder / FILE).mkdir()
    else:
        (bench.folder / "blocked").write_bytes(b"")
        monkeypatch.setattr(choice, "home", lambda: bench.folder / "blocked" / "cache")
    assert [chosen().remembered for _ in range(2)] == [False, False]


def test_the_oldest_answers_are_dropped(bench, monkeypatch):
    monkeypatch.setattr(choice, "_KEPT", 3)
    for sha256 in "abcd":
        chosen(sha256)
    assert [chosen(sha256).remembered for sha256 in "bcd"] == [True] * 3
    assert not chosen("a").remembered
    assert len(json.loads((bench.folder / FILE).read_text())["choices"]) == 3


def test_answers_given_at_once_leave_a_whole_file(bench):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(chosen, map(str, range(16))))
    kept = json.loads((bench.folder / FILE).read_text())["choices"]
    assert kept
    assert all(choice._whole(entry) for entry in kept)
    assert [path.name for path in bench.folder.iterdir() if path.name.startswith(".")] == []


class Clock:
    """Time that passes only where calls take some."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def sample(self, call, least, seconds):
        end = self.now + seconds
        taken = []
        while len(taken) < least or self.now < end:
            taken.append(call() * 1000)
            self.now += taken[-1] / 1000
        return taken


@pytest.mark.parametrize(
    ("first", "second", "most"),
    [(0.0005, 0.0004, 0.5), (0.01, 0.02, 0.5), (0.06, 0.09, 0.5), (0.3, 0.4, 0.7)],
)
def test_measuring_ends_in_time_but_for_a_first_turn(monkeypatch, first, second, most):
    clock = Clock()
    monkeypatch.setattr(choice, "time", clock)
    monkeypatch.setattr(choice, "sample", clock.sample)
    found = choice.medians({"a": lambda: first, "b": lambda: second}, 0.5)
    assert found == pytest.approx({"a": first * 1000, "b": second * 1000})
    assert clock.now <= most + 1e-9


def test_candidates_take_turns(monkeypatch):
    clock, order = Clock(), []
    monkeypatch.setattr(choice, "time", clock)
    monkeypatch.setattr(choice, "sample", clock.sample)

    def call(name):
        order.append(name)
        return 0.01

    choice.medians({name: lambda name=name: call(name) for name in "ab"}, 0.5)
    assert "".join(order).count("ba") >= 5


def test_slow_networks_are_compared_on_fewer_faces(bench, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(choice, "time", clock)
    monkeypatch.setattr(trial, "COMPARED", COMPARED)
    compared = []

    def spoil(outputs):
        compared.append(1)
        clock.now += 1
        return outputs

    bench.spoil = spoil
    chosen()
    assert len(compared) == choice._LEAST_COMPARED + 1  # and one that is timed


@pytest.fixture
def openvino(folder, need, monkeypatch):
    """OpenVINO itself, the faster one wherever it is believed."""
    need("openvino")
    monkeypatch.setattr(environment, "usable_core_numbers", lambda: [0, 1])
    monkeypatch.setattr(choice, "medians", lambda calls, budget_s: {
        name: 1.0 if "openvino" in name else 2.0 for name in calls
    })  # fmt: skip
    return folder


def demo_crops(contract):
    demo, detector = Demo(), BlazeFace()
    pictures = [demo.render(at) for at in range(5, 300, 10)]
    return [contract.cut(each, face) for each in pictures for face in detector.detect(each)]


@pytest.mark.parametrize("name", ["default", "default-float32"])
def test_openvino_is_believed_only_where_it_answers_as_litert(openvino, name):
    model = read_model(resolve_model(name))
    faces = classifier_trial(model.card.contract)
    found = choose(model.graph, model.sha256, name, faces)
    assert found.runtime == ("litert" if found.refused else "openvino")
    if name == "default-float32":
        assert found.refused == {}
    networks = [
        Interpreter(model.graph, name, runtime=each, threads=found.threads)
        for each in ("litert", found.runtime)
    ]
    crops = demo_crops(model.card.contract)
    ours, theirs = (
        np.stack([network.run_pixels(crop, model.card.contract.value_range)[0] for crop in crops])
        for network in networks
    )
    assert len(crops) >= 30
    assert theirs == pytest.approx(ours, abs=2 * choice._TOLERANCE)


@pytest.mark.parametrize("variant", [SHORT_RANGE, FULL_RANGE])
def test_openvino_finds_faces_as_litert(openvino, variant):
    graph = fetch(variant.asset).read_bytes()
    found = choose(graph, "sha", variant.asset, detector_trial(variant.size))
    values = Letterbox(variant.size)(Demo().render(77))
    litert, other = (Interpreter(graph, "m", runtime=each) for each in ("litert", "openvino"))
    # In bfloat16, which it takes where the processor knows it, it may be off by too much.
    if other.precision == "float32":
        assert (found.runtime, found.refused) == ("openvino", {})
    assert found.runtime == ("litert" if found.refused else "openvino")
    if found.runtime == "openvino":
        assert face_difference(litert.run(values), other.run(values)) <= choice._TOLERANCE


def test_openvino_is_not_imported_where_litert_is_remembered(folder, need, monkeypatch):
    need("openvino")
    monkeypatch.setattr(choice, "medians", lambda calls, budget_s: {
        name: 2.0 if "openvino" in name else 1.0 for name in calls
    })  # fmt: skip
    assert chosen(threads=1).runtime == "litert"
    code = (
        "import sys\n"
        "from edge.runtime.choice import choose\n"
        "found = choose(b'', 'a', 'model', None, threads=1)\n"
        "assert found.remembered and found.runtime == 'litert', found\n"
        "assert not {'openvino', 'ai_edge_litert'} & set(sys.modules)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


def test_measures_for_real(folder, monkeypatch):
    machine(monkeypatch, cores=4, openvino=False)
    found = chosen(budget_s=0.02)
    assert found.runtime == "litert"
    assert found.measured_ms.keys() == {"litert 1", "litert 2"}
    assert min(found.measured_ms.values()) > 0
