import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EdgeError
from edge.runtime.log import Log
from edge.runtime.outputs import frame_json
from edge.runtime.pipeline import STAGES, Result
from edge.runtime.sources import Frame

PICTURE = np.zeros((10, 10, 3), np.uint8)


def result(number: int) -> Result:
    return Result(Frame(number, "camera 0", PICTURE, 0.0), [], dict.fromkeys(STAGES, 1.0), 5.0)


def test_lines_are_those_of_json(tmp_path: Path) -> None:
    log = Log(tmp_path / "run.jsonl", pytest.fail)
    for number in range(5):
        log.show(result(number))
    log.finish({"frames": 5})
    log.close()
    lines = list(map(json.loads, (tmp_path / "run.jsonl").read_text().splitlines()))
    assert lines == [*(frame_json(result(n)) for n in range(5)), {"summary": {"frames": 5}}]


def test_it_is_turned_over_and_never_cut_in_a_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "run.jsonl", pytest.fail, most_bytes=2_000, kept=2)
    for number in range(200):
        log.show(result(number))
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["run.jsonl", "run.jsonl.1", "run.jsonl.2"]
    assert all(path.stat().st_size <= 2_000 for path in tmp_path.iterdir())
    numbers = [
        json.loads(line)["frame"]
        for name in reversed(names)
        for line in (tmp_path / name).read_text().splitlines()
    ]
    assert numbers == list(range(numbers[0], 200))
    assert len(numbers) > 20


def test_a_later_run_goes_on_with_the_file(tmp_path: Path) -> None:
    for number in range(2):
        log = Log(tmp_path / "run.jsonl", pytest.fail)
        log.show(result(number))
        log.close()
    assert len((tmp_path / "run.jsonl").read_text().splitlines()) == 2


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EdgeError):
        Log(tmp_path, pytest.fail)
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError):
        Log(tmp_path / "file" / "run.jsonl", pytest.fail)


@pytest.mark.skipif(os.getuid() != 0, reason="a small disk is mounted by root")
def test_a_full_disk_is_told_of_once_and_the_run_goes_on(tmp_path: Path) -> None:
    disk, warnings = tmp_path / "disk", list[str]()
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        log = Log(disk / "run.jsonl", warnings.append)
        for number in range(500):
            log.show(result(number))
        log.close()
        assert len(warnings) == 1
        assert "No space left" in warnings[0]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
