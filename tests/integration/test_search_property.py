"""Any text, and any piece of it: what a search finds in a database is what literally holds what was typed."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.database.pool import connect_to_immich
from indexer.errors import QueryError
from indexer.search import words
from indexer.search.words import Scope
from indexer.text import buckets, tokens
from indexer.text.normalise import clean, normalise
from indexer.text.query import Query, parse
from tests.support.installs import install

Connection = asyncpg.Connection
NOW = datetime(2026, 1, 1, tzinfo=UTC)

MIXED = st.text(
    st.sampled_from(
        "发票發乾干臺后税票NOno01a１Ａｱガか々〇①㎡ßİéﬀ한ไ"  # letters and digits of several scripts and widths
        "\u0301\u0327\u3099\u309b\U000e0101\u200b\u200d\ufe0f\u00ad\u3164"  # what combines, and what nobody sees
        " \n\t\u3000\u2028-—_%'\"\\&|!():*<>.,，。・“”👨🎉\x00\ud800\x01"
    ),
    max_size=40,
)
TEXTS = MIXED | st.text(max_size=40) | MIXED.map(lambda text: text * 20)


def plain(text: str) -> str:
    """What is compared: the normal form, letters and digits alone, all else one space."""
    return re.sub(r"[\W_]+", " ", normalise(text)).strip()


def is_in(query: Query, lines: Sequence[str]) -> bool:
    """The truth, by other means than the index: a word hyphenated at the end of a line counts as whole, too."""
    whole = [a + b for a, b in re.findall(r"([^\W\d_]+)[-\u2010][ \t]*\n[ \t]*([^\W\d_]+)", "\n".join(lines))]
    forms = [plain("\n".join(lines)), *map(plain, whole)]
    return all(any(phrase in form for form in forms) for phrase in query.phrases) and not any(
        phrase in form for phrase in query.excluded for form in forms
    )


@pytest.fixture
async def own(database: str):
    await install(database)
    connection = await connect_to_immich(database)
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()


async def say(own: Connection, owner: UUID, text: str) -> UUID:
    """A photo that says it, as the indexer writes one."""
    asset = uuid4()
    document = tokens.document(text.split("\n"), marks=buckets.marks(owner, NOW))
    await own.execute(
        """INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum, "checksumAlgorithm",
               "fileCreatedAt", "fileModifiedAt", "localDateTime")
           VALUES ($1, $2, 'IMAGE', '', '', uuid_send($1), 'sha1', $3, $3, $3)""",
        asset,
        owner,
        NOW,
    )
    await own.execute(
        """INSERT INTO immich_indexer.photo (asset_id, preview_updated_at, digest, text, document, overflow, taken_at)
           VALUES ($1, $2, '', $3, immich_indexer.document($4, $5), $6, $2)""",
        asset,
        NOW,
        clean(text),
        normalise(text),
        document.ngrams,
        document.overflow,
    )
    return asset


async def literally(own: Connection, owner: UUID, query: str) -> set[UUID]:
    hits = await words.search(own, query, scope=Scope(owners=(owner,)), limit=100)
    return {hit.asset_id for hit in hits if not hit.forgiven}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), typed=st.lists(TEXTS, max_size=3), data=st.data())
async def test_what_is_found_is_what_says_it(own: Connection, texts: list[str], typed: list[str], data: st.DataObject):
    owner = uuid4()  # of this example alone
    photos = {await say(own, owner, text): text.split("\n") for text in texts}
    for text in texts:
        if text:
            start = data.draw(st.integers(0, len(text) - 1))
            end = data.draw(st.integers(start + 1, min(len(text), start + 12)))
            typed = [*typed, text[start:end], f'"{text[start:end]}"', f"{text[start:end]} -{text[:2]}"]
    for what in typed:
        try:
            query = parse(what)
        except QueryError:
            continue
        expected = {photo for photo, lines in photos.items() if query and is_in(query, lines)}
        assert await literally(own, owner, what) == expected, what
