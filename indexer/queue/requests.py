"""How jobs are enqueued, by our code and by people, also by NOTIFY on the channel immich_indexer_reprocess.

A message on that channel is `{"assetId": "...", "tasks": ["ocr"]}`.
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
from indexer.queue.tasks import Asked

log = structlog.get_logger()

_SQL = queries("queue")
_ONCE = 5.0  # seconds: the same message counts only once within them


async def enqueue(
    connection: Connection | Pool, assets: Sequence[UUID], tasks: Iterable[str], priority: Priority
) -> None:
    """Enqueue `tasks` for `assets` and notify the workers. It survives a crash."""
    await connection.execute(_SQL["enqueue"], assets, sorted(tasks), priority)


async def request(connection: Connection | Pool, assets: Sequence[UUID], tasks: Iterable[str] | None = None) -> int:
    """Enqueue photos that a person wants read again. `tasks`: clip, ocr, or None for both. Returns how many are read.

    A few photos go before everything else, many go behind new uploads. Photos that are not eligible are left out.

    Raises:
        RequestError: there is no such photo, or no such task.
    """
    with _refusal():
        return int(await connection.fetchval(_SQL["request"], assets, _sorted(tasks)))


async def request_once(
    connection: Connection | Pool, message: str, asset: UUID, tasks: Iterable[str] | None
) -> bool | None:
    """As `request`, for one photo that a `message` asks for. Other workers receive the same message.

    Returns whether the photo will be read again. None: another worker was first. Raises as `request`.
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
    """Try failed jobs again at once, also those given up: all, or those of `assets`. Returns which."""
    rows = await connection.fetch(_SQL["retry"], assets)
    await connection.execute("SELECT pg_notify('immich_indexer', '')")
    return [row["asset_id"] for row in rows]


class Message(BaseModel):
    """One request. Without tasks it asks for all of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    assetId: UUID  # noqa: N815 - as in Immich's own API
    tasks: list[Asked] | None = None


async def take_in(pool: Pool, messages: asyncio.Queue[str]) -> None:
    """Enqueue what `messages` ask for, without end. A wrong message is logged and dropped."""
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
    log.warning("a request by NOTIFY was refused", message=text[:200], reason=reason)
