"""The body of a request while it arrives: kept, and given from its beginning to as many as ask for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import StreamReader

from gateway.errors import SlowClientError, TooLargeError

_PIECE = 1 << 20  # bytes handed to a socket at once
_FIRST = 64 << 10  # bytes to make room for where nobody says how many will come


class Body:
    """Bytes that are all there, or those of `arriving`.

    Attributes:
        size: bytes in all; None while nobody knows.
        arrived: bytes that are here.
    """

    def __init__(self, data: bytes | bytearray = b"") -> None:
        self.size: int | None = len(data)
        self.arrived = len(data)
        self._data = data  # of a body under way: room for more than has arrived
        self._failure: Exception | None = None
        self._news = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def arriving(
        cls, content: StreamReader, *, size: int | None, limit: int, seconds: float
    ) -> AsyncIterator["Body"]:
        """A body that is received for as long as the block lasts.

        Args:
            content: where it comes from.
            size: bytes that were announced; None: none were.
            limit: bytes that are taken.
            seconds: time it may take.
        """
        # Room for all that was announced: it is never moved while somebody sends it on, and costs nothing until filled.
        room = bytearray(_FIRST if size is None else min(size, limit))
        body = cls(room)
        body.size, body.arrived = size, 0
        receiving = asyncio.create_task(body._receive(room, content, limit, seconds))
        try:
            yield body
        finally:
            receiving.cancel()
            await asyncio.wait([receiving])

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""
        return self.arrived == self.size

    def start(self, length: int) -> bytes:
        """Its first bytes, at most `length` of those that are here."""
        return bytes(memoryview(self._data)[: min(length, self.arrived)])

    async def more(self, than: int) -> None:
        """Wait until more bytes are here than that, or all.

        Raises:
            SlowClientError: they took too long.
            TooLargeError: there are too many.
            Exception: the connection broke, or what came was no body, as aiohttp puts it.
        """
        while self.arrived <= than and not self.complete:
            if self._failure is not None:
                raise self._failure
            await self._news.wait()

    async def whole(self) -> bytes | bytearray:
        """All of it. Raises as `more`."""
        while not self.complete:
            await self.more(self.arrived)
        return self._data

    async def pieces(self) -> AsyncIterator[memoryview]:
        """What is here, then what comes. Where the rest never comes this waits to be cancelled.

        That the body failed is told by `whole` alone: whoever sends it on must not take it for a fault of the receiver.
        """
        at = 0
        while not (self.complete and at == self.arrived):
            if at == self.arrived:
                await self._news.wait()
            else:
                end = min(self.arrived, at + _PIECE)
                yield memoryview(self._data)[at:end]
                at = end

    async def _receive(self, room: bytearray, content: StreamReader, limit: int, seconds: float) -> None:
        too_large = TooLargeError(f"the body has more than {limit} bytes")
        try:
            if self.size is not None and self.size > limit:
                raise too_large
            async with asyncio.timeout(seconds):
                while part := await content.readany():
                    end = self.arrived + len(part)
                    if end > limit:
                        raise too_large
                    if end > len(room):  # made anew, not resized: somebody may hold a view of it
                        room = bytearray(room[: self.arrived]).ljust(min(limit, max(end, 2 * len(room))), b"\0")
                        self._data = room
                    room[self.arrived : end] = part
                    self.arrived = end
                    self._tell()
            self._data = room if len(room) == self.arrived else room[: self.arrived]
            self.size = self.arrived
        except TimeoutError:
            self._failure = SlowClientError("the body did not arrive in time")
        except Exception as error:
            self._failure = error
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
