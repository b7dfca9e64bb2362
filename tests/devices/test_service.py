"""A service on a booted systemd, in a container of its own, with no way out of its network."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.devices.flash import FlashOptions, flash, rollback, status
from edge.devices.reach import Session, UnreachableError
from edge.errors import EdgeError

pytestmark = [pytest.mark.device, pytest.mark.timeout(1800)]

HERE = Path(__file__).resolve().parent
MAKE = HERE.parent / "board" / "systemd.sh"
KILLER = HERE / "killer.py"
DEMO = ("--demo", "--frames", "1000000000")
OTHER = ("--demo", "--frames", "2000000000")


@pytest.fixture(scope="module")
def config(keys: Path, let_in, way_into, tmp_path_factory) -> Iterator[Path]:
    """Return an ssh configuration with a host "box", booted and never flashed."""
    folder = Path(os.environ.get("EDGE_BOX", Path.home() / ".cache" / "edge-box"))
    subprocess.run(["bash", MAKE, folder], check=True)
    root = folder / "root"
    shutil.rmtree(root / "home" / "pi" / ".local", ignore_errors=True)
    (root / "etc/systemd/system/edge.service").unlink(missing_ok=True)
    (root / "etc/systemd/system/multi-user.target.wants/edge.service").unlink(missing_ok=True)
    (root / "etc/sudoers.d/pi").write_text("pi ALL=(ALL) NOPASSWD: ALL\n")
    let_in(root)
    shutil.copy(keys / "host", root / "etc/ssh/test_host")
    (root / "etc/ssh/sshd_config.d/test.conf").write_text(
        "HostKey /etc/ssh/test_host\nUsePAM no\nSetEnv EDGE_TEST_FAULT=/home/pi/fault\n"
    )
    [custom] = (root / "etc").glob("python3.*/sitecustomize.py")
    shutil.copy(KILLER, custom)
    (root / "home/pi/fault").write_text("0")
    scratch = tmp_path_factory.mktemp("box")
    with (scratch / "log").open("wb") as log:
        container = subprocess.Popen(
            ["systemd-nspawn", "--directory", root, "--boot", "--register=no", "--keep-unit",
             "--private-network"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
        until(lambda: children.read_text().split())
        config = way_into(int(children.read_text().split()[0]), "box", 22, scratch)
        ready = ["ssh", "-F", config, "box", "true"]
        until(lambda: subprocess.run(ready, check=False, capture_output=True).returncode == 0)
        yield config
    finally:
        container.terminate()
        container.wait(60)


def until(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.fixture(scope="module")
def there(config: Path) -> Callable[[str], str]:
    """A function that runs a command on the box and returns what it says."""

    def there(command: str) -> str:
        done = subprocess.run(
            ["ssh", "-F", config, "box", command], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    return there


@pytest.fixture(scope="module")
def fault(config: Path) -> Path:
    """The file that says before which change of its disk the box kills its Python."""
    folder = Path(os.environ.get("EDGE_BOX", Path.home() / ".cache" / "edge-box"))
    return folder / "root" / "home/pi/fault"


def put(config: Path, model: str, window_s: float = 3, **options) -> dict:
    chosen = FlashOptions(config=config, window_s=window_s, **options)
    return flash(model, "box", chosen, say=lambda sentence: None)


def command(there: Callable[[str], str]) -> str:
    """Return the words of what the service runs."""
    process = there("systemctl show edge --property=MainPID --value")
    return there(f"tr '\\0' ' ' < /proc/{process}/cmdline")


def running(there: Callable[[str], str]) -> str:
    """Return the version whose edge the service runs."""
    return command(there).partition("/versions/")[2].partition("/")[0]


@pytest.fixture(scope="module")
def first(config: Path) -> str:
    """The version that the service begins with."""
    done = put(config, "default", with_runtime=True, service=DEMO)
    assert done["use"]["frames"] > 10
    return str(done["version"])


def test_it_runs_as_a_user_who_may_little(first: str, there: Callable[[str], str]) -> None:
    assert there("systemctl is-active edge; systemctl is-enabled edge") == "active\nenabled"
    assert running(there) == first
    process = there("systemctl show edge --property=MainPID --value")
    assert there(f"ps -o user= -p {process} || stat -c %U /proc/{process}").split()[-1] == "pi"
    exposure = there("systemd-analyze security edge.service --no-pager").splitlines()[-1]
    assert float(exposure.split("edge.service:")[1].split()[0]) < 3.0
    # Of its own folder versions and runtimes cannot be written, nor anything outside.
    reach = f"sudo nsenter --target {process} --mount --setuid 1000 --setgid 1000"
    for path in (".local/share/edge/versions/x", ".local/share/edge/runtimes/x", "x"):
        assert there(f"{reach} touch /home/pi/{path} && echo written") == ""
    assert there(f"{reach} touch /home/pi/.local/share/edge/home/x && echo written") == "written"


def test_it_comes_back_when_it_is_killed_or_hangs(first: str, there: Callable[[str], str]) -> None:
    before = there("systemctl show edge --property=MainPID --value")
    there(f"sudo kill -9 {before}")
    until(lambda: there("systemctl is-active edge") == "active"
          and there("systemctl show edge --property=MainPID --value") != before)  # fmt: skip
    before = there("systemctl show edge --property=MainPID --value")
    there(f"sudo kill -STOP {before}")
    until(lambda: there("systemctl show edge --property=MainPID --value") not in (before, "0"), 150)


def test_another_version_takes_its_place_and_goes_again(
    first: str, config: Path, there: Callable[[str], str]
) -> None:
    done = put(config, "default-float32", with_runtime=True)
    assert done["use"]["seconds"] >= 3
    assert running(there) == done["version"] != first
    back = rollback("box", FlashOptions(config=config, window_s=3), say=lambda sentence: None)
    assert back["version"] == first == running(there)


def test_one_that_is_ill_is_taken_back(
    first: str, config: Path, there: Callable[[str], str]
) -> None:
    name = put(config, "default-float32", with_runtime=True, dry_run=True)["version"]
    with Session("box", config=config) as session:
        session.ask("begin", patience_s=5)
        with pytest.raises(EdgeError, match=f"of memory, 20 are allowed; it is back at {first}"):
            session.ask("activate", name=name, max_memory_mb=20, window_s=3, options=None)
    assert running(there) == first
    assert status("box", config=config)["journal"][-1]["event"] == "rolled back"


def test_a_service_that_does_not_start_leaves_the_one_before(
    first: str, config: Path, there: Callable[[str], str]
) -> None:
    unit = there("cat /etc/systemd/system/edge.service")
    with pytest.raises(EdgeError, match=r"does not start: .*camera"):
        put(config, "default", with_runtime=True, service=("--camera", "7", "--until-lost"))
    assert there("cat /etc/systemd/system/edge.service") == unit
    assert running(there) == first


def test_what_never_proved_itself_is_gone_after_a_power_cut(
    first: str, config: Path, there: Callable[[str], str]
) -> None:
    """As if the power had gone while the current version was on trial."""
    before = status("box", config=config)["previous"]["version"]
    words = json.dumps({"to": first, "from": before})
    there(f"echo '{words}' > ~/.local/share/edge/trial; sudo systemctl restart edge")
    assert running(there) == before
    assert status("box", config=config)["journal"][-1]["why"].startswith("the service started")


def test_one_that_was_stopped_for_good_stays_so(
    first: str, config: Path, there: Callable[[str], str]
) -> None:
    there("sudo systemctl disable --now edge")
    with pytest.raises(EdgeError, match="does not start"):
        put(config, "default", with_runtime=True, service=("--camera", "7", "--until-lost"))
    assert there("systemctl is-active edge; systemctl is-enabled edge") == "inactive\ndisabled"
    put(config, "default-float32", with_runtime=True)
    assert put(config, "default", with_runtime=True)["use"]["frames"] == 30
    assert there("systemctl is-active edge; systemctl is-enabled edge") == "inactive\ndisabled"


def test_wherever_a_flash_is_killed_a_version_runs_with_its_own_options(
    first: str, config: Path, there: Callable[[str], str], fault: Path
) -> None:
    """Before each change of the disk, from the one that begins the trial on."""
    kinds = [("default", DEMO), ("default-float32", OTHER)]

    def flash_it(number: int) -> dict:
        model, options = kinds[number % 2]
        return put(config, model, with_runtime=True, service=options, window_s=1)

    ways = {flash_it(number)["version"]: kinds[number % 2][1] for number in (0, 1)}
    changes = Path(f"{fault}.log").read_text().splitlines()
    begin = next(at for at, words in enumerate(changes) if "/.trial" in words)
    killed = old = 0
    for number in range(len(changes)):
        fault.write_text(str(begin + 1 + number))
        try:
            flash_it(number)
            break
        except UnreachableError:
            killed += 1
        finally:
            fault.write_text("0")
        there("sudo systemctl restart edge")
        words = command(there)
        version = running(there)
        assert " ".join(ways[version]) in words, (changes[begin + number], words)
        old += version == list(ways)[(number + 1) % 2]
        assert running(there) == status("box", config=config)["current"]["version"]
        flash_it(number)
        assert running(there) == list(ways)[number % 2]
    assert killed > 15
    assert 0 < old < killed


def test_a_first_service_that_was_killed_is_none(
    config: Path, there: Callable[[str], str], fault: Path
) -> None:
    """A version ran without one, and does so again."""
    there("sudo systemctl disable --now edge; sudo rm /etc/systemd/system/edge.service; "
          "sudo systemctl daemon-reload; rm -r ~/.local/share/edge/services")  # fmt: skip
    put(config, "default", with_runtime=True)
    assert status("box", config=config)["service"] is None
    fault.write_text("'restart'")
    try:
        with pytest.raises(UnreachableError):
            put(config, "default", with_runtime=True, service=DEMO)
    finally:
        fault.write_text("0")
    there("sudo systemctl restart edge")
    assert there("systemctl is-active edge") == "failed"
    assert put(config, "default", with_runtime=True)["use"] is None
    assert status("box", config=config)["service"] is None


def test_without_sudo_there_is_no_service(
    first: str, config: Path, there: Callable[[str], str]
) -> None:
    there("sudo mv /etc/sudoers.d/pi /etc/sudoers.d/pi.off")
    with pytest.raises(EdgeError, match="may not use sudo without a password"):
        put(config, "default", with_runtime=True, service=DEMO)
