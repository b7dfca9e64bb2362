"""Comparisons of results files whose truth is known, since their samples are drawn from it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edge.benchmarks.compare import compare, require_not_slower
from edge.benchmarks.compare_tables import compare_table
from edge.errors import EdgeError

CONTRACT = {"width": 96, "height": 96, "margin": 0.2}
Write = Callable[..., Path]


@dataclass(frozen=True)
class Made:
    """One case: its name, and the truth that its samples are drawn from."""

    name: str = "default"
    p50_ms: float = 1.0
    spread: float = 0.01
    rounds: int = 5
    samples: int = 60
    between: float = 0.0


def entry(made: Made, seed: int, changes: dict[str, Any]) -> dict[str, Any]:
    random = np.random.default_rng([seed, *made.name.encode()])
    levels = made.p50_ms * np.exp(made.between * np.linspace(-1, 1, made.rounds))
    values = [level * random.lognormal(0, made.spread, made.samples) for level in levels]
    return {
        "suite": "classifiers", "name": made.name, "variant": "int8", "runtime": "litert",
        "device": "cpu", "threads": 1, "first_ms": 3.0, "size_bytes": 350_000,
        "peak_rss_mb": 70.0, "samples_ms": np.concatenate(values).tolist(),
        "accuracy": {"Smiling": {"accuracy": 0.92, "ci95": [0.91, 0.93], "samples": 2509}},
        "model": {"name": made.name, "sha256": "a" * 64, "contract": CONTRACT, "trained": True},
        "processes": [{"round": at, "samples": made.samples, "first_ms": 3.0, "start_ms": 300.0,
                       "peak_rss_mb": changes.get("peak_rss_mb", 70.0)}
                      for at in range(made.rounds)],
    } | changes  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, *cases: Made, parts: dict[str, Any] | None = None, **changes: Any) -> Path:
        seed = sum(name.encode())
        document = {
            "schema": 1, "environment": {"cpu": "an x86", "isa": ["x86_64", "avx2"], "cores": 2,
                                         "load": [seed], "versions": {"numpy": "2.4.1"}},
            "results": [entry(case, seed, changes) for case in cases or (Made(),)],
        }  # fmt: skip
        path = tmp_path / name
        path.write_text(json.dumps(document | (parts or {})))
        return path

    return write


def only(report: dict[str, Any]) -> dict[str, Any]:
    (case,) = report["cases"]
    (other,) = case["others"]
    return dict(other)


def text(report: dict[str, Any]) -> str:
    written = StringIO()
    Console(width=200, file=written).print(compare_table(report))
    return written.getvalue()


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (Made(), Made(p50_ms=1.1), "slower"),
        (Made(), Made(p50_ms=0.9), "faster"),
        (Made(), Made(p50_ms=1.03), "slower"),
        (Made(), Made(), "same"),
        # A difference that is surely there, but too small to matter.
        (Made(p50_ms=10, spread=0.001), Made(p50_ms=10.05, spread=0.001), "same"),
        (Made(p50_ms=0.1, spread=0.001), Made(p50_ms=0.104, spread=0.001), "same"),
        # Of a short call too, so large a share is a difference.
        (Made(p50_ms=0.1, spread=0.001), Made(p50_ms=0.115, spread=0.001), "slower"),
        # The processes of one file disagree by more than the files do.
        (Made(between=0.2), Made(p50_ms=1.08, between=0.2), "inconclusive"),
        (Made(between=0.3, spread=0.001), Made(between=0.3, spread=0.001), "inconclusive"),
    ],
)
def test_the_verdict_tells_a_difference_from_chance(
    write: Write, before: Made, after: Made, verdict: str
) -> None:
    other = only(compare([write("a.json", before), write("b.json", after)]))
    assert other["verdict"] == verdict
    value, low, high = other["p50_ratio"]
    assert low <= value <= high


def test_the_ratio_is_of_the_other_file_to_the_base(write: Write) -> None:
    slow, fast = write("slow.json", Made(p50_ms=6.0)), write("fast.json", Made(p50_ms=2.0))
    assert only(compare([slow, fast]))["p50_ratio"][0] == pytest.approx(1 / 3, rel=0.01)
    assert only(compare([fast, slow]))["mean_ratio"][0] == pytest.approx(3, rel=0.01)


def test_cases_come_in_the_order_of_every_report(write: Write) -> None:
    """A measurement takes them in a random one."""
    paths = [write(name, Made("zebra"), Made("ant")) for name in ("a.json", "b.json")]
    assert [case["name"] for case in compare(paths)["cases"]] == ["ant", "zebra"]


def test_size_memory_and_accuracy_are_compared_too(write: Write) -> None:
    changed = {"Smiling": {"accuracy": 0.915, "ci95": [0.9, 0.93], "samples": 2509}}
    other = only(
        compare([
            write("a.json"),
            write("b.json", size_bytes=340_000, peak_rss_mb=75.5, accuracy=changed),
        ])
    )  # fmt: skip
    assert (other["size_bytes"], other["peak_rss_mb"]) == (-10_000, 5.5)
    assert other["accuracy_points"]["Smiling"] == pytest.approx(-0.5)


def test_a_suite_is_summed_up_by_the_geometric_mean(write: Write) -> None:
    before = write("a.json", Made("one"), Made("two"))
    after = write("b.json", Made("one", p50_ms=2.0), Made("two", p50_ms=0.5))
    (suite,) = compare([before, after])["suites"]
    assert (suite["suite"], suite["file"], suite["cases"]) == ("classifiers", "b.json", 2)
    assert suite["p50_ratio"] == pytest.approx(1.0, rel=0.01)


def test_cases_that_a_file_lacks_are_listed_with_its_reason(write: Write) -> None:
    reason = "openvino is not installed"
    skipped = [{"suite": "classifiers", "name": "two", "variant": "int8", "runtime": "litert",
                "device": "cpu", "threads": 1, "reason": reason}]  # fmt: skip
    report = compare([
        write("a.json", Made("one"), Made("two")),
        write("b.json", Made("one"), Made("three"), parts={"skipped": skipped}),
    ])  # fmt: skip
    assert [case["name"] for case in report["cases"]] == ["one"]
    absent = {case["title"].split()[0]: case["absent"] for case in report["missing"]}
    assert absent == {"two": {"b.json": reason}, "three": {"a.json": None}}
    assert f"not in b.json ({reason}): two int8" in text(report)


def test_several_files_are_each_compared_with_the_first(write: Write) -> None:
    paths = [write(f"{name}.json", Made(p50_ms=ms)) for name, ms in
             (("a", 1.0), ("b", 1.5), ("c", 0.5))]  # fmt: skip
    (case,) = compare(paths)["cases"]
    assert [(other["file"], other["verdict"]) for other in case["others"]] == [
        ("b.json", "slower"), ("c.json", "faster"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": {"sha256": "b" * 64, "contract": CONTRACT}},
            "the model's sha256 of default int8, litert, 1 thread is aaaaaaaaaaaa… in a.json but "
            "bbbbbbbbbbbb… in b.json",
        ),
        (
            {"model": {"sha256": "b" * 64, "contract": CONTRACT | {"height": 128}}},
            "height of the input contract of default int8, litert, 1 thread is 96 in a.json but "
            "128 in b.json",
        ),
        (
            {"batch": 32},
            "the batch of default int8, litert, 1 thread is None in a.json but 32 in b.json",
        ),
        (
            {"adapter": {"name": "SwiftShader", "software": True}},
            "default int8, litert, 1 thread ran on a software GPU in b.json (SwiftShader), whose "
            "speed means nothing",
        ),
    ],
)
def test_what_is_not_comparable_is_refused_until_told(
    write: Write, changes: dict[str, Any], message: str
) -> None:
    paths = [write("a.json"), write("b.json", Made(p50_ms=2.0), **changes)]
    with pytest.raises(EdgeError) as caught:
        compare(paths)
    assert caught.value.message == message
    assert "--force" in caught.value.hint
    report = compare(paths, force=True)
    assert only(report)["verdict"] == "slower"
    assert report["warnings"][0] == f"{message}; compared all the same"


FRESH = {"name": "proposed", "contract": CONTRACT, "trained": False}


def test_networks_with_fresh_weights_are_compared_by_what_makes_their_speed(write: Write) -> None:
    """Each machine makes its own, whose files differ in dates and versions."""

    def fresh(file: str, sha: str, multiply_adds: int = 10, **model: Any) -> Path:
        about = FRESH | {"sha256": sha * 64} | model
        return write(file, model=about, multiply_adds=multiply_adds)

    base = fresh("a.json", "a")
    assert len(compare([base, fresh("b.json", "b")])["cases"]) == 1
    for other, difference in {
        fresh("c.json", "b", multiply_adds=11): "the multiply-adds of .* is 10 in a.json but 11 in",
        fresh("d.json", "b", name="other"): "the network of .* is proposed in a.json but other in",
        fresh("e.json", "b", contract=CONTRACT | {"width": 64}): "width of the input contract",
        fresh("f.json", "b", trained=True): "the model's sha256",
    }.items():
        with pytest.raises(EdgeError, match=difference):
            compare([base, other])


def test_a_file_that_says_less_is_compared(write: Write) -> None:
    """A reader accepts entries with the fields of the base contract alone."""
    bare = {"model": None, "processes": None, "size_bytes": None, "accuracy": None,
            "peak_rss_mb": None}  # fmt: skip
    other = only(compare([write("a.json"), write("b.json", Made(p50_ms=2.0), **bare)]))
    assert other["verdict"] == "slower"
    assert (other["size_bytes"], other["peak_rss_mb"], other["accuracy_points"]) == (None, None, {})


def test_machines_may_differ_and_the_report_says_in_what(write: Write) -> None:
    board = {"cpu": "Raspberry Pi 5", "isa": ["aarch64", "asimd"], "cores": 4, "load": [9],
             "temperature_c": 61.0, "versions": {"numpy": "2.4.1"}}  # fmt: skip
    report = compare([write("a.json"), write("b.json", parts={"environment": board})])
    differing = {one["field"]: one["values"] for one in report["environments"]}
    assert differing.keys() == {"cpu", "isa", "cores"}
    assert differing["cpu"] == ["an x86", "Raspberry Pi 5"]
    shown = text(report)
    assert "b.json: Raspberry Pi 5, 1 case" in shown
    assert "x86_64, avx2" in shown


def test_doubts_are_passed_on(write: Write) -> None:
    burning = "unstable: other processes kept 0.98 of 2 cores busy"
    report = compare([
        write("a.json", parts={"started": "2026-11-22T10:30:00+00:00", "finished": None}),
        write("b.json", parts={"warnings": [burning]}),
        write("c.json", warnings=["unstable: the medians of its processes are apart"]),
    ])  # fmt: skip
    assert f"b.json: {burning}" in report["warnings"]
    assert "c.json: unstable cases, marked ⚠: 1 of 1" in report["warnings"]
    assert any("a.json: unfinished" in warning for warning in report["warnings"])
    assert "⚠" in text(report).split("c.json against a.json")[1]


def test_another_precision_is_warned_of(write: Write) -> None:
    report = compare([write("a.json"), write("b.json", precision="bfloat16")])
    assert any("in bfloat16 in b.json" in warning for warning in report["warnings"])


def test_a_build_fails_where_a_case_is_surely_too_slow(write: Write) -> None:
    before = write("a.json", Made("one"), Made("two"), Made("three"))
    after = write("b.json", Made("one", p50_ms=1.2), Made("two", p50_ms=1.03), Made("three"))
    report = compare([before, after])
    with pytest.raises(
        EdgeError, match=r"1 case is more than 5 % slower than in a\.json"
    ) as caught:
        require_not_slower(report, 5)
    assert "one int8, litert, 1 thread takes 1.2" in caught.value.message
    assert "two" not in caught.value.message
    require_not_slower(report, 30)


def test_a_build_does_not_fail_by_chance(write: Write) -> None:
    before = write("a.json", Made(between=0.2))
    after = write("b.json", Made(p50_ms=1.2, between=0.2))
    report = compare([before, after])
    (warning,) = require_not_slower(report, 5)
    assert "does not prove it more than 5 % slower" in warning
    assert require_not_slower(report, 50) == []


def test_nothing_too_small_to_matter_fails_a_build(write: Write) -> None:
    steady = {"spread": 0.001}
    report = compare([
        write("a.json", Made(p50_ms=0.1, **steady)), write("b.json", Made(p50_ms=0.104, **steady)),
    ])  # fmt: skip
    assert require_not_slower(report, 1) == []


def test_a_case_that_is_gone_passes_no_build_silently(write: Write) -> None:
    skipped = [{"suite": "classifiers", "name": "two", "reason": "it failed"}]
    report = compare([
        write("a.json", Made("one"), Made("two"), Made("three")),
        write("b.json", Made("one"), Made("new"), parts={"skipped": skipped}),
    ])  # fmt: skip
    (warning,) = require_not_slower(report, 50)
    assert warning.startswith("of a.json, nothing in b.json tells how fast these are: ")
    assert "two int8, litert, 1 thread (classifiers: it failed)" in warning
    assert "three int8" in warning
    assert "new int8" not in warning


def test_the_table_shows_each_figure_once(write: Write) -> None:
    shown = text(compare([write("a.json"), write("b.json", Made(p50_ms=2.0), size_bytes=341_500)]))
    for part in ("classifiers: b.json against a.json", "default int8, litert, 1 thread", "slower",
                 "-8.5 kB", "geometric mean of 1 case: "):  # fmt: skip
        assert shown.count(part) == 1, part


def test_one_file_or_no_common_case_is_refused(write: Write) -> None:
    alone = write("a.json")
    with pytest.raises(EdgeError, match="nothing to compare with"):
        compare([alone])
    with pytest.raises(EdgeError, match=r"no case of a\.json is in b\.json"):
        compare([alone, write("b.json", Made("another"))])


def test_files_of_one_name_are_told_apart(write: Write, tmp_path: Path) -> None:
    first = write("a.json")
    second = tmp_path / "old" / "a.json"
    second.parent.mkdir()
    second.write_bytes(first.read_bytes())
    report = compare([first, second])
    assert [file["name"] for file in report["files"]] == [str(first), str(second)]
    assert json.loads(json.dumps(report)) == report
