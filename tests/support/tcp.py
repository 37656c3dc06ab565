"""A server of the tests' own on a port of this machine, all of whose connections end with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, hosts: str | Sequence[str] = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Runs `handler` once a connection, and yields the port. A connection ends with its handler, or with the server.

    `asyncio.start_server` leaves both to the garbage collector, which then complains in the middle of another test:
    connections whose handler is cancelled, and those that arrive while the server is being closed.
    """
    tasks: set[asyncio.Task[None]] = set()
    closed = False

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if closed:
            writer.transport.abort()
            return
        task = asyncio.create_task(run(reader, writer))
        tasks.add(task)
        # The handler of a task that is cancelled before its first step never runs: its connection ends here.
        task.add_done_callback(lambda done: (tasks.discard(done), writer.transport.abort()))

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # either side may go at any time
            await handler(reader, writer)
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(accept, hosts, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        closed = True
        # A server that is closed between accepting a connection and serving it forgets that connection. So it stops to
        # accept first, and what is on its way has arrived a few steps later.
        for listener in server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        await _steps()
        server.close()
        for task in tasks:
            task.cancel()
        while tasks:
            await asyncio.wait(tasks)
        await _steps()  # in which asyncio closes them


async def _steps() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
