"""Keeps the facts of photos (photos/facts.py) as Immich's tables say, within a second of edits that triggers note.

It needs no model and no picture, so it is a task of its own, which waits for no reading. It looks for edits itself: a
notification of each would take as long as Immich's own write.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import asyncpg
import structlog

from indexer.database.pool import Pool
from indexer.database.trouble import TROUBLE, explain
from indexer.outage import Outage
from indexer.photos import facts
from indexer.work import verdicts
from indexer.work.pace import WorkerPace
from indexer.work.verdicts import Verdict

log = structlog.get_logger()

_BATCH = 100  # photos in one transaction, which locks their rows


async def keep(pool: Pool, new: asyncio.Event, outage: Outage, pace: WorkerPace) -> None:
    """Follow changes until cancelled. Looks every `pace.edits` seconds, and when `new` is set: there are new photos."""
    batch = _BATCH
    while True:
        new.clear()  # before looking: what arrives meanwhile sets it again
        try:
            taken = await pool.transact(partial(facts.follow, limit=batch))
        except Exception as error:
            if not is_the_photos(error):
                outage.goes_on(keep, explain(error))
                await asyncio.sleep(pace.facts)
            elif batch > 1:
                batch = 1  # one of them is to blame
            else:
                _tell(await pool.transact(facts.drop), error)
            continue
        outage.ends(keep)
        batch = min(2 * batch, _BATCH)
        if not taken:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace.edits):
                    await new.wait()


async def refresh(pool: Pool, assets: Sequence[UUID]) -> int:
    """Write the facts of `assets`, which need not be noted as changed. Returns how many had other facts."""
    try:
        return await pool.transact(partial(facts.refresh, assets=assets))
    except Exception as error:
        if not is_the_photos(error):
            raise
        if len(assets) == 1:
            _tell(assets, error)
            return 0
    return sum([await refresh(pool, [asset]) for asset in assets])


def is_the_photos(error: Exception) -> bool:
    """Whether an error may be caused by the facts themselves. That a right or a column is missing is not."""
    refused = verdicts.of(error) is not Verdict.MACHINE or isinstance(error, asyncpg.ProgramLimitExceededError)
    return refused or not isinstance(error, TROUBLE)


def _tell(assets: Sequence[UUID], error: Exception) -> None:
    """Such a photo is left out, so that it does not hold up the others. The reconciler tries it again."""
    for asset in assets:
        log.error("cannot write what Immich knows of a photo", id=str(asset), error=explain(error))
