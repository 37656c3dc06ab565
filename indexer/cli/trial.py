"""`model try`: another CLIP model beside the one in use, on some photos of the library."""

import asyncio

import click
from rich.progress import MofNCompleteColumn, Progress, TaskID
from rich.table import Table

from indexer.cli.command import command, err, out
from indexer.cli.models import fetch
from indexer.database import schema
from indexer.database.pool import open_pool
from indexer.errors import WeightsError
from indexer.photos import trials
from indexer.photos.trials import ENOUGH, Cost, Figures, Score, Trial
from indexer.photos.width import width_advice
from indexer.settings import Settings
from indexer.views.figures import duration

_KINDS = {"description": "descriptions", "tag": "tags", "album": "albums", "person": "people", "all": "all"}


@click.command("try")
@click.argument("name", required=False)
@click.option("--photos", type=click.IntRange(min=1, max=5000), default=500, show_default=True, help="Of the sample.")
@click.option("--forget", is_flag=True, help="Delete the vectors of the last trial instead.")
@command
async def try_model(settings: Settings, name: str | None, photos: int, forget: bool) -> None:
    """Compare the model NAME, anything that CLIP_MODEL takes, with the one in use, on some photos by chance.

    Nothing that people search changes. The console then asks both models, side by side.
    """
    if forget:
        await _forget(settings)
        return
    if name is None:
        raise click.UsageError("say which model to try, or --forget")
    await _fetch(settings, name)
    await _compare(settings, name, photos)


async def _forget(settings: Settings) -> None:
    pool = await open_pool(settings.dsn, size=1)
    try:
        await pool.run(schema.require)
        await pool.run(trials.forget)
    finally:
        await pool.close()
    out.print("nothing is left of a trial")


async def _fetch(settings: Settings, name: str) -> None:
    """Download what is missing of the model's weights, as for CLIP_MODEL."""
    from indexer.models import model_files

    wanted = await asyncio.to_thread(model_files.clip_files, settings, name)
    missing = (await asyncio.to_thread(model_files.state_of, wanted)).missing
    if missing and settings.weights_source == "none" and wanted.is_published:
        raise WeightsError(f"{missing}; WEIGHTS_SOURCE=none: a person is to put it there")
    if missing:
        await fetch(wanted)


async def _compare(settings: Settings, name: str, photos: int) -> None:
    from indexer.models import memory
    from indexer.work import trial

    if not memory.has_room(settings, name):
        err.print(
            "this container may have no memory for the indexer and one more model: if it fails, raise mem_limit, or "
            "stop the indexer meanwhile",
            highlight=False,
        )
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=err) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=of)
            progress.update(tasks[what], completed=done)

        made = await trial.run(settings, name, photos, tell=tell)
    pool = await open_pool(settings.dsn, size=1)
    try:
        width = await pool.run(schema.vector_width)
    finally:
        await pool.close()
    _print(made, width)


def _print(trial: Trial, width: int) -> None:
    figures = trial.figures
    for line in (f"in use: {trial.current}", f"tried:  {trial.tried}, CLIP_MODEL={trial.setting}"):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    left_out = f"; {figures.left_out} more could not be read or have changed" if figures.left_out else ""
    out.print(f"{figures.photos} photos by chance{left_out}", highlight=False)
    out.print(_table(figures))
    for line in _said(figures, width):
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(figures: Figures) -> Table:
    table = Table("", "in use", "tried", "difference (95 %)", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for score in figures.scores:
        row = f"R@10, {_KINDS[score.kind]} ({score.questions})"
        table.add_row(row, _percent(score.current), _percent(score.tried), _difference(score))
    current, tried = figures.current, figures.tried
    table.add_row("seconds a photo", _seconds(current), _seconds(tried), "")
    table.add_row("memory for reading", _megabytes(current), _megabytes(tried), "")
    return table


def _said(figures: Figures, width: int) -> list[str]:
    """What the figures mean, in sentences."""
    whole = figures.scores[-1] if figures.scores else None
    said = [_verdict(whole)]
    if figures.seconds is not None:
        said.append(f"a change would read {figures.lacking} photos: about {duration(figures.seconds)} on this machine")
    if figures.dimensions > width:
        advice = width_advice(figures.dimensions)
        said.append(f"its vectors have {figures.dimensions} dimensions, Immich's column {width}: {advice}")
    said.append("ask both models in the console: /console/trial")
    return said


def _verdict(score: Score | None) -> str:
    """What can be said of the tried model by the score of all questions, None where there was none."""
    if score is None:
        return "no photo of the sample has a description, a tag, an album or a named person, so nothing can be counted"
    if score.verdict == "few":
        return f"too few words to say which is better: {score.questions}, and {ENOUGH} are needed"
    sentences = {
        "same": "the difference may be chance",
        "better": "the tried model finds more",
        "worse": "the tried model finds less",
    }
    return f"by {score.questions} descriptions, tags, albums and people: {sentences[score.verdict]}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _difference(score: Score) -> str:
    mean = 100 * (score.tried - score.current)
    return f"{mean:+.1f} ({100 * score.low:+.1f} to {100 * score.high:+.1f})"


def _seconds(cost: Cost) -> str:
    return "not measured" if cost.seconds is None else f"{cost.seconds:.3g}"


def _megabytes(cost: Cost) -> str:
    return "not measured" if cost.memory is None else f"{cost.memory / 1e6:.0f} MB"
