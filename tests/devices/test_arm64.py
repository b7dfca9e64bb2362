"""An arm64 Debian under emulation, with an ssh server, a user who has nothing, and no internet."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.device, pytest.mark.timeout(3600)]

HERE = Path(__file__).resolve().parent
MAKE = HERE.parent / "board" / "make.sh"
REPORT = HERE.parent / "board" / "flash.json"

# What int8 may differ by on Arm: docs/convert.md.
STEPS = 2 / 256
FRAMES = 30


@pytest.fixture(scope="module")
def config(keys: Path, let_in, way_into, tmp_path_factory) -> Iterator[Path]:
    """Return an ssh configuration with a host "arm", which was never flashed."""
    folder = Path(os.environ.get("EDGE_BOARD", Path.home() / ".cache" / "edge-board"))
    subprocess.run(["bash", MAKE, folder], check=True, env=os.environ | {"PYTHON": sys.executable})
    root = folder / "root"
    shutil.rmtree(root / "home" / "pi" / ".local", ignore_errors=True)
    let_in(root)
    settings = root / "etc" / "edge-ssh"
    settings.mkdir(exist_ok=True)
    shutil.copy(keys / "host", settings / "host")
    (root / "run" / "sshd").mkdir(exist_ok=True)
    (settings / "config").write_text(
        "Port 2222\nListenAddress 127.0.0.1\nHostKey /etc/edge-ssh/host\nUsePAM no\nPidFile none\n"
    )
    scratch = tmp_path_factory.mktemp("arm")
    script = (
        f"ip link set lo up && mount -t proc proc {root}/proc && echo $$ > {scratch}/pid && "
        f"exec chroot {root} /usr/sbin/sshd -D -e -f /etc/edge-ssh/config"
    )
    server = subprocess.Popen(["unshare", "--mount", "--net", "sh", "-c", script])
    while not (scratch / "pid").exists():
        assert server.poll() is None
        time.sleep(0.1)
    config = way_into(server.pid, "arm", 2222, scratch)
    end = time.monotonic() + 60
    while subprocess.run(["ssh", "-F", config, "arm", "true"], check=False).returncode:
        assert server.poll() is None
        assert time.monotonic() < end
        time.sleep(0.2)
    yield config
    server.terminate()
    server.wait()


def edge(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge", *arguments], capture_output=True, text=True, check=False,
        env=os.environ | {"EDGE_SSH_CONFIG": str(config)},
    )  # fmt: skip


def there(config: Path, command: str) -> str:
    return subprocess.run(
        ["ssh", "-F", config, "arm", command], capture_output=True, text=True, check=True
    ).stdout


def test_from_nothing_to_a_demo_that_says_what_it_says_here(config: Path) -> None:
    assert there(config, "uname -m; ls -A; grep -o '^ *[a-z0-9]*:' /proc/net/dev").split() == [
        "aarch64", ".bash_logout", ".bashrc", ".profile", ".ssh", "lo:",
    ]  # fmt: skip
    found = edge(config, "doctor", "arm")
    assert (found.returncode, "flash default arm --with-runtime" in found.stdout) == (1, True)
    done = edge(config, "flash", "default", "arm", "--with-runtime", "--max-latency", "60000",
                "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    flashed = json.loads(done.stdout)
    assert flashed["smoke"]["largest_difference"] <= STEPS + 1e-6
    wheels = there(config, "grep -o 'wheels/[^\"]*' .local/share/edge/current/manifest.json")
    built = [name for name in wheels.split() if not name.endswith("-none-any.whl")]
    assert len(built) >= 4
    assert all(name.endswith("aarch64.whl") for name in built)

    command = f"run --demo --frames {FRAMES} --json"
    said = there(config, f".local/share/edge/current/edge {command}").splitlines()
    right = edge(config, *command.split(), "--runtime", "litert").stdout.splitlines()
    off = pixels = 0.0
    for one, other in zip(said[:-1], right[:-1], strict=True):
        pairs = zip(json.loads(one)["faces"], json.loads(other)["faces"], strict=True)
        for face, same in pairs:
            assert face["labels"] == same["labels"]
            pixels = max(pixels, *(abs(a - b) for a, b in zip(face["box"], same["box"],
                                                              strict=True)))  # fmt: skip
            off = max(off, *(abs(face["attributes"][name] - value)
                             for name, value in same["attributes"].items()))  # fmt: skip
    assert pixels <= 1
    assert off <= STEPS + 1e-6

    again = json.loads(edge(config, "flash", "default", "arm", "--with-runtime", "--max-latency",
                            "60000", "--json").stdout)  # fmt: skip
    assert not again["changed"]
    assert again["sent_bytes"] < 100_000
    assert edge(config, "doctor", "arm").returncode == 0
    environment = json.loads(said[-1])["summary"]["environment"]
    report = {
        "board": "Debian 12, arm64, under qemu-user: its times say nothing of a board's",
        "machine": there(config, "uname -m").strip(),
        "python": environment["python"],
        "versions": environment["versions"],
        "flash": {key: flashed[key] for key in ("sent_bytes", "seconds", "smoke", "use")},
        "again": {key: again[key] for key in ("sent_bytes", "seconds")},
        "demo": {"frames": FRAMES, "largest_difference_of_a_score": round(off, 4),
                 "largest_difference_of_a_box_in_pixels": pixels},
    }  # fmt: skip
    sys.stdout.write(f"\n{json.dumps(report, indent=1)}\n")
    if os.environ.get("EDGE_KEEP_REPORT"):
        REPORT.write_text(json.dumps(report, indent=1) + "\n")
