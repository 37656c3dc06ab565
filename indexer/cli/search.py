"""`search`: find photos by words and by meaning."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import get_args

import click
import numpy as np
import numpy.typing as npt

from indexer.cli.command import command, err, out
from indexer.database import schema
from indexer.database.pool import open_pool
from indexer.errors import ColumnWidthError, IndexerError, WeightsError
from indexer.photos import sets
from indexer.photos.sets import Model
from indexer.search import hybrid
from indexer.search.hybrid import Mode, SearchRequest
from indexer.search.viewer import ADMINISTRATOR, find_user, viewer
from indexer.settings import Settings


@click.command()
@click.argument("text")
@click.option("--mode", type=click.Choice(get_args(Mode)), default="hybrid", help="By words, meaning or both.")
@click.option("--user", metavar="EMAIL", help="Only photos that this user may see, instead of everybody's.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Photos to show at most.")
@command
async def search(settings: Settings, text: str, mode: Mode, user: str | None, limit: int) -> None:
    """Find photos by words, in them or known of them, and by what they show. `ocr:TEXT` is the same as --mode ocr."""
    wanted = SearchRequest.parse(text, mode)
    pool = await open_pool(settings.dsn, size=2)
    try:
        async with pool.acquire() as connection:
            await schema.require(connection)
            eyes = ADMINISTRATOR if user is None else await viewer(connection, await find_user(connection, user))
            current = (await sets.read(connection)).current
        embed = await asyncio.to_thread(_text_tower, settings, wanted, current)
        find = partial(hybrid.search, pool, wanted, eyes, weight=settings.search_text_weight, limit=limit)
        try:
            page = await find(embed and asyncio.ensure_future(asyncio.to_thread(embed, wanted.meant)))
        except ColumnWidthError as error:
            if wanted.mode == "clip":
                raise
            _by_words_alone(error)
            page = await find(None)
    finally:
        await pool.close()
    for found in page.items:
        facts = [f"{fact.field}: {fact.value}".replace("\n", " ") for fact in found.fields]
        shown = " / ".join([*found.text.split("\n"), *facts] if found.text else facts) or "(by meaning)"
        mark = " (one character misread)" if found.forgiven else " (pinyin)" if found.pinyin else ""
        line = f"{found.asset_id}  {found.score:.3f}  {found.file_name}  {shown}{mark}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if not page.items:
        out.print("nothing")


def _text_tower(
    settings: Settings, wanted: SearchRequest, current: Model | None
) -> Callable[[str], npt.NDArray[np.float32]] | None:
    """What makes a vector of a text. None: only words are searched for. Loads the model, which takes seconds."""
    if not wanted.by_meaning:
        return None
    try:
        if "clip" not in settings.tasks:
            raise WeightsError("TASKS has no clip")
        if current is not None and (current.is_immichs or current.setting is None):
            raise WeightsError(
                "Immich's own model is used until all photos were read: search in Immich, or in the console"
            )
        if current is not None and current.setting is not None:  # during a change, CLIP_MODEL names the next one
            settings = settings.model_copy(update={"clip_model": current.setting})
        from indexer.models.load import load_text_tower

        model = load_text_tower(settings)
    except WeightsError as error:
        if wanted.mode == "clip":
            raise
        _by_words_alone(error)
        return None
    return lambda text: model.encode_texts([text])[0]


def _by_words_alone(why: IndexerError) -> None:
    err.print(f"searching by words alone: {why}", highlight=False, markup=False, soft_wrap=True)
