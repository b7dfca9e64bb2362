"""Damaged and forged pictures, videos and models through the front door: refused in words.

Each file follows from the seed and its index. The commands run in worker processes, many in each:
a process of its own for every file would take an hour. A graph that was changed together with its
digest is not among the files: a card says that a file is whole, not who made it.
"""

import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, product
from pathlib import Path

import pytest

from edge.assets import fetch
from edge.images import SUFFIXES
from tests.runtime.hostile_files import WRONG, Attempt, Originals

FILES = 2000
LIMIT_S = 30.0
# Decoding the largest picture that is accepted; FFmpeg, as OpenCV calls it, accepts frames of 268
# million pixels, and keeps several.
MOST_MB, MOST_MB_OF_VIDEOS = 1200, 4000

# How libjpeg, libpng and libwebp begin what they write to stderr of their own accord.
DECODERS = {"libpng", "Corrupt", "Premature", "Invalid", "Unsupported", "Warning:"}

WORKER = Path(__file__).with_name("hostile_worker.py")


@dataclass(frozen=True)
class Reply:
    """What came of it; the status is negative where the process died."""

    status: int
    out: str = ""
    err: str = ""
    peak_mb: float = 0.0
    left: list[str] = field(default_factory=list)


class Worker:
    """A process that runs the front door again and again, and is replaced when it dies."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder.parent / f"{folder.name}.log"
        for name in ("cwd", "tmp", "home/assets"):
            (folder / name).mkdir(parents=True)
        for name in ("demo", "blazeface"):
            shutil.copy(fetch(name), folder / "home/assets")
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, arguments: list[str]) -> Reply:
        """Run one command."""
        if self._process is None:
            self._process = self._start()
        self._process.stdin.write(json.dumps(arguments).encode() + b"\n")
        answer, end = b"", time.monotonic() + LIMIT_S
        while not answer.endswith(b"\n"):
            left_s = end - time.monotonic()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                self._process.send_signal(signal.SIGABRT)  # it tells where it stands
                return self._ended(f"took more than {LIMIT_S:.0f} s")
            if not (more := os.read(self._process.stdout.fileno(), 1 << 16)):
                return self._ended("died")
            answer += more
        return Reply(**json.loads(answer))

    def close(self) -> None:
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        places = {"EDGE_HOME": "home", "TMPDIR": "tmp"}
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-P", WORKER, self._folder], cwd=self._folder / "cwd", bufsize=0,
                env=os.environ | {name: str(self._folder / at) for name, at in places.items()},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip

    def _ended(self, how: str) -> Reply:
        process = self._process
        self.close()
        return Reply(process.returncode, err=f"{how}\n{self._log.read_text('utf-8', 'replace')}")


def fault(attempt: Attempt, reply: Reply) -> str | None:
    """Say what is wrong with a reply."""
    if reply.status not in (0, 1):
        return f"status {reply.status}"
    if "Traceback" in reply.out + reply.err:
        return "a traceback"
    lines = [line.split(" ")[0] for line in reply.err.splitlines()]
    expected = ["error:", "hint:"] if reply.status else []
    told = lines[: len(lines) - len(expected)]
    if lines[len(told) :] != expected or {*told} - {"warning:"} - DECODERS:
        return "other words on stderr"
    if "--json" in attempt.arguments:
        try:
            texts = reply.out.splitlines() if attempt.arguments[0] == "run" else [reply.out]
            values = [json.loads(text, parse_constant=never) for text in texts if text]
        except ValueError:
            return "no JSON"
        if reply.status == 0 and not {"summary", "schema"} & {*(values or [()])[-1]}:
            return "no summary"
    most = MOST_MB if attempt.path.suffix in (*SUFFIXES, ".tflite") else MOST_MB_OF_VIDEOS
    if reply.peak_mb > most:
        return f"{reply.peak_mb:.0f} MB"
    return f"left {', '.join(reply.left)}" if reply.left else None


def never(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def tried(attempts: Iterable[Attempt], worker: Worker) -> list[str]:
    """Have a worker open files; return what went wrong, with how to see it again."""
    faults = []
    for attempt in attempts:
        reply = worker.ask(attempt.arguments)
        if wrong := fault(attempt, reply):
            command = shlex.join(["edge", *attempt.arguments])
            faults.append(f"{wrong}: {attempt.change}\n{command}\n"
                          f"{reply.out[-2000:]}{reply.err[-4000:]}")  # fmt: skip
        else:
            attempt.path.unlink()
    return faults


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[Worker]]:
    made = [Worker(tmp_path / f"worker-{number}") for number in range(2)]
    yield made
    for worker in made:
        worker.close()


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    (tmp_path / "files").mkdir()
    return Originals.make(tmp_path / "files")


def test_some_hostile_files(originals: Originals, workers: list[Worker]) -> None:
    faults = tried(map(originals.attempt, range(FILES, FILES + 60)), workers[0])
    assert not faults, "\n\n".join(faults)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thousands_of_hostile_files(originals: Originals, workers: list[Worker]) -> None:
    attempts = map(originals.attempt, iter(range(FILES)))
    with ThreadPoolExecutor(len(workers)) as threads:
        faults = [*chain(*threads.map(partial(tried, attempts), workers))]
    assert not faults, f"{len(faults)} files\n" + "\n\n".join(faults)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_field_of_a_card_with_every_wrong_value(
    originals: Originals, workers: list[Worker]
) -> None:
    pairs = product(originals.fields(), WRONG)
    faults = tried((originals.forgery(*pair) for pair in pairs), workers[0])
    assert not faults, f"{len(faults)} values\n" + "\n\n".join(faults)


@pytest.mark.slow
def test_a_command_that_hangs_is_ended_and_told(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = workers[0]
    monkeypatch.setattr(sys.modules[__name__], "LIMIT_S", 0.0)
    reply = worker.ask(["models", "list"])
    assert reply.status == -signal.SIGABRT
    assert reply.err.startswith("took more than")
    monkeypatch.undo()
    assert worker.ask(["models", "list"]).status == 0


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        (Reply(0, '{"frame": 0}\n{"summary": {}}\n', "warning: odd\n"), None),
        (Reply(1, "", "warning: odd\nerror: bad\nhint: other\n"), None),
        (Reply(-11, "", "died"), "status -11"),
        (Reply(2, "", "Usage: edge"), "status 2"),
        (Reply(1, "", "Traceback (most recent call last):\nValueError\n"), "a traceback"),
        (Reply(1, "", "libpng error: CRC\nerror: bad\nhint: other\n"), None),
        (Reply(1, "", "unheard of\nerror: bad\nhint: other\n"), "other words on stderr"),
        (Reply(1, "", "error: bad\n"), "other words on stderr"),
        (Reply(0, '{"summary": {}}', "error: bad\nhint: other\n"), "other words on stderr"),
        (Reply(0, '{"frame": NaN}\n{"summary": {}}'), "no JSON"),
        (Reply(0, '{"frame": 0}'), "no summary"),
        (Reply(0, '{"summary": {}}', peak_mb=5_000), "5000 MB"),
        (Reply(0, '{"summary": {}}', left=["a.tmp"]), "left a.tmp"),
    ],
)
def test_what_counts_as_a_fault(reply: Reply, wrong: str | None) -> None:
    assert fault(Attempt(Path("a.jpg"), "", ["run", "a.jpg", "--json"]), reply) == wrong
