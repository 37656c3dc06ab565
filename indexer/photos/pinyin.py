"""How the Chinese in the library sounds: each lexeme of photos' documents with its pinyin, so that pinyin finds it.

A search in Latin letters asks this table which of the library's lexemes sound like that. The text index itself has no
pinyin: it would be half as large again. The table says only that somebody's photo has a lexeme. A photo is
found if it has it itself.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.text import pinyin
from indexer.text.fields import GROUPS

_SQL = queries("pinyin")
_PAGE = 200  # photos in one transaction


async def learn(connection: Connection, assets: Sequence[UUID]) -> None:
    """Add the lexemes of photos whose documents were just written. Inside their transaction."""
    unknown = [row["lexeme"] for row in await connection.fetch(_SQL["unknown"], assets)]
    if unknown:
        await connection.execute(_SQL["add"], unknown, [",".join(pinyin.sounds(lexeme)) for lexeme in unknown])


async def heard(connection: Connection | Pool, keys: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """The library's lexemes by their group of fields (empty: of texts) and by sound, without what they begin with."""
    found: dict[tuple[str, str], list[str]] = {}
    wanted = set(keys)
    for row in await connection.fetch(_SQL["heard"], sorted(wanted)) if wanted else []:
        lexeme = row["lexeme"]
        group = lexeme[:2] if lexeme.startswith(GROUPS) else ""
        for key in wanted.intersection(row["sounds"].split(",")):
            found.setdefault((group, key), []).append(lexeme[len(group) :])
    return found


async def rebuild(pool: Pool) -> bool:
    """Fill the table anew if another version of the code filled it, or none. Returns whether it was."""
    if await pool.fetchval(_SQL["version"]) == pinyin.VERSION:
        return False
    await pool.execute(_SQL["clear"])
    last: UUID | None = UUID(int=0)
    while last is not None:
        assets = [row["asset_id"] for row in await pool.fetch(_SQL["page"], last, _PAGE)]
        await pool.transact(partial(learn, assets=assets))
        last = assets[-1] if assets else None
    await pool.execute(_SQL["done"], pinyin.VERSION)
    return True
