import pytest

from edge.benchmarks import markdown

CPU = ("classifiers", "default", "float32", "litert", "cpu", 1, 1.7, 1_305_675, 0.919)
TWO = ("classifiers", "default", "float32", "litert", "cpu", 2, 1.0, 1_305_675, 0.919)
GPU = ("classifiers", "default", "float32", "litert", "gpu", 1, 30.0, 1_305_675, 0.919)
NO_GPU = {
    "suite": "classifiers", "name": "default", "variant": "float32", "runtime": "litert",
    "device": "gpu", "threads": 1, "reason": "no Vulkan adapter was found",
}  # fmt: skip


def tables(text):
    """Return the tables of a Markdown text as lists of rows of cells."""
    found, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("| "):
            rows.append([cell.strip() for cell in line[2:-2].split(" | ")])
        elif rows:
            found.append(rows)
            rows = []
    return found


def warned(text):
    return [line[4:] for line in text.splitlines() if line.startswith("> - ")]


def soak(count, steady=1.0, fps=400.0, slowed_at=None):
    """Return so many windows of five seconds, the last quarter of them slower."""
    windows = [
        {"t_s": 5.0 * at, "temperature_c": 39.0 + at,
         "throttled": None if slowed_at is None else at >= slowed_at,
         "fps": fps * (steady if at > 0.75 * count else 1)}
        for at in range(1, count + 1)
    ]  # fmt: skip
    case = {"name": "default", "variant": "int8", "runtime": "litert", "device": "cpu"}
    return {"case": case, "window_s": 5, "windows": windows}


def column(table, heading):
    return [row[table[0].index(heading)] for row in table[2:]]


def test_rows_are_as_long_as_their_heading(document):
    for table in tables(markdown.text(document((CPU, TWO, GPU)))):
        assert {len(row) for row in table} == {len(table[0])}


def test_the_verdict_comes_first(document):
    text = markdown.text(document())
    assert text.startswith("# The fastest classifier is default int8 on openvino, 1 thread: 0.4")
    assert "- **Smallest file:** 357 kB, default int8\n" in text
    assert "- **Most accurate, Smiling:** 0.9189, default float32 (" in text


def test_figures_are_those_of_the_document(document):
    made = document()
    (table,) = tables(markdown.text(made))
    entry = made["results"][0]
    assert column(table, "case")[0] == "default float32"
    assert column(table, "p50")[0] == f"{entry['latency_ms']['p50']:.2f}"
    assert column(table, "std")[0] == f"{entry['latency_ms']['std']:.3f}"
    assert column(table, "size") == ["1.31 MB", "357 kB", "357 kB"]
    assert column(table, "Smiling") == ["0.9189", "0.9185", "0.9185"]


def test_cpu_and_gpu_of_a_case_share_a_row(document):
    (table,) = tables(markdown.text(document((TWO, CPU, GPU))))
    assert column(table, "threads") == ["1", "2"]
    assert float(column(table, "CPU p50")[0]) == pytest.approx(1.7, rel=0.05)
    assert float(column(table, "GPU p50")[0]) == pytest.approx(30, rel=0.05)
    assert column(table, "GPU p50")[1] == "–"


def test_an_empty_gpu_cell_says_why(document):
    text = markdown.text(document((CPU, TWO), skipped=[NO_GPU]))
    (table,) = tables(text)
    assert column(table, "GPU") == ["–<sup>1</sup>", "–<sup>1</sup>"]
    assert "<sup>1</sup> no Vulkan adapter was found." in text
    assert "- default float32 on litert, GPU (classifiers): no Vulkan adapter was found" in text


def test_without_a_gpu_there_is_no_word_of_it(document):
    assert "GPU" not in markdown.text(document((CPU, TWO), command="edge bench"))


def test_few_samples_have_no_p99(document):
    made = document((CPU,))
    made["results"][0]["latency_ms"]["p99"] = None
    (table,) = tables(markdown.text(made))
    assert column(table, "p99") == ["–"]


def test_what_is_doubtful_is_marked(document):
    made = document((CPU,), warnings=["unstable: stop the others"])
    entry = made["results"][0]
    entry["warnings"] = ["unstable: medians differ"]
    entry["accuracy_from"] = "card"
    text = markdown.text(made)
    assert text.splitlines()[2:4] == ["> [!WARNING]", "> - unstable: stop the others"]
    (table,) = tables(text)
    assert column(table, "case") == ["default float32 ⚠"]
    assert column(table, "Smiling") == ["0.9190†"]
    assert "- ⚠ default float32 on litert, 1 thread: unstable: medians differ" in text


def test_an_untrained_network_has_no_accuracy(document):
    made = document((CPU, TWO))
    for entry in made["results"]:
        entry["model"]["trained"] = False
    text = markdown.text(made)
    (table,) = tables(text)
    assert "Smiling" not in table[0]
    assert column(table, "case") == ["default float32 (untrained)"] * 2
    assert "Most accurate" not in text


def test_names_do_not_break_the_table(document):
    text = markdown.text(document((("classifiers", "a|b*<i>`\n|", *CPU[2:]),)))
    (table,) = tables(text.replace("\\|", "¦"))
    assert column(table, "case") == ["a¦b\\*&lt;i&gt;\\` ¦ float32"]


def test_stages_and_images_per_second(document):
    made = document(
        (
            ("pipeline", "default", "int8", "litert", "cpu", 1, 2.0, None, None),
            ("training", "default", "float32", "tensorflow", "cpu", 2, 100.0, None, None),
        )
    )
    pipeline, training = tables(markdown.text(made))
    assert float(column(pipeline, "detect")[0]) == pytest.approx(1.1, rel=0.05)
    assert column(training, "batch") == ["64"]
    assert float(column(training, "images/s")[0]) == pytest.approx(640, rel=0.1)


def test_no_results_yet(document):
    text = markdown.text(document((), finished=None, plan={"cases": [{"name": "default"}] * 3}))
    assert text.startswith("# No case with a speed that means something has been measured\n")
    assert text.count("unfinished") == 1


def test_a_warning_of_the_document_is_not_said_again(document):
    software = {"name": "SwiftShader Device", "software": True}
    said = "a GPU of this run is software: its times say nothing about any GPU"
    made = document((CPU, GPU))
    made["results"][1]["adapter"] = software
    assert warned(markdown.text(made)) == [
        "the GPU here is software (SwiftShader Device): that its results are right is tested, "
        "its speed means nothing"
    ]
    made["warnings"] = [said]
    assert warned(markdown.text(made)) == [said]


def test_an_unfinished_document_says_so_once(document):
    made = document((CPU,), finished=None, plan={"cases": [{"name": "default"}] * 3})
    (said,) = warned(markdown.text(made))
    assert said.startswith("unfinished: the measurement was stopped")
    made["warnings"] = []
    assert warned(markdown.text(made)) == [
        "unfinished: 1 of 3 cases have results; the same command with --resume goes on"
    ]


def test_the_start_of_a_process_and_the_precision_have_their_place(document):
    made = document((CPU, TWO))
    made["results"][0]["precision"] = "bfloat16"
    made["results"][1]["precision"] = None
    text = markdown.text(made)
    (table,) = tables(text)
    assert column(table, "start") == ["310", "310"]
    assert column(table, "runtime") == ["litert (bfloat16)", "litert"]
    assert "Start: from the creation of the process to its first result." in text
    assert "In brackets: what an engine says it computes floats in." in text
    for entry in made["results"]:
        entry["start_ms"] = entry["precision"] = None
    text = markdown.text(made)
    assert "start" not in tables(text)[0][0]
    assert "In brackets" not in text


def test_a_soak_is_the_headline_and_has_its_course(document):
    text = markdown.text(document((), soak=soak(120, steady=0.82)))
    assert text.startswith("# The pipeline keeps 82 % of its speed over 10 minutes\n")
    assert "- **Sustained:** 328 FPS, default int8 on litert, 1 thread (400 FPS in the" in text
    assert "## Sustained\n\ndefault int8 on litert, 1 thread: 400 FPS in the first minute" in text
    assert "This machine does not tell of throttling." in text
    (table,) = tables(text)
    assert table[0] == ["until, s", "FPS", "lowest FPS", "°C"]
    assert len(table) == 2 + 12
    assert table[2] == ["50", "400", "400", "49.0"]
    assert table[-1] == ["600", "328", "328", "159"]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"count": 120, "steady": 1.0}, "The pipeline keeps its full speed over 10 minutes"),
        (
            {"count": 120, "steady": 0.6, "slowed_at": 49},
            "The pipeline keeps 60 % of its speed over 10 minutes; the board slowed itself down "
            "after 4.1 minutes",
        ),
        (
            {"count": 12, "steady": 1.0},
            "The pipeline ran for 60 seconds: too short to tell whether it keeps its speed",
        ),
        (
            {"count": 60, "fps": 0.0},
            "The pipeline ran for 5 minutes: what it kept of its speed is not known",
        ),
        (
            {"count": 0},
            "The sustained run was stopped before anything was measured",
        ),
    ],
)
def test_the_headline_of_a_soak_claims_no_more_than_was_seen(document, parts, said):
    text = markdown.text(document((), soak=soak(**parts)))
    assert text.splitlines()[0] == f"# {said}"


def test_a_stopped_soak_says_when(document):
    made = document((), soak=soak(60, steady=0.9), finished=None)
    assert markdown.text(made).startswith(
        "# The pipeline keeps 90 % of its speed over 5 minutes, after which it was stopped\n"
    )
