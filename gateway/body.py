"""The body of a request while it arrives. It is kept, and any number of readers get it from its beginning."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import StreamReader
from aiohttp.web import RequestPayloadError

from gateway.errors import HttpError, SlowClientError, TooLargeError

_PIECE = 1 << 20  # bytes given to a socket at a time
_SMALL = 32 << 10  # bytes: smaller parts are joined


class Body:
    """The bytes of a body, complete or still `arriving`, in the parts in which they come.

    Attributes:
        size: total bytes. None while not known.
        arrived: bytes that are here.
    """

    def __init__(self, data: bytes = b"") -> None:
        self.size: int | None = len(data)
        self.arrived = len(data)
        self._parts = [data] if data else []
        self._starts = [0] if data else []  # where in the body each part begins
        self._failure: Exception | None = None
        self._news = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def arriving(
        cls, content: StreamReader, *, size: int | None, limit: int, seconds: float
    ) -> AsyncIterator["Body"]:
        """A body that is received while the block runs.

        Args:
            content: where it comes from.
            size: bytes that the client announced. None: it announced nothing.
            limit: the most bytes to accept.
            seconds: the longest time that it may take.
        """
        body = cls()
        body.size = size
        receiving = asyncio.create_task(body._receive(content, limit, seconds))
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
        """Its first bytes, as far as they are here, but at most `length`."""
        return b"".join(self._parts[: bisect_right(self._starts, length)])[:length]

    async def more(self, than: int) -> None:
        """Wait until more than `than` bytes are here, or all of them.

        Raises:
            SlowClientError: they took too long.
            TooLargeError: there are too many.
            HttpError: they are not encoded as their headers say.
            Exception: the connection broke. The exception is aiohttp's.
        """
        while self.arrived <= than and not self.complete:
            if self._failure is not None:
                raise self._failure
            await self._news.wait()

    async def whole(self) -> bytes:
        """All of it. Raises as `more`."""
        while not self.complete:
            await self.more(self.arrived)
        if len(self._parts) != 1:
            self._parts, self._starts = [b"".join(self._parts)], [0]
        return self._parts[0]

    async def pieces(self) -> AsyncIterator[memoryview]:
        """What is here, then what arrives later. If the rest never arrives, this waits until it is cancelled.

        Only `whole` raises if the body failed: code that forwards the body must not take this for an error of the
        receiving server.
        """
        at = 0
        while not (self.complete and at == self.arrived):
            if at == self.arrived:
                await self._news.wait()
            else:
                number = bisect_right(self._starts, at) - 1
                piece = memoryview(self._parts[number])[at - self._starts[number] :][:_PIECE]
                yield piece
                at += len(piece)

    async def _receive(self, content: StreamReader, limit: int, seconds: float) -> None:
        too_large = TooLargeError(f"the body has more than {limit} bytes")
        try:
            if self.size is not None and self.size > limit:
                raise too_large
            async with asyncio.timeout(seconds):
                # Part by part: `readany` would join all parts that are here, and each was already copied once.
                while (part := (await content.readchunk())[0]) or not content.at_eof():
                    if self.arrived + len(part) > limit:
                        raise too_large
                    if part:
                        self._add(part)
            self.size = self.arrived
        except TimeoutError:
            self._failure = SlowClientError("the body did not arrive in time")
        except RequestPayloadError:
            self._failure = HttpError("the body is not encoded as its headers say", 400)
        except Exception as error:
            self._failure = error
        self._tell()

    def _add(self, part: bytes) -> None:
        start, self.arrived = self.arrived, self.arrived + len(part)
        # Small parts are joined, two of equal size at a time, as in a binary counter. So there are never many parts.
        while self._parts and len(self._parts[-1]) <= len(part) < _SMALL:
            start, part = self._starts.pop(), self._parts.pop() + part
        self._parts.append(part)
        self._starts.append(start)
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
