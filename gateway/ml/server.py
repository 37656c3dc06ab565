"""One machine-learning server that speaks Immich's protocol, and the meaning of its answers and failures."""

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from types import SimpleNamespace

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from gateway.body import Body
from gateway.errors import UpstreamError
from gateway.ml.tasks import Relayed
from indexer.immich.ml_servers import explain, name_of

_PASSING = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
_CONNECT_SECONDS = 3.0
_KEEP_ALIVE = 1.0  # seconds: Immich's server closes idle connections after 2
_LONGEST_ANSWER = 32 << 20  # bytes: a face takes about 10,000


class UpstreamRefusalError(UpstreamError):
    """A server answered with an error. `status` is the server's where the request is the cause (4xx), else 502."""

    reason = "refused"

    def __init__(self, server: str, status: int, text: str) -> None:
        super().__init__(f"{server} answered {status}: {text or 'nothing'}")
        if 400 <= status < 500:
            self.status = status


class _Payload(aiohttp.Payload):
    """A body, unchanged and without a copy, in large pieces: those of aiohttp have 64 KiB."""

    def __init__(self, body: Body) -> None:
        super().__init__(body)
        self._body = body
        self._size = body.size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text, for people."""
        return self._body.start(self._body.arrived).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all of it, as it arrives."""
        async for piece in self._body.pieces():
            await writer.write(piece)


class PassingError(Exception):
    """The server did not process the request. It may be repeated, after `pause` seconds if the server named them."""

    reason = "busy"

    def __init__(self, reason: str, pause: float = 0) -> None:
        super().__init__(reason)
        self.pause = pause


class UnreachableError(PassingError):
    """The connection could not be made."""

    reason = "unreachable"


class StaleError(PassingError):
    """The server closed a kept connection, probably just when we used it. Or, less likely, this request killed it."""

    reason = "stale"


@dataclass(eq=False)
class Server:
    """One server. `trouble` says why it does not work, and is empty while it does. `failed` counts by reason."""

    url: URL
    trouble: str = ""
    in_flight: int = 0
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    last_asked: int = 0

    @property
    def name(self) -> str:
        """Its address, without any password."""
        return name_of(self.url)

    async def predict(self, session: aiohttp.ClientSession, body: Body, content_type: str) -> Relayed:
        """Its answer to `POST /predict` with this body, unchanged.

        Raises:
            PassingError: it did not process the request, or (StaleError) probably did not.
            UpstreamRefusalError, UpstreamError: it accepted the request, and failed.
        """
        self.in_flight += 1
        try:
            found = await self._predict(session, body, content_type)
        except (PassingError, UpstreamError) as error:
            self.failed[error.reason] += 1
            raise
        except asyncio.CancelledError:  # by a deadline, or because the client disconnected or stopped sending
            self.failed["abandoned"] += 1
            raise
        finally:
            self.in_flight -= 1
        self.answered += 1
        return found

    async def _predict(self, session: aiohttp.ClientSession, body: Body, content_type: str) -> Relayed:
        connection = SimpleNamespace(reused=False)
        try:
            async with session.post(
                self.url / "predict",
                data=_Payload(body),
                headers={"Content-Type": content_type},
                allow_redirects=False,
                trace_request_ctx=connection,
            ) as response:
                status, answer = response.status, await _read(response)
                retry_after = response.headers.get("Retry-After", "")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self.trouble = explain(error)
            raise UnreachableError(f"{self.name} cannot be reached: {self.trouble}") from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if connection.reused:
                raise StaleError(f"{self.name} closed the connection") from error
            raise UpstreamError(f"{self.name} broke off before it answered: {explain(error)}") from error
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{self.name} broke off while it answered: {explain(error)}") from error
        if status in _PASSING:
            pause = float(retry_after) if re.fullmatch(r"\d{1,3}", retry_after) else 0.0
            raise PassingError(f"{self.name} answered {status}", pause)
        if status >= 300:
            raise UpstreamRefusalError(self.name, status, answer[:300].decode(errors="replace").strip())
        try:
            found = json.loads(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UpstreamError(f"{self.name} answered with something that is not a JSON object")
        return Relayed(found, answer)


def open_session() -> aiohttp.ClientSession:
    """A session for any number of servers. It keeps connections for the next request."""
    reuse = aiohttp.TraceConfig()
    reuse.on_connection_reuseconn.append(_on_reuse)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[reuse],
    )


async def _on_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.reused = True


async def _read(response: aiohttp.ClientResponse) -> bytes:
    answer = bytearray()
    async for part in response.content.iter_any():
        answer += part
        if len(answer) > _LONGEST_ANSWER:
            raise aiohttp.ClientPayloadError(f"more than {_LONGEST_ANSWER} bytes")
    return bytes(answer)
