"""A real MQTT broker, and who listens to it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


class Mosquitto:
    """A broker that can be killed and started again."""

    def __init__(self, program: str, folder: Path, *, users: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._program, self._file = program, folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {str(not users).lower()}"]
        if users:
            passwords = folder / "passwords"
            for user, password in users.items():
                command = ["mosquitto_passwd", "-c", "-b", str(passwords), user, password]
                subprocess.run(command, check=True, capture_output=True)
            passwords.chmod(0o644)
            lines.append(f"password_file {passwords}")
        if os.getuid() == 0:
            lines.append("user root")
        self._file.write_text("\n".join(lines) + "\n")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._file)], stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    program = shutil.which("mosquitto", path=path)
    if program is None:
        if os.environ.get("EDGE_REQUIRE_MQTT") == "1":
            pytest.fail("Mosquitto is not installed")
        pytest.skip("Mosquitto is not installed")
    started: list[Mosquitto] = []

    def start(**users: str) -> Mosquitto:
        started.append(Mosquitto(program, tmp_path, users=users))
        return started[-1]

    yield start
    for one in started:
        one.kill()


class Listener:
    """Everything that a broker hands on, by topic."""

    def __init__(self, port: int, topic: str = "#", **login: str) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self.there = threading.Event()
        from paho.mqtt.client import CallbackAPIVersion, Client

        client = Client(CallbackAPIVersion.VERSION2)
        if login:
            client.username_pw_set(login["user"], login["password"])
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda *_: client.subscribe(topic, 2)
        client.on_subscribe = lambda *_: self.there.set()
        client.on_message = lambda _, __, one: self.heard.append(
            (one.topic, one.payload.decode(), one.retain)
        )
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client
        assert self.there.wait(10)

    def of(self, topic: str) -> list[Any]:
        return [json.loads(text) for at, text, _ in list(self.heard) if at == topic]

    def words(self, topic: str) -> list[str]:
        return [text for at, text, _ in list(self.heard) if at == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    opened: list[Listener] = []

    def start(*of: Any, **more: Any) -> Listener:
        opened.append(Listener(*of, **more))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
