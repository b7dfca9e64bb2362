"""Reading results files: of `edge bench`, of others who hold to the contract, and broken ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.benchmarks.results import SCHEMA, blocks, complete, derived, key, read_results, title
from edge.errors import EdgeError
from edge.measure import interval, summarise

SAMPLES = np.random.default_rng(0).lognormal(0, 0.1, 120).round(4).tolist()

# All that the contract asks of a file, and nothing else.
MINIMAL: dict[str, Any] = {
    "schema": 1,
    "environment": {"cpu": "some board", "cores": 4, "threads": 1},
    "results": [
        {
            "suite": "classifiers", "name": "default", "variant": "int8", "runtime": "litert",
            "device": "cpu", "threads": 1, "first_ms": 2.9, "samples_ms": SAMPLES,
            "latency_ms": summarise(SAMPLES), "fps": 1000 / np.mean(SAMPLES),
            "size_bytes": 357_120, "peak_rss_mb": 71.2, "accuracy": None,
        }
    ],
    "warnings": [],
}  # fmt: skip


def entry(**parts: Any) -> dict[str, Any]:
    return MINIMAL["results"][0] | parts


def written(folder: Path, document: Any) -> Path:
    path = folder / "results.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def with_entry(**parts: Any) -> dict[str, Any]:
    return MINIMAL | {"results": [entry(**parts)]}


def test_a_file_with_no_more_than_the_contract_is_read(tmp_path: Path) -> None:
    document = read_results(written(tmp_path, MINIMAL))
    [found] = document["results"]
    assert {name: found[name] for name in entry()} == entry() | {
        "fps": pytest.approx(entry()["fps"])
    }
    assert found["ci95_ms"]["p50"] == list(interval([SAMPLES]))
    assert (found["model"], found["warnings"]) == (None, [])
    assert (document["skipped"], document["peak"], document["finished"]) == ([], {}, None)
    assert document["environment"]["cpu"] == "some board"


def test_the_real_document_is_read_as_it_was_completed(document: Any, tmp_path: Path) -> None:
    made = document()
    assert read_results(written(tmp_path, made)) == made


def test_no_statistic_is_believed(tmp_path: Path) -> None:
    wrong = dict.fromkeys(entry()["latency_ms"], 0.001)
    lies = with_entry(latency_ms=wrong, fps=1e6, ci95_ms={"mean": [0, 0], "p50": [0, 0]})
    [found] = read_results(written(tmp_path, lies))["results"]
    assert found["latency_ms"] == summarise(SAMPLES)
    assert found["fps"] == pytest.approx(1000 / np.mean(SAMPLES))
    assert found["ci95_ms"]["mean"] == list(interval([SAMPLES], "mean"))


def test_p99_is_null_under_a_hundred_samples(tmp_path: Path) -> None:
    [found] = read_results(written(tmp_path, with_entry(samples_ms=SAMPLES[:99])))["results"]
    assert found["latency_ms"]["p99"] is None
    assert found["latency_ms"]["p95"] is not None


def test_a_step_of_training_is_so_many_pictures() -> None:
    assert derived(entry(samples_ms=[50.0, 50.0], batch=64), {})["fps"] == 1280


def process(samples: int, **parts: Any) -> dict[str, Any]:
    return {"round": 0, "samples": samples, "peak_rss_mb": 70.0, "first_ms": 3.0} | parts


def test_blocks_are_the_processes_in_order() -> None:
    samples = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert blocks(entry(samples_ms=samples)) == [samples]
    assert blocks(entry(samples_ms=samples, processes=[])) == [samples]
    parts = [process(2), process(0), process(3)]
    assert blocks(entry(samples_ms=samples, processes=parts)) == [[1.0, 2.0], [3.0, 4.0, 5.0]]
    # What no process claims is a block of its own: no sample is lost.
    assert blocks(entry(samples_ms=samples, processes=parts[:1])) == [[1, 2], [3, 4, 5]]


def test_differences_between_processes_widen_the_interval() -> None:
    samples = [1.0, 1.01] * 20 + [1.2, 1.21] * 20
    together = derived(entry(samples_ms=samples), {})["ci95_ms"]["mean"]
    apart = entry(samples_ms=samples, processes=[process(40), process(40)])
    low, high = derived(apart, {})["ci95_ms"]["mean"]
    assert high - low > 2 * (together[1] - together[0])


def test_a_long_measurement_is_thinned_for_its_intervals_alone() -> None:
    samples = np.random.default_rng(1).lognormal(0, 0.1, 3_000).tolist()
    long = entry(samples_ms=samples, processes=[process(1_000), process(2_000)])
    found = derived(long, {})
    assert found["latency_ms"] == summarise(samples)
    assert found["samples_ms"] == samples
    assert found["ci95_ms"]["p50"] == list(interval([samples[:1_000:4], samples[1_000::4]]))


def test_of_first_calls_the_median_stands_and_of_memory_the_largest() -> None:
    processes = [process(1, first_ms=first, peak_rss_mb=first) for first in (900.0, 5.0, 4.0)]
    found = derived(entry(samples_ms=[1.0] * 3, processes=processes), {})
    assert (found["first_ms"], found["peak_rss_mb"]) == (5.0, 900.0)
    assert found["start_ms"] is None


@pytest.mark.parametrize(
    ("variant", "share"),
    [("int8", 0.25), ("dynamic", 0.25), ("float32", 0.5), ("float16", 0.5)],
)
def test_the_share_of_the_peak_is_that_of_its_precision_and_threads(
    variant: str, share: float
) -> None:
    peak = {"float32": {"1": 40e9, "2": 80e9}, "int8": {"1": 80e9}}
    busy = entry(variant=variant, samples_ms=[2.0] * 5, multiply_adds=40_000_000)
    found = derived(busy, peak)
    assert found["multiply_adds_per_s"] == pytest.approx(20e9)
    assert found["peak_share"] == pytest.approx(share)
    assert derived(busy | {"device": "gpu"}, peak)["peak_share"] is None
    assert derived(busy | {"threads": 4}, peak)["peak_share"] is None
    assert "peak_share" not in derived(entry(multiply_adds=None), peak)


def test_reading_leaves_what_was_given_alone() -> None:
    before = json.dumps(MINIMAL)
    complete(MINIMAL)
    assert json.dumps(MINIMAL) == before


SOAK_CASE = {name: entry()[name] for name in ("suite", "name", "variant", "runtime", "threads")}


def soaked(*windows: dict[str, Any]) -> dict[str, Any]:
    return MINIMAL | {"soak": {"case": SOAK_CASE, "window_s": 5, "windows": list(windows)}}


def test_a_soak_is_judged_by_its_windows_however_it_ended(tmp_path: Path) -> None:
    windows = [
        {"t_s": 5.0 * at, "fps": 100.0 if at <= 12 else 90.0, "throttled": at > 14}
        for at in range(1, 17)
    ]
    stopped = soaked(*windows) | {"started": "2026-11-22T10:30:00+00:00"}
    document = read_results(written(tmp_path, stopped))
    soak = document["soak"]
    assert (soak["first_minute_fps"], soak["steady_fps"]) == (100.0, 90.0)
    assert soak["steady_share"] == pytest.approx(0.9)
    assert soak["throttled_after_s"] == 75.0
    assert document["warnings"] == [
        "unfinished: the measurement was stopped; a soak has to begin anew"
    ]
    assert read_results(written(tmp_path, document)) == document


@pytest.mark.parametrize(
    ("windows", "first", "steady", "share"),
    [
        ([], None, None, None),
        # Windows may be longer than the first minute.
        ([{"t_s": 300, "fps": 8}, {"t_s": 600, "fps": 6}], 8, 6, 0.75),
        ([{"t_s": 5, "fps": 0}], 0, 0, None),
    ],
)
def test_a_short_soak_says_what_it_can(
    windows: list[dict[str, Any]], first: float | None, steady: float | None, share: float | None
) -> None:
    soak = complete(soaked(*windows))["soak"]
    assert (soak["first_minute_fps"], soak["steady_fps"], soak["steady_share"]) == (
        first, steady, share,
    )  # fmt: skip
    assert soak["throttled_after_s"] is None


def test_an_entry_has_a_key_and_a_title() -> None:
    assert key(entry()) == ("classifiers", "default", "int8", "litert", "cpu", 1)
    assert title(entry()) == "default int8, litert, 1 thread"
    assert title(entry(threads=2)) == "default int8, litert, 2 threads"
    assert title(entry(device="gpu", threads=2)) == "default int8, litert, GPU"


BAD = {
    "no JSON": "{",
    "text": "edge bench",
    "bytes": "\x00\x01",
    "a list": [],
    "no schema": {"results": []},
    "schema of another kind": MINIMAL | {"schema": "1"},
    "schema that is true": MINIMAL | {"schema": True},
    "no results": {"schema": 1},
    "results of another kind": {"schema": 1, "results": {}},
    "a result of another kind": {"schema": 1, "results": ["default"]},
    "no samples": with_entry(samples_ms=[]),
    "samples of another kind": with_entry(samples_ms="123"),
    "one sample": with_entry(samples_ms=1.0),
    "a negative duration": with_entry(samples_ms=[1.0, -1.0]),
    "no duration": with_entry(samples_ms=[1.0, 0]),
    "a word for a duration": with_entry(samples_ms=[1.0, "2"]),
    "a hole": with_entry(samples_ms=[1.0, None]),
    "NaN": with_entry(samples_ms=[1.0, float("nan")]),
    "infinity": with_entry(samples_ms=[1.0, float("inf")]),
    "a name of another kind": with_entry(name=["default"]),
    "threads in words": with_entry(threads="two"),
    "processes of another kind": with_entry(processes={"samples": 120}),
    "a process of another kind": with_entry(processes=[120]),
    "a process without its samples": with_entry(processes=[{"round": 0}]),
    "a process with less than no samples": with_entry(processes=[process(-5), process(20)]),
    "more samples in processes than there are": with_entry(processes=[process(121)]),
    "too many digits": with_entry(samples_ms=[1.0, 10**400]),
    "a depth without end": "[" * 100_000,
}

# What an edited file has where something else belongs, and what is said of it.
MISSHAPEN: dict[str, Any] = {
    "environment is no object": MINIMAL | {"environment": []},
    "environment.isa is no list": MINIMAL | {"environment": {"isa": 3}},
    "protocol is no object": MINIMAL | {"protocol": 3},
    "plan is no object": MINIMAL | {"plan": []},
    "plan.cases[0] is no object": MINIMAL | {"plan": {"cases": ["default"]}},
    "plan.cases[0].name is no text": MINIMAL | {"plan": {"cases": [{"name": []}]}},
    "skipped[0] is no object": MINIMAL | {"skipped": [1]},
    "skipped[0].threads is no count": MINIMAL | {"skipped": [{"threads": "1"}]},
    "peak.int8 is no object": MINIMAL | {"peak": {"int8": 3}},
    "peak.int8.1 is no number": MINIMAL | {"peak": {"int8": {"1": "fast"}}},
    "warnings is no list": MINIMAL | {"warnings": 3},
    "command is no text": MINIMAL | {"command": 3},
    "soak is no object": MINIMAL | {"soak": 1},
    "soak.case is no object": MINIMAL | {"soak": {"windows": []}},
    "soak.windows is no list": MINIMAL | {"soak": {"case": {}}},
    "soak.windows[1].fps is no number": soaked({"t_s": 5, "fps": 9}, {"t_s": 10}),
    "soak.windows[0].temperature_c is no number": soaked(
        {"t_s": 5, "fps": 9, "temperature_c": "hot"}
    ),
    "model is no object (": with_entry(model="x"),
    "model.contract is no object (": with_entry(model={"contract": 96}),
    "accuracy is no object (": with_entry(accuracy=0.9),
    "accuracy.Smiling is no object (": with_entry(accuracy={"Smiling": 0.9}),
    "accuracy.Smiling.ci95 is no pair of numbers (": with_entry(
        accuracy={"Smiling": {"accuracy": 0.9, "ci95": [0.8]}}
    ),
    "first_ms is no number (": with_entry(first_ms="x"),
    "size_bytes is no number (": with_entry(size_bytes=True),
    "multiply_adds is no number (": with_entry(multiply_adds="many"),
    "batch is no count (": with_entry(batch="64"),
    "stages_ms is no object (": with_entry(stages_ms=[]),
    "stages_ms.detect[0] is no number (": with_entry(stages_ms={"detect": [None]}),
    "adapter is no object (": with_entry(adapter="SwiftShader"),
    "processes[0].start_ms is no number (": with_entry(processes=[process(1, start_ms=[])]),
    "warnings is no list (": with_entry(warnings="unstable"),
    "warnings[0] is no text (": with_entry(warnings=[1]),
}


@pytest.mark.parametrize("said", MISSHAPEN)
def test_a_misshapen_part_is_named(tmp_path: Path, said: str) -> None:
    with pytest.raises(EdgeError) as caught:
        read_results(written(tmp_path, MISSHAPEN[said]))
    assert f"is not a results file: {said}" in caught.value.message
    assert caught.value.hint == "name a file that `edge bench` wrote"


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_results_file_is_refused_with_a_hint(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, BAD[name])
    with pytest.raises(EdgeError, match=r"results\.json is not a results file: \S") as caught:
        read_results(path)
    assert caught.value.hint == "name a file that `edge bench` wrote"


@pytest.mark.parametrize("name", ["suite", "name", "variant", "runtime", "device", "threads",
                                  "samples_ms"])  # fmt: skip
def test_a_key_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    part = {key: value for key, value in entry().items() if key != name}
    with pytest.raises(EdgeError, match=f"with a result without {name}$"):
        read_results(written(tmp_path, MINIMAL | {"results": [part]}))


def test_bad_samples_are_named_by_their_case(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"no durations \(default int8, litert, 1 thread\)"):
        read_results(written(tmp_path, with_entry(samples_ms=[])))


def test_parts_that_are_null_are_as_if_absent(tmp_path: Path) -> None:
    parts = ("environment", "protocol", "plan", "skipped", "peak", "warnings")
    document = read_results(written(tmp_path, MINIMAL | dict.fromkeys(parts)))
    planned = read_results(written(tmp_path, MINIMAL | {"plan": {"cases": None}}))
    assert planned["plan"] == {}
    [bare] = read_results(written(tmp_path, with_entry(warnings=None, model=None)))["results"]
    assert (bare["warnings"], bare["model"]) == ([], None)
    assert {name: document[name] for name in parts} == {
        "environment": {}, "protocol": {}, "plan": {}, "skipped": [], "peak": {}, "warnings": [],
    }  # fmt: skip


def test_processes_may_leave_out_what_the_system_does_not_tell(tmp_path: Path) -> None:
    bare = [{"round": 0, "samples": len(SAMPLES)}]
    [found] = read_results(written(tmp_path, with_entry(processes=bare)))["results"]
    assert found["peak_rss_mb"] == entry()["peak_rss_mb"]
    assert found["first_ms"] == entry()["first_ms"]


def test_a_newer_schema_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL | {"schema": SCHEMA + 1})
    with pytest.raises(EdgeError, match=f"of schema {SCHEMA + 1}, this edge reads up to") as caught:
        read_results(path)
    assert caught.value.hint == "upgrade edge"


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgeError, match=r"cannot read .*: ") as caught:
        read_results(tmp_path / name)
    assert "edge bench" in caught.value.hint
