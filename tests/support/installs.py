"""Installing and removing as a person would, and looking at what that left in the database."""

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from indexer.database import schema
from indexer.database.pool import connect_to_immich
from indexer.database.schema import Change
from indexer.database.statements import sql
from indexer.demo import backup
from indexer.demo.server import on_server
from indexer.work import role
from tests.conftest import execute

#: role.sql as it was while the role had the name immich_indexer, and the rights that this version needs to install.
OLD_ROLE = (Path(__file__).parents[1] / "released" / "roles" / "immich_indexer.sql").read_text(
    encoding="utf-8"
) + "GRANT SELECT, TRIGGER ON asset_exif, tag, album, album_asset, album_user, person, asset_face TO immich_indexer;"


async def install(url: str, **options: Any) -> Change:
    connection = await connect_to_immich(url)
    try:
        return await schema.install(connection, **options)
    finally:
        await connection.close()


async def uninstall(url: str, **options: Any) -> list[str]:
    connection = await connect_to_immich(url)
    try:
        return await schema.uninstall(connection, **options)
    finally:
        await connection.close()


async def make_role(url: str, password: str = "it's secret", *, name: str = "ii", script: str = "") -> str:
    """Runs role.sql as the superuser in the address; returns the same database's address as the new role.

    Args:
        name: what the role is called in `script`, which is run instead of role.sql.
    """
    await run(url, "psql", "--no-psqlrc", "--quiet", "--set", f"password={password}", script=script or sql("role.sql"))
    return on_server(url, urlsplit(url).path[1:], f"{name}:{quote(password, safe='')}")


async def make_role_by_command(url: str, password: str = "it's secret") -> str:
    """The same with `immich-indexer role`."""
    await role.make(url, password, say=lambda what: pytest.fail(what), patience=5)
    return on_server(url, urlsplit(url).path[1:], f"ii:{quote(password, safe='')}")


#: Both ways to make the role, for a test that must hold for each.
both_ways = pytest.mark.parametrize("make", [make_role, make_role_by_command])


async def restore(database: str, immich_url: str, path: Path) -> None:
    """Restores a backup as Immich's role, the one in `immich_url`, made a superuser for the time being.

    It has to be one: neither pgvector nor earthdistance is a trusted extension, and the dump creates both anew. In
    Immich's stock image it is one always.
    """
    role = urlsplit(immich_url).username
    await execute(database, f"ALTER ROLE {role} SUPERUSER")
    try:
        await backup.restore(immich_url, path)
    finally:
        if role != "postgres":
            await execute(database, f"ALTER ROLE {role} NOSUPERUSER")


async def edited(path: Path, writes: str) -> Path:
    """What becomes of a backup by the command in docs/operations.md that makes the file `writes` out of it."""
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    (command,) = re.findall(rf"^gunzip .* > {re.escape(writes)}$", text, flags=re.MULTILINE)
    command = f"gzip --stdout {path.name} > BACKUP.sql.gz && {command} && gunzip --force {writes}"
    await asyncio.to_thread(subprocess.run, command, shell=True, cwd=path.parent, check=True)
    return path.parent / writes.removesuffix(".gz")


async def schema_of(url: str) -> str:
    """The database's schema as pg_dump writes it, less the random key of its meta-commands."""
    dump = await run(url, "pg_dump", "--schema-only")
    return "\n".join(line for line in dump.split("\n") if not line.startswith(("\\restrict ", "\\unrestrict ")))


async def run(url: str, program: str, *arguments: str, script: str | None = None) -> str:
    """What one of the server's own client programs prints."""
    connection = await asyncpg.connect(url)
    try:
        binaries: Path = backup.client_programs(connection.get_server_version().major)
    finally:
        await connection.close()
    command = [str(binaries / program), "--dbname", url, *arguments]
    done = await asyncio.to_thread(subprocess.run, command, input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout
