"""`edge bench` as a user runs it: what it leaves on disk, how it is stopped, what it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from edge.benchmarks.bench import kept_samples
from edge.benchmarks.results import key
from edge.modelfile import resolve_model
from edge.runtime.interpreter import Interpreter

SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
QUICK = ("bench", "detectors", "--runtime", "litert", "--threads", "1")
ENTRY = {"suite", "name", "variant", "runtime", "device", "threads", "first_ms", "samples_ms",
         "latency_ms", "fps", "size_bytes", "peak_rss_mb", "accuracy"}  # fmt: skip
ENVIRONMENT = {"cpu", "cores", "isa", "governor", "load", "temperature_c", "throttled", "memory",
               "os", "python", "versions", "threads"}  # fmt: skip


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "edge", *map(str, arguments)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip


def edge(*arguments, **environment):
    child = start(*arguments, **environment)
    out, err = child.communicate(timeout=200)
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def samples(file):
    results = json.loads(file.read_text())["results"]
    return {key(entry): entry["samples_ms"] for entry in results}


def taken(file):
    """Return how many processes a results file holds, while it may still be absent."""
    try:
        document = json.loads(file.read_text())
    except FileNotFoundError:
        return 0
    return sum(len(entry["processes"]) for entry in document["results"])


def wait_for(file, processes):
    end = time.monotonic() + 60
    while taken(file) < processes:
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The bundled model on one and two threads, and the same as JSON on stdout."""
    file = tmp_path_factory.mktemp("bench") / "x86.json"
    done = edge("bench", "classifiers", "--runtime", "litert", "--model", "default", "--threads",
                "1,2", "--device", "cpu", "--frames", "60", "--out", file)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done, file


def test_the_file_holds_what_the_contract_says(bench):
    _, file = bench
    document = json.loads(file.read_text())
    network = Interpreter(resolve_model("default").read_bytes(), "default")
    assert document["schema"] == 1
    assert document["environment"].keys() >= ENVIRONMENT
    assert document["finished"] >= document["started"]
    assert [entry["threads"] for entry in document["results"]] == [1, 2]
    for entry in document["results"]:
        assert entry.keys() >= ENTRY
        assert len(entry["samples_ms"]) >= 60
        assert entry["latency_ms"]["p99"] is None
        assert sorted(process["round"] for process in entry["processes"]) == [*range(6)]
        assert sum(process["samples"] for process in entry["processes"]) == len(entry["samples_ms"])
        assert entry["latency_ms"]["mean"] == pytest.approx(sum(entry["samples_ms"])
                                                            / len(entry["samples_ms"]))  # fmt: skip
        assert entry["size_bytes"] == resolve_model("default").stat().st_size
        # A cold start takes its time, and is no part of the samples.
        assert entry["start_ms"] > entry["first_ms"] > 0
        assert 20 < entry["peak_rss_mb"] < 300
        assert entry["multiply_adds"] == network.multiply_adds()
        assert 0.05 < entry["peak_share"] < 1.5
        low, high = entry["ci95_ms"]["p50"]
        assert low <= entry["latency_ms"]["p50"] <= high


def test_it_ends_with_the_table_and_where_the_files_are(bench):
    done, file = bench
    assert "default int8" in done.stdout
    last = done.stdout.splitlines()[-3:]
    places = [Path(line.split()[-1]) for line in last]
    assert places == [file, file.with_suffix(".html"), file.with_suffix(".md")]
    assert all(place.stat().st_size for place in places)


def test_a_report_made_again_is_the_same(bench, tmp_path):
    _, file = bench
    done = edge("bench", "report", file, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["results"] == json.loads(file.read_text())["results"]


def test_a_killed_measurement_goes_on_where_it_was(tmp_path):
    file = tmp_path / "b.json"
    child = start(*QUICK, "--frames", "20", "--out", file)
    wait_for(file, 3)
    workers = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True,
                             check=False).stdout.split()  # fmt: skip
    child.send_signal(signal.SIGKILL)
    child.communicate()
    before = samples(file)
    assert 3 <= taken(file) < 12
    time.sleep(0.3)
    assert not [pid for pid in workers if is_running(pid)]
    done = edge(*QUICK, "--frames", "20", "--out", file)
    assert done.returncode == 1
    assert "unfinished measurement" in done.stderr
    done = edge(*QUICK, "--frames", "20", "--out", file, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads(file.read_text())
    assert taken(file) == 12
    after = samples(file)
    assert all(after[name][: len(old)] == old for name, old in before.items())


def test_ctrl_c_says_how_to_go_on(tmp_path):
    file = tmp_path / "b.json"
    child = start(*QUICK, "--frames", "20", "--out", file)
    wait_for(file, 1)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert f"edge bench --resume --out {file}" in err
    assert "Traceback" not in err
    assert taken(file) >= 1


def test_a_second_process_that_burns_a_core_is_told(tmp_path):
    file = tmp_path / "b.json"
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as burner:
        done = edge(*QUICK, "--frames", "300", "--out", file)
        burner.kill()
    assert done.returncode == 0, done.stderr
    assert "warning: unstable:" in done.stderr
    assert "stop them and measure again" in done.stderr
    document = json.loads(file.read_text())
    warnings = [sentence for entry in document["results"] for sentence in entry["warnings"]]
    assert any("other processes" in sentence for sentence in warnings)
    for report in (file.with_suffix(".html"), file.with_suffix(".md")):
        assert "other processes kept" in report.read_text()


@pytest.fixture(scope="module")
def vulkan():
    """Environment with software Vulkan."""
    if not SWIFTSHADER.exists():
        if os.environ.get("EDGE_REQUIRE_VULKAN") == "1":
            pytest.fail("Debian's chromium is not installed")
        pytest.skip("no software Vulkan: Debian's chromium is not installed")
    return {"VK_DRIVER_FILES": str(SWIFTSHADER)}


def test_the_gpu_path_on_software_vulkan(vulkan, tmp_path):
    file = tmp_path / "gpu.json"
    done = edge("bench", "classifiers", "--model", "default-float32", "--runtime", "litert",
                "--device", "cpu,gpu", "--threads", "1", "--frames", "2", "--out", file,
                **vulkan)  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())["results"]
    assert [entry["device"] for entry in results] == ["cpu", "gpu"]
    for entry in results:
        if entry["device"] == "gpu":
            assert entry["adapter"]["software"]
            assert "SwiftShader" in entry["adapter"]["name"]
    assert "software" in done.stdout
    assert "software" in file.with_suffix(".html").read_text()
    assert "say nothing about any GPU" in done.stderr


def test_a_gpu_asked_for_and_absent_is_an_error(tmp_path):
    file = tmp_path / "gpu.json"
    done = edge("bench", "classifiers", "--model", "default", "--device", "gpu", "--out", file,
                VK_DRIVER_FILES="/nowhere.json")  # fmt: skip
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert "no Vulkan adapter was found" in error
    assert hint.startswith("hint: ")
    assert not file.exists()


def test_a_gpu_that_is_absent_is_a_cell_that_says_why(tmp_path):
    file = tmp_path / "b.json"
    done = edge("bench", "classifiers", "--model", "default", "--runtime", "litert", "--threads",
                "1", "--frames", "1", "--out", file, VK_DRIVER_FILES="/nowhere.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    [skipped] = json.loads(file.read_text())["skipped"]
    assert skipped["device"] == "gpu"
    assert skipped["reason"] == "no Vulkan adapter was found"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "unknown suite nonsense"),
        (["--runtime", "nonsense"], "unknown runtime nonsense"),
        (["--device", "tpu"], "unknown device tpu"),
        (["--model", "absent.tflite"], "there is no file absent.tflite"),
        (["--data", "absent"], "absent"),
        (["--soak", "1", "--device", "gpu"], "a soak runs one pipeline on the CPU"),
        (["training", "--device", "gpu"], "training cannot be measured on a GPU"),
        (["--out", "results.txt"], "does not end in .json"),
        (["--resume", "--out", "absent.json"], "there is no absent.json"),
        (["--resume"], "nothing in bench/ is left to go on with"),
        (["--out", "b.json", "--html", "b.json"], "the page cannot be b.json"),
        (["report", "absent.json"], "cannot read absent.json"),
        (["compare", "absent.json", "b.json"], "cannot read absent.json"),
    ],
)
def test_wrong_words_are_two_lines_and_leave_nothing(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = edge("bench", *arguments)
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert words in error
    assert hint.startswith("hint: ")
    assert list(tmp_path.iterdir()) == []


def test_a_runtime_that_dies_is_an_error_and_not_a_crash(tmp_path):
    """A file without a card reaches the runtime only in a child: LiteRT aborts on some of them."""
    graph = bytearray(resolve_model("default").read_bytes())
    end = graph.rindex(b"PK\x05\x06")
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(graph[: end // 2])
    done = edge("bench", "classifiers", "--model", damaged, "--runtime", "litert", "--threads", "1",
                "--device", "cpu", "--frames", "1", "--out", tmp_path / "b.json")  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-2].startswith("error: ")


@pytest.mark.slow
def test_a_soak_tells_of_every_window(tmp_path):
    file = tmp_path / "soak.json"
    done = edge("bench", "--soak", "0.15", "--model", "default", "--threads", "1", "--out", file)
    assert done.returncode == 0, done.stderr
    soak = json.loads(file.read_text())["soak"]
    assert [round(window["t_s"]) for window in soak["windows"]] == [5, 10]
    assert all(window["fps"] > 1 for window in soak["windows"])
    assert soak["steady_share"] == pytest.approx(
        soak["windows"][1]["fps"] / ((soak["windows"][0]["fps"] + soak["windows"][1]["fps"]) / 2)
    )
    assert "soak of 0.2 minutes" in done.stdout
    assert "soak" in file.with_suffix(".html").read_text()


def test_of_many_samples_an_even_selection_is_kept_and_the_longest():
    few = [1.0] * 500
    assert list(kept_samples(few)) == list(range(500))
    many = [1.0 + at % 7 for at in range(20_001)]
    many[12_345] = 90.0
    kept = kept_samples(many)
    assert 500 <= len(kept) <= 501
    assert 12_345 in kept
    assert list(kept) == sorted(set(kept))
    assert max(later - before for before, later in pairwise(kept)) <= 41
