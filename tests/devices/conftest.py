"""A real ssh server on this machine, whose user's folder for edge is a scratch one."""

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.assets import home
from edge.devices import flash as flashing
from edge.devices.bundle import read_bundle
from edge.devices.flash import FlashOptions, flash, rollback, status
from edge.devices.reach import Session
from edge.errors import EdgeError

SSHD = Path("/usr/sbin/sshd")
# A Python, and no edge.
PATH = f"{sys.base_prefix}/bin:/usr/bin:/bin"


@dataclass
class Device:
    """One ssh server, and how to come to it.

    Args:
        host: As ssh takes it.
        config: The client's configuration: key and known hosts.
        root: The folder that edge keeps there.
        server: The process of the server.
    """

    host: str
    config: Path
    root: Path
    server: subprocess.Popen[bytes]

    def flash(self, model: str | Path, **options: Any) -> dict[str, Any]:
        """Flash a model or a bundle with options, and return the report."""
        chosen = FlashOptions(config=self.config, **options)
        return flash(str(model), self.host, chosen, say=lambda sentence: None)

    def refused(self, model: str | Path, **options: Any) -> EdgeError:
        """Flash what has to be refused, and return how."""
        with pytest.raises(EdgeError) as caught:
            self.flash(model, **options)
        return caught.value

    def make(self, bundle: Path) -> str:
        """Bring a version there that nothing runs, and return its name."""
        with Session(self.host, config=self.config) as session:
            session.ask("begin", patience_s=0)
            whole = read_bundle(bundle)
            staged = flashing._stage(session, whole, FlashOptions(), dry=False)
            flashing._send(session, whole, staged["missing"])
            return str(session.ask("make"))

    def activate(self, name: str, **how: Any) -> dict[str, Any]:
        """Switch to a version that is there; return what it did in use."""
        with Session(self.host, config=self.config) as session:
            session.ask("begin", patience_s=0)
            how = {"max_memory_mb": 500, "window_s": 1, "options": None, **how}
            return dict(session.ask("activate", name=name, **how))

    def roll_back(self, **options: Any) -> dict[str, Any]:
        """Go back to the version before, and return the report."""
        chosen = FlashOptions(config=self.config, **options)
        return rollback(self.host, chosen, say=lambda sentence: None)

    def status(self) -> dict[str, Any]:
        """Return what is there."""
        return status(self.host, config=self.config)

    def current(self) -> str | None:
        """Return the version that runs; both that are kept are whole, and none is on trial."""
        found = self.status()
        assert found["trial"] is None
        for link in ("current", "previous"):
            assert found[link] is None or found[link]["whole"]
        return found["current"] and found["current"]["version"]

    def edge(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run the command line here, for which the board is a host."""
        return subprocess.run(
            [sys.executable, "-m", "edge", *map(str, words)], capture_output=True, text=True,
            check=False, env=os.environ | {"EDGE_SSH_CONFIG": str(self.config)},
        )  # fmt: skip


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key of the server, "host", one of the user, "user", and of a "stranger"."""
    if not SSHD.exists() or shutil.which("ssh-keygen") is None:
        reason = "openssh-server is not installed"
        if os.environ.get("EDGE_REQUIRE_SSHD") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("keys")
    for name in ("host", "user", "stranger"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name]
        subprocess.run(command, check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    return folder


@pytest.fixture(scope="session")
def start_device(keys: Path) -> Iterator[Callable[..., Device]]:
    """A function that starts a server: `start_device(folder, "its settings", PATH="…")`."""
    running = []

    def start(folder: Path, *settings: str, name: str = "board", **environment: str) -> Device:
        folder.mkdir(parents=True, exist_ok=True)
        port, root = free_port(), folder / "root"
        path = environment.pop("PATH", PATH)
        # A bash that is not the first one leaves the user's own start-up files alone, which may
        # hold locks, and keep them when they are killed.
        variables = {"EDGE_DEVICE_ROOT": str(root), "EDGE_TEST_PATH": path, "SHLVL": "1",
                     **environment}  # fmt: skip
        words = " ".join(f'"{name}={value}"' for name, value in variables.items())
        # Whatever a login shell of this machine's user makes of PATH.
        forced = 'PATH=$EDGE_TEST_PATH exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
        lines = [
            *settings, f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {keys / 'host'}",
            f"AuthorizedKeysFile {keys / 'authorized'}", "StrictModes no", "UsePAM no",
            "PidFile none", "PermitRootLogin yes", "PasswordAuthentication no",
            "MaxStartups 100:30:200", f"SetEnv {words}", f"ForceCommand {forced}",
        ]  # fmt: skip
        (folder / "sshd_config").write_text("\n".join([*lines, ""]))
        known = f"[127.0.0.1]:{port} {(keys / 'host.pub').read_text()}"
        (folder / "known_hosts").write_text(known)
        (folder / "ssh_config").write_text(
            f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {keys / 'user'}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {folder / 'known_hosts'}\n  GlobalKnownHostsFile /dev/null\n"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        command = [SSHD, "-D", "-e", "-f", folder / "sshd_config"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, stderr=log, start_new_session=True)
        running.append(server)
        wait_for(port, server, folder / "log")
        return Device(name, folder / "ssh_config", root, server)

    yield start
    for server in running:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
def device(start_device: Callable[..., Device], tmp_path: Path) -> Device:
    """A board with nothing on it yet."""
    return start_device(tmp_path / "board")


@pytest.fixture(scope="session")
def let_in(keys: Path) -> Callable[[Path], None]:
    """A function that has a system's user "pi" take the user's key: `let_in(its root)`."""

    def let_in(root: Path) -> None:
        folder = root / "home" / "pi" / ".ssh"
        folder.mkdir(exist_ok=True)
        shutil.copy(keys / "user.pub", folder / "authorized_keys")
        for path in (folder, folder / "authorized_keys"):
            os.chown(path, 1000, 1000)
            path.chmod(0o700)

    return let_in


@pytest.fixture(scope="session")
def way_into(keys: Path) -> Callable[..., Path]:
    """A function that writes a configuration for a host in a network of a process's own.

    `way_into(process, name, port, folder)`: nothing but this way leads into it, and none out.
    """

    def way_into(process: int, name: str, port: int, folder: Path) -> Path:
        relay = f"{sys.executable} {Path(__file__).with_name('relay.py')} {1 << 40}"
        (folder / "known").write_text(f"{name} {(keys / 'host.pub').read_text()}")
        (folder / "config").write_text(
            f"Host {name}\n  User pi\n  HostKeyAlias {name}\n  IdentityFile {keys / 'user'}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder / 'known'}\n"
            f"  ProxyCommand nsenter --net=/proc/{process}/ns/net {relay} 127.0.0.1 {port}\n"
        )
        return folder / "config"

    return way_into


@pytest.fixture(scope="session")
def scratch_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of this process's own, but for what is fetched: that is kept for all."""
    folder, real = tmp_path_factory.mktemp("home"), home().absolute()
    for name in ("assets", "wheels"):
        (real / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(real / name)
    # What was measured of engines before is measured no more.
    if (real / "choices.json").exists():
        shutil.copy(real / "choices.json", folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def home_of_tests(scratch_home: Path) -> Iterator[None]:
    """Tests here make no bundles in the user's cache, nor in that of another process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_HOME", str(scratch_home))
        yield


@pytest.fixture(scope="session")
def bundles(scratch_home: Path) -> tuple[Path, Path]:
    """Two bundles without a runtime: the bundled model as int8, and as float32."""
    from edge.devices.bundle import make_bundle

    models = ("default", "default-float32")
    with pytest.MonkeyPatch.context() as patch:
        # Fixtures of a session come before those of a module.
        patch.setenv("EDGE_HOME", str(scratch_home))
        first, second = (make_bundle(model, runtime=None, key=None).folder for model in models)
    return first, second


@pytest.fixture(scope="session")
def programs(scratch_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an `edge` that measures no engines against each other at its first run."""
    folder = tmp_path_factory.mktemp("board") / "bin"
    folder.mkdir()
    (folder / "edge").write_text(
        "#!/bin/sh\nexport EDGE_RUNTIME=litert EDGE_THREADS=1\n"
        f'export EDGE_HOME="${{EDGE_HOME:-{scratch_home}}}"\n'
        f'exec {shlex.quote(str(Path(sys.executable).with_name("edge")))} "$@"\n'
    )
    (folder / "edge").chmod(0o755)
    return folder


@pytest.fixture
def board(start_device: Callable[..., Device], programs: Path, tmp_path: Path) -> Device:
    """A board with an edge of its own, and no version yet."""
    return start_device(tmp_path / "board", PATH=f"{PATH}:{programs}")


@pytest.fixture(scope="session")
def store(
    start_device: Callable[..., Device], programs: Path, bundles: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """What a board keeps after a flash of the first bundle; to be copied."""
    device = start_device(tmp_path_factory.mktemp("flashed"), PATH=f"{PATH}:{programs}")
    assert device.flash(bundles[0])["version"] == bundles[0].name
    return device.root


@pytest.fixture
def flashed(board: Device, store: Path) -> Device:
    """A board that runs the first bundle, whose version is named as its folder is."""
    shutil.copytree(store, board.root, symlinks=True)
    return board
