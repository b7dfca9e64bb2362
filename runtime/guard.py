"""Who may ask a run for something: its own page, and who knows the token where there is one."""

import base64
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# How long a request may take to arrive.
_PATIENCE_S = 10.0
# Bytes of all headers together.
_MOST_HEADERS = 16_384
_SAME_SITE = ("same-origin", "none")

# Nothing from elsewhere, nothing inline, in no frame, with no traces.
_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; "
    b"img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'none'; "
    b"base-uri 'none'; form-action 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


@dataclass(frozen=True)
class Guard:
    """An application that only answers those who may ask.

    A page of another site can send requests to any address that its visitor reaches, under a name
    that it made point there: so the name asked for and the origin are checked, on loopback too.

    Args:
        app: What is guarded.
        host: The address or name that is listened on.
        token: What requests have to know; None for nothing.
    """

    app: App
    host: str
    token: str | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS.items()]
            await send(message)

        refusal = self._refusal(headers)
        if refusal is None:
            await self.app(scope, receive, guarded)
            return
        status, words = refusal
        answer = [(b"content-type", b"text/plain; charset=utf-8")]
        if status == 401:
            answer.append((b"www-authenticate", b'Basic realm="edge", charset="UTF-8"'))
        await guarded({"type": "http.response.start", "status": status, "headers": answer})
        await guarded({"type": "http.response.body", "body": f"{words}\n".encode()})

    def _refusal(self, headers: dict[bytes, str]) -> tuple[int, str] | None:
        if sum(len(name) + len(value) for name, value in headers.items()) > _MOST_HEADERS:
            return 431, "the headers are too large"
        asked = headers.get(b"host", "")
        if not self._is_ours(_name_of(asked)):
            return 421, "this is not the host that was asked for"
        origin = headers.get(b"origin")
        if origin is not None and origin != f"http://{asked}":
            return 403, "another site may not ask"
        if headers.get(b"sec-fetch-site", "none") not in _SAME_SITE and not _is_link(headers):
            return 403, "another site may not ask"
        if self.token is not None and not _knows(headers.get(b"authorization", ""), self.token):
            return 401, "the token is missing or wrong"
        return None

    def _is_ours(self, name: str) -> bool:
        if is_loopback(self.host):
            return name in ("localhost", "127.0.0.1", "::1", self.host.lower())
        # Who reaches it from elsewhere knows its address, or its own name; a foreign one that was
        # made to point here is refused.
        here = socket.gethostname().lower().partition(".")[0]
        known = ("localhost", self.host.lower())
        return _is_address(name) or name in known or name.partition(".")[0] == here


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Impatient(H11Protocol):
    """HTTP that hangs up on who takes too long over a request: uvicorn would wait forever."""

    _limit: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._limit = self.loop.call_later(_PATIENCE_S, self._hang_up)

    def data_received(self, data: bytes) -> None:
        """Take what arrived; a whole request ends the wait."""
        super().data_received(data)
        if self.conn.their_state in (h11.DONE, h11.MIGHT_SWITCH_PROTOCOL):
            self._stop_waiting()
        elif self._limit is None:
            self._limit = self.loop.call_later(_PATIENCE_S, self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _hang_up(self) -> None:
        self._limit = None
        self.transport.abort()


def _is_link(headers: Mapping[bytes, str]) -> bool:
    """Tell whether a person follows a link: what comes stands in a window of its own."""
    mode, where = headers.get(b"sec-fetch-mode"), headers.get(b"sec-fetch-dest")
    return (mode, where) == ("navigate", "document")


def _name_of(host: str) -> str:
    """Return the name or address in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _knows(authorization: str, token: str) -> bool:
    """Tell whether a header has the token: as the password of any user, or as a bearer's."""
    scheme, _, value = authorization.partition(" ")
    given = value.strip()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(), token.encode())
