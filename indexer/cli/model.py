"""`model`: which CLIP model is in use, a change of it, and the way back."""

import click

from indexer.cli.command import command, err, out
from indexer.database import schema
from indexer.database.pool import Pool, open_pool
from indexer.photos import sets
from indexer.settings import Settings
from indexer.views import status
from indexer.work import clip_index, turn


@click.group(invoke_without_command=True)
@click.pass_context
def model(context: click.Context) -> None:
    """Show which CLIP model is in use, and how far a change of it is."""
    if context.invoked_subcommand is None:
        _show()


@command
async def _show(settings: Settings) -> None:
    pool = await open_pool(settings.dsn, size=1)
    try:
        await pool.run(schema.require)
        found = await pool.run(sets.read)
        state = await status.look(pool, failures=0, lease=settings.lease_seconds)
    finally:
        await pool.close()
    if await clip_index.restore(settings.dsn):
        out.print("the index on Immich's vectors, which an interrupted change had left out, is there again")
    if not found.models:
        out.print("no indexer has started yet")
    for one in found.models:
        named = f", CLIP_MODEL={one.setting}" if one.setting and not one.is_immichs else ""
        held = "; CLIP_MODEL alone does not change to it again: `immich-indexer model switch`" if one.held else ""
        line = f"{one.state}: {one.name}{named}, since {one.since.astimezone():%d %B %Y %H:%M}{held}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if state.change is not None:
        out.print(state.change.sentence, highlight=False, markup=False, soft_wrap=True)


@model.command("switch")
@command
async def switch(settings: Settings) -> None:
    """Use the new model now. Photos that it has not read are not found by meaning until it has."""
    await _turn(settings, back=False)


@model.command("back")
@command
async def back(settings: Settings) -> None:
    """Take a change back: end the one under way, or else use the model of before again."""
    pool = await open_pool(settings.dsn, size=1)
    try:
        await pool.run(schema.require)
        resting = await pool.run(lambda connection: sets.rest(connection, held=True))
    finally:
        await pool.close()
    if resting is None:
        await _turn(settings, back=True)
        return
    out.print(f"the change to {resting.name} is taken back; its vectors are kept for {sets.KEPT_DAYS} days")


@model.command("drop")
@click.argument("name", required=False)
@command
async def drop(settings: Settings, name: str | None) -> None:
    """Delete the vectors of model NAME, or else of all models that are not in use. There is no way back to them."""
    pool = await open_pool(settings.dsn, size=1)
    try:
        await pool.run(schema.require)
        dropped = await pool.run(lambda connection: sets.drop(connection, name))
        await sets.forget_old(pool)
    finally:
        await pool.close()
    out.print("dropped " + ", ".join(dropped) if dropped else "nothing to drop", highlight=False, markup=False)


async def _turn(settings: Settings, *, back: bool) -> None:
    pool: Pool = await open_pool(settings.dsn, size=1)
    try:
        await pool.run(schema.require)
        name = await turn.target(pool, back=back)
    finally:
        await pool.close()
    err.print("changing the model: searches go on with the old one until the end", highlight=False)
    done = await turn.turn(settings.dsn, name)
    if done is None:
        out.print("another process is changing the model now")
        return
    out.print(
        f"{done.new} is in use, with {done.photos} photos. Restart Immich's server now: it remembers up to 100 recent "
        "searches by the model of before",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
