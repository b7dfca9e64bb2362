"""Many boards, each a real ssh server: a canary first, a report of all, a stop where many fail."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from shutil import copytree

import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from edge import cli
from edge.devices import flash as flashing
from edge.devices.flash import FlashOptions, command_line, status
from edge.devices.fleet import Fleet, flash_all
from edge.devices.reach import Session
from edge.devices.tables import fleet_report
from edge.errors import EdgeError

PATH = f"{sys.base_prefix}/bin:/usr/bin:/bin"


# Options of a flash that are other than they are by default.
OTHER = {
    "with_runtime": True, "key": Path("user"), "no_downgrade": True, "dry_run": True,
    "max_latency_ms": 70.5, "max_memory_mb": 123.5, "service": ("--camera", "a b", "$c"),
    "window_s": 7.5, "config": Path("/tmp/an ssh/config"),
}  # fmt: skip


@pytest.fixture
def start_fleet(start_device, programs, store, need, tmp_path) -> Callable[..., Path]:
    """A function that starts boards by name and environment, and returns a configuration of all.

    Those that are `flashed` have the first bundle already.
    """
    need("ansible")

    def start(boards: dict[str, dict[str, str]], flashed: tuple[str, ...] = ()) -> Path:
        path = f"{PATH}:{programs}"
        for name in flashed:
            copytree(store, tmp_path / name / "root", symlinks=True)
        devices = [start_device(tmp_path / name, name=name, **{"PATH": path, **given})
                   for name, given in boards.items()]  # fmt: skip
        config = tmp_path / "config"
        config.write_text("".join(device.config.read_text() for device in devices))
        return config

    return start


def told(bundle: Path, config: Path) -> list[str]:
    return command_line(str(bundle), FlashOptions(config=config), rollback=False)


def versions(config: Path, names: list[str]) -> dict[str, str | None]:
    found = {name: status(name, config=config)["current"] for name in names}
    return {name: one and one["version"] for name, one in found.items()}


def test_all_are_flashed_but_those_that_fail(start_fleet, bundles) -> None:
    names = [f"pi{number}" for number in range(5)]
    broken = {"pi2": {"EDGE_DEVICE_ROOT": "/proc/edge"}, "pi4": {"PATH": PATH}}
    config = start_fleet({name: broken.get(name, {}) for name in names}, flashed=("pi0",))
    report = flash_all(told(bundles[0], config), Fleet(hosts=names, parallel=4, stop_at=60))
    assert list(report["hosts"]) == names
    # The one that has it already is told apart.
    assert (report["updated"], report["unchanged"]) == (2, 1)
    assert (report["failed"], report["not_tried"]) == (2, 0)
    assert "/proc/edge: No such file" in report["hosts"]["pi2"]["error"]
    assert "no edge that could run" in report["hosts"]["pi4"]["error"]
    assert report["hosts"]["pi4"]["hint"] == (
        "bring it as well: edge flash default pi4 --with-runtime"
    )
    version = report["hosts"]["pi0"]["version"]
    assert versions(config, ["pi0", "pi1", "pi3"]) == dict.fromkeys(("pi0", "pi1", "pi3"), version)


def test_a_canary_that_fails_stops_the_rest(start_fleet, bundles, tmp_path) -> None:
    config = start_fleet({"first": {"PATH": PATH}, "second": {}, "third": {}})
    inventory = tmp_path / "fleet.ini"
    inventory.write_text("[boards]\nfirst\nsecond\nthird\n")
    report = flash_all(told(bundles[0], config), Fleet(inventory=inventory))
    assert (report["failed"], report["not_tried"], report["updated"]) == (1, 2, 0)
    assert report["hosts"]["second"] is report["hosts"]["third"] is None
    assert versions(config, ["second", "third"]) == {"second": None, "third": None}


def test_more_failures_than_allowed_stop_the_rest(start_fleet, bundles) -> None:
    names = ["pi0", "pi1", "pi2", "pi3"]
    boards = {name: {} for name in names} | {"pi2": {"EDGE_DEVICE_ROOT": "/proc/edge"}}
    config = start_fleet(boards, flashed=("pi0", "pi1"))
    report = flash_all(told(bundles[0], config), Fleet(hosts=names, parallel=2, stop_at=30))
    assert (report["unchanged"], report["failed"], report["not_tried"]) == (2, 1, 1)
    assert report["hosts"]["pi3"] is None
    assert versions(config, ["pi3"]) == {"pi3": None}


# There is no option for how long to wait for another flash.
@pytest.mark.parametrize(
    "name", [field.name for field in fields(FlashOptions) if field.name != "patience_s"]
)
def test_every_option_reaches_each_board(name: str, bundles, keys, monkeypatch) -> None:
    value = keys / "user" if name == "key" else OTHER[name]
    options = replace(FlashOptions(), **{name: value})
    assert options != FlashOptions()
    # Wheels are chosen for each board.
    model = "default" if name == "with_runtime" else str(bundles[0])
    assert arrived(monkeypatch, command_line(model, options, rollback=False), "flash") == options


def test_options_of_going_back_reach_each_board(monkeypatch) -> None:
    given = {key: OTHER[key] for key in ("max_latency_ms", "max_memory_mb", "window_s", "config")}
    words = command_line("default", FlashOptions(**given), rollback=True)
    assert arrived(monkeypatch, words, "rollback") == FlashOptions(**given)


def arrived(monkeypatch: pytest.MonkeyPatch, words: list[str], does: str) -> FlashOptions:
    """Return with which options `edge flash` does something to a board when it is told words."""
    asked: list[FlashOptions] = []

    def do(*words: object, **others: object) -> dict:
        asked.extend(word for word in words if isinstance(word, FlashOptions))
        return {}

    monkeypatch.setattr(flashing, does, do)
    done = CliRunner().invoke(cli.app, ["flash", *words, "--json", "--", "board"])
    assert done.exit_code == 0, done.output
    [options] = asked
    return options


def test_an_inventory_names_users_and_ports(start_fleet, bundles, tmp_path) -> None:
    config = start_fleet({"one": {}})
    words = config.read_text().split()
    port, user = words[words.index("Port") + 1], words[words.index("User") + 1]
    config.write_text(config.read_text().replace("Host one\n", "Host *\n"))
    inventory = tmp_path / "fleet.yaml"
    inventory.write_text(
        "all:\n  children:\n    kitchen:\n      hosts:\n        shelf:\n"
        f"          ansible_host: 127.0.0.1\n          ansible_port: {port}\n"
        f"          ansible_user: {user}\n"
    )
    report = flash_all(told(bundles[0], config), Fleet(inventory=inventory))
    assert report["hosts"]["shelf"]["host"] == f"ssh://{user}@127.0.0.1:{port}"
    assert report["updated"] == 1


def test_whatever_an_inventory_says_of_connections_and_wherever_scratch_files_lie(
    start_fleet, bundles, tmp_path, monkeypatch
) -> None:
    config = start_fleet({"one": {}, "two": {}})
    inventory = tmp_path / "fleet.ini"
    inventory.write_text(
        "[boards]\none\ntwo\n[boards:vars]\nansible_connection=ssh\nansible_become=true\n"
    )
    (tmp_path / "a $(b) {{ c }}").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "a $(b) {{ c }}"))
    monkeypatch.setattr("tempfile.tempdir", None)
    report = flash_all(told(bundles[0], config), Fleet(inventory=inventory))
    assert report["updated"] == 2


def test_inventories_that_are_none(need, tmp_path) -> None:
    need("ansible")
    with pytest.raises(EdgeError, match="there is no"):
        flash_all([], Fleet(inventory=tmp_path / "none"))
    (tmp_path / "empty").write_text("")
    with pytest.raises(EdgeError, match="has no hosts"):
        flash_all([], Fleet(inventory=tmp_path / "empty"))
    (tmp_path / "bad.yaml").write_text("all:\n  hosts:\n    a: [\n")
    with pytest.raises(EdgeError, match=r"bad\.yaml cannot be read: .*pars"):
        flash_all([], Fleet(inventory=tmp_path / "bad.yaml"))
    (tmp_path / "undefined.yaml").write_text(
        "all:\n  hosts:\n    a:\n      ansible_host: '{{ nothing }}'\n"
    )
    with pytest.raises(EdgeError, match=r"flashed no board: .*nothing' is undefined"):
        flash_all([], Fleet(inventory=tmp_path / "undefined.yaml"))


def test_a_host_is_not_a_template(need, tmp_path) -> None:
    need("ansible")
    host = f"{{{{ lookup('pipe', 'touch {tmp_path}/made') }}}}"
    with pytest.raises(EdgeError, match="is no host"):
        flash_all([], Fleet(hosts=["board", host]))
    assert not (tmp_path / "made").exists()


def test_what_a_trial_run_counts(start_fleet, bundles) -> None:
    config = start_fleet({"one": {}, "two": {}}, flashed=("one",))
    words = command_line(str(bundles[0]), FlashOptions(config=config, dry_run=True), rollback=False)
    report = flash_all(words, Fleet(hosts=["one", "two"]))
    assert (report["updated"], report["unchanged"]) == (1, 1)
    assert "1 would be updated, 1 unchanged" in shown(fleet_report(report))
    assert versions(config, ["two"]) == {"two": None}


def shown(report: RenderableType) -> str:
    console = Console(width=300)
    with console.capture() as capture:
        console.print(report)
    return capture.get()


def test_who_interrupts_hears_what_was_done(start_fleet, bundles) -> None:
    config = start_fleet({"one": {}, "two": {}}, flashed=("one", "two"))
    with Session("two", config=config) as other:
        other.ask("begin", patience_s=0)
        process = subprocess.Popen(
            [sys.executable, "-m", "edge", "flash", str(bundles[0]), "one", "two"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"EDGE_SSH_CONFIG": str(config)}, start_new_session=True,
        )  # fmt: skip
        while not any(words.endswith("--json -- two ") for words in running()):
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "one: " in out
    assert "two: the flash was interrupted" in out


def running() -> Iterator[str]:
    """Yield the words of each process."""
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield words.read_text().replace("\0", " ")


def test_the_command_line(start_fleet, bundles) -> None:
    config = start_fleet({"one": {}, "two": {"PATH": PATH}})
    done = subprocess.run(
        [sys.executable, "-m", "edge", "flash", str(bundles[0]), "one", "two"],
        capture_output=True, text=True, check=False,
        env=os.environ | {"EDGE_SSH_CONFIG": str(config), "ANSIBLE_FORKS": "x"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "1 updated, 1 failed" in done.stdout
    assert "two: there is no edge that could run the model" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_boards_one_of_ten_failing(start_fleet, bundles) -> None:
    names = [f"pi{number}" for number in range(50)]
    failing = {name: {"EDGE_DEVICE_ROOT": "/proc/edge"} for name in names[7::10]}
    config = start_fleet({name: failing.get(name, {}) for name in names})
    report = flash_all(told(bundles[0], config), Fleet(hosts=names))
    assert (report["updated"], report["failed"], report["not_tried"]) == (45, 5, 0)
    for name, one in zip(names, report["hosts"].values(), strict=True):
        if name in failing:
            assert "/proc/edge: No such file" in one["error"]
        else:
            assert one["changed"]
    good = [name for name in names if name not in failing]
    assert len(set(versions(config, good).values())) == 1
    sys.stdout.write(f"\n{json.dumps({key: report[key] for key in report if key != 'hosts'})}\n")
