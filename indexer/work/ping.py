"""`python -m indexer.work.ping`: a container's health check, whether the indexer of this host works."""

import asyncio
import socket
import sys

from indexer.database.pool import connect
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError
from indexer.queue import backlog
from indexer.settings import Settings

_LEASES = 3.0  # without a heartbeat, until it counts as unhealthy. Docker asks three more times before it says so


async def trouble(settings: Settings, host: str) -> str | None:
    """What is wrong with the indexer of that host, as a sentence. None: nothing."""
    try:
        connection = await connect(settings.dsn)
        try:
            ours = [worker for worker in await backlog.workers(connection) if worker.name.rpartition(":")[0] == host]
            wanting = await backlog.wanting(connection)
        finally:
            await connection.close()
    except TROUBLE as error:
        return explain(error)
    if not ours:
        return f"no indexer of {host} is at work"
    silence = min(worker.seen_seconds for worker in ours)
    if silence > _LEASES * settings.lease_seconds:
        return f"the indexer of {host} was last seen {silence:.0f} s ago"
    for worker in ours:
        for name, engine in worker.engines.items():
            if engine.state == "sick":
                said = engine.sentence(name, worker.name, wanting.get(name, 0))
                return f"{said}. It is replaced by itself; `immich-indexer doctor` may say what helps"
    return None


def main() -> None:
    """Exit with 0, or with 1 and the reason."""
    try:
        found = asyncio.run(trouble(Settings.load(), socket.gethostname()))
    except IndexerError as error:
        found = str(error)
    if found:
        sys.exit(found)


if __name__ == "__main__":
    main()
