"""What every request passes through: token, limits, errors in one shape, and a line in the log."""

import hmac
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from gateway.body import Body
from gateway.errors import NO_MEMORY, GatewayError, NotFoundError, UnavailableError, UnexpectedError, answer
from gateway.gate import Gate
from gateway.metrics import Metrics
from indexer.settings import Settings

log = structlog.get_logger()

BODY = web.RequestKey("body", Body)
"""Under this key a handler finds the request's body, which may still be arriving."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_GONE = 499  # the client has disconnected: nobody reads the answer
_SMALL = 64 << 10  # bodies up to this size are always admitted, so that searches go on while pictures wait


class Guard:
    """A middleware. Handlers find the body at `request[BODY]`. The settings give the limits."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._max_body = (settings.max_preview_megabytes << 20) + _SMALL  # a picture, and the form that contains it
        self._bodies = Gate("uploads", max(settings.gateway_megabytes_in_flight << 20, self._max_body))
        self._body_seconds = settings.gateway_body_seconds
        token = settings.gateway_token
        self._token = None if token is None else token.get_secret_value().encode()
        self._metrics = metrics

    @staticmethod
    async def on_prepare(_request: web.Request, response: web.StreamResponse) -> None:
        """A signal of the application. Its headers forbid browsers to cache answers, guess types, or share them."""
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)

    @property
    def prefix(self) -> str:
        """The beginning of every route that does not itself check who sent the request."""
        return "" if self._token is None else "/{token}"

    def bears_token(self, request: web.Request) -> bool:
        """Whether the request has the token as `Authorization: Bearer`."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(given.strip())

    def _is_token(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(given.encode(errors="surrogateescape"), self._token)

    @web.middleware
    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Handle a request. Nothing that a client wrote is logged or counted: no path, no body, no query."""
        start = time.perf_counter()
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else "(unknown)"
        status = _GONE
        try:
            response = await self._answer(request, handler)
            status = response.status
            return response
        finally:
            write = log.debug if status < 400 and request.method == "GET" else log.info
            ms = round((time.perf_counter() - start) * 1000, 1)
            write("answered", method=request.method, path=path, status=status, ms=ms)
            self._metrics.requests.labels(path, status).inc()

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_token(request)
            if request.match_info.http_exception is not None:
                raise request.match_info.http_exception
            return await self._with_body(request, handler)
        except GatewayError as error:
            return answer(error)
        except web.HTTPException as error:
            return answer(NotFoundError(error.reason, error.status))
        except ConnectionError:
            return web.Response(status=_GONE)
        except MemoryError as error:
            log.warning("too little memory for a request", error=str(error))
            return answer(UnavailableError("the gateway has too little memory: ask again in half a minute", NO_MEMORY))
        except Exception:
            log.exception("unexpected error")
            return answer(UnexpectedError())

    def _check_token(self, request: web.Request) -> None:
        """Check the token of routes for Immich and MT Photos, which cannot log in. Other routes check the user."""
        given = request.match_info.get("token")
        if given is None or self._token is None:
            return
        if not self._is_token(given):
            raise web.HTTPNotFound

    async def _with_body(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.can_read_body:
            request[BODY] = Body()
            return await handler(request)
        # For a compressed body the announced size says nothing about its size here.
        size = None if "Content-Encoding" in request.headers else request.content_length
        held = self._max_body if size is None else size
        with self._bodies(held if held > _SMALL else 0):
            async with Body.arriving(
                request.content, size=size, limit=self._max_body, seconds=self._body_seconds
            ) as request[BODY]:
                return await handler(request)
