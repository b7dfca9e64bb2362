"""Results over a real Mosquitto."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from edge.errors import EdgeError
from edge.faces import Box, Detection, Face
from edge.runtime.controls import Running
from edge.runtime.outputs import frame_json
from edge.runtime.pipeline import STAGES, Result
from edge.runtime.sources import Frame
from tests.runtime.conftest import Listener, Mosquitto, until

pytest.importorskip("paho.mqtt")

from edge.runtime import mqtt
from edge.runtime.mqtt import Broker, Mqtt

PICTURE = np.zeros((100, 200, 3), np.uint8)


def result(number: int) -> Result:
    face = Face(Detection(Box(0.1, 0.2, 0.3, 0.4), 0.9), {"Smiling": 0.98}, ("Smiling",), id=7)
    return Result(Frame(number, "camera 0", PICTURE, 0.0), [face], dict.fromkeys(STAGES, 1.0), 5.0)


def running() -> Any:
    return Running({}, None, lambda: 0)  # type: ignore[arg-type]


def sender(port: int, warnings: list[str], extra: str = "", login: str = "") -> Mqtt:
    output = Mqtt(Broker.from_url(f"mqtt://{login}127.0.0.1:{port}/house/door{extra}"),
                  warnings.append)  # fmt: skip
    output.begin(running())
    return output


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_result_arrives_in_order(
    mosquitto: Callable[..., Mosquitto], listen: Callable[..., Listener], qos: int
) -> None:
    broker, warnings = mosquitto(), list[str]()
    listener = listen(broker.port)
    output = sender(broker.port, warnings, f"?qos={qos}")
    until(lambda: output._there)
    for number in range(500):
        output.show(result(number))
    output.finish({"frames": 500})
    output.close()
    until(lambda: listener.words("house/door/status") == ["online", "offline"])
    frames = listener.of("house/door/frames")
    assert frames == [json.loads(json.dumps(frame_json(result(n)))) for n in range(500)]
    assert listener.of("house/door/summary") == [{"frames": 500}]
    assert (output.lost, warnings) == (0, [])


def test_the_will_is_read_where_a_run_is_killed(
    mosquitto: Callable[..., Mosquitto], listen: Callable[..., Listener]
) -> None:
    broker = mosquitto()
    output = sender(broker.port, [])
    until(lambda: output._there)
    # As if its machine had lost power: it says no goodbye, and does not come back.
    output._client.reconnect_delay_set(1000, 1000)
    output._client.socket().shutdown(socket.SHUT_RDWR)
    listener = listen(broker.port)
    until(lambda: "offline" in listener.words("house/door/status"))
    output.close()
    # Who comes later hears it too.
    late = listen(broker.port, "house/door/status")
    until(lambda: late.heard == [("house/door/status", "offline", True)])


def test_a_broker_that_comes_late_gets_what_was_before(
    mosquitto: Callable[..., Mosquitto], listen: Callable[..., Listener]
) -> None:
    broker, warnings = mosquitto(), list[str]()
    broker.kill()
    output = sender(broker.port, warnings)
    for number in range(20):
        output.show(result(number))
    until(lambda: len(warnings) == 1)
    assert "no MQTT broker" in warnings[0]
    broker.start()
    listener = listen(broker.port)
    until(lambda: len(listener.of("house/door/frames")) >= 20)
    assert {one["frame"] for one in listener.of("house/door/frames")} == set(range(20))
    output.close()
    assert (output.lost, len(warnings)) == (0, 1)


def test_nothing_is_lost_where_the_broker_dies_and_comes_back(
    mosquitto: Callable[..., Mosquitto], listen: Callable[..., Listener]
) -> None:
    broker, warnings = mosquitto(), list[str]()
    output = sender(broker.port, warnings)
    numbers = count()
    heard: set[int] = set()
    for _ in range(3):
        listener = listen(broker.port)
        until(lambda: output._there)
        for number in [next(numbers) for _ in range(200)]:
            output.show(result(number))
        # All that was sent while it was there, not what it held for others when it died.
        until(lambda: output._waiting == 0)
        time.sleep(0.1)
        heard |= {one["frame"] for one in listener.of("house/door/frames")}
        broker.kill()
        until(lambda: not output._there)
        output.show(result(next(numbers)))
        broker.start()
    until(lambda: output._there)
    until(lambda: output._waiting == 0)
    output.close()
    sent = set(range(next(numbers)))
    # What was shown between is handed over once the broker is back, before anybody listens.
    assert sent - heard <= {200, 401, 602}
    assert output.lost == 0


def test_while_it_is_away_memory_has_an_end(
    mosquitto: Callable[..., Mosquitto], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "_MOST_WAITING", 50)
    broker, warnings = mosquitto(), list[str]()
    broker.kill()
    output = sender(broker.port, warnings)
    for number in range(200):
        output.show(result(number))
    output.close()
    assert output.lost == 150
    assert any("150 results were not sent" in one for one in warnings)


def test_a_slow_broker_is_waited_for(
    mosquitto: Callable[..., Mosquitto],
    listen: Callable[..., Listener],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mqtt, "_MOST_WAITING", 20)
    broker = mosquitto()
    listener = listen(broker.port)
    output = sender(broker.port, [])
    until(lambda: output._there)
    broker.signal(signal.SIGSTOP)
    threading.Timer(1.0, broker.signal, [signal.SIGCONT]).start()
    for number in range(200):
        output.show(result(number))
    output.close()
    until(lambda: len(listener.of("house/door/frames")) == 200)
    assert output.lost == 0


def test_names_and_passwords_are_used_and_refusals_told(
    mosquitto: Callable[..., Mosquitto], listen: Callable[..., Listener]
) -> None:
    broker, warnings = mosquitto(ann="s3cret"), list[str]()
    refused = sender(broker.port, warnings, login="ann:wrong@")
    until(lambda: len(warnings) == 1)
    assert "refuses" in warnings[0]
    assert "wrong" not in warnings[0]
    refused.close()
    listener = listen(broker.port, user="ann", password="s3cret")
    output = sender(broker.port, warnings, login="ann:s3cret@")
    until(lambda: output._there)
    output.show(result(1))
    output.close()
    until(lambda: len(listener.of("house/door/frames")) == 1)


@pytest.mark.parametrize(
    "url",
    ["", "broker", "http://broker", "mqtt://", "mqtt:///topic", "mqtt://broker:port/",
     "mqtt://broker:99999999/", "mqtt://broker/a?qos=3", "mqtt://broker/a?qos=x",
     "mqtt://broker/a?speed=1", "mqtt://broker/a?qos", "mqtt://broker/a/+/b", "mqtt://broker/%23"],
)  # fmt: skip
def test_what_is_no_broker_is_an_error(url: str) -> None:
    with pytest.raises(EdgeError) as caught:
        Broker.from_url(url)
    assert caught.value.hint


def test_addresses_are_read() -> None:
    found = Broker.from_url("mqtts://a%40b:p%3Aw@[::1]/x/y/?qos=2")
    assert (found.host, found.port, found.secure, found.qos) == ("::1", 8883, True, 2)
    assert (found.user, found.password, found.topic) == ("a@b", "p:w", "x/y")
    assert "p:w" not in repr(found)
    plain = Broker.from_url("mqtt://broker")
    assert (plain.port, plain.qos, plain.user) == (1883, 1, None)
    assert plain.topic == f"edge/{socket.gethostname()}"
