"""The reference results: whole, fit to be quoted, and what the documents say of them."""

import json
import re
from pathlib import Path

import pytest

from edge.benchmarks.markdown import text
from edge.benchmarks.reference import reference_of
from edge.benchmarks.results import blocks, read_results
from edge.benchmarks.rows import is_software
from edge.modelfile import bundled_models, read_model, resolve_model

ROOT = Path(__file__).resolve().parents[2]
REFERENCES = sorted((ROOT / "benchmarks" / "reference").glob("*.json"))


@pytest.fixture(scope="module", params=REFERENCES, ids=lambda path: path.stem)
def reference(request):
    return request.param, read_results(request.param)


def test_there_is_one():
    assert REFERENCES


def test_it_is_finished_and_has_its_samples(reference):
    _, document = reference
    assert document["finished"]
    rounds = document["protocol"]["rounds"]
    for entry in document["results"]:
        assert len(blocks(entry)) == rounds
        assert entry["latency_ms"]["p50"] > 0


def test_nothing_emulated_is_shown_as_a_speed(reference):
    _, document = reference
    assert not list(filter(is_software, document["results"]))
    assert document["environment"]["isa"][0] in ("x86_64", "aarch64")


def test_it_names_no_folder_of_the_machine(reference):
    path, _ = reference
    assert not re.findall(r'"/(?:work|home|root|tmp|usr|opt)[^"]*"', path.read_text())


def test_that_of_a_cpu_measured_the_bundled_models():
    document = read_results(ROOT / "benchmarks" / "reference" / "x86-epyc.json")
    known = {read_model(path).sha256 for path in bundled_models().values()}
    measured = {
        entry["model"]["sha256"]
        for entry in document["results"]
        if entry["suite"] == "classifiers" and entry["name"] == "default"
        and entry["runtime"] == "litert"
    }  # fmt: skip
    assert measured == known


def test_the_document_is_made_from_it(reference):
    path, document = reference
    page = ROOT / "docs" / f"{path.stem.split('-')[0]}.md"
    assert page.read_text("utf-8") == text(document)


def test_statistics_in_the_file_are_those_of_its_samples(reference):
    path, document = reference
    stored = json.loads(path.read_text())["results"]
    for before, after in zip(stored, document["results"], strict=True):
        assert before["latency_ms"] == after["latency_ms"]


def test_a_run_of_the_bundled_model_finds_it():
    known = reference_of(read_model(resolve_model("default")).sha256)
    assert known is not None
    stages = known["p50_ms"]
    assert 0 < stages["crop"] < stages["classify"] < stages["detect"] < stages["total"]
    assert known["cpu"]


def test_a_run_of_an_unknown_model_finds_none():
    assert reference_of("0" * 64) is None
