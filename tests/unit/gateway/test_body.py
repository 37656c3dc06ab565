"""Bodies of requests while they arrive."""

import asyncio
import contextlib

import pytest

from gateway.body import Body
from gateway.errors import SlowClientError, TooLargeError


class Wire:
    """What a client sends: as much as `feed` was told; an exception is what reading ends with."""

    def __init__(self) -> None:
        self._parts: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    def feed(self, *parts: bytes | Exception) -> None:
        for part in parts:
            self._parts.put_nowait(part)

    async def readchunk(self) -> tuple[bytes, bool]:
        part = await self._parts.get()
        if isinstance(part, Exception):
            raise part
        return part, False

    def at_eof(self) -> bool:
        return self._parts.empty()


@pytest.fixture
def wire() -> Wire:
    return Wire()


def arriving(wire: Wire, size: int | None = None, limit: int = 10_000_000, seconds: float = 20):
    return Body.arriving(wire, size=size, limit=limit, seconds=seconds)


async def read(body: Body) -> bytes:
    return b"".join([bytes(piece) async for piece in body.pieces()])


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("parts", [[b"a"], [b"abc", b"d"], [bytes([i % 251]) * 40_000 for i in range(70)]])
async def test_everybody_gets_all_of_it_whenever_they_ask(wire, parts, announced):
    data = b"".join(parts)
    async with arriving(wire, len(data) if announced else None) as body:
        early = asyncio.create_task(read(body))
        held = []  # views that are still looked at when more arrives
        async with asyncio.timeout(20):
            for part in parts:
                before = body.arrived
                wire.feed(part)
                await body.more(before)
                held.append((body.start(5), await anext(body.pieces())))
            wire.feed(b"")
            assert bytes(await body.whole()) == data
            assert await early == await read(body) == data
        assert body.complete
        assert body.size == len(data)
        assert all(data.startswith(start) and data.startswith(bytes(view)) for start, view in held)


async def test_a_body_cut_very_small_is_kept_in_few_parts(wire):
    data = bytes(i % 251 for i in range(50_000))
    wire.feed(*(data[at : at + 1] for at in range(len(data))), b"")
    async with arriving(wire) as body:
        await body.more(len(data) - 1)
        pieces = [bytes(piece) async for piece in body.pieces()]
        assert b"".join(pieces) == await body.whole() == data
    assert len(pieces) < 20


async def test_a_body_that_is_there():
    for data in (b"", b"abc", bytes(3_000_000)):
        body = Body(data)
        assert body.complete
        assert await body.whole() == await read(body) == data


@pytest.mark.parametrize(("size", "parts"), [(11, []), (None, [b"a" * 6, b"b" * 6])])
async def test_more_than_is_taken(wire, size, parts):
    wire.feed(*parts)
    async with arriving(wire, size, limit=10) as body:
        with pytest.raises(TooLargeError, match="more than 10 bytes"):
            await body.whole()


async def test_a_rest_that_never_comes_is_told_by_whole_and_by_nobody_else(wire):
    wire.feed(b"abc")
    async with arriving(wire, 10, seconds=0.05) as body:
        reading = asyncio.create_task(read(body))
        with pytest.raises(SlowClientError):
            await body.whole()
        with pytest.raises(SlowClientError):  # whoever comes later hears it too
            await body.more(3)
        await body.more(2)
        assert body.start(10) == b"abc"
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            assert not await reading


async def test_a_connection_that_breaks(wire):
    wire.feed(b"abc", ConnectionResetError("gone"))
    async with arriving(wire, 10) as body:
        with pytest.raises(ConnectionResetError):
            await body.whole()


async def test_nothing_is_received_after_the_block(wire):
    tasks = len(asyncio.all_tasks())
    async with arriving(wire, 10):
        pass
    assert len(asyncio.all_tasks()) == tasks
