"""The preview's page in a real browser."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("uvicorn")

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("EDGE_REQUIRE_CHROMIUM") == "1":
            pytest.fail("Chromium is not installed")
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


class Run:
    """`edge run` with a preview, its lines and its page."""

    def __init__(self, folder: Path, *arguments: str, token: str = "") -> None:
        environment = os.environ | {"EDGE_PREVIEW_TOKEN": token}
        self._out = folder / "out.jsonl"
        with self._out.open("w") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge", "run", *arguments, "--json"],
                stdout=out, stderr=subprocess.PIPE, text=True, env=environment,
            )  # fmt: skip
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        found = re.search(r"http://\S+", said)
        assert found, said
        self.url = found[0]

    def lines(self) -> dict[int, Any]:
        """Wait for the end; return the faces of each frame."""
        _, err = self._process.communicate(timeout=120)
        assert self._process.returncode == 0, err
        told = map(json.loads, self._out.read_text().splitlines())
        return {one["frame"]: one["faces"] for one in told if "frame" in one}

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    started: list[Run] = []

    def start(*arguments: str, token: str = "") -> Run:
        started.append(Run(tmp_path, *arguments, token=token))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def until(page: Any, holds: str) -> None:
    """Wait; the page's own policy forbids what `wait_for_function` does."""
    end = time.monotonic() + 30
    while not page.evaluate(holds):
        assert time.monotonic() < end, holds
        page.wait_for_timeout(20)


def test_the_page_shows_what_the_lines_say(browser: Any, run: Any) -> None:
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else 0
    )
    page.add_init_script(
        "window.seen = []; document.addEventListener('edge-frame', (event) => window.seen.push({"
        " frame: event.detail.frame, faces: event.detail.faces,"
        " items: [...document.querySelectorAll('#faces li')].map((item) => item.textContent),"
        " held: [...document.querySelectorAll('#faces li')].map("
        "   (item) => [...item.querySelectorAll('b')].map((word) => word.textContent)),"
        " edges: event.detail.faces.map((face) => { const [x, y, w, h] = face.box;"
        "   const at = document.getElementById('picture').getContext('2d');"
        "   return [...at.getImageData(x, Math.round(y + h / 2), 1, 1).data]; }),"
        "}));"
    )
    going = run("--demo", "--frames", "4000", "--preview", "127.0.0.1:0")
    page.goto(going.url)
    until(page, "window.seen.length >= 20")
    seen = page.evaluate("window.seen")
    lines = going.lines()
    until(page, "document.getElementById('notice').textContent.length > 0")
    assert errors == [] or all(
        "ERR_CONNECTION" in one or "Failed to fetch" in one for one in errors
    )
    with_face = [one for one in seen if one["faces"]]
    assert len(with_face) >= 10
    for one in seen:
        faces = lines[one["frame"]]
        assert one["faces"] == faces
        assert len(one["items"]) == len(faces)
        for face, item, held in zip(faces, one["items"], one["held"], strict=True):
            for name, value in face["attributes"].items():
                assert f"{name} {value:.2f}" in item
            assert [word.split()[0] for word in held] == face["labels"]
        for face, (red, green, blue, _) in zip(faces, one["edges"], strict=True):
            # The line of the box is drawn where the box is: #4cd3a0.
            if 2 < face["box"][0] < 638:
                assert abs(red - 0x4C) + abs(green - 0xD3) + abs(blue - 0xA0) < 60


def test_the_page_stops_and_changes_the_run(browser: Any, run: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    going = run("--demo", "--frames", "1000000", "--preview", "127.0.0.1:0")
    page.goto(going.url)
    until(page, "document.querySelectorAll('#faces li').length > 0")
    assert page.inner_text("#source") == "demo"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelectorAll('#stages tr').length") == 5
    page.click("#pause")
    until(page, "document.getElementById('pause').textContent === 'Start'")
    page.wait_for_timeout(300)
    shown = page.inner_text("#stages")
    page.wait_for_timeout(500)
    assert page.inner_text("#stages") == shown
    page.click("#pause")
    until(page, "document.getElementById('pause').textContent === 'Stop'")
    # Nobody smiles that surely; and from nothing on everybody is a man.
    words = "[...document.querySelectorAll('#faces b')].map((word) => word.textContent).join()"
    for name, value, holds in (("Smiling", 1, f"!{words}.includes('Smiling')"),
                               ("Male", 0, f"{words}.includes('Male')")):  # fmt: skip
        page.evaluate(
            "([name, value]) => { const slider = document.querySelector(`input[name=${name}]`);"
            " slider.value = value; slider.dispatchEvent(new Event('change')); }", [name, value],
        )  # fmt: skip
        until(page, holds)
    page.select_option("#detector", "yunet")
    until(page, "fetch('state').then((answer) => answer.json())"
                ".then((state) => state.detector === 'yunet')")  # fmt: skip
    # A refusal stands long enough to be read, and the page shows what is so.
    page.evaluate("change({ detector: 'eyes' })")
    until(page, "document.getElementById('notice').textContent.includes('unknown detector eyes')")
    page.wait_for_timeout(500)
    assert "unknown detector eyes" in page.inner_text("#notice")
    until(page, "document.getElementById('detector').value === 'yunet'")
    # What one viewer changes, another one sees, also while nothing moves.
    other = browser.new_page()
    other.goto(going.url)
    until(other, "document.querySelectorAll('#stages tr').length > 0")
    page.click("#pause")
    until(other, "document.getElementById('pause').textContent === 'Start'")
    other.click("#pause")
    until(page, "document.getElementById('pause').textContent === 'Stop'")
    other.close()
    with page.expect_download() as download:
        page.click("#screenshot")
    assert download.value.suggested_filename.endswith(".png")
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_the_page_of_others_asks_for_the_token(browser: Any, run: Any) -> None:
    going = run("--demo", "--frames", "1000000", "--preview", "0.0.0.0:0", token="s3cret")
    url = f"http://127.0.0.1:{going.url.rstrip('/,').rpartition(':')[2]}/"
    with pytest.raises(playwright.Error, match="INVALID_AUTH_CREDENTIALS"):
        browser.new_page().goto(url)
    # As it is printed on a terminal.
    page = browser.new_page()
    assert page.goto(url.replace("://", "://edge:s3cret@")).status == 200
    until(page, "document.querySelectorAll('#faces li').length > 0")
    page.close()
