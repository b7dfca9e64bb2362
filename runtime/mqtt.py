"""Results for a house: each frame is a message to an MQTT broker."""

import os
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from paho.mqtt.client import Client, MQTTErrorCode
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import EdgeError
from edge.runtime.controls import Running
from edge.runtime.outputs import Output, frame_json, to_json
from edge.runtime.pipeline import Result
from edge.runtime.sources import Warn

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_FORM = "mqtt://[USER:PASSWORD@]HOST[:PORT][/TOPIC][?qos=0|1|2], or mqtts:// for TLS"
# Messages that the broker has not confirmed. Beyond that a run waits for a broker that is there,
# and forgets results for one that is away.
_MOST_WAITING = 1_000
# How long the end of a run may take to hand over what waits.
_PATIENCE_S = 5.0
_BROKER = "the MQTT broker"
_LONGEST_PAUSE_S = 30
_KEEPALIVE_S = 20


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Where results go.

    Args:
        host: Name or address of the broker.
        port: Of the broker.
        secure: TLS, checked against the system's certificates.
        user: Name to log in with; None for none.
        password: Likewise.
        topic: Results go to TOPIC/frames, the summary to TOPIC/summary, and whether the run is
            there to TOPIC/status, retained: "online" or "offline".
        qos: 0 at most once, 1 at least once, 2 once.
    """

    host: str
    port: int
    secure: bool
    user: str | None
    password: str | None = field(repr=False)
    topic: str
    qos: int

    @classmethod
    def from_url(cls, url: str) -> "Broker":
        """Read an address.

        Raises:
            EdgeError: It is none.
        """
        try:
            parts = urlsplit(url)
            asked = parse_qs(parts.query, strict_parsing=bool(parts.query))
            port = parts.port or _PORTS.get(parts.scheme, 0)
            qos = int(asked.pop("qos", ["1"])[-1])
        except ValueError as error:
            raise EdgeError("the address of the broker cannot be read", f"give {_FORM}") from error
        topic = unquote(parts.path).strip("/") or f"edge/{socket.gethostname()}"
        if parts.scheme not in _PORTS or not parts.hostname or qos not in (0, 1, 2) or asked:
            raise EdgeError("that is no address of an MQTT broker", f"give {_FORM}")
        if {"+", "#", "\0"} & set(topic):
            raise EdgeError(f"nothing can be sent to the topic {topic}", "leave out + and #")
        return cls(
            host=parts.hostname, port=port, secure=parts.scheme == "mqtts",
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            topic=topic, qos=qos,
        )  # fmt: skip


class Mqtt(Output):
    """Sends each result to a broker, and comes back to it when it was away.

    While the broker is there nothing is lost: a run waits for one that is slow. While it is away
    the first results are kept for it, and the others counted.

    Args:
        broker: Where to.
        warn: Called with each sentence that the user should read.

    Attributes:
        lost: Results that were not sent.
    """

    def __init__(self, broker: Broker, warn: Warn) -> None:
        self.lost = 0
        self._broker, self._warn = broker, warn
        self._changed = threading.Condition()
        self._waiting = 0
        self._there = self._told = self._ending = False
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"edge-{socket.gethostname()}-{os.getpid()}"
        )
        if broker.secure:
            client.tls_set()
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        client.will_set(f"{broker.topic}/status", "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, _LONGEST_PAUSE_S)
        client.on_connect = self._connected
        client.on_connect_fail = self._failed
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        self._client = client

    def begin(self, running: Running) -> None:
        """Connect; a broker that is not there yet is waited for beside the run."""
        self._running = running
        self._client.connect_async(self._broker.host, self._broker.port, _KEEPALIVE_S)
        self._client.loop_start()

    def show(self, result: Result) -> None:
        """Send one result."""
        if not self._send("frames", to_json(frame_json(result))):
            self.lost += 1

    def finish(self, summary: dict[str, Any]) -> None:
        """Send the summary."""
        self._ending = True  # from here on nobody is waited for but in `close`
        self._send("summary", to_json(summary))

    def close(self) -> None:
        """Hand over what waits, say goodbye, and leave."""
        self._ending = True
        if self._there:
            self._send("status", "offline", retain=True)
        end = time.monotonic() + _PATIENCE_S
        with self._changed:
            while self._waiting and self._there and time.monotonic() < end:
                self._changed.wait(0.1)
        self._client.disconnect()
        self._client.loop_stop()
        if self._waiting:
            self._warn(f"the MQTT broker did not confirm the last {self._waiting:,} messages")
        if self.lost:
            self._warn(f"{self.lost:,} results were not sent: the MQTT broker was away")

    def _send(self, name: str, text: str, *, retain: bool = False) -> bool:
        """Send to one of our topics; return False where that cannot be."""
        qos = self._broker.qos
        with self._changed:
            while self._is_full() and self._there and not self._is_ending():
                self._running.waits.add(_BROKER)
                self._changed.wait(0.5)
            self._running.waits.discard(_BROKER)
            if self._is_full() or (qos == 0 and not self._there):
                return False
            self._waiting += 1
        topic = f"{self._broker.topic}/{name}"
        sent = self._client.publish(topic, text, qos=qos, retain=retain).rc
        # Without a connection it is kept for the next one.
        kept = qos > 0 and sent == MQTTErrorCode.MQTT_ERR_NO_CONN
        if sent == MQTTErrorCode.MQTT_ERR_SUCCESS or kept:
            return True
        self._published()
        return False

    def _is_full(self) -> bool:
        return self._waiting >= _MOST_WAITING

    def _is_ending(self) -> bool:
        return self._ending or self._running.stopping()

    def _connected(self, client: Client, data: Any, flags: Any, reason: Any, *_: Any) -> None:
        if reason.is_failure:
            self._tell(f"the MQTT broker refuses: {reason}")
            return
        client.publish(f"{self._broker.topic}/status", "online", qos=1, retain=True)
        with self._changed:
            self._there = True
            self._told = False
            # The word that we are there is confirmed like a result.
            self._waiting += 1
            self._changed.notify_all()

    def _failed(self, client: Client, data: Any) -> None:
        place = f"{self._broker.host}:{self._broker.port}"
        self._tell(f"no MQTT broker at {place}; it is asked again and again")

    def _disconnected(self, client: Client, data: Any, flags: Any, reason: Any, *_: Any) -> None:
        with self._changed:
            was_there, self._there = self._there, False
            if self._broker.qos == 0:
                self._waiting = 0  # what was under way is never told of
            self._changed.notify_all()
        if was_there and reason.is_failure:
            self._tell("the MQTT broker is away; it is asked again and again")

    def _published(self, *_: Any) -> None:
        with self._changed:
            self._waiting = max(self._waiting - 1, 0)
            self._changed.notify_all()

    def _tell(self, sentence: str) -> None:
        """Warn, once until the broker is there again."""
        if not self._told:
            self._told = True
            self._warn(sentence)
