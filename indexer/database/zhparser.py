"""zhparser's part of our schema. Only some servers offer zhparser, so it comes and goes with the server."""

from typing import Literal

from indexer.database.pool import Connection
from indexer.database.refusal import RUN_ROLE
from indexer.database.statements import queries, sql

# lost: our configuration needs zhparser, but the server no longer has it. none: the server does not offer it. offered:
# the extension has to be created, by a superuser. ready: our configuration has to be created. used: it exists.
State = Literal["lost", "none", "offered", "ready", "used"]

_SQL = queries("zhparser")
_ADVICE: dict[State, str] = {
    "lost": "this server has it no longer, which makes Immich's backups fail: run `immich-indexer install`",
    "none": "this server does not have it: every piece of text is still found, but Chinese words do not rank",
    "offered": f"{RUN_ROLE}, which creates the extension, then `immich-indexer install`",
    "ready": "run `immich-indexer install`, and Chinese words rank",
}


async def state(connection: Connection) -> State:
    """The state of this database."""
    found: State = await connection.fetchval(_SQL["state"])
    return found


async def advice(connection: Connection) -> str | None:
    """What a person should know or do. None where Chinese words are ranked."""
    found = await state(connection)
    if found == "offered" and await connection.fetchval(_SQL["is_superuser"]):
        found = "ready"
    return _ADVICE.get(found)


async def install(connection: Connection) -> list[str]:
    """Create the Chinese configuration where possible. Remove it where the server no longer has zhparser.

    Returns in words what was done.
    """
    found = await state(connection)
    if found == "lost":  # pg_dump calls the parser, so Immich's backups would fail
        await connection.execute(sql("without_zhparser.sql"))
        return ["took zhparser's part out, for this server does not have zhparser any more"]
    if found == "ready" or (found == "offered" and await connection.fetchval(_SQL["is_superuser"])):
        async with connection.transaction():
            await connection.execute(sql("zhparser.sql"))
        return ["zhparser ranks Chinese words"]
    return []
