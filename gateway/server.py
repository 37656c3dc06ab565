"""The HTTP server below the application. It also answers what is no valid request, in our form, and logs no content.

What aiohttp's parser refuses does not reach any middleware. aiohttp's own answer is plain text, and its log shows what
was sent, for example an address with a search in it.
"""

import asyncio
import os
import signal
import socket
from typing import Any

import structlog
from aiohttp import http_exceptions, web

from gateway.errors import GatewayError, HttpError, UnexpectedError, answer
from gateway.guard import HEADERS
from indexer.errors import SettingsError
from indexer.threads import Executor

log = structlog.get_logger()

_GRACE = 8.0  # seconds to finish requests when stopped: less than the 10 that containers get

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# The first class that fits counts. We never use aiohttp's own words: they quote what was sent.
_REASONS: tuple[tuple[type[Exception], int, str], ...] = (
    (http_exceptions.LineTooLong, 431, "the address or a header is too long: at most 8190 bytes each"),
    (http_exceptions.BadHttpMethod, 400, "this is no HTTP: is it https:// to a port that speaks http://?"),
    (
        http_exceptions.InvalidURLError,
        400,
        "the address is none: in it write everything but plain letters and digits as %E5%8F%91",
    ),
    (
        http_exceptions.BadStatusLine,
        400,
        "the first line is no HTTP: in an address write everything but plain letters and digits as %E5%8F%91",
    ),
    (http_exceptions.PayloadEncodingError, 400, "the body is not encoded as its headers say, or in a way unknown here"),
    (http_exceptions.HttpProcessingError, 400, "a header or the body's end is broken, or there are too many headers"),
)


class _Protocol(web.RequestHandler):
    """One connection."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to something that is no request, or (500) to a request that failed outside of every middleware."""
        for kind, ours, reason in _REASONS:
            if isinstance(exc, kind):
                log.info("refused an invalid request", reason=kind.__name__, status=ours)
                error: GatewayError = HttpError(reason, ours)
                break
        else:
            log.error("unexpected error", exc_info=exc)
            error = UnexpectedError()
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        response = answer(error)
        response.headers.update(HEADERS)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Log what aiohttp reports of a broken connection, without what was sent over it."""
        error = options.get("exc_info")
        if isinstance(error, web.RequestPayloadError | http_exceptions.HttpProcessingError):
            log.debug("a body broke off", reason=type(error).__name__)
        else:
            log.error("a connection broke down", exc_info=error)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application, as the command does."""

    def __init__(self, app: web.Application, *, grace: float = _GRACE) -> None:
        # Handlers are cancelled when their client disconnects.
        super().__init__(app, access_log=None, shutdown_timeout=grace, handler_cancellation=True)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await made.request_handler(request)
            except web.HTTPException as error:  # an unknown Expect header, which is checked before the middlewares
                return answer(HttpError(error.reason, error.status))

        return _Server(
            handle,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )


async def serve(app: web.Application, host: str, port: int) -> None:
    """Serve on `host`, `port` until SIGINT or SIGTERM.

    Raises:
        SettingsError: it cannot listen there.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_default_executor(Executor())
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    runner = Runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await stop.wait()
    except OSError as error:
        # asyncio's own text repeats the address.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise SettingsError(f"cannot listen on {host}:{port}: {reason} (GATEWAY_HOST, GATEWAY_PORT)") from error
    finally:
        await runner.cleanup()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
