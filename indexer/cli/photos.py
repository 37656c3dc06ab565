"""`retry` and `reprocess`: have photos read again."""

import asyncio
import sys
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import click

from indexer.cli.command import command, out
from indexer.database import schema
from indexer.database.pool import Connection, connect_to_immich
from indexer.errors import IndexerError, RequestError
from indexer.queue import backlog, requests
from indexer.queue.selection import Selection
from indexer.settings import Settings
from indexer.work import mistakes

_TEXT = "SELECT text FROM immich_indexer.photo WHERE asset_id = $1 AND digest IS NOT NULL"  # none: it was not read


@click.command()
@click.argument("assets", nargs=-1, type=click.UUID)
@click.option("--machine", is_flag=True, help="Only photos that were given up though they were not to blame.")
@command
async def retry(settings: Settings, assets: tuple[UUID, ...], machine: bool) -> None:
    """Try photos again that were given up or wait for another try: at once, and all, or those named."""
    connection = await connect_to_immich(settings.dsn)
    try:
        await schema.require(connection)
        chosen = list(assets) or None
        if machine:
            chosen = await mistakes.find(connection, chosen)
        revived = await requests.retry(connection, chosen)
    finally:
        await connection.close()
    out.print("1 photo will be tried again" if len(revived) == 1 else f"{len(revived)} photos will be tried again")


@click.command()
@click.argument("assets", nargs=-1, type=click.UUID)
@click.option("--ocr", is_flag=True, help="Only the text.")
@click.option("--clip", is_flag=True, help="Only the vector.")
@click.option("--album", help="Photos in this album: its name or its id.")
@click.option("--after", type=click.DateTime(), help="Photos taken on this day or later.")
@click.option("--before", type=click.DateTime(), help="Photos taken before this day.")
@click.option("--no-text", is_flag=True, help="Photos in which no text was found.")
@click.option("--other-model", is_flag=True, help="Photos read with other models than those that are set now.")
@click.option("--failed", is_flag=True, help="Photos that could not be read.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait for photos named by their ids.")
@command
async def reprocess(
    settings: Settings, assets: tuple[UUID, ...], ocr: bool, clip: bool, yes: bool, timeout: float, **choice: Any
) -> None:
    """Read photos again, before all others. Waits for them, and prints what was read.

    Photos can be named by their ids or chosen by options: those for which all given options hold. For chosen photos it
    asks first, with their number, and does not wait. More than 20 at once are read after new uploads.
    """
    tasks = {name for name, wanted in (("ocr", ocr), ("clip", clip)) if wanted} or None
    chosen = any(choice.values())
    if chosen == bool(assets):
        raise click.UsageError("either name photos by their ids, or choose them with options")
    connection = await connect_to_immich(settings.dsn)
    try:
        await schema.require(connection)
        if chosen:
            await _reprocess_chosen(connection, await _selection(settings, **choice), tasks, yes=yes)
        elif not await _reprocess_named(connection, list(dict.fromkeys(assets)), tasks, timeout):
            sys.exit(1)
    finally:
        await connection.close()


async def _selection(settings: Settings, *, other_model: bool, **choice: Any) -> Selection:
    if not other_model:
        return Selection(**choice)
    from indexer.models.load import model_names

    return Selection(models=await asyncio.to_thread(model_names, settings), **choice)


async def _reprocess_chosen(
    connection: Connection, selection: Selection, tasks: Iterable[str] | None, *, yes: bool
) -> None:
    photos = await selection.photos(connection)
    count = "1 photo" if len(photos) == 1 else f"{len(photos)} photos"
    if not photos:
        out.print("there is no such photo: nothing to do")
        return
    if not yes:
        if not is_interactive():
            raise RequestError(f"this would read {count} again: add --yes, since nobody can be asked")
        click.confirm(f"Read {count} again?", abort=True)
    queued = await requests.request(connection, photos, tasks)
    out.print(f"queued {queued} of {count}: `immich-indexer status` shows how far they are")


def is_interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()


async def _reprocess_named(
    connection: Connection, assets: list[UUID], tasks: Iterable[str] | None, timeout: float
) -> bool:
    """Whether all of them were read."""
    await requests.request(connection, assets, tasks)
    deadline = time.monotonic() + timeout
    while True:
        waiting = await backlog.pending(connection, assets)
        if all(failure is not None for failure in waiting.values()):
            break
        if time.monotonic() > deadline:
            raise IndexerError(
                f"{len(waiting)} photos still wait after {timeout:.0f} s: is `immich-indexer run` running?"
            )
        await asyncio.sleep(0.1)
    well = True
    for asset in assets:
        failure = waiting.get(asset)
        text = await connection.fetchval(_TEXT, asset)
        if failure is not None:
            said = f"failed: {failure.error}"
        elif text is None:
            said = "not read: it is hidden, offline, in the trash, or has no preview yet"
        else:
            said = text or "(no text)"
        well = well and failure is None and text is not None
        out.print(f"{asset}: {said}", highlight=False, markup=False)
    return well
