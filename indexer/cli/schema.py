"""`install` and `uninstall`: our schema in Immich's database."""

import contextlib

import asyncpg
import click

from indexer.cli.command import command, out
from indexer.database import schema
from indexer.database.pool import connect_to_immich
from indexer.settings import Settings
from indexer.work import clip_index


@click.command()
@command
async def install(settings: Settings) -> None:
    """Put our schema and triggers into Immich's database. Safe to run again, and on a busy Immich."""
    connection = await connect_to_immich(settings.dsn)
    try:
        change = await schema.install(connection)
    finally:
        await connection.close()
    for name in change.migrations:
        out.print(f"migrated: {name}")
    for name in change.triggers:
        out.print(f"trigger: {name}")
    for what in change.done:
        out.print(f"done: {what}", highlight=False, soft_wrap=True)
    for note in change.notes:
        out.print(f"note: {note}", highlight=False, soft_wrap=True)
    if not change:
        out.print("already installed, nothing to do")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
async def uninstall(settings: Settings, yes: bool) -> None:
    """Remove everything of immich-indexer's from the database."""
    if not yes:
        click.confirm("Remove immich-indexer's schema, triggers and its own copy of all results?", abort=True)
    with contextlib.suppress(asyncpg.UndefinedTableError):  # nothing is installed
        await clip_index.restore(settings.dsn)
    connection = await connect_to_immich(settings.dsn)
    try:
        for note in await schema.uninstall(connection):
            out.print(note, highlight=False)
    finally:
        await connection.close()
    out.print("uninstalled")
