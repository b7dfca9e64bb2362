import json
import os
import re
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser

import pytest

from edge.benchmarks.html import page
from edge.benchmarks.published import figures

CPU = ("classifiers", "default", "float32", "litert", "cpu", 1, 1.7, 1_305_675, 0.919)
TWO = ("classifiers", "default", "float32", "litert", "cpu", 2, 1.0, 1_305_675, 0.919)
INT8 = ("classifiers", "default", "int8", "litert", "cpu", 1, 0.7, 357_361, 0.918)
GPU = ("classifiers", "default", "float32", "litert", "gpu", 1, 0.2, 1_305_675, 0.919)
PIPELINE = ("pipeline", "default", "int8", "litert", "cpu", 1, 2.0, None, None)
DETECTOR = ("detectors", "blazeface", "float32", "litert", "cpu", 1, 1.1, 229_714, None)
TRAINING = ("training", "default", "float32", "tensorflow", "cpu", 2, 100.0, None, None)
EVERY = (CPU, TWO, INT8, GPU, PIPELINE, DETECTOR, TRAINING)
HOSTILE = '"><img src=http://example.org/x.png><script>alert(1)</script>'
NO_GPU = {
    "suite": "classifiers", "name": "default", "variant": "float32", "runtime": "litert",
    "device": "gpu", "threads": 1, "reason": "no Vulkan adapter was found",
}  # fmt: skip
SOAK = {
    "case": {"name": "default", "variant": "int8", "runtime": "litert", "device": "cpu"},
    "window_s": 5,
    "windows": [{"t_s": 5, "fps": 400.0, "temperature_c": None}, {"t_s": 600.2, "fps": 390.0}],
}  # fmt: skip
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Keeps every element with its attributes, and fails where tags do not nest."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def count(self, tag, kind):
        return sum(
            name == tag and kind in (attributes.get("class") or "").split()
            for name, attributes in self.elements
        )


def words(text):
    """Return what a page says, without its markup."""
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def software(document, cases):
    made = document(cases)
    for entry in made["results"]:
        if entry["device"] == "gpu":
            entry["adapter"] = {"name": "SwiftShader Device", "software": True}
    return made


def test_the_page_is_whole_and_asks_for_nothing(document):
    text = page(document(EVERY, soak=SOAK))
    for tag, attributes in Reader(text).elements:
        assert tag not in ("script", "img", "iframe", "object")
        assert "src" not in attributes
        assert tag != "link" or attributes["href"] == "data:,"
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in text
    assert "@import" not in text


def test_every_chart_tells_what_it_shows(document):
    text = page(document(EVERY, soak=SOAK))
    titled = re.findall(r'<svg class="\w+" role="img"><title>([^<]+)</title>', text)
    assert len(titled) == text.count('role="img"')
    assert any(
        re.match(r"default int8, litert, 1 thread: p50 0\.\d+ ms, p95 0\.\d+ ms, ", title)
        for title in titled
    )


def test_the_headline_is_the_verdict(document):
    said = words(page(document((CPU, TWO, INT8))))
    assert "The fastest classifier is default int8 on litert, 1 thread: 0.698 ms a face" in said
    assert "Smallest file 357 kB default int8" in said
    assert "Most accurate, Smiling 0.9190 default float32 95 % interval" in said
    assert "The fastest pipeline is" in words(
        page(document((*EVERY, (*PIPELINE[:5], 2, *PIPELINE[6:]))))
    )


def test_a_draw_is_no_victory(document):
    near = ("classifiers", "default", "float16", "litert", "cpu", 1, 1.701, 653_000, 0.919)
    assert "level with default" in words(page(document((CPU, near))))
    assert "level with" not in words(page(document((CPU, INT8))))


def test_warnings_stand_before_the_verdict(document):
    text = page(document((CPU,), warnings=["unstable: stop the other processes"]))
    assert text.index("unstable: stop the other processes") < text.index("<h1>")
    assert "Before you believe" not in page(document((CPU,)))


def test_one_row_a_case_and_one_strip_a_measurement(document):
    read = Reader(page(document(EVERY)))
    assert read.count("svg", "strip") == len(EVERY) + 16 + 1 + 5
    assert read.count("circle", "hollow") == 16 + 1 + 5 + 7
    assert read.count("div", "heading") == 3
    assert sum(tag == "th" and a.get("scope") == "row" for tag, a in read.elements) == 6 + len(
        figures()
    )


def test_published_figures_of_a_gpu_need_a_gpu_beside_them(document):
    assert "GeForce" not in page(document((DETECTOR, PIPELINE)))
    assert Reader(page(document((CPU,)))).count("div", "hollow-row") == 8
    assert Reader(page(document((CPU, GPU)))).count("div", "hollow-row") == 16


def test_an_empty_gpu_column_says_why_once(document):
    text = page(document((CPU, TWO), skipped=[NO_GPU]))
    cells = re.findall(r'<td class="none edge"[^>]*>[^<]*', text)
    assert cells == ['<td class="none edge" rowspan="2">no Vulkan adapter was found']


def test_a_gpu_cell_points_to_the_row_with_its_figures(document):
    text = page(document((CPU, TWO, GPU, INT8)))
    cells = re.findall(r'<td class="none edge"[^>]*>([^<]*)', text)
    assert cells == ["see 1 thread", "not part of this run"]


def test_the_speed_of_a_software_gpu_counts_for_nothing(document):
    text = page(software(document, (CPU, GPU)))
    said = words(text)
    assert "the GPU here is software (SwiftShader Device)" in said
    assert "GPU: SwiftShader Device (software, speed means nothing)." in said
    assert "default float32 on litert, 1 thread: 1.7" in said
    assert Reader(text).count("svg", "strip") == 1 + 8
    # The fastest in the table is marked; it is not the emulated one.
    assert 'class="cpu best"' in text
    assert 'class="gpu best"' not in text
    assert 'class="gpu best"' in page(document((CPU, GPU)))


def test_untrained_and_unmeasured_accuracy_is_marked(document):
    made = document((CPU, INT8))
    made["results"][0]["model"]["trained"] = False
    made["results"][1]["accuracy_from"] = "card"
    text = page(made)
    assert '<span class="badge">untrained</span>' in text
    assert "0.9180†" in text
    assert "0.9190" not in text
    assert Reader(text).count("circle", "dashed") == 1


def test_stages_add_up_and_are_legible_beside_a_slow_one(document):
    slow = ("pipeline", "seed", "float32", "keras-predict", "cpu", 1, 60.0, None, None)
    alone, beside = page(document((PIPELINE,))), page(document((PIPELINE, slow)))
    assert Reader(alone).count("svg", "bar") == 1
    assert Reader(beside).count("svg", "bar") == 4
    assert "As shares of the whole" in beside
    widths = re.findall(r'<rect class="s\d" x="[\d.]+%" width="([\d.]+)%"', alone)
    assert len(widths) == 4
    assert sum(map(float, widths)) == pytest.approx(100 / 1.08, abs=0.1)


def test_a_long_chart_is_folded(document):
    many = tuple((*CPU[:1], f"network-{at}", *CPU[2:]) for at in range(40))
    text = page(document(many))
    assert "<summary>16 more</summary>" in text
    assert Reader(text).count("svg", "strip") == 48


def test_a_soak_is_shown(document):
    said = words(page(document((PIPELINE,), soak=SOAK)))
    assert "400 FPS in the first minute, 390 in the steady state (98%)" in said
    assert "does not tell its temperature" in said
    assert "Sustained" not in words(page(document((PIPELINE,))))


def test_the_page_of_a_soak_is_about_the_soak(document):
    text = page(document((), soak=SOAK))
    said = words(text)
    assert "<h1>The pipeline keeps 98 % of its speed over 10 minutes</h1>" in text
    assert "default int8 on litert, 1 thread, measured on AMD EPYC 7R13 Processor" in said
    assert "Sustained 390 FPS default int8 on litert, 1 thread 400 FPS in the first" in said
    Reader(text)


def test_a_soak_that_was_stopped_at_once(document):
    soak = {"case": SOAK["case"], "window_s": 5, "windows": []}
    text = page(document((), soak=soak, finished=None))
    assert "<h1>The sustained run was stopped before anything was measured</h1>" in text
    assert 'class="tiles' not in text
    Reader(text)


def test_start_and_precision_are_in_the_table(document):
    made = document((CPU, GPU))
    made["results"][0]["precision"] = "bfloat16"
    text = page(made)
    assert text.count('<th scope="col" class="edge">start</th>') == 2
    assert '<td class="text">litert (bfloat16)</td>' in text
    assert "The fastest classifier is default float32 on litert, GPU" in words(text)
    assert "default float32 litert (bfloat16), 1 thread" in words(text)


def test_an_unfinished_page_counts_what_there_is(document):
    text = page(document((CPU,), finished=None, plan={"cases": [{"name": "default"}] * 3}))
    assert text.count("unfinished") == 1
    assert "1 of 3 cases measured on AMD EPYC" in text


def test_how_to_reproduce(document):
    said = words(page(document((CPU,))))
    assert "Reproduce edge bench all --device cpu,gpu" in said
    assert "pinned to its cores" in said
    assert "Not told by this machine: governor, clock, MHz, temperature, °C, throttled." in said


def test_an_entry_with_nothing_but_its_key_and_samples(document):
    from edge.benchmarks.results import complete

    bare = {
        "suite": "classifiers", "name": "x", "variant": "int8", "runtime": "litert",
        "device": "cpu", "threads": 1, "samples_ms": [1.0, 1.5, 1.0],
    }  # fmt: skip
    text = page(complete({"schema": 1, "results": [bare]}))
    Reader(text)
    assert "x int8 on litert, 1 thread: 1.00 ms a face" in words(text)


def test_no_results(document):
    Reader(page(document((), finished=None)))


def test_names_are_text(document):
    made = document((*EVERY, ("classifiers", HOSTILE, HOSTILE, HOSTILE, "cpu", 1, 2.0, 10, 0.9)))
    made["warnings"] = made["results"][0]["warnings"] = [HOSTILE]
    made["environment"]["cpu"] = made["command"] = made["protocol"]["text"] = HOSTILE
    made["skipped"] = [NO_GPU | {"name": HOSTILE, "reason": HOSTILE}]
    made["results"][4]["stages_ms"] = {HOSTILE: [1.0]}
    made["results"][0]["accuracy"] = {HOSTILE: {"accuracy": 0.5, "ci95": [0.4, 0.6]}}
    made["results"][3]["adapter"] = {"name": HOSTILE, "software": True}
    read = Reader(page(made))
    assert not any(tag in ("script", "img") for tag, _ in read.elements)


def chromium():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
    if found is None:
        reason = "no Chromium is installed"
        if os.environ.get("EDGE_REQUIRE_CHROMIUM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def looked_at(text, width, folder):
    """Open a page in a frame of this width; return its measures and what the console said."""
    frame = f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{escape(text)}">'
    measure = """<script>
      addEventListener("load", () => {
        const inner = document.querySelector("iframe").contentWindow;
        const page = inner.document;
        const texts = [...page.querySelectorAll("svg.strip .tick, .row b, h1, .tiles b")];
        const found = {
          width: page.documentElement.scrollWidth,
          requests: inner.performance.getEntriesByType("resource").map((one) => one.name),
          outside: texts.filter((one) => one.getBoundingClientRect().right > inner.innerWidth)
            .length,
          styled: inner.getComputedStyle(page.querySelector(".tiles li")).borderRadius,
        };
        document.body.innerHTML = "<pre>found:" + JSON.stringify(found) + ":end</pre>";
      });
    </script>"""
    path = folder / "wrapper.html"
    path.write_text(f"<!doctype html><body>{frame}</iframe>{measure}</body>", "utf-8")
    done = subprocess.run(
        [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,900",
         f"--user-data-dir={folder / 'profile'}", "--disable-background-networking",
         "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr", "--dump-dom",
         path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r"found:(.*?):end", unescape(done.stdout))
    assert found, done.stderr
    return json.loads(found[1]), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_real_browser(document, tmp_path, width):
    made = software(document, EVERY) | {"soak": SOAK, "skipped": [NO_GPU]}
    made["results"][0]["name"] = "a-network-with-a-name-that-does-not-end-anywhere-near-here"
    found, console = looked_at(page(made), width, tmp_path)
    assert console == []
    assert found == {"width": width, "requests": [], "outside": 0, "styled": "14px"}
