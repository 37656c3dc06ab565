"""The command `immich-indexer`."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, get_args
from uuid import UUID

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

import indexer
from indexer import logs
from indexer.database import schema
from indexer.database.pool import Connection, connect_to_immich, open_pool
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError, RequestError, SettingsError, WeightsError
from indexer.models import names
from indexer.queue import backlog, requests
from indexer.queue.selection import Selection
from indexer.search import hybrid
from indexer.search.hybrid import Mode, SearchRequest
from indexer.search.viewer import ADMINISTRATOR, find_user, viewer
from indexer.settings import Settings
from indexer.views import status as status_module
from indexer.work import doctor as doctor_module
from indexer.work import verdicts
from indexer.work.doctor import Finding
from indexer.work.verdicts import Verdict

out = Console()
err = Console(stderr=True)


def _give_up(message: str) -> NoReturn:
    err.print("error:", style="red", end=" ")
    err.print(message, highlight=False, markup=False, soft_wrap=True)  # paths and addresses are to be copied whole
    sys.exit(1)


def _command(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async command with the settings as first argument; what is wrong is said in one line."""

    @wraps(function)
    def wrapper(**options: Any) -> None:
        try:
            settings = Settings.load()
            logs.configure(settings.log_level, settings.log_format)
            asyncio.run(function(settings, **options))
        except IndexerError as error:
            _give_up(str(error))
        except TROUBLE as error:
            _give_up(explain(error))
        except KeyboardInterrupt:
            sys.exit(130)

    return wrapper


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(indexer.__version__)
def main() -> None:
    """Index an Immich library so that Chinese photos are found by text and by meaning."""


@main.command()
@_command
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


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@_command
async def uninstall(settings: Settings, yes: bool) -> None:
    """Take everything of ours out of the database."""
    if not yes:
        click.confirm("Remove immich-indexer's schema, triggers and its own copy of all results?", abort=True)
    connection = await connect_to_immich(settings.dsn)
    try:
        for note in await schema.uninstall(connection):
            out.print(note, highlight=False)
    finally:
        await connection.close()
    out.print("uninstalled")


@main.command()
def run() -> None:
    """Index until stopped: new photos as they come, and all old ones."""
    from indexer.work.worker import leave

    try:
        _serve()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 1)
    leave(0)


@_command
async def _serve(settings: Settings) -> None:
    from indexer.work.worker import load_models, serve

    await serve(settings, await asyncio.to_thread(load_models, settings))


@main.command()
@click.option("--watch/--no-watch", default=True, help="Show the progress until the queue is empty.")
@_command
async def backfill(settings: Settings, watch: bool) -> None:
    """Queue every photo that lacks results, or has those of another model; `run` in another process does the work."""
    from indexer.models.load import model_names
    from indexer.work.reconcile import Reconciler

    names = await asyncio.to_thread(model_names, settings)
    pool = await open_pool(settings.dsn)
    try:
        async with pool.acquire() as connection:
            await schema.require(connection)
        queued = await Reconciler(pool, settings.dsn, *names).enqueue_missing()
        out.print(f"queued {queued} photos")
        if watch:
            async with pool.acquire() as connection:
                await _watch(connection)
    finally:
        await pool.close()


async def _watch(connection: Connection) -> None:
    """A progress bar until nothing is waiting."""
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


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@_command
async def status(settings: Settings, as_json: bool) -> None:
    """Show the queue, the rates, who is at work, and what failed and why."""
    connection = await connect_to_immich(settings.dsn)
    try:
        state = await status_module.look(connection, lease=settings.lease_seconds)
    finally:
        await connection.close()
    if as_json:
        click.echo(json.dumps(state.figures().as_json, ensure_ascii=False))
        return
    out.print(f"indexed {state.indexed} of {state.total} photos, {state.with_text} with text")
    counts = state.queue
    oldest = f", the oldest for {_duration(counts.oldest_seconds)}" if counts.oldest_seconds else ""
    out.print(
        f"waiting {counts.waiting + counts.inbox}, retrying {counts.retrying}, running {counts.running}{oldest}; "
        f"given up {counts.dead}"
    )
    eta = f", done in {_duration(state.eta_seconds)}" if state.eta_seconds else ""
    out.print(f"{state.photos_per_minute:.1f} photos a minute{eta}")
    out.print(f"vector column {state.vector_width} wide, schema version {state.schema_version}")
    if state.vector_advice:
        out.print(f"  {state.vector_advice}", highlight=False, soft_wrap=True)
    if demo := names.advice(state.clip_model):
        out.print(f"  {demo}", highlight=False, markup=False, soft_wrap=True)
    for row in state.models:
        out.print(f"  {row['photos']} photos by {row['clip_model']} and {row['ocr_model']}", highlight=False)
    for worker in state.workers:
        polling = ", polling: polling" if worker.polling else ""
        out.print(
            f"indexer {worker.name} on {worker.device}: {worker.photos} photos, "
            f"seen {worker.seen_seconds:.0f} s ago{polling}"
        )
    if not state.alive:
        out.print("no indexer is running: start `immich-indexer run`")
    for advice in state.advice:
        out.print(advice, highlight=False)
    for waiting in state.waiting:
        photos = "1 photo waits" if waiting.photos == 1 else f"{waiting.photos} photos wait"
        line = f"{photos} since {waiting.since.astimezone():%d %B %H:%M}, through no fault of theirs: {waiting.reason}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    for failure in state.failures:
        name = failure.file_name or "(no name)"
        verdict = "given up" if failure.dead else "will be tried again"
        attempts = "1 attempt" if failure.attempts == 1 else f"{failure.attempts} attempts"
        line = f"failed: {failure.asset_id}  {name}  {verdict} after {attempts}: {failure.error}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


@main.command()
@click.argument("assets", nargs=-1, type=click.UUID)
@click.option("--machine", is_flag=True, help="Only what was given up though the photo was not to blame.")
@_command
async def retry(settings: Settings, assets: tuple[UUID, ...], machine: bool) -> None:
    """Try photos again at once that were given up or wait for another try: all, or those named."""
    connection = await connect_to_immich(settings.dsn)
    try:
        await schema.require(connection)
        chosen = list(assets) or None
        if machine:
            reasons = await backlog.given_up(connection, chosen)
            chosen = [asset for asset, reason in reasons.items() if verdicts.of_reason(reason) is Verdict.MACHINE]
        revived = await requests.retry(connection, chosen)
    finally:
        await connection.close()
    out.print("1 photo will be tried again" if len(revived) == 1 else f"{len(revived)} photos will be tried again")


@main.command()
@click.argument("assets", nargs=-1, type=click.UUID)
@click.option("--ocr", is_flag=True, help="Only the text.")
@click.option("--clip", is_flag=True, help="Only the vector.")
@click.option("--album", help="Those in this album: its name or its id.")
@click.option("--after", type=click.DateTime(), help="Those taken on this day or later.")
@click.option("--before", type=click.DateTime(), help="Those taken before this day.")
@click.option("--no-text", is_flag=True, help="Those in which no text was found.")
@click.option("--other-model", is_flag=True, help="Those made with other models than the settings name now.")
@click.option("--failed", is_flag=True, help="Those that could not be read.")
@click.option("--yes", is_flag=True, help="Do not ask whether so many are meant.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait for photos named by their ids.")
@_command
async def reprocess(
    settings: Settings, assets: tuple[UUID, ...], ocr: bool, clip: bool, yes: bool, timeout: float, **choice: Any
) -> None:
    """Read photos again, before everything else; waits, and prints what was read.

    Instead of naming them they may be chosen: options together mean photos for which all of them hold. How many that
    are is said first, and they are not waited for. More than 20 at once are read after new uploads.
    """
    tasks = {name for name, wanted in (("ocr", ocr), ("clip", clip)) if wanted} or None
    chosen = any(choice.values())
    if chosen == bool(assets):
        raise click.UsageError("name photos by their ids, or choose them with options, one of the two")
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
        if not _is_there_somebody():
            raise RequestError(f"this would read {count} again: say --yes, since there is nobody to ask")
        click.confirm(f"Read {count} again?", abort=True)
    queued = await requests.request(connection, photos, tasks)
    out.print(f"queued {queued} of {count}: `immich-indexer status` shows how far they are")


def _is_there_somebody() -> bool:
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
        text = await connection.fetchval("SELECT text FROM immich_indexer.photo WHERE asset_id = $1", asset)
        if failure is not None:
            said = f"failed: {failure.error}"
        elif text is None:
            said = "not read: it is hidden, offline, in the trash, or has no preview yet"
        else:
            said = text or "(no text)"
        well = well and failure is None and text is not None
        out.print(f"{asset}: {said}", highlight=False, markup=False)
    return well


@main.command()
@click.argument("text")
@click.option("--mode", type=click.Choice(get_args(Mode)), default="hybrid", help="By words, meaning or both.")
@click.option("--user", metavar="EMAIL", help="What this user is shown, instead of everybody's photos.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Photos to show at most.")
@_command
async def search(settings: Settings, text: str, mode: Mode, user: str | None, limit: int) -> None:
    """Find photos by words in them and by what they show. `ocr:TEXT` is the same as --mode ocr."""
    wanted = SearchRequest.parse(text, mode)
    pool = await open_pool(settings.dsn, size=2)
    try:
        async with pool.acquire() as connection:
            await schema.require(connection)
            eyes = ADMINISTRATOR if user is None else await viewer(connection, await find_user(connection, user))
        embed = await asyncio.to_thread(_text_tower, settings, wanted)
        vector = None if embed is None else asyncio.ensure_future(asyncio.to_thread(embed, wanted.text))
        page = await hybrid.find(pool, wanted, eyes, vector, weight=settings.search_text_weight, limit=limit)
    finally:
        await pool.close()
    for found in page.items:
        shown = found.text.replace("\n", " / ") or "(by meaning)"
        mark = " (one character misread)" if found.forgiven else ""
        line = f"{found.asset_id}  {found.score:.3f}  {found.file_name}  {shown}{mark}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if not page.items:
        out.print("nothing")


def _text_tower(settings: Settings, wanted: SearchRequest) -> Callable[[str], npt.NDArray[np.float32]] | None:
    """Makes vectors, where the wanted wants one; None where only words can be searched for. Blocks for seconds."""
    if not wanted.by_meaning:
        return None
    try:
        if "clip" not in settings.tasks:
            raise WeightsError("TASKS leaves clip out")
        from indexer.models.load import load_text_tower

        model = load_text_tower(settings)
    except WeightsError as error:
        if wanted.mode == "clip":
            raise
        err.print(f"searching by words alone: {error}", highlight=False, markup=False, soft_wrap=True)
        return None
    return lambda text: model.encode_texts([text])[0]


@main.command()
def doctor() -> None:
    """Check everything that must be right, and say what to do where it is not."""
    try:
        Settings.load()
    except SettingsError as error:
        _show([Finding("settings", "fails", str(error))])
    _examine()


@_command
async def _examine(settings: Settings) -> None:
    _show(await doctor_module.examine(settings))


def _show(findings: list[Finding]) -> None:
    """Prints them, and ends the process where one fails."""
    marks = {"ok": "[green]ok[/green]    ", "advice": "[yellow]advice[/yellow]", "fails": "[red]fails[/red] "}
    for finding in findings:
        out.print(f"{marks[finding.verdict]} {finding.check}: {escape(finding.text)}", highlight=False, soft_wrap=True)
    if any(finding.verdict == "fails" for finding in findings):
        sys.exit(1)


@main.group()
def models() -> None:
    """The model's weight files."""


@models.command("fetch")
@click.argument("model", required=False)
@click.option("--faces", is_flag=True, help="Those of FACE_MODEL instead, into FACE_DOWNLOAD_ROOT.")
@_command
async def models_fetch(settings: Settings, model: str | None, faces: bool) -> None:
    """Download the weights of MODEL, or else of CLIP_MODEL, into CLIP_DOWNLOAD_ROOT."""
    from indexer.models import face_weights, weights

    wanted = model or settings.clip_model

    with Progress(console=err) as progress:
        task = progress.add_task(settings.face_model if faces else wanted, total=None)

        def show(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        if faces:
            for path in await asyncio.to_thread(
                face_weights.fetch,
                settings.face_model,
                settings.face_download_root,
                progress=show,
                host=settings.hf_endpoint,
            ):
                out.print(f"{path} is there", highlight=False)
            return
        path = await asyncio.to_thread(
            weights.fetch,
            wanted,
            settings.clip_download_root,
            source=settings.weights_source,
            progress=show,
            host=settings.hf_endpoint if settings.weights_source == "huggingface" else settings.modelscope_endpoint,
        )
    out.print(f"{path} is there", highlight=False)


@models.command("check")
@click.argument("model", required=False)
@click.option("--faces", is_flag=True, help="Those of FACE_MODEL instead.")
@_command
async def models_check(settings: Settings, model: str | None, faces: bool) -> None:
    """See whether the weights of MODEL, or else of CLIP_MODEL, are there and what they should be."""
    from indexer.models import face_weights
    from indexer.models.checkpoint import open_checkpoint

    if faces:
        for report in await asyncio.to_thread(face_weights.check, settings.face_model, settings.face_download_root):
            out.print(str(report), highlight=False)
        return
    checkpoint = await asyncio.to_thread(open_checkpoint, model or settings.clip_model, settings.clip_download_root)
    said = f"a {checkpoint.note}" if checkpoint.note else "as it should be"
    out.print(f"{checkpoint.path}: SHA-256 {checkpoint.sha256}, {said}", highlight=False)


@main.command()
@click.option("--once", is_flag=True, help="Stop after the searches instead of offering to try your own.")
@click.option("--json", "as_json", is_flag=True, help="With --once: one JSON object on standard output, nothing else.")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Your own pictures.")
def demo(once: bool, as_json: bool, pictures: Path | None) -> None:
    """Watch photos being uploaded, read and found, on a database of its own that is gone afterwards."""
    try:
        from indexer.demo.run import run as run_demo
    except ModuleNotFoundError as error:
        _give_up(f"the demo needs {error.name}: pip install 'immich-indexer[demo]'")
    try:
        sys.exit(run_demo(once=once, as_json=as_json, pictures=pictures))
    except IndexerError as error:
        _give_up(str(error))


if __name__ == "__main__":
    main()
