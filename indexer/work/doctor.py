"""Checks every precondition one by one, and says what to do where one fails."""

import asyncio
import importlib.util
import os
import time
from collections.abc import Awaitable, Callable

import aiohttp
import asyncpg

from indexer.database import owners, rights, schema, tuning, zhparser
from indexer.database.pool import Connection, connect, connect_to_immich
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError, PictureError, WeightsError
from indexer.immich import ml_servers
from indexer.immich.api import Immich, ImmichRefusalError
from indexer.models import model_files
from indexer.models.clip.makers import maker_of
from indexer.models.engines.states import Phase
from indexer.models.files.published import ModelFiles
from indexer.models.int8 import report as int8
from indexer.models.model_files import DownloadState
from indexer.photos import photo as photos
from indexer.photos import width as widths
from indexer.photos.vectors import room
from indexer.queue import backlog
from indexer.settings import Settings
from indexer.work import reconcile
from indexer.work.device import device_finding
from indexer.work.finding import Finding, Verdict
from indexer.work.media import ForbiddenError, Media, MediaError

_PERMISSIONS = ("job.create", "tag.asset")  # of IMMICH_API_KEY
_OLDEST_PGVECTOR = (0, 7)  # has halfvec and concatenation


async def examine(settings: Settings, patience: float = 10.0) -> list[Finding]:
    """All findings, in the order in which to repair them. What is wrong with the installation raises nothing.

    `patience`: seconds in which an indexer that was started just now may still be installing our schema.
    """
    findings = [await asyncio.to_thread(device_finding, settings)]
    if "clip" in settings.tasks:
        findings.append(await asyncio.to_thread(_weights, settings))
    findings += [await _faces(settings), await _immich(settings)]
    try:
        connection = await connect(settings.dsn)
    except TROUBLE as error:
        return [*findings, Finding("connection", "fails", explain(error))]
    await connection.close()
    try:
        immich = await connect_to_immich(settings.dsn)
    except IndexerError as error:
        return [*findings, Finding("connection", "fails", str(error))]
    try:
        server = await immich.fetchval("SELECT current_setting('server_version')")
        findings.append(Finding("connection", "ok", f"PostgreSQL {server}"))
        checks: list[tuple[str, Callable[[Connection, Settings], Awaitable[Finding]]]] = [
            ("Immich's tables", _tables),
            ("rights", _rights),
            ("our schema", lambda connection, _: _schema(connection, patience)),
            ("backups", _backups),
            ("pgvector", _pgvector),
            ("zhparser", _zhparser),
            ("vector width", _width),
            ("other models' vectors", _foreign),
            ("database settings", _settings),
            ("media", _media),
            ("models at work", _engines),
        ]
        for name, check in checks:
            try:
                findings.append(await check(immich, settings))
            except (IndexerError, asyncpg.PostgresError) as error:
                findings.append(Finding(name, "fails", str(error)))
    finally:
        await immich.close()
    return findings


async def _engines(connection: Connection, _: Settings) -> Finding:
    """What the indexers report about their models."""
    told = [(one, part, engine) for one in await backlog.workers(connection) for part, engine in one.engines.items()]
    away = [each for each in told if each[2].state != "ready"]
    if not away:
        elsewhere = [f"{worker.name}: {engine.reason}" for worker, _, engine in told if engine.reason]
        return Finding("models at work", "advice" if elsewhere else "ok", "; ".join(["none is sick", *elsewhere]))
    wanting = await backlog.wanting(connection)
    said = "; ".join(engine.sentence(part, worker.name, wanting.get(part, 0)) for worker, part, engine in away)
    waits = all(engine.state == Phase.WAITING for *_, engine in away)
    return Finding(
        "models at work", "advice" if waits else "fails", f"{said}. Nothing is lost: it is tried again automatically"
    )


def _weights(settings: Settings) -> Finding:
    try:
        wanted = model_files.clip_files(settings, settings.clip_model)
        download = model_files.state_of(wanted)
        if download.missing:
            verdict, text = _on_their_way(settings, wanted, download, "immich-indexer models fetch")
            return Finding("weights", verdict, text)
        found = maker_of(settings.clip_model).identify(settings.clip_model, settings.clip_download_root)
    except (WeightsError, OSError) as error:  # OSError: its folder may not be read
        return Finding("weights", "fails", str(error))
    if found.note is not None:
        return Finding("weights", "fails", f"{found.name} is a {found.note}; set CLIP_MODEL=ViT-B-16")
    return Finding("weights", "ok", f"{found.name}, {found.path}{found.computed}{int8.of_clip(settings, found.name)}")


async def _faces(settings: Settings) -> Finding:
    urls = settings.ml_urls
    try:
        if not urls:
            return await asyncio.to_thread(_local_faces, settings)
    except (IndexerError, OSError) as error:
        return Finding("faces", "fails", str(error))
    async with aiohttp.ClientSession() as session:
        troubles = await asyncio.gather(*(ml_servers.ping(session, url) for url in urls))
    seen = ", ".join(
        f"{ml_servers.name_of(url)}: {trouble or 'answers'}" for url, trouble in zip(urls, troubles, strict=True)
    )
    if all(troubles):
        return Finding(
            "faces", "fails", f"{seen}; Immich asks the gateway for faces only once: start it, or mend IMMICH_ML_URL"
        )
    return Finding("faces", "advice" if any(troubles) else "ok", seen)


def _local_faces(settings: Settings) -> Finding:
    model, root = settings.face_model, settings.face_download_root
    wanted = model_files.face_files(settings)
    download = model_files.state_of(wanted)
    if download.missing:
        _, text = _on_their_way(settings, wanted, download, "immich-indexer models fetch --faces")
        return Finding(
            "faces",
            "advice",  # Immich may ask another server for faces
            "IMMICH_ML_URL names no server, so the gateway cannot answer for faces yet. If Immich asks it, set "
            f"IMMICH_ML_URL=http://immich-machine-learning:3003, or wait: {text}",
        )
    if importlib.util.find_spec("insightface") is None:
        return Finding("faces", "fails", "the package insightface is missing: pip install 'immich-indexer[faces]'")
    return Finding("faces", "ok", f"{model}, {root / model}")


def _on_their_way(settings: Settings, wanted: ModelFiles, download: DownloadState, command: str) -> tuple[Verdict, str]:
    """What to do about missing weights. Most of the time: nothing."""
    if not wanted.is_published:
        return "fails", download.sentence
    if model_files.is_closed(wanted):
        return "fails", f"{download.sentence}: let user {os.getuid()} read and write that folder"
    if settings.weights_source == "none":
        return "fails", f"{download.sentence}; WEIGHTS_SOURCE=none: put them there, or run `{command}`"
    return "advice", f"{download.sentence}; `immich-indexer run` fetches them by itself, or run `{command}`"


async def _immich(settings: Settings) -> Finding:
    name = "Immich itself"
    if not settings.immich_url:
        return Finding(
            name,
            "advice",
            "IMMICH_URL is not set. So nobody can search over HTTP, because only Immich can tell who is asking, and"
            " people have to start Immich's jobs and remove the tag `reindex`. Set IMMICH_URL=http://immich-server:2283",
        )
    key = settings.immich_api_key
    try:
        async with Immich(settings.immich_url, key.get_secret_value() if key else None) as immich:
            await immich.ping()
            permissions = await immich.own_permissions() if immich.has_key else None
    except ImmichRefusalError as error:
        return Finding(name, "fails", f"{error}: make IMMICH_API_KEY anew in Immich, Account Settings > API Keys")
    except IndexerError as error:
        return Finding(name, "fails", str(error))
    if permissions is None:
        return Finding(
            name,
            "advice",
            "answers. Without IMMICH_API_KEY the tag `reindex` stays on photos that were read, and `status` says which"
            " of Immich's jobs a person has to start",
        )
    lacking = [wanted for wanted in _PERMISSIONS if not permissions & {"all", wanted}]
    if lacking:
        return Finding(name, "advice", f"answers; IMMICH_API_KEY lacks the permission {' and '.join(lacking)}")
    return Finding(name, "ok", "answers, and IMMICH_API_KEY has the permissions that are needed")


async def _tables(connection: Connection, _: Settings) -> Finding:
    rows = await connection.fetch(schema.SQL["tables_present"], list(schema.TABLES))
    missing = [row["name"] for row in rows if not row["present"]]
    if missing:
        return Finding(
            "Immich's tables", "fails", f"missing: {', '.join(missing)}; is this Immich 2.7 or newer, started once?"
        )
    generation = await connection.fetchval(schema.SQL["immich_generation"])
    return Finding("Immich's tables", "ok", f"all there, as of Immich {generation}")


async def _rights(connection: Connection, _: Settings) -> Finding:
    await rights.require(connection)
    return Finding("rights", "ok", "all that is needed, on Immich's tables")


async def _schema(connection: Connection, patience: float) -> Finding:
    give_up = time.monotonic() + patience
    while True:
        version, missing = await schema.version(connection), await schema.missing_triggers(connection)
        if (version >= schema.known_version() and not missing) or time.monotonic() > give_up:
            break
        await asyncio.sleep(0.2)
    await schema.require(connection)
    if missing:
        return Finding("our schema", "fails", f"triggers missing: {', '.join(missing)}; run `immich-indexer install`")
    return Finding("our schema", "ok", f"version {version}, all triggers in place")


async def _pgvector(connection: Connection, _: Settings) -> Finding:
    rows = {row["name"]: row for row in await connection.fetch(schema.SQL["extension_versions"])}
    installed = rows["vector"]["installed_version"] if "vector" in rows else None
    if installed is None:
        return Finding("pgvector", "fails", "not installed in this database; Immich installs it when it starts")
    if tuple(int(part) for part in installed.split(".")[:2]) < _OLDEST_PGVECTOR:
        return Finding(
            "pgvector",
            "fails",
            f"{installed} is too old, 0.7 is needed: update the database image, then ALTER EXTENSION vector UPDATE",
        )
    return Finding("pgvector", "ok", installed)


async def _zhparser(connection: Connection, _: Settings) -> Finding:
    advice = await zhparser.advice(connection)
    if advice is None:
        return Finding("zhparser", "ok", "ranks Chinese words")
    return Finding("zhparser", "fails" if await zhparser.state(connection) == "lost" else "advice", advice)


async def _width(connection: Connection, settings: Settings) -> Finding:
    width = await schema.vector_width(connection)
    named = widths.MODEL_NAMES.get(width, "none that we know")
    if "clip" not in settings.tasks:
        return Finding("vector width", "ok", f"{width} (Immich's models of this width: {named}, ...)")
    needed = maker_of(settings.clip_model).dimensions(settings.clip_model, settings.clip_download_root)
    if needed is None:
        return Finding("vector width", "ok", f"{width}; the CLIP model's own width is known with its weights")
    advice = widths.advice(width, needed)
    if advice is None:
        words = f"{room(width, needed)} hold the photos' words"
        return Finding("vector width", "ok", f"{widths.known(width, needed)}: {words}")
    return Finding("vector width", "fails" if width < needed else "advice", advice)


async def _foreign(connection: Connection, settings: Settings) -> Finding:
    if "clip" not in settings.tasks:
        return Finding("other models' vectors", "ok", "not checked: TASKS has no clip")
    await schema.require(connection)
    found = await reconcile.foreign_vectors(connection)
    alive = any(worker.seen_seconds <= settings.lease_seconds for worker in await backlog.workers(connection))
    said = []
    if found.missed:
        todo = "" if alive else ", and start `immich-indexer run`"
        said.append(
            f"{found.missed} photos have a vector of another model, which no Chinese search finds: "
            f"`immich-indexer backfill`{todo}"
        )
    if found.given_up:
        said.append(
            f"{found.given_up} photos that could not be read keep a vector of another model: `immich-indexer status` "
            "says why, `immich-indexer retry` tries again"
        )
    if found.queued:
        todo = "being read now" if alive else "in the queue: start `immich-indexer run`"
        said.append(f"{found.queued} photos with a vector of another model are {todo}")
    well = not found.missed and not found.given_up and (alive or not found.queued)
    return Finding("other models' vectors", "ok" if well else "advice", "; ".join(said) or "none")


async def _settings(connection: Connection, _: Settings) -> Finding:
    advice = await tuning.advice(connection)
    if advice:
        return Finding("database settings", "advice", ". ".join(advice))
    hnsw = ", which asks no HNSW index" if await tuning.missing(connection, "hnsw") else ""
    return Finding("database settings", "ok", f"as Immich's search wants them{hnsw}")


async def _backups(connection: Connection, _: Settings) -> Finding:
    trouble = await owners.trouble(connection)
    return Finding("backups", "fails", trouble) if trouble else Finding("backups", "ok", "Immich can restore its own")


async def _media(connection: Connection, settings: Settings) -> Finding:
    from indexer import images

    path = await photos.some_preview(connection)
    if path is None:
        return Finding("media", "advice", "no photo has a preview yet: nothing to check with")
    try:
        local = settings.path_map()(path)
        data = await Media.of(settings).read(path)
        await asyncio.to_thread(images.dimensions, data, max_pixels=settings.max_megapixels * 1_000_000)
    except ForbiddenError as error:  # the folder exists, so MEDIA_PATH_MAP is right
        return Finding("media", "fails", str(error))
    except (PictureError, MediaError) as error:
        return Finding(
            "media",
            "fails",
            f"{error}; Immich calls it {path}: mount its folder here and set MEDIA_PATH_MAP accordingly",
        )
    return Finding("media", "ok", f"{path} is readable as {local}")
