"""A man in the middle of the line to PostgreSQL, who cuts it, lets bytes vanish, or swallows notifications."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

from tests.support.tcp import serving

_NOTIFICATION = b"A"


class Proxy:
    """Passes everything on to the server of `url`; `self.url` is the address to connect to instead.

    `polling`: notifications are swallowed, as by a pooler in transaction mode. `away`: nobody answers new connections.
    `last`: when this is sent, nothing of what is sent later arrives, and nobody answers new connections.
    """

    def __init__(self, url: str) -> None:
        self.polling = False
        self.away = False
        self.last: bytes | None = None
        self.turned_away = 0  # connections, while nobody answered them
        self.url = ""
        self._upstream = urlsplit(url)
        self._links: set[_Link] = set()
        self._server = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        port = await self._server.enter_async_context(serving(self._accept))
        login = self._upstream.netloc.rpartition("@")[0]
        where = self._upstream._replace(netloc=f"{login}@127.0.0.1:{port}", query="sslmode=disable")
        self.url = urlunsplit(where)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._server.aclose()

    def cut(self) -> None:
        """Close every connection there is."""
        for link in self._links:
            link.task.cancel()

    def freeze(self) -> None:
        """From now on whatever is sent over the connections there are vanishes; nobody is told, and new ones work."""
        for link in self._links:
            link.frozen = True

    def sent(self, data: bytes) -> None:
        """Looks at what a client has sent."""
        if self.last is not None and self.last in data:
            self.away = True
            self.freeze()

    @property
    def connections(self) -> int:
        """How many there are, frozen ones too."""
        return len(self._links)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, asyncio.current_task())
        self._links.add(link)
        try:
            if self.away:
                self.turned_away += 1
            else:
                await link.run(reader, writer, *await self._dial())
        finally:
            self._links.discard(link)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        directory = parse_qs(self._upstream.query).get("host", [""])[0]
        if directory.startswith("/"):
            return await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.{self._upstream.port or 5432}")
        return await asyncio.open_connection(self._upstream.hostname, self._upstream.port or 5432)


class _Link:
    """One connection of a client's, and ours to the server."""

    def __init__(self, proxy: Proxy, task: "asyncio.Task[None] | None") -> None:
        assert task is not None
        self.task = task
        self.frozen = False
        self._proxy = proxy

    async def run(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        there = asyncio.ensure_future(self._requests(client, to_server))
        back = asyncio.ensure_future(self._answers(server, to_client))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in (there, back):
                pump.cancel()
            to_server.close()
            await asyncio.gather(there, back, return_exceptions=True)

    async def _requests(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while data := await client.read(65536):
            if not self.frozen:
                to_server.write(data)
                await to_server.drain()
                self._proxy.sent(data)
        if self.frozen:  # that the client has gone vanishes too
            await asyncio.Event().wait()

    async def _answers(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Message by message: a type of one byte, a length of four that counts itself, and the rest."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await server.readexactly(5)
                rest = await server.readexactly(int.from_bytes(head[1:]) - 4)
                if not self.frozen and not (self._proxy.polling and head[:1] == _NOTIFICATION):
                    to_client.write(head + rest)
                    await to_client.drain()
