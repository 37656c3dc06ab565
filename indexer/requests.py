"""What scripts ask for by NOTIFY: `{"assetId": "...", "tasks": ["ocr"]}` on the channel immich_indexer_reprocess."""

import asyncio
from typing import Literal
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from indexer import queue
from indexer.database import PATIENCE, TROUBLE, Pool, explain, within
from indexer.errors import RequestError

log = structlog.get_logger()


class Message(BaseModel):
    """One request; without tasks it is for all of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    assetId: UUID  # noqa: N815 - as in Immich's own API
    tasks: list[Literal["clip", "ocr"]] | None = None


async def take_in(pool: Pool, messages: asyncio.Queue[str]) -> None:
    """Put into the queue what `messages` ask for, for ever. What is wrong with one is logged, and that is all."""
    while True:
        text = await messages.get()
        try:
            message = Message.model_validate_json(text)
            queued = await within(PATIENCE, queue.hear(pool, text, message.assetId, message.tasks))
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
