"""The demo, on a database of its own: photos are uploaded one by one, read at once, and then found."""

import asyncio
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
from pydantic import SecretStr
from rich.console import Console

from indexer import images, logs
from indexer.database.pool import OwnConnection, Pool, connect_to_immich, open_pool
from indexer.demo import drawn as demo_model
from indexer.demo.immich import StandIn
from indexer.demo.pictures import Drawn, draw_all, score
from indexer.demo.server import THROWAWAY, EmbeddedServer
from indexer.demo.shapes import SEARCHES, draw_shapes, shown_by
from indexer.errors import IndexerError, QueryError
from indexer.models.clip.cn_clip import weights
from indexer.models.clip.maker import TextTower
from indexer.models.load import Models, load_models, load_text_tower
from indexer.search import hybrid, words
from indexer.search.hybrid import SearchRequest
from indexer.search.viewer import ADMINISTRATOR
from indexer.settings import Settings
from indexer.text import tokens
from indexer.text.normalise import normalise
from indexer.work.worker import Worker

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"}
_PATIENCE = 120.0  # seconds to wait for one photo before it counts as lost
_SEARCHES = 8


@dataclass
class _Uploaded:
    """A picture that was uploaded. Times in seconds since the epoch."""

    picture: Drawn
    asset: UUID
    preview_at: float
    landed_at: float | None = None
    failure: str | None = None
    lines: Sequence[str] = ()

    @property
    def seconds(self) -> float | None:
        return None if self.landed_at is None else self.landed_at - self.preview_at


def run(*, once: bool, as_json: bool, pictures: Path | None) -> int:
    """Run the demo. Returns the exit status: 1 if any photo was lost.

    Args:
        once: stop after the prepared searches.
        as_json: print one JSON object on standard output, and nothing else there.
        pictures: a directory of your own pictures, with an optional `gt.json`, `{file: [lines]}`.

    Raises:
        IndexerError: there is nothing to show, or the database could not be started.
    """
    show = Console(stderr=as_json, highlight=False)
    with tempfile.TemporaryDirectory(prefix="immich-indexer-demo-") as name:
        work = Path(name)
        drawn = _own_pictures(pictures) if pictures else draw_all(work / "pictures") + draw_shapes(work / "pictures")
        if not drawn:
            raise IndexerError(f"no pictures in {pictures}")
        settings, label = _settings(work)
        logs.configure("warning", "auto")
        with EmbeddedServer(settings=THROWAWAY) as server:
            settings = settings.model_copy(update={"db_url": SecretStr(server.url())})
            return asyncio.run(_show(show, settings, label, drawn, work / "media", once=once, as_json=as_json))


def _own_pictures(folder: Path) -> list[Drawn]:
    truth_file = folder / "gt.json"
    truth = json.loads(truth_file.read_text(encoding="utf-8")) if truth_file.exists() else {}
    return [
        Drawn(path.stem, "yours", truth.get(path.name, []), path)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _SUFFIXES
    ]


def _settings(work: Path) -> tuple[Settings, str]:
    """The settings of the demo, and a name for its CLIP weights."""
    settings = Settings.load(
        media_path_map=f"/data={work / 'media'}", reconcile_seconds=3600, retry_seconds=1, tasks=("clip", "ocr")
    )
    if settings.clip_model in weights.FILES:
        try:
            weights.find(settings.clip_model, settings.clip_download_root)
        except IndexerError:
            return settings.model_copy(update={"clip_model": str(demo_model.WEIGHTS)}), demo_model.NOTE
    return settings, settings.clip_model


async def _show(
    show: Console, settings: Settings, label: str, drawn: list[Drawn], media: Path, *, once: bool, as_json: bool
) -> int:
    async with _immich(settings.dsn, media) as immich:
        owner = await immich.create_user("demo")
        models = await asyncio.to_thread(load_models, settings)
        _say_what_runs(show, models, label)
        worker = Worker(settings, models)
        task = asyncio.create_task(worker.run())
        await asyncio.wait({task, asyncio.create_task(worker.listener.listening.wait())}, return_when="FIRST_COMPLETED")
        try:
            connection = await connect_to_immich(settings.dsn)
            pool = await open_pool(settings.dsn, size=2)
            try:
                uploaded = [await _upload(show, immich, connection, owner, picture) for picture in drawn]
                indexed = [u.picture for u in uploaded if u.seconds is not None]
                raw = await asyncio.to_thread(_raw_seconds, models, indexed)
                report = _report(uploaded, label, raw)
                _say_how_it_went(show, report)
                report["searches"] = await _prepared_searches(show, connection, uploaded)
                seeker = _Seeker(pool, await asyncio.to_thread(load_text_tower, settings), settings.search_text_weight)
                report["searches_by_meaning"] = await _searches_by_meaning(show, seeker, uploaded)
                if as_json:
                    print(json.dumps(report, ensure_ascii=False))  # noqa: T201 - the output of --json
                elif not once and sys.stdin.isatty():
                    await _your_searches(show, seeker)
            finally:
                await pool.close()
                await connection.close()
        finally:
            worker.stop()
            await task
            models.close()
    return 0 if report["indexed"] == report["photos"] else 1


@contextlib.asynccontextmanager
async def _immich(url: str, media: Path) -> AsyncIterator[StandIn]:
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as pool:
        immich = StandIn(pool, media)
        await immich.install()
        yield immich


def _say_what_runs(show: Console, models: Models, label: str) -> None:
    show.print("[bold]immich-indexer demo[/bold]: a PostgreSQL of its own, Immich's tables and Immich's writes")
    show.print(f"reads text with [bold]{models.ocr.name if models.ocr else 'nothing'}[/bold]")
    if label == demo_model.NOTE:
        show.print(
            f"[yellow]CLIP weights: cn-clip's are not here. This is a [bold]{label}[/bold].[/yellow]\n"
            "It finds the drawn shapes among these pictures by what they show, and nothing else.\n"
            "For the real ones: immich-indexer models fetch"
        )
    else:
        show.print(f"CLIP weights: [bold]{label}[/bold]")
    show.print()


async def _upload(show: Console, immich: StandIn, connection: OwnConnection, owner: UUID, picture: Drawn) -> _Uploaded:
    """Upload one picture as Immich does, and wait until its results are where Immich looks for them."""
    asset = await immich.upload(picture.path, owner=owner, file_name=picture.path.name)
    created = await connection.fetchval(
        'SELECT extract(epoch FROM "createdAt")::float FROM public.asset_file WHERE "assetId" = $1 AND type = $2',
        asset,
        "preview",
    )
    uploaded = _Uploaded(picture, asset, created)
    while time.time() - created < _PATIENCE:
        row = await connection.fetchrow(
            "SELECT (SELECT text FROM immich_indexer.photo WHERE asset_id = $1 AND digest IS NOT NULL) AS text, "
            "(SELECT error FROM immich_indexer.job WHERE asset_id = $1 AND dead) AS error",
            asset,
        )
        if row is not None and row["text"] is not None:
            uploaded.landed_at = time.time()
            break
        if row is not None and row["error"] is not None:
            uploaded.failure = row["error"]
            break
        await asyncio.sleep(0.005)
    rows = await connection.fetch('SELECT text FROM public.asset_ocr WHERE "assetId" = $1', asset)
    uploaded.lines = [row["text"] for row in rows]
    if uploaded.seconds is None:
        show.print(f"[red]{picture.path.name}: {uploaded.failure or 'lost'}[/red]")
    else:
        shown = " / ".join(uploaded.lines) or "(no text)"
        show.print(f"{uploaded.seconds:5.2f} s  [cyan]{picture.path.name:<28}[/cyan] ", end="")
        show.print(shown, markup=False, overflow="ellipsis", no_wrap=True)
    return uploaded


def _raw_seconds(models: Models, drawn: list[Drawn]) -> float | None:
    """Median seconds that the bare models need for one photo, one step after the other."""
    times = []
    for picture in drawn:
        data = picture.path.read_bytes()
        started = time.perf_counter()
        decoded = images.decode(data, max_pixels=100_000_000)
        if models.ocr is not None:
            models.ocr.recognise([models.ocr.detect(decoded)])
        if models.clip is not None:
            models.clip.encode_images([models.clip.prepare(decoded)])
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 3) if times else None


def _report(uploaded: list[_Uploaded], label: str, raw: float | None) -> dict[str, object]:
    seconds = [u.seconds for u in uploaded if u.seconds is not None]
    by_category: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for u in uploaded:
        if u.picture.lines:
            by_category[u.picture.category].append(score(u.picture.lines, u.lines))
    scores = [pair for pairs in by_category.values() for pair in pairs]
    return {
        "photos": len(uploaded),
        "indexed": len(seconds),
        "failed": len(uploaded) - len(seconds),
        "seconds_p50": round(statistics.median(seconds), 3) if seconds else None,
        "seconds_max": round(max(seconds), 3) if seconds else None,
        "raw_seconds_p50": raw,
        "ocr_line_accuracy": _ratio(scores),
        "ocr_line_accuracy_by_category": {name: _ratio(pairs) for name, pairs in sorted(by_category.items())},
        "clip_weights": label,
    }


def _ratio(scores: list[tuple[int, int]]) -> float | None:
    total = sum(drawn for _, drawn in scores)
    return round(sum(found for found, _ in scores) / total, 4) if total else None


def _say_how_it_went(show: Console, report: dict[str, object]) -> None:
    show.print()
    show.print(
        f"[bold]{report['indexed']} of {report['photos']} photos indexed[/bold], from preview to searchable in "
        f"{report['seconds_p50']} s (median; the bare models take {report['raw_seconds_p50']} s), "
        f"{report['seconds_max']} s at most"
    )
    if report["ocr_line_accuracy"] is not None:
        show.print(f"lines read exactly: {report['ocr_line_accuracy']:.1%} overall")
        categories = report["ocr_line_accuracy_by_category"]
        if isinstance(categories, dict):
            show.print("  " + ", ".join(f"{name} {accuracy:.0%}" for name, accuracy in categories.items()))
    show.print()


async def _prepared_searches(
    show: Console, connection: OwnConnection, uploaded: list[_Uploaded]
) -> list[dict[str, object]]:
    """A few searches for pieces of the drawn text. The pictures with this piece are expected."""
    results: list[dict[str, object]] = []
    for query in _pieces([u.picture for u in uploaded]):
        expected = sorted(u.picture.path.name for u in uploaded if _holds(u.picture, query))
        found = [hit.file_name for hit in await words.search(connection, query)]
        results.append({"query": query, "expected": expected, "found": found})
        right = set(expected) <= set(found)
        show.print(f"[bold]{query}[/bold]  ->  {', '.join(found) or 'nothing'}  {'✓' if right else '✗'}")
    return results


def _holds(picture: Drawn, query: str) -> bool:
    return any(query in run for line in picture.lines for run in tokens.runs(line))


def _pieces(drawn: list[Drawn]) -> list[str]:
    """Pieces of two to six characters, from different categories while there are enough. Always the same ones."""
    chance = random.Random(20)  # noqa: S311 - a choice to show, not a secret
    by_category: dict[str, list[str]] = defaultdict(list)
    for picture in drawn:
        for line in picture.lines:
            by_category[picture.category] += [run for run in tokens.runs(line) if len(run) >= 2]
    pieces: list[str] = []
    categories = sorted(by_category)
    while categories and len(pieces) < _SEARCHES:
        for category in list(categories):
            runs = by_category[category]
            if not runs:
                categories.remove(category)
                continue
            run = runs.pop(chance.randrange(len(runs)))
            length = min(len(run), chance.randint(2, 4) if normalise(run[0]) > "一" else 6)
            start = chance.randint(0, len(run) - length)
            piece = run[start : start + length]
            if piece not in pieces and len(pieces) < _SEARCHES:
                pieces.append(piece)
    return pieces


@dataclass(frozen=True)
class _Seeker:
    """Searches as the gateway does, for a user who may see everything."""

    pool: Pool
    texts: TextTower
    weight: float

    async def find(self, text: str, mode: hybrid.Mode, limit: int) -> list[hybrid.Found]:
        wanted = SearchRequest.parse(text, mode)
        vector = None
        if wanted.by_meaning:
            vector = asyncio.ensure_future(asyncio.to_thread(lambda: self.texts.encode_texts([wanted.text])[0]))
        return (await hybrid.search(self.pool, wanted, ADMINISTRATOR, vector, weight=self.weight, limit=limit)).items


async def _searches_by_meaning(show: Console, seeker: _Seeker, uploaded: list[_Uploaded]) -> list[dict[str, object]]:
    """Searches for what the drawn shapes show. The pictures for which it is true are expected before all others."""
    there = {u.picture.path.name for u in uploaded}
    results: list[dict[str, object]] = []
    for caption in SEARCHES:
        expected = sorted(set(shown_by(caption)) & there)
        if not expected:
            continue
        found = [hit.file_name for hit in await seeker.find(caption.text, "clip", limit=max(3, len(expected)))]
        results.append({"query": caption.text, "expected": expected, "found": found})
        right = set(found[: len(expected)]) == set(expected)
        show.print(f"[bold]{caption.text}[/bold]  ->  {', '.join(found)}  {'✓' if right else '✗'}  (by meaning)")
    return results


async def _your_searches(show: Console, seeker: _Seeker) -> None:
    show.print("\nSearch yourself: type a piece of any text above, or what a picture shows, or nothing to end.")
    while True:
        text = (await asyncio.to_thread(input, "> ")).strip()
        if not text:
            return
        try:
            hits = await seeker.find(text, "hybrid", limit=10)
        except QueryError as error:
            show.print(f"  {error}")
            continue
        for hit in hits:
            show.print(f"  [cyan]{hit.file_name}[/cyan] ", end="")
            said = hit.text.replace("\n", " / ") or "(by what it shows)"
            show.print(said, markup=False, overflow="ellipsis", no_wrap=True)
        if not hits:
            show.print("  nothing")
