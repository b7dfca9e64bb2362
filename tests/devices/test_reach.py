"""Reaching a board: over a real ssh server, and in words where it cannot be."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.devices.reach import Session, UnreachableError, ssh_command
from edge.errors import EdgeError


def test_a_board_says_what_it_is(device) -> None:
    with Session(device.host, config=device.config) as session:
        facts = session.ask("probe")
    assert facts["machine"] == platform.machine()
    assert facts["root"] == str(device.root)
    assert abs(facts["time"] - time.time()) < 60
    assert facts["edge"] is None
    # Looking leaves nothing behind.
    assert not device.root.exists()


def test_the_folder_of_edge_is_also_that_of_who_flashes(device, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EDGE_DEVICE_ROOT", str(tmp_path / "mine"))
    with Session(device.host, config=device.config) as session:
        assert session.ask("probe")["root"] == str(tmp_path / "mine")


def test_a_login_shell_may_talk(start_device, tmp_path) -> None:
    said = """echo 'welcome {'; echo '{"ready": true}'; eval "$SSH_ORIGINAL_COMMAND" """
    device = start_device(tmp_path / "board", f"ForceCommand {said}")
    with Session(device.host, config=device.config) as session:
        assert session.ask("probe")["bits"] == 64


def refused(host: str, **given) -> EdgeError:
    with pytest.raises(UnreachableError) as caught:
        Session(host, **given)
    return caught.value


def test_an_unknown_key_is_refused_whatever_the_configuration_says(device) -> None:
    known = device.config.with_name("known_hosts")
    kept = known.read_text()
    known.write_text("")
    text = device.config.read_text()
    device.config.write_text(text + "  StrictHostKeyChecking accept-new\n")
    error = refused("board", config=device.config)
    assert "host key is not known" in error.message
    assert f"ssh -F {device.config} board" in error.hint
    assert known.read_text() == ""
    known.write_text(kept)
    Session("board", config=device.config).close()


def test_a_changed_key_is_refused(device, keys) -> None:
    known = device.config.with_name("known_hosts")
    address = known.read_text().split()[0]
    known.write_text(f"{address} {(keys / 'stranger.pub').read_text()}")
    assert "another than the one known" in refused("board", config=device.config).message


def test_a_stranger_is_refused(device, keys) -> None:
    text = device.config.read_text().replace(str(keys / "user"), str(keys / "stranger"))
    device.config.write_text(text)
    error = refused("board", config=device.config)
    assert "login is refused" in error.message
    assert f"ssh-copy-id -F {device.config} board" in error.hint


def test_a_board_that_is_off(device) -> None:
    device.server.kill()
    device.server.wait()
    assert "nothing listens" in refused("board", config=device.config).message


def test_a_board_without_python(start_device, tmp_path) -> None:
    device = start_device(tmp_path / "board", PATH=str(tmp_path))
    error = refused("board", config=device.config)
    assert "has no python3" in error.message


def test_a_lost_connection_is_told(device) -> None:
    session = Session("board", config=device.config)
    session._process.kill()
    with pytest.raises(UnreachableError, match="what runs on board came to an end"):
        session.ask("probe")


def test_a_host_that_runs_no_command(start_device, tmp_path, monkeypatch) -> None:
    kill = subprocess.Popen.kill

    def kill_and_dawdle(process: subprocess.Popen[bytes]) -> None:
        kill(process)
        time.sleep(0.3)

    monkeypatch.setattr("edge.devices.reach._PATIENCE_S", 1.0)
    device = start_device(tmp_path / "menu", "ForceCommand cat")
    assert "runs no command" in refused("board", config=device.config).message
    # Nor does it depend on which of two threads is the faster one.
    monkeypatch.setattr(subprocess.Popen, "kill", kill_and_dawdle)
    assert "runs no command" in refused("board", config=device.config).message


@pytest.mark.parametrize("host", ["", "-oProxyCommand=touch x", "--"])
def test_a_host_is_never_an_option(host: str) -> None:
    with pytest.raises(EdgeError, match="is no host"):
        ssh_command(host)


def through(jump, device, config: Path) -> Path:
    """Write a configuration that leads to a device through another one."""
    config.write_text(f"{device.config.read_text()}  ProxyJump jump\n{jump.config.read_text()}")
    return config


def test_a_jump_host_leads_there_and_has_to_be_known_too(start_device, tmp_path) -> None:
    device, jump = (start_device(tmp_path / name, name=name) for name in ("board", "jump"))
    config = through(jump, device, tmp_path / "config")
    with Session("board", config=config) as session:
        assert session.ask("probe")["root"] == str(device.root)
    jump.config.with_name("known_hosts").write_text("")
    assert "host key is not known" in refused("board", config=config).message
    jump.server.kill()
    jump.server.wait()
    assert "nothing listens" in refused("board", config=config).message


@pytest.mark.parametrize("locked", ["board", "jump"])
def test_nobody_is_asked_for_a_passphrase(
    start_device, keys, tmp_path, monkeypatch, locked: str
) -> None:
    key, asked = tmp_path / "key", tmp_path / "asked"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key]
    subprocess.run(command, check=True)
    may = f"AuthorizedKeysFile {keys / 'authorized'} {key}.pub"
    device, jump = (start_device(tmp_path / name, may, name=name) for name in ("board", "jump"))
    for one in (device, jump):
        if one.host == locked:
            text = one.config.read_text().replace(str(keys / "user"), str(key))
            one.config.write_text(text)
    config = through(jump, device, tmp_path / "config")
    # Who would be asked knows it.
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    askpass.chmod(0o755)
    for name, value in (("SSH_ASKPASS", str(askpass)), ("SSH_ASKPASS_REQUIRE", "force"),
                        ("DISPLAY", ":0")):  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    begun = time.monotonic()
    error = refused("board", config=config)
    assert "login is refused" in error.message
    assert "passphrase has to be in your agent" in error.hint
    assert time.monotonic() - begun < 10
    assert not asked.exists()


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("kitchen", ["--", "kitchen"]),
        ("pi@[::1]", ["--", "pi@::1"]),
        ("fe80::1%eth0", ["--", "fe80::1%eth0"]),
        ("ssh://pi@[::1]:2222", ["-p", "2222", "--", "pi@::1"]),
        ("ssh://Pi4@pi4", ["--", "Pi4@pi4"]),
        ("ssh://kitchen@Kitchen:22/", ["-p", "22", "--", "kitchen@Kitchen"]),
        (r"DOMAIN\user@host", ["--", r"DOMAIN\user@host"]),
        ("ssh://DOMAIN%5Cuser@host", ["--", r"DOMAIN\user@host"]),
        ("me@there@jump", ["--", "me@there@jump"]),
        ("ssh://u@\u0130x", ["--", "u@\u0130x"]),
    ],
)
def test_hosts_are_those_of_ssh(host: str, words: list[str]) -> None:
    command = ssh_command(host)
    assert command[-len(words) :] == words
    assert ("-p" in command) == ("-p" in words)


@pytest.mark.parametrize(
    "host",
    ["", "-v", "pi@", "@pi", "pi@-x", "pi:22", "[::1]:22", "ssh://", "ssh://pi:22x", "ssh://pi:99999",
     "ssh://a:b@pi", "ssh://pi/x", "ssh://-x", "ssh://%2Dx@pi", "a b", "$(x)", "ssh://%60id%60@pi",
     "{{ x }}"],
)  # fmt: skip
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(EdgeError, match="is no host"):
        ssh_command(host)


def test_who_interrupts_a_silent_board_does_not_wait(start_device, tmp_path) -> None:
    device = start_device(tmp_path / "board", f"ForceCommand touch {tmp_path}/in; sleep 30")
    process = subprocess.Popen(
        [sys.executable, "-m", "edge", "devices", "status", "board"], stderr=subprocess.PIPE,
        env=os.environ | {"EDGE_SSH_CONFIG": str(device.config)},
    )  # fmt: skip
    while not (tmp_path / "in").exists():
        assert process.poll() is None
        time.sleep(0.05)
    [ssh] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert not Path(f"/proc/{ssh}").exists()
