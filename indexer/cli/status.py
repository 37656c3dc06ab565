"""`status` and `doctor`: how far the indexing is, and what is wrong."""

import json
import sys

import click
from rich.markup import escape

from indexer.cli.command import command, out
from indexer.database.pool import connect_to_immich
from indexer.errors import SettingsError
from indexer.models.clip import names
from indexer.queue.backlog import EngineState
from indexer.settings import Settings
from indexer.views import status as status_module
from indexer.views.figures import duration
from indexer.work import doctor as doctor_module
from indexer.work.finding import Finding


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@command
async def status(settings: Settings, as_json: bool) -> None:
    """Show the queue, the rate, the indexers at work, and what failed and why."""
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
    oldest = f", the oldest for {duration(counts.oldest_seconds)}" if counts.oldest_seconds else ""
    out.print(
        f"waiting {counts.waiting + counts.inbox}, retrying {counts.retrying}, running {counts.running}{oldest}; "
        f"given up {counts.dead}"
    )
    eta = f", done in {duration(state.eta_seconds)}" if state.eta_seconds else ""
    out.print(f"{state.photos_per_minute:.1f} photos a minute{eta}")
    out.print(f"vector column {state.vector_width} wide, schema version {state.schema_version}")
    if state.vector_advice:
        out.print(f"  {state.vector_advice}", highlight=False, soft_wrap=True)
    if demo := names.advice(state.clip_model):
        out.print(f"  {demo}", highlight=False, markup=False, soft_wrap=True)
    for row in state.models:
        out.print(f"  {row['photos']} photos by {row['clip_model']} and {row['ocr_model']}", highlight=False)
    for worker in state.workers:
        polling = ", polling: notifications do not arrive" if worker.polling else ""
        out.print(
            f"indexer {worker.name} on {worker.device}: {worker.photos} photos, "
            f"seen {worker.seen_seconds:.0f} s ago{polling}"
        )
    for away in state.engines:
        engine = EngineState(away.state, away.since, away.reason, away.next_try)
        out.print(engine.sentence(away.engine, away.worker, away.photos), highlight=False, markup=False, soft_wrap=True)
    if not state.alive:
        out.print("no indexer is running: start `immich-indexer run`")
    for advice in state.advice:
        out.print(advice, highlight=False)
    for download in state.weights:
        out.print(download.sentence, highlight=False, markup=False, soft_wrap=True)
    for waiting in state.waiting:
        photos = "1 photo waits" if waiting.photos == 1 else f"{waiting.photos} photos wait"
        line = f"{photos} since {waiting.since.astimezone():%d %B %H:%M}, and are not to blame: {waiting.reason}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    for failure in state.failures:
        name = failure.file_name or "(no name)"
        verdict = "given up" if failure.dead else "will be tried again"
        attempts = "1 attempt" if failure.attempts == 1 else f"{failure.attempts} attempts"
        line = f"failed: {failure.asset_id}  {name}  {verdict} after {attempts}: {failure.error}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)


@click.command()
def doctor() -> None:
    """Check all preconditions, and say what to do where one fails."""
    try:
        Settings.load()
    except SettingsError as error:
        _show([Finding("settings", "fails", str(error))])
    _examine()


@command
async def _examine(settings: Settings) -> None:
    _show(await doctor_module.examine(settings))


def _show(findings: list[Finding]) -> None:
    """Print the findings, and end the process with status 1 where one fails."""
    marks = {"ok": "[green]ok[/green]    ", "advice": "[yellow]advice[/yellow]", "fails": "[red]fails[/red] "}
    for finding in findings:
        out.print(f"{marks[finding.verdict]} {finding.check}: {escape(finding.text)}", highlight=False, soft_wrap=True)
    if any(finding.verdict == "fails" for finding in findings):
        sys.exit(1)
