import json
import subprocess
import sys

import pytest

from edge.benchmarks import integers
from edge.errors import EdgeError

WITHOUT_TENSORFLOW = """
import sys
sys.modules.update(tensorflow=None, keras=None)
from edge.benchmarks.integers import main
main()
"""


@pytest.mark.data
def test_files_made_once_are_timed_where_there_is_no_tensorflow(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(integers, "CALIBRATION", 8)
    monkeypatch.setattr(integers, "JUDGED", 4)
    integers.make(["compact"], data_dir / "celeba", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, "--files", tmp_path,
         "--markdown", tmp_path / "table.md"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (made,) = json.loads(done.stdout)["networks"].values()
    assert made["calibration"] == 8
    files = made["files"]
    assert list(files) == ["float32", "int8, as it comes", "int8", "dynamic"]
    assert files["float32"]["mean_error"] == 0
    assert 0 < files["int8"]["mean_error"] < 0.1
    assert files["int8"]["size_bytes"] < files["float32"]["size_bytes"] / 3
    assert all(one["latency_ms"]["p50"] > 0 for one in files.values())
    assert (tmp_path / "table.md").read_text().count("\n") == 3


def test_networks_that_nobody_made_are_refused(tmp_path):
    with pytest.raises(EdgeError, match="does not hold compact"):
        integers.measure(["compact"], tmp_path)
