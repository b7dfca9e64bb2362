"""What the preview answers: its page, the frames, and changes of the run."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from edge.errors import EdgeError
from edge.runtime.outputs import to_json

_PAGE = {
    "/": ("preview.html", "text/html"),
    "/preview.js": ("preview.js", "text/javascript"),
    "/preview.css": ("preview.css", "text/css"),
}
_MOST_BYTES = 4096
_PATIENCE_S = 5.0


class Watched(Protocol):
    """What the preview shows."""

    def state(self) -> dict[str, Any]:
        """Return what the run is, and what can be changed of it."""

    def change(self, asked: Any) -> None:
        """Change the run; raise `EdgeError` where it cannot be changed so."""

    def messages(self) -> AsyncIterator[bytes]:
        """Yield the newest frame again and again, each once."""


def preview_app(watched: Watched) -> Starlette:
    """Return the application: GET of the page, /state and /frames, POST of /control."""

    async def state(request: Request) -> Response:
        return _json(watched.state())

    async def frames(request: Request) -> Response:
        return StreamingResponse(watched.messages(), media_type="application/octet-stream")

    async def control(request: Request) -> Response:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                body = await _body(request)
        except TimeoutError:
            return _json({"error": "the request took too long"}, 408)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return _json({"error": f"a change has at most {_MOST_BYTES:,} bytes"}, 413)
        try:
            # Off the loop: to open another detector takes its time.
            await run_in_threadpool(watched.change, json.loads(body))
        except EdgeError as error:
            return _json({"error": f"{error.message}: {error.hint}"}, 400)
        except (ValueError, RecursionError):
            return _json({"error": "this is no JSON"}, 400)
        return _json(watched.state())

    pages = [Route(path, _static(*page), methods=["GET"]) for path, page in _PAGE.items()]
    routes = [
        *pages,
        Route("/state", state, methods=["GET"]),
        Route("/frames", frames, methods=["GET"]),
        Route("/control", control, methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


def _static(name: str, media_type: str) -> Callable[[Request], Any]:
    body = files("edge.runtime").joinpath(name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(body, media_type=media_type)

    return answer


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")


async def _body(request: Request) -> bytes | None:
    """Return what was sent; None if it is too much."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return None
    return body
