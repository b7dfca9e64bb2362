"""The doctor: faults are made for real where that is possible, else told as a board tells them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge import environment
from edge.devices import hardware, software
from edge.devices.bundle import LAUNCHER
from edge.devices.doctor import diagnose, diagnose_at, mended_by_flashing, to_json
from edge.devices.findings import Finding, advice, fault, good, unknown

ROOT = Path(__file__).resolve().parents[2]


def one(findings: list[Finding], about: str) -> Finding:
    [found] = [finding for finding in findings if finding.about == about]
    return found


def test_this_machine_runs(capfd: pytest.CaptureFixture[str]) -> None:
    findings = diagnose()
    report = to_json(findings)
    assert report["runs"], [finding for finding in findings if finding.state == "fault"]
    assert one(findings, "runtime").found.startswith("litert ")
    assert one(findings, "model").state == "good"
    for finding in findings:
        assert (finding.fix is None) == (finding.state in ("good", "unknown"))
    assert {"Python", "OpenCV", "camera", "governor", "temperature", "power", "memory", "disk",
            "clock"} <= {finding.about for finding in findings}  # fmt: skip
    assert capfd.readouterr() == ("", "")


def test_a_fault_stops_a_run_and_advice_does_not() -> None:
    some = [good("a", "b"), unknown("a", "b"), advice("a", "b", "c")]
    assert to_json(some)["runs"]
    assert not to_json([*some, fault("a", "b", "c")])["runs"]


def test_what_was_flashed_is_flashed_again() -> None:
    again = "edge flash default pi --with-runtime"
    broken = fault("OpenCV", "half of it is gone", "pip install --force-reinstall opencv")
    assert mended_by_flashing(broken, again).fix == again
    heat = advice("temperature", "90 °C", "give it a fan")
    assert mended_by_flashing(heat, again) == heat


def edge(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge", "doctor", *arguments], capture_output=True, text=True,
        timeout=60, check=False, env=os.environ | environment,
    )  # fmt: skip


def test_the_command_says_what_to_type_and_exits_1_where_nothing_runs(tmp_path: Path) -> None:
    done = edge(EDGE_HOME=str(tmp_path / "home"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "edge run --demo --frames 1" in done.stdout
    # Two places to write that are none.
    file = tmp_path / "file"
    file.write_text("")
    done = edge("--json", EDGE_HOME="/proc/edge")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["runs"] is False
    [disk] = [finding for finding in report["findings"] if finding["state"] == "fault"]
    assert disk["about"] == "disk"
    assert disk["fix"]


@pytest.mark.skipif(os.getuid() != 0, reason="a small disk is mounted by root")
def test_a_small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_HOME", str(tmp_path))
    for size, state in (("3m", "fault"), ("50m", "advice"), ("400m", "good")):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path)]
        if subprocess.run(command, check=False).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            assert one(list(hardware.hardware()), "disk").state == state
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(("free_kb", "state"), [(100_000, "fault"), (200_000, "advice"),
                                               (3_500_000, "good")])  # fmt: skip
def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_kb: int, state: str) -> None:
    text = f"MemTotal:        3882504 kB\nMemFree: 9 kB\nMemAvailable:    {free_kb} kB\n"
    (tmp_path / "meminfo").write_text(text)
    monkeypatch.setattr(hardware, "_MEMINFO", tmp_path / "meminfo")
    assert one(list(hardware.hardware()), "memory").state == state


@pytest.mark.parametrize(
    ("bits", "state", "words"),
    [
        ("0x0", "good", "never"),
        ("0x50005", "advice", "voltage is too low now"),
        ("0x50000", "advice", "voltage is too low since it was started"),
        ("0x20002", "advice", "slowed itself down now"),
        ("0xe0000", "advice", "slowed itself down since it was started"),
        ("no number", "unknown", "does not tell"),
    ],
)
def test_the_word_of_the_firmware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: str, state: str, words: str
) -> None:
    """As `vcgencmd get_throttled` and sysfs of a Raspberry Pi tell it."""
    (tmp_path / "get_throttled").write_text(bits.removeprefix("0x") + "\n")
    monkeypatch.setattr(environment, "_PI_THROTTLED", tmp_path / "get_throttled")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = one(list(hardware.hardware()), "power")
    assert (found.state, words in found.found) == (state, True)
    # An older kernel has no such file, but the command.
    monkeypatch.setattr(environment, "_PI_THROTTLED", tmp_path / "none")
    command = tmp_path / "vcgencmd"
    command.write_text(f"#!/bin/sh\necho throttled={bits}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert one(list(hardware.hardware()), "power") == found


def test_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_DEV", tmp_path)
    assert one(list(hardware.hardware()), "camera").state == "unknown"
    for name in ("video0", "video10", "videodev"):
        (tmp_path / name).write_text("")
    found = one(list(hardware.hardware()), "camera")
    assert (found.state, found.found) == ("good", "video0, video10")
    monkeypatch.setattr(os, "access", lambda path, mode: "video10" not in str(path))
    found = one(list(hardware.hardware()), "camera")
    assert found.state == "advice"
    assert "video10 may not" in found.found
    assert "usermod -aG video" in (found.fix or "")


def test_picamera2_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "picamera2" not in {finding.about for finding in hardware.hardware()}
    (tmp_path / "model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    monkeypatch.setattr(hardware, "_BOARD", tmp_path / "model")
    found = one(list(hardware.hardware()), "picamera2")
    assert "apt install -y python3-picamera2" in (found.fix or "")
    (tmp_path / "picamera2").mkdir()
    monkeypatch.setattr(hardware, "_APT_PICAMERA", tmp_path / "picamera2")
    found = one(list(hardware.hardware()), "picamera2")
    assert "--system-site-packages" in (found.fix or "")


@pytest.mark.parametrize(
    ("about", "state"),
    [({"governor": "ondemand"}, "advice"), ({"governor": "performance"}, "good"),
     ({"temperature_c": 81.0}, "advice"), ({"temperature_c": 48.3}, "good")],
)  # fmt: skip
def test_governor_and_heat(monkeypatch: pytest.MonkeyPatch, about: dict, state: str) -> None:
    here = hardware.fingerprint(1, "")
    monkeypatch.setattr(hardware, "fingerprint", lambda threads, runtime: here | about)
    name = next(iter(about)).removesuffix("_c")
    assert one(list(hardware.hardware()), name).state == state


def test_a_clock_that_woke_in_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    found = one(list(hardware.hardware()), "clock")
    assert (found.state, "1970" in found.found) == ("fault", True)


def test_a_clock_that_nobody_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "timedatectl"
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    for told, state in (("no", "advice"), ("yes", "good")):
        command.write_text(f"#!/bin/sh\necho {told}\n")
        command.chmod(0o755)
        assert one(list(hardware.hardware()), "clock").state == state


def test_a_damaged_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge import modelfile

    whole = modelfile.resolve_model("default").read_bytes()
    broken = tmp_path / "default.tflite"
    broken.write_bytes(whole[:100_000] + b"\0" * 8 + whole[100_008:])
    monkeypatch.setattr(modelfile, "resolve_model", lambda name: broken)
    found = list(software.software())
    assert one(found, "model").state == "fault"
    assert one(found, "runtime").state == "fault"


def test_a_check_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(threads: int, runtime: str) -> dict:
        raise PermissionError("not allowed")

    monkeypatch.setattr(hardware, "fingerprint", broken)
    findings = diagnose()
    assert one(findings, "hardware").state == "unknown"
    assert one(findings, "runtime").state == "good"


def in_scratch(folder: Path) -> Callable[..., str]:
    """Make an environment with edge in it; return a function that runs its programs."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(folder / "bin" / program), *arguments], capture_output=True, text=True,
            check=False, timeout=600, cwd=folder,
        )  # fmt: skip
        assert done.returncode == 0 or (program == "edge" and done.stdout), done.stderr
        return done.stdout

    run("python", "-m", "pip", "--disable-pip-version-check", "install", "-q",
        "-c", str(ROOT / "constraints.txt"), str(ROOT))  # fmt: skip
    return run


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_faults_of_packages_in_an_environment_of_their_own(tmp_path: Path) -> None:
    run = in_scratch(tmp_path / "venv")

    def told(about: str) -> dict:
        findings = json.loads(run("edge", "doctor", "--json"))["findings"]
        return next(finding for finding in findings if finding["about"] == about)

    def follow(fix: str) -> None:
        for command in fix.split(" && "):
            run(*command.split())

    assert told("OpenCV")["state"] == "good"
    run("pip", "install", "-q", "opencv-contrib-python")
    found = told("OpenCV")
    assert found["state"] == "advice"
    assert "overwrite each other" in found["found"]
    follow(found["fix"])
    assert told("OpenCV")["state"] == "good"
    # One of two is uninstalled: the files of both go.
    run("pip", "install", "-q", "opencv-python")
    run("pip", "uninstall", "-q", "-y", "opencv-python")
    found = told("OpenCV")
    assert found["state"] == "fault"
    follow(found["fix"])
    assert told("OpenCV")["state"] == "good"
    run("pip", "uninstall", "-q", "-y", "ai-edge-litert")
    found = told("runtime")
    assert found["state"] == "fault"
    follow(found["fix"])
    assert told("runtime")["state"] == "good"


def test_a_board_is_looked_at_over_ssh(start_device, tmp_path: Path) -> None:
    device = start_device(tmp_path / "board")
    done = edge("--json", "board", EDGE_SSH_CONFIG=str(device.config))
    assert done.returncode == 1
    [found] = [one for one in json.loads(done.stdout)["findings"] if one["state"] == "fault"]
    assert found["about"] == "edge"
    again = f"edge flash default board --with-runtime --ssh-config {device.config}"
    assert found["fix"] == again


def test_the_doctor_of_the_board_is_asked(start_device, tmp_path: Path) -> None:
    programs = Path(sys.executable).parent
    device = start_device(
        tmp_path / "board", PATH=f"{programs}:/usr/bin:/bin", EDGE_HOME=str(tmp_path / "home")
    )
    done = edge("--json", "board", EDGE_SSH_CONFIG=str(device.config))
    assert done.returncode == 0, done.stdout
    there = json.loads(done.stdout)["findings"]
    assert there[0] == {"about": "edge", "state": "good", "fix": None,
                        "found": f"0.1.0, {programs / 'edge'}"}  # fmt: skip
    here = json.loads(edge("--json", EDGE_HOME=str(tmp_path / "home")).stdout)["findings"]
    assert [one["about"] for one in there[1:]] == [one["about"] for one in here]
    # A command of that name that is none of ours.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "edge").write_text("#!/bin/sh\necho 9\n")
    (tmp_path / "bin" / "edge").chmod(0o755)
    device = start_device(tmp_path / "other", PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin")
    done = edge("board", EDGE_SSH_CONFIG=str(device.config))
    assert done.returncode == 1
    assert "does not answer" in done.stdout


def test_what_is_broken_where_edge_was_flashed_is_flashed_again(start_device, tmp_path) -> None:
    # Beside the folder that edge keeps, not in it.
    programs = tmp_path / "board" / "root-venv" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / "cv2.py").write_text("raise ImportError('half of it is gone')")
    (programs / "edge").write_text(
        f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {Path(sys.executable).parent}/edge "$@"\n'
    )
    (programs / "edge").chmod(0o755)
    device = start_device(tmp_path / "board", PATH=f"{programs}:/usr/bin:/bin")
    version = device.root / "versions" / "flashed"
    version.mkdir(parents=True)
    (version / "edge").write_bytes(LAUNCHER)
    (version / "edge").chmod(0o755)
    (version / "runtime").symlink_to(programs.parent)
    (device.root / "current").symlink_to(version)
    again = f"edge flash default board --with-runtime --ssh-config {device.config}"
    for place, fix in (
        (device.root / "current" / "edge", again),
        (programs / "edge", "pip install --force-reinstall --no-deps opencv-python-headless"),
    ):
        findings = diagnose_at("board", config=device.config)
        assert one(findings, "edge").found.endswith(f", {place}")
        assert one(findings, "OpenCV").found == "cannot be imported: half of it is gone"
        assert one(findings, "OpenCV").fix == fix
        # The same one, which nobody flashed.
        (device.root / "current").unlink(missing_ok=True)
