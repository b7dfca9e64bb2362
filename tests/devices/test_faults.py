"""Whatever is killed at whatever moment: the old or the new version runs, and the next flash works.

A real ssh server; the board's Python, its login, the connection or the flashing process are killed.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from edge.devices.flash import FlashOptions, flash
from edge.devices.reach import Session, UnreachableError


class Bench:
    """A board that runs a version, and flashes of ever new ones that go wrong.

    Args:
        device: The board.
        bundles: Two bundles.
        fault: Where the board's Python reads before which change it is killed.
        scratch: A folder for bundles.
    """

    def __init__(self, device, bundles: tuple[Path, Path], fault: Path, scratch: Path) -> None:
        self.device = device
        self.bundles = bundles
        self.fault = fault
        self.scratch = scratch
        self.number = 0
        self.old = self.flash(self.fresh())

    def fresh(self) -> Path:
        """Return a bundle that was never there: one of the two, and half a megabyte."""
        self.number += 1
        shutil.rmtree(self.scratch / f"{self.number - 2}", ignore_errors=True)
        base = self.bundles[self.number % 2]
        bundle = Path(shutil.copytree(base, self.scratch / f"{self.number}", copy_function=os.link))
        data = random.Random(self.number).randbytes(500_000)
        (bundle / "more").write_bytes(data)
        words = json.loads((bundle / "manifest.json").read_text())
        words["files"]["more"] = {"size": len(data), "sha256": sha256(data).hexdigest()}
        (bundle / "manifest.json").unlink()
        (bundle / "manifest.json").write_text(json.dumps(words))
        return bundle

    def flash(self, bundle: Path) -> str:
        return str(self.device.flash(bundle, patience_s=60)["version"])

    def go_wrong(self, how: Callable[[Path], None]) -> None:
        """Flash a new version wrongly; judge what is there; flash it again."""
        bundle = self.fresh()
        new = sha256((bundle / "manifest.json").read_bytes()).hexdigest()[:16]
        how(bundle)
        self.fault.write_text("0")
        found = self.device.status()["current"]
        assert found["version"] in (self.old, new)
        assert found["whole"], found
        with Session("board", config=self.device.config) as session:
            assert session.ask("test", name=found["version"], **BOUNDS)["faces"]
        # Another version runs then; but nothing of the first one was lost to get it back.
        assert self.flash(bundle) == new
        found = self.device.status()
        assert (found["current"]["version"], found["trial"]) == (new, None)
        assert found["current"]["whole"]
        assert found["previous"]["whole"]
        root = self.device.root
        kept = {found["current"]["version"], found["previous"]["version"]}
        assert {path.name for path in (root / "versions").iterdir()} == kept
        assert not {path.name for path in root.iterdir()} - {
            "current", "previous", "versions", "home", "lock", "journal.jsonl",
        }  # fmt: skip
        self.old = new

    def killed_at(self, change: int) -> Callable[[Path], None]:
        """Return a flash whose board kills its Python before a change."""

        def how(bundle: Path) -> None:
            self.fault.write_text(str(change))
            try:
                self.flash(bundle)
            except UnreachableError:
                return
            assert change > self.changes()

        return how

    def changes(self) -> int:
        """Return how many changes the last conversation made."""
        return len(Path(f"{self.fault}.log").read_text().splitlines())

    def cut_off_after(self, bytes_sent: int) -> Callable[[Path], None]:
        """Return a flash whose connection ends once so many bytes went to the board."""

        def how(bundle: Path) -> None:
            relay = f"{sys.executable} {RELAY} {bytes_sent} %h %p"
            config = self.device.config.with_name("cut_config")
            config.write_text(self.device.config.read_text() + f"  ProxyCommand {relay}\n")
            options = FlashOptions(config=config, patience_s=60)
            with suppress(UnreachableError):
                flash(str(bundle), "board", options, say=lambda sentence: None)

        return how

    def process_killed_when(self, pattern: str, whose: str) -> Callable[[Path], None]:
        """Return a flash of which a process is killed once the board has a file.

        Args:
            pattern: The file, in the board's folder.
            whose: The process that flashes, "ours", or all of the board's "login".
        """

        def how(bundle: Path) -> None:
            process = flashing(self.device, str(bundle))
            until(lambda: any(self.device.root.glob(pattern)) or process.poll() is not None)
            assert process.poll() is None
            if whose == "ours":
                process.kill()
            else:
                log_out(self.device)
            assert process.wait()

        return how

    def process_killed_after(self, seconds: float, whose: str) -> Callable[[Path], None]:
        """Return the same, but at a moment."""

        def how(bundle: Path) -> None:
            process = flashing(self.device, str(bundle))
            time.sleep(seconds)
            if whose == "ours":
                process.kill()
            else:
                log_out(self.device)
            process.wait()

        return how


RELAY = Path(__file__).with_name("relay.py")
BOUNDS = {"max_latency_ms": 1000, "max_memory_mb": 500}
KILLER = Path(__file__).with_name("killer.py")


def flashing(device, *words: str) -> subprocess.Popen[bytes]:
    """Begin a flash in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "edge", "flash", *words, "board"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"EDGE_SSH_CONFIG": str(device.config)},
    )  # fmt: skip


def log_out(device) -> None:
    """Kill all that runs on a board for those who are logged in."""
    for victim in descendants(device.server.pid):
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def until(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def descendants(process: int) -> list[int]:
    """Return the processes below one, the nearest first."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        below.setdefault(int(words[1]), []).append(int(stat.parent.name))
    found, waiting = [], [process]
    while waiting:
        children = below.get(waiting.pop(0), [])
        found += children
        waiting += children
    return found


def words_of(process: int) -> str:
    """Return the command of a process; nothing of one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text()
    return ""


@pytest.fixture(scope="module")
def bench(start_device, programs, bundles, tmp_path_factory) -> Bench:
    folder = tmp_path_factory.mktemp("faults")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    [site] = (folder / "venv" / "lib").glob("python3*/site-packages")
    shutil.copy(KILLER, site / "sitecustomize.py")
    fault = folder / "fault"
    fault.write_text("0")
    path = f"{folder / 'venv' / 'bin'}:/usr/bin:/bin:{programs}"
    device = start_device(folder / "board", PATH=path, EDGE_TEST_FAULT=str(fault))
    return Bench(device, bundles, fault, folder)


@pytest.fixture(scope="module")
def changes(bench: Bench) -> int:
    """How often a flash changes the disk."""
    found = []

    def how(bundle: Path) -> None:
        bench.killed_at(10_000)(bundle)
        found.append(bench.changes())

    bench.go_wrong(how)
    assert found[0] > 50
    return found[0]


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.9, 0.97])
def test_the_python_of_the_board_is_killed(bench: Bench, changes: int, share: float) -> None:
    bench.go_wrong(bench.killed_at(int(changes * share)))


@pytest.mark.parametrize("sent", [2_000, 60_000, 300_000])
def test_the_connection_is_cut(bench: Bench, sent: int) -> None:
    bench.go_wrong(bench.cut_off_after(sent))


@pytest.mark.parametrize(("pattern", "whose"), [("staging/*", "ours"), ("trial", "login")])
def test_a_process_is_killed(bench: Bench, pattern: str, whose: str) -> None:
    bench.go_wrong(bench.process_killed_when(pattern, whose))


@pytest.mark.parametrize(
    ("memory_mb", "becomes", "runs"), [(5, "rolled back", 1), (500, "good", 0)]
)
def test_whether_or_not_anybody_still_listens(
    flashed, bundles, memory_mb: int, becomes: str, runs: int
) -> None:
    flashed.flash(bundles[1])
    told = len(flashed.status()["journal"])
    with Session("board", config=flashed.config) as session:
        session.ask("begin", patience_s=0)
        # Both are there already when the board turns to the first one, and nobody hears more.
        activate = {"do": "activate", "name": bundles[0].name, "max_memory_mb": memory_mb,
                    "window_s": 1, "options": None}  # fmt: skip
        test = {"do": "test", "name": bundles[0].name, **BOUNDS}
        session._write(f"{json.dumps(test)}\n{json.dumps(activate)}\n")
        until(lambda: any("/golden" in words_of(one) for one in descendants(flashed.server.pid)))
        session._process.kill()
    lines = flashed.root / "journal.jsonl"
    until(lambda: len(lines.read_bytes().splitlines()) == told + 2)
    until(lambda: not (flashed.root / "trial").exists())
    assert flashed.current() == bundles[runs].name
    assert flashed.status()["journal"][-1]["event"] == becomes


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_and_every_change_of_the_disk(bench: Bench, changes: int) -> None:
    """Every change of a flash; then at random: connections, processes and logins."""
    for change in range(1, changes + 2):
        bench.go_wrong(bench.killed_at(change))
    chance = random.Random(0)
    others = max(60, 200 - changes)
    begun = time.monotonic()
    done = json.loads(bench.device.edge("flash", bench.fresh(), "board", "--json").stdout)
    whole_s, bench.old = time.monotonic() - begun, done["version"]
    for number in range(others):
        kind = number % 3
        if kind == 0:
            bench.go_wrong(bench.cut_off_after(chance.randrange(int(1.2 * done["sent_bytes"]))))
        else:
            whose = ("ours", "login")[kind - 1]
            bench.go_wrong(bench.process_killed_after(chance.uniform(0.1, 1.1) * whole_s, whose))
    sys.stdout.write(f"\nkilled before each of {changes} changes, {others} times at random\n")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_runtime_that_is_half_installed_is_made_anew(device) -> None:
    """Everything of the board is killed while wheels are sent and installed there."""
    chance = random.Random(0)
    whole_s = seconds_with_runtime(device)
    for _ in range(12):
        with flashing(device, "default", "--with-runtime"):
            time.sleep(chance.uniform(0.1, 1.1) * whole_s)
            log_out(device)
        found = device.status()["current"]
        assert found is None or found["whole"]
        done = device.edge("flash", "default", "board", "--with-runtime")
        assert done.returncode == 0, done.stderr
        words = [device.root / "current" / "edge", "run", "--demo", "--frames", "2"]
        subprocess.run(words, check=True, capture_output=True)
        shutil.rmtree(device.root)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_runtime_that_lost_a_file_is_made_anew(device) -> None:
    whole_s = seconds_with_runtime(device)
    first = device.flash("default", with_runtime=True)
    [lost] = device.root.glob("runtimes/*/lib/python3*/site-packages/numpy/__init__.py")
    lost.unlink()
    # Nothing is taken from the versions that stand on it while another one is made.
    program = device.root / "current" / "runtime" / "bin" / "edge"
    for share in (0.1, 0.3, 0.6):
        with flashing(device, "default", "--with-runtime"):
            time.sleep(share * whole_s)
            log_out(device)
        assert program.exists()
    again = device.flash("default", with_runtime=True)
    assert again["changed"]
    # What lost a file is nothing to go back to.
    assert device.status()["previous"] is None
    assert [path.name for path in device.root.glob("runtimes/*")] == [
        (device.root / "current" / "runtime").resolve().name
    ]
    words = [device.root / "current" / "edge", "run", "--demo", "--frames", "2"]
    subprocess.run(words, check=True, capture_output=True)
    assert again["sent_bytes"] < 200_000
    assert first["version"] != again["version"]
    assert not device.flash("default", with_runtime=True)["changed"]
    # The same in the edge that is there is the same.
    assert not device.flash("default")["changed"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_runtime_with_a_spoiled_file_is_made_anew_at_once(device) -> None:
    device.flash("default", with_runtime=True)
    [spoiled] = device.root.glob("runtimes/*/lib/python3*/site-packages/numpy/__init__.py")
    spoiled.write_bytes(b"\0" * spoiled.stat().st_size)
    # Without wheels there is nothing to make it of.
    for _ in range(2):
        error = device.refused("default-float32")
        assert ("is damaged there" in error.message, "--with-runtime" in error.hint) == (True, True)
        assert len(list((device.root / "versions").iterdir())) == 1
    done = device.flash("default", with_runtime=True)
    assert done["smoke"]["faces"]
    subprocess.run([device.root / "current" / "edge", "run", "--demo", "--frames", "2"],
                   check=True, capture_output=True)  # fmt: skip


def seconds_with_runtime(device) -> float:
    """Return how long a first flash takes with wheels that are fetched; nothing of it is left."""
    for _ in range(2):
        begun = time.monotonic()
        done = device.edge("flash", "default", "board", "--with-runtime")
        whole_s = time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        shutil.rmtree(device.root)
    return whole_s
