"""On a database with VectorChord's index, Immich's stock one, as far as its catalogue tells.

The extension is not to be had here. pgvector's index under the name of VectorChord's stands in for it.
"""

from urllib.parse import urlsplit

import asyncpg
import pytest

from indexer.database import tuning
from indexer.database.pool import connect_to_immich
from indexer.database.statements import queries
from indexer.settings import Settings
from indexer.work import doctor
from indexer.work.finding import Finding
from tests.conftest import execute, immich_2_and_3
from tests.support.installs import install, make_role, uninstall
from tests.support.workers import settings_for

EPSILON = "vchordrq.epsilon"
AS_VECTORCHORD = (
    "CREATE ACCESS METHOD vchordrq TYPE INDEX HANDLER hnswhandler",
    """CREATE OPERATOR CLASS vector_cosine_ops FOR TYPE vector USING vchordrq AS
       OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
       FUNCTION 1 vector_negative_inner_product(vector, vector), FUNCTION 2 vector_norm(vector)""",
    "DROP INDEX clip_index",
    "CREATE INDEX clip_index ON smart_search USING vchordrq (embedding vector_cosine_ops)",
)
OF_64_LISTS = """UPDATE pg_class SET reloptions =
    ARRAY[E'options=residual_quantization = false\n[build.internal]\nlists = [64]']
    WHERE relname = 'clip_index'"""


@pytest.fixture
async def role(database: str) -> str:
    """Our role's address: it may set nothing on the database."""
    await execute(database, *AS_VECTORCHORD)
    return await make_role(database)


async def of_doctor(url: str, settings: Settings) -> Finding:
    (found,) = [finding for finding in await doctor.examine(settings) if finding.check == "database settings"]
    return found


def is_asked(connection: asyncpg.Connection, immich_version: str) -> bool:
    return immich_version == "2.7" or connection.get_server_version().major >= 17


@immich_2_and_3
async def test_install_and_doctor_say_what_makes_it_exact(role, database, connection, immich_version, tmp_path):
    notes = [note for note in (await install(role)).notes if "VectorChord" in note or "hnsw" in note]
    found = await of_doctor(role, settings_for(role, tmp_path, tasks="clip"))
    name = urlsplit(database).path[1:]
    if not is_asked(connection, immich_version):
        assert (notes, found.verdict) == ([], "ok")
        return
    command = f"ALTER DATABASE {name} SET {EPSILON} = '4'"
    assert notes == [
        f"Immich's search with VectorChord is not exact, nor is `ocr:`, until the database's owner runs: {command}"
    ]
    assert (found.verdict, found.text) == ("advice", notes[0])
    await execute(database, command)
    assert (await of_doctor(role, settings_for(role, tmp_path, tasks="clip"))).verdict == "ok"


@immich_2_and_3
async def test_several_lists(role, database, connection, immich_version, tmp_path):
    await execute(database, OF_64_LISTS)
    own = await connect_to_immich(role)
    said = await tuning.advice(own)
    await own.close()
    if not is_asked(connection, immich_version):
        assert said == []
        return
    assert EPSILON in said[0]
    assert said[1].startswith("VectorChord's index has 64 lists, and Immich looks into an eighth of them")


@immich_2_and_3
async def test_who_may_sets_it_and_uninstall_takes_it_back(database, connection, immich_version):
    async def stored() -> list[str]:
        rows = await connection.fetch(queries("tuning")["database_settings"])
        return sorted(row[0] for row in rows if row[0].startswith(("hnsw", "vchordrq")))

    await execute(database, *AS_VECTORCHORD)
    change = await install(database)
    asked = is_asked(connection, immich_version)
    hnsw = ["hnsw.ef_search=1000", "hnsw.iterative_scan=strict_order"]
    assert await stored() == [*hnsw, *[f"{EPSILON}=4"] * asked]
    assert any(f"{EPSILON} = 4" in done for done in change.done) == asked
    assert [note for note in change.notes if "VectorChord" in note] == []
    await uninstall(database)
    assert await stored() == []


async def test_somebody_has_chosen_another_value(database, connection):
    await execute(database, *AS_VECTORCHORD, f"ALTER DATABASE {urlsplit(database).path[1:]} SET {EPSILON} = '2.5'")
    await install(database)
    assert await tuning.missing(connection, "vchordrq") == {}


@pytest.mark.parametrize("known", [True, False])
async def test_our_own_search_is_exact_by_itself(database, known):
    """Where the server knows the setting: a view in front of the catalogue says so."""
    connection = await connect_to_immich(database)
    if known:
        await connection.execute(
            f"CREATE TEMP VIEW pg_settings AS SELECT name FROM pg_catalog.pg_settings UNION ALL SELECT '{EPSILON}'"
        )
    async with connection.transaction():
        await connection.execute(queries("meaning")["prepare"].replace("$1", "10"))
        assert await connection.fetchval(f"SELECT current_setting('{EPSILON}', true)") == ("4" if known else None)
    assert not await connection.fetchval(f"SELECT current_setting('{EPSILON}', true)"), "for that search alone"
    await connection.close()
