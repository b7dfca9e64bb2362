"""Wheels for a board: which it can load, and edge's own."""

import hashlib
import io
import zipfile
from importlib.metadata import distribution

import pytest

from edge.devices.wheels import _platforms, own_wheel, sha_name


def test_a_board_loads_wheels_of_its_glibc_or_an_older_one() -> None:
    assert _platforms("aarch64", (2, 31)) == [
        *(f"manylinux_2_{minor}_aarch64" for minor in range(31, 16, -1)), "manylinux2014_aarch64",
    ]  # fmt: skip
    assert _platforms("aarch64", (2, 28))[0] == "manylinux_2_28_aarch64"
    # A glibc 3 would load what the oldest one does; nobody knows more of it.
    assert _platforms("aarch64", (3, 40))[0] == "manylinux_2_27_aarch64"


def test_on_x86_there_are_older_wheels_than_on_arm() -> None:
    found = _platforms("x86_64", (2, 36))
    assert found[:2] == ["manylinux_2_36_x86_64", "manylinux_2_35_x86_64"]
    assert found[-3:] == ["manylinux_2_5_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    assert {f"manylinux_2_{minor}_x86_64" for minor in range(5, 37)} <= set(found)
    assert len(found) == len(set(found))
    assert not [tag for tag in found if not tag.endswith("_x86_64")]


@pytest.fixture(scope="module")
def ours() -> bytes:
    return own_wheel()


def test_edge_itself_is_small_and_the_same_each_time(ours: bytes) -> None:
    assert 500_000 < len(ours) < 3_000_000
    assert own_wheel() == ours
    assert hashlib.sha256(ours).hexdigest()[:8] in sha_name(ours)


def test_edge_itself_is_a_wheel(ours: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(ours)) as wheel:
        assert wheel.testzip() is None
        names = wheel.namelist()
        about = f"edge_tflite-{distribution('edge-tflite').version}.dist-info"
        texts = {name: wheel.read(f"{about}/{name}").decode()
                 for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}  # fmt: skip
        assert wheel.read("edge/models/default.tflite")[4:8] == b"TFL3"
    assert len(names) == len(set(names))
    assert [line.split(",")[0] for line in texts["RECORD"].splitlines()] == names
    assert "Name: edge-tflite\n" in texts["METADATA"]
    assert "edge = edge.cli:main" in texts["entry_points.txt"]
    assert "Root-Is-Purelib: true" in texts["WHEEL"]
    # That none is missing is seen beside a wheel of pip's, in .ci/check_wheel.py.
    assert {"edge/cli.py", "edge/py.typed", "edge/devices/onboard.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
