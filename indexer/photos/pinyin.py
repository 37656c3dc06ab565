"""How the Chinese in the library sounds, so that pinyin finds it.

The text index has pairs of characters, and no pinyin: it would be half as large again. A search in Latin letters asks
here which pairs of the library sound like that. For texts, and for what all may search, only the pairs are kept: how
characters are read is known without the database. Names, which are also found by single characters and by initials,
and longer words, by initials alone, are kept with how they sound. All this says only that somebody's photo has a
lexeme. A photo is found if it has it itself.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.photos import places
from indexer.text import pinyin
from indexer.text.fields import DESCRIPTION, GROUPS

_SQL = queries("pinyin")
_PAGE = 200  # photos in one transaction
_LONG = 200  # followers: to a row of so many no more are added, so that it is not written again and again
_PAIRS = ("", f" {DESCRIPTION.group}")  # what the lexemes begin with of which only the pairs are kept


async def learn(connection: Connection, assets: Sequence[UUID]) -> None:
    """Add the lexemes of photos whose documents were just written. Inside their transaction."""
    unknown = [row["lexeme"] for row in await connection.fetch(_SQL["learn"], assets, _LONG)]
    if unknown:
        await connection.execute(_SQL["add"], unknown, [",".join(pinyin.sounds(lexeme)) for lexeme in unknown])


async def heard(connection: Connection | Pool, keys: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """The library's lexemes by their group of fields (empty: of texts) and by sound, without what they begin with."""
    wanted = set(keys)
    found = await _pairs(connection, wanted)
    for row in await connection.fetch(_SQL["heard"], sorted(wanted)) if wanted else []:
        lexeme = row["lexeme"]
        group = lexeme[:2] if lexeme.startswith(GROUPS) else ""
        for key in wanted.intersection(row["sounds"].split(",")):
            found.setdefault((group, key), []).append(lexeme[len(group) :])
    return found


async def _pairs(connection: Connection | Pool, keys: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """The pairs of two syllables each."""
    syllables = [(key, *key.split(" ")) for key in keys if key.count(" ") == 1]
    sounds = [(key, pinyin.written(first), pinyin.written(second)) for key, first, second in syllables]
    firsts = sorted({group + character for group in _PAIRS for _, first, _ in sounds for character in first})
    found: dict[tuple[str, str], set[str]] = {}
    for row in await connection.fetch(_SQL["followers"], firsts) if firsts else []:
        group, character = row["first"][:-1], row["first"][-1]
        for key, first, second in sounds:
            if character in first and (followers := second.intersection(row["followers"])):
                found.setdefault((group, key), set()).update(character + follower for follower in followers)
    return {key: sorted(pairs) for key, pairs in found.items()}


async def rebuild(pool: Pool) -> bool:
    """Fill all three tables anew if another version of the code filled them, or none. Returns whether they were."""
    if await pool.fetchval(_SQL["version"]) == pinyin.VERSION:
        return False
    await pool.execute(_SQL["clear"])
    last: UUID | None = UUID(int=0)
    while last is not None:
        assets = [row["asset_id"] for row in await pool.fetch(_SQL["page"], last, _PAGE)]
        await pool.transact(partial(_learn_again, assets=assets))
        last = assets[-1] if assets else None
    await pool.execute(_SQL["done"], pinyin.VERSION)
    return True


async def _learn_again(connection: Connection, assets: Sequence[UUID]) -> None:
    await learn(connection, assets)
    await places.learn_again(connection, assets)
