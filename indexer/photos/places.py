"""The words with which Immich writes the places of the library.

A Chinese word may be a place that Immich writes in Latin letters, in one of several ways (text/places.py). The text
index is asked only for those of which the library has all words: each way costs an index a dozen look-ups for each
span of days. The table says only that somebody's photo has such a place. A photo is found if it has it itself.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from indexer.database.pool import Connection, Pool
from indexer.database.statements import queries
from indexer.text.tokens import canonical

_SQL = queries("places")


async def learn(connection: Connection, values: Iterable[str]) -> None:
    """Add the words of places that are just written into documents. Inside the same transaction."""
    if words := {word for value in values for word in canonical(value).split()}:
        await connection.execute(_SQL["add"], sorted(words))


async def learn_again(connection: Connection, assets: Sequence[UUID]) -> None:
    """Add the words of the places of photos whose documents have them already."""
    await learn(connection, [row["place"] for row in await connection.fetch(_SQL["written"], assets)])


async def known(connection: Connection | Pool, names: Iterable[str]) -> set[str]:
    """Those of `names`, in canonical form, whose words the library's places have."""
    names = set(names)
    words = {word for name in names for word in name.split()}
    there = {row["word"] for row in await connection.fetch(_SQL["known"], sorted(words))} if words else set()
    return {name for name in names if there.issuperset(name.split())}
