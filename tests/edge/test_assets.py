"""Pinned assets: where they come from, in which order, and that only the pinned bytes pass."""

import hashlib
import threading
import zipfile
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edge import assets
from edge.errors import EdgeError

DATA = b"what was pinned"
OTHER = b"what was slipped"


@pytest.fixture
def pin(monkeypatch, tmp_path):
    """Return a function that pins `DATA` under the name "thing", reachable nowhere."""
    monkeypatch.setenv("EDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    nowhere = assets.Asset(
        name="thing",
        file="thing.bin",
        sha256=hashlib.sha256(DATA).hexdigest(),
        size=len(DATA),
        licence="none",
        url=(tmp_path / "absent").as_uri(),
        package="no_such_package",
        member="holder/thing.bin",
        wheel="holder==1.0",
        python="3.12",
        platform="manylinux_2_17_x86_64",
    )

    def pin(**changes):
        table = {"thing": replace(nowhere, **changes)}
        monkeypatch.setattr(assets, "assets", lambda: table)

    return pin


def make_wheel(folder, data):
    folder.mkdir()
    info = "holder-1.0.dist-info"
    with zipfile.ZipFile(folder / "holder-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "w") as wheel:
        wheel.writestr("holder/thing.bin", data)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: holder\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp312-cp312-manylinux_2_17_x86_64\n",
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def serve(tmp_path):
    """Serve a folder on this machine; return the address of a file with the given bytes."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def address(data):
        (folder / "thing.bin").write_bytes(data)
        return f"http://127.0.0.1:{server.server_port}/thing.bin"

    yield address
    server.shutdown()
    server.server_close()


def test_every_pin_is_complete():
    table = assets.assets()
    assert {"blazeface", "blazeface-full", "demo", "haar", "yunet"} <= set(table)
    for asset in table.values():
        assert len(asset.sha256) == 64
        assert asset.size > 0
        assert asset.licence
        assert asset.url.startswith("https://")
        assert "==" in asset.wheel
    assert len({asset.file for asset in table.values()}) == len(table)


def test_a_cached_file_needs_no_source(pin, tmp_path):
    pin()
    path = tmp_path / "home" / "assets" / "thing.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    assert assets.fetch("thing") == path


def test_an_installed_package_comes_first(pin, tmp_path, monkeypatch, serve):
    (tmp_path / "holder").mkdir()
    (tmp_path / "holder" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "holder" / "thing.bin").write_bytes(DATA)
    monkeypatch.syspath_prepend(tmp_path)
    pin(package="holder", url=serve(OTHER))
    assert assets.fetch("thing").read_bytes() == DATA


def test_the_publisher_comes_next(pin, serve, tmp_path):
    pin(url=serve(DATA))
    assert assets.fetch("thing").read_bytes() == DATA
    assert assets.fetch("thing") == tmp_path / "home" / "assets" / "thing.bin"


@pytest.mark.parametrize("damage", [OTHER, DATA[:-1], DATA + b"!", b""])
def test_a_damaged_cache_is_fetched_again(pin, serve, tmp_path, damage):
    path = tmp_path / "home" / "assets" / "thing.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    pin(url=serve(DATA))
    assert assets.fetch("thing").read_bytes() == DATA


def test_a_published_wheel_of_another_machine_comes_last(pin, serve, tmp_path, monkeypatch):
    make_wheel(tmp_path / "wheels", DATA)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    pin(url=serve(OTHER))
    assert assets.fetch("thing").read_bytes() == DATA


def test_other_bytes_are_never_kept(pin, serve, tmp_path, monkeypatch):
    make_wheel(tmp_path / "wheels", OTHER)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    pin(url=serve(OTHER))
    with pytest.raises(EdgeError, match="publisher: other bytes than pinned; wheel: other bytes"):
        assets.fetch("thing")
    assert not list((tmp_path / "home").rglob("*.bin"))


def test_says_what_each_source_answered(pin):
    pin()
    with pytest.raises(EdgeError) as caught:
        assets.fetch("thing")
    message = caught.value.message
    assert "cannot get thing.bin" in message
    assert "package: no_such_package is not installed" in message
    assert "publisher: " in message
    assert "wheel: " in message
    assert "thing.bin" in caught.value.hint


def test_a_cache_that_cannot_be_written_names_its_setting(pin, serve, tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    pin(url=serve(DATA))
    with pytest.raises(EdgeError, match="cannot write") as caught:
        assets.fetch("thing")
    assert "EDGE_HOME" in caught.value.hint


def test_an_empty_setting_is_no_setting(monkeypatch):
    monkeypatch.setenv("EDGE_HOME", "")
    assert assets.home().is_absolute()
