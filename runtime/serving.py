"""A web server beside a run, in a thread of its own, that only answers who may ask."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

from edge.errors import EdgeError
from edge.runtime.guard import App, Guard, Impatient

_MOST_CONNECTIONS = 64
# How long the end of a run may take to reach those who listen.
_PATIENCE_S = 3.0


class Server:
    """Serves an application until it is closed.

    Args:
        app: What answers.
        host: Address or name to listen on.
        port: Likewise; 0 for any that is free.
        option: Of the command line, for what is said where the address is taken.
        token: What requests have to know; None for nothing.

    Attributes:
        url: Of its root.

    Raises:
        EdgeError: The address cannot be listened on.
    """

    def __init__(
        self, app: App, host: str, port: int, *, option: str, token: str | None = None
    ) -> None:
        self._socket = _listening(host, port, option)
        # From elsewhere no machine has the name 0.0.0.0.
        name = socket.gethostname() if host in ("0.0.0.0", "::") else host
        name = f"[{name}]" if ":" in name else name
        self.url = f"http://{name}:{self._socket.getsockname()[1]}/"
        # What a viewer does is no news of the run, nor that one is cut off at its end.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
        self._server = uvicorn.Server(
            uvicorn.Config(
                Guard(app, host, token), http=Impatient, ws="none", lifespan="off",
                log_config=None, access_log=False, server_header=False, date_header=False,
                limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="edge server", daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()
        self._ready.wait()

    def tell(self, what: Callable[..., None], *of: Any) -> None:
        """Call something in the server's thread, soon; a server that has ended does not."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *of)

    def close(self, last: Callable[[], None] | None = None) -> None:
        """End.

        Args:
            last: Called in the server's thread once it takes no more requests.
        """
        if self._thread.is_alive():
            self._server.should_exit = True
            if last is not None:
                self.tell(last)
            self._thread.join(_PATIENCE_S)
        self._socket.close()

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self._server.serve(sockets=[self._socket])
            # Who does not read what is still to be sent to him is not waited for.
            for left in list(self._server.server_state.connections):
                left.transport.abort()
            await asyncio.sleep(0)

        asyncio.run(serve())


def _listening(host: str, port: int, option: str) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise EdgeError(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
            f"choose another address: {option} 127.0.0.1:{8089 if port != 8089 else 8090}",
        ) from error
