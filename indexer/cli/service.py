"""`run` and `backfill`: the indexer itself, and queueing all photos that lack results."""

import asyncio

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from indexer.cli.command import command, err, out
from indexer.database import schema
from indexer.database.pool import Connection, open_pool
from indexer.photos import sets
from indexer.settings import Settings
from indexer.views import status as status_module


@click.command()
def run() -> None:
    """Index until stopped: new photos when they arrive, and all old ones."""
    from indexer.work.worker import leave

    try:
        _serve()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 1)
    leave(0)


@command
async def _serve(settings: Settings) -> None:
    from indexer.models import memory
    from indexer.models.fetcher import Fetcher
    from indexer.work import crashes
    from indexer.work.worker import load_models, serve

    need = memory.needed(settings, ("image",), ocr=True)
    memory.warn(need)
    async with crashes.marked(settings.dsn, need):
        fetcher = await asyncio.to_thread(Fetcher.of, settings)
        await serve(settings, await asyncio.to_thread(load_models, settings, fetcher), fetcher)


@click.command()
@click.option("--watch/--no-watch", default=True, help="Show the progress until the queue is empty.")
@command
async def backfill(settings: Settings, watch: bool) -> None:
    """Queue all photos that lack results, or have those of another model. `run`, in another process, reads them."""
    from indexer.models.load import model_names
    from indexer.work.reconcile import Reconciler

    names = await asyncio.to_thread(model_names, settings)
    pool = await open_pool(settings.dsn)
    try:
        await pool.run(schema.require)
        found = await pool.run(sets.read)
        current, following = found.current, None
        if current is not None and current.name != names[0]:  # a change, or an indexer whose setting is an earlier one
            following = found.next.name if found.next is not None and found.next.name == names[0] else None
            names = (None if current.is_immichs else current.name, names[1])
        queued = await Reconciler(pool, settings.dsn, *names, next_model=following).enqueue_missing()
        out.print(f"queued {queued} photos")
        if watch:
            async with pool.acquire() as connection:
                await _watch(connection)
    finally:
        await pool.close()


async def _watch(connection: Connection) -> None:
    """Show a progress bar until nothing is waiting."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=err) as progress:
        task: TaskID | None = None
        while True:
            state = await status_module.look(connection, failures=0)
            left = state.left
            if task is None:
                task = progress.add_task("indexing", total=left)
                total = left
            total = max(total, left)
            rate = (
                f"{state.photos_per_minute:.0f}/min"
                if state.alive
                else "no indexer is running: start `immich-indexer run`"
            )
            progress.update(task, total=total, completed=total - left, description=f"indexing, {rate}")
            if not left:
                break
            await asyncio.sleep(1)
    if state.queue.dead:
        out.print(f"{state.queue.dead} photos failed: see `immich-indexer status`")
