"""What is put into the queue, by us and by people: also by NOTIFY on the channel immich_indexer_reprocess.

A notification is `{"assetId": "...", "tasks": ["ocr"]}`.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

import asyncpg
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import RequestError
from indexer.queue.jobs import Priority
from indexer.queue.tasks import Part

log = structlog.get_logger()

_SQL = queries("queue")
_ONCE = 5.0  # seconds within which the same message counts once


async def enqueue(
    connection: Connection | Pool, assets: Sequence[UUID], tasks: Iterable[str], priority: Priority
) -> None:
    """Ask for `tasks` on `assets`, durably; whoever listens is told."""
    await connection.execute(_SQL["enqueue"], assets, sorted(tasks), priority)


async def request(connection: Connection | Pool, assets: Sequence[UUID], tasks: Iterable[str] | None = None) -> int:
    """A person asks for `assets` again, durably; `tasks`: clip, ocr, or both (None). Returns how many will be read.

    A few go before everything else, many behind new uploads. Those that are not indexed are left out.

    Raises:
        RequestError: there is no such photo, or no such task.
    """
    with _refusal():
        return int(await connection.fetchval(_SQL["request"], assets, _sorted(tasks)))


async def request_once(
    connection: Connection | Pool, message: str, asset: UUID, tasks: Iterable[str] | None
) -> bool | None:
    """The same for one photo, of which a message told that other workers hear too.

    Returns whether the photo will be read again; None where another worker was first. Raises as `request`.
    """
    with _refusal():
        taken: bool | None = await connection.fetchval(_SQL["request_once"], asset, _sorted(tasks), message, _ONCE)
        return taken


@contextlib.contextmanager
def _refusal() -> Iterator[None]:
    try:
        yield
    except asyncpg.InvalidParameterValueError as error:
        raise RequestError(str(error)) from None


def _sorted(tasks: Iterable[str] | None) -> list[str] | None:
    return None if tasks is None else sorted(tasks)


async def retry(connection: Connection | Pool, assets: Sequence[UUID] | None = None) -> list[UUID]:
    """Try again at once what was given up or waits for another try: all, or those of `assets`. Returns which."""
    rows = await connection.fetch(_SQL["retry"], assets)
    await connection.execute("SELECT pg_notify('immich_indexer', '')")
    return [row["asset_id"] for row in rows]


class Message(BaseModel):
    """One request; without tasks it is for all of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    assetId: UUID  # noqa: N815 - as in Immich's own API
    tasks: list[Part] | None = None


async def take_in(pool: Pool, messages: asyncio.Queue[str]) -> None:
    """Put into the queue what `messages` ask for, for ever. What is wrong with one is logged, and that is all."""
    while True:
        text = await messages.get()
        try:
            message = Message.model_validate_json(text)
            queued = await request_once(pool, text, message.assetId, message.tasks)
        except ValidationError as error:
            _refused(
                text, "; ".join(f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in error.errors())
            )
        except RequestError as error:
            _refused(text, str(error))
        except TROUBLE as error:
            _refused(text, explain(error))
        else:
            if queued is False:
                _refused(text, "the photo is hidden, offline, in the trash, or has no preview yet")


def _refused(text: str, reason: str) -> None:
    log.warning("a request by NOTIFY came to nothing", message=text[:200], reason=reason)
