"""Builds the application. Also the command `immich-gateway`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from itertools import chain
from typing import Any

import click
import structlog
from aiohttp import web

import indexer
from gateway import models
from gateway.console.pages import Console
from gateway.guard import Guard
from gateway.health import Health
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.ml import scripts
from gateway.ml.forward import Forwarder
from gateway.ml.mt_photos import MtPhotos, Sources
from gateway.ml.pictures import Pictures
from gateway.ml.predict import Predict
from gateway.ml.recovery import Recovery
from gateway.ml.tasks import Task
from gateway.ml.text import Texts
from gateway.ml.tried import TriedTower
from gateway.models import LazyModels
from gateway.people.api import Api
from gateway.people.assets import Assets
from gateway.people.events import Events
from gateway.people.faces import Faces
from gateway.people.identity import Identity
from gateway.people.me import Me
from gateway.people.overview import Overview, StatusEndpoint
from gateway.people.pace import USUAL, ApiPace
from gateway.people.reprocess import Reprocess
from gateway.people.search import Search
from gateway.people.similar import Similar
from gateway.people.suggest import Suggest
from gateway.people.thumbnails import Thumbnails
from gateway.people.trial import TrialEndpoints
from gateway.people.webhooks import Webhooks
from gateway.people.years import Years
from gateway.routes import Routes
from gateway.server import serve
from indexer import allocator, logs
from indexer.errors import IndexerError
from indexer.immich import forgotten
from indexer.immich.api import Immich
from indexer.models.engines.engine import Engine
from indexer.queue.completions import Completions
from indexer.settings import Settings
from indexer.text import pinyin

log = structlog.get_logger()

_PERSONS = 10.0  # seconds that the database may take to answer a person, even under load
_LOOK = 2.0  # seconds between two looks which model is in use
_SLOW = 60.0  # seconds that counting Immich's missing work may take in a large library


def create_app(
    settings: Settings, models: LazyModels, *, forward: Task | None = None, pace: ApiPace = USUAL
) -> web.Application:
    """The application. It starts and stops everything that it needs.

    Args:
        settings: of this process.
        models: loaded.
        forward: answers the tasks that are not answered here. By default what the settings name.
        pace: of the API for people.
    """
    metrics = Metrics()
    library = Library(settings.dsn, lease=settings.lease_seconds)
    forwarder: Forwarder | None = None
    if forward is None:
        forward = forwarder = Forwarder(settings, metrics, models.fetcher)
    texts = Texts(
        models.text,
        library,
        metrics,
        queue=settings.gateway_text_queue,
        cache=settings.gateway_text_cache,
        word_weight=settings.lexical_weight,
        setting=settings.clip_model,
        open_tower=models.open_text,
        immichs=forward if forwarder is None or settings.ml_urls else None,
    )
    pictures = Pictures(
        library,
        metrics,
        clip_model=lambda: texts.model_name,
        ocr_model=models.ocr_model,
        tasks=[task for task, there in (("clip", models.text), ("ocr", models.ocr_model)) if there is not None],
        load=models.load_pictures,
        queue=settings.gateway_picture_queue,
        wait=settings.gateway_wait_seconds,
        max_pixels=settings.max_megapixels * 1_000_000,
        missing=lambda: models.fetcher.missing("clip"),
        current=lambda: texts.current,
        setting=settings.clip_model,
    )
    for gate in (texts.gate, pictures.gate):
        metrics.watch(gate)
    guard = Guard(settings, metrics)
    app = web.Application(middlewares=[guard.__call__])
    app.on_response_prepare.append(guard.on_prepare)
    states: dict[str, Callable[[], Any]] = {"weights": lambda: [one.as_json for one in models.fetcher.downloads]}
    sources: list[Callable[[], Mapping[str, Engine]]] = [lambda: texts.engines, lambda: pictures.engines]

    def engines() -> dict[str, Engine]:
        return dict(chain.from_iterable(source().items() for source in sources))

    health = Health(models.text, pictures, engines, library, states)
    metrics.watch_engines(engines)
    metrics.watch_weights(models.fetcher)

    async def running(_app: web.Application) -> AsyncIterator[None]:
        state = await health.look()
        (log.info if state["ready"] else log.warning)("answering", **state)
        warming = asyncio.ensure_future(texts.warm())
        following = asyncio.ensure_future(texts.follow(_LOOK))
        fetching = asyncio.ensure_future(models.fetcher.run())
        yield
        warming.cancel()
        following.cancel()
        fetching.cancel()
        texts.close()
        pictures.close()
        await library.close()

    app.cleanup_ctx.append(running)
    immich = _immich(settings)
    if immich is not None:
        app.on_cleanup.append(lambda _app: immich.close())
    _serve_people(app, settings, immich, texts, TriedTower(models.open_tried), metrics, pace)
    if forwarder is not None:
        recovery = _recovery(settings, library, forwarder, immich)
        app.cleanup_ctx.extend([forwarder.running, recovery.running])
        sources.append(lambda: forwarder.engines)
        states |= {"forwarder": forwarder.state, "forgotten": recovery.state}
        if settings.mt_photos_api_key is not None:
            app.add_routes(_mt_photos(settings, texts, pictures, forwarder).routes(guard.prefix))
    reads = partial(scripts.reads, settings.ocr_engine)
    predict = Predict(settings.tasks, texts, pictures, forward, metrics, reads=reads, immichs=texts.is_immichs)
    routes = Routes(predict, health, metrics, library, settings.gateway_deadline_seconds)
    app.add_routes(routes.under(guard.prefix))
    if guard.prefix:
        app.add_routes(routes.beside(guard.bears_token))
    return app


def _serve_people(
    app: web.Application,
    settings: Settings,
    immich: Immich | None,
    texts: Texts,
    tried_tower: TriedTower,
    metrics: Metrics,
    pace: ApiPace,
) -> None:
    """Add the routes of the API for people. They log in, so these routes have no token."""
    app.on_startup.append(lambda _app: asyncio.to_thread(pinyin.load))  # a search must not hold up the event loop
    identity = Identity(immich, pace)
    # A pool of its own, so that people do not take the connections of Immich's requests. People can wait longer.
    library = Library(settings.dsn, patience=_PERSONS)
    figures = Library(settings.dsn)
    search = Search(
        texts,
        library,
        metrics,
        weight=settings.search_text_weight,
        deadline=settings.gateway_deadline_seconds,
    )
    assets = Assets(library, metrics, settings.immich_pages)
    thumbnails = Thumbnails(immich, library, metrics, max_bytes=settings.max_preview_megabytes << 20)
    faces = Faces(immich, library, metrics, max_bytes=settings.max_preview_megabytes << 20)
    suggest = Suggest(library, metrics)
    years = Years(library, metrics, deadline=settings.gateway_deadline_seconds)
    similar = Similar(library, metrics, deadline=settings.gateway_deadline_seconds)
    reprocess = Reprocess(library, Completions(settings.dsn), metrics, pace)
    webhooks = Webhooks(library, metrics)
    overview = Overview(figures, metrics, lease=settings.lease_seconds, pace=pace)
    events = Events(identity, overview, pace)
    trial = TrialEndpoints(texts, tried_tower, library, metrics, deadline=settings.gateway_deadline_seconds)
    gated = (search, years, suggest, similar, assets, thumbnails, faces, reprocess, webhooks, overview, events, trial)
    for each in (*gated, tried_tower):
        metrics.watch(each.gate)
    me = Me(settings.immich_pages, lambda: texts.model_name)
    answering = (
        me,
        search,
        years,
        suggest,
        similar,
        assets,
        thumbnails,
        faces,
        reprocess,
        webhooks,
        StatusEndpoint(overview),
        events,
        trial,
    )
    app.add_routes(Api(identity, chain.from_iterable(each.endpoints() for each in answering)).routes())
    app.add_routes(Console().routes())

    async def running(_app: web.Application) -> AsyncIterator[None]:
        yield
        tried_tower.close()
        overview.close()
        await library.close()
        await figures.close()

    app.cleanup_ctx.append(running)
    app.on_shutdown.append(events.close)


def _immich(settings: Settings) -> Immich | None:
    key = settings.immich_api_key
    return Immich(settings.immich_url, key.get_secret_value() if key else None) if settings.immich_url else None


def _recovery(settings: Settings, library: Library, forwarder: Forwarder, immich: Immich | None) -> Recovery:
    return Recovery(
        lambda age: library.ask(lambda pool: forgotten.look(pool, older=age), patience=_SLOW),
        immich if immich is not None and immich.has_key else None,
        forwarder,
        interval=settings.recovery_seconds,
    )


def _mt_photos(settings: Settings, texts: Texts, pictures: Pictures, forwarder: Forwarder) -> MtPhotos:
    assert settings.mt_photos_api_key is not None  # noqa: S101 - the caller has checked it
    return MtPhotos(
        Sources(
            lines=pictures.lines,
            image_vector=pictures.vector,
            text_vector=texts.embed,
            faces=forwarder.faces.find,
        ),
        api_key=settings.mt_photos_api_key.get_secret_value(),
        face_model=settings.face_model,
        device=settings.device,
        max_pixels=settings.max_megapixels * 1_000_000,
        deadline=settings.gateway_deadline_seconds,
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(indexer.__version__)
def main() -> None:
    """Answer Immich's machine-learning requests until stopped. Settings come from the environment: docs/settings.md."""
    allocator.keep_freed()
    try:
        settings = Settings.load()
        logs.configure(settings.log_level, settings.log_format)
        app = create_app(settings, models.load(settings))
        asyncio.run(serve(app, settings.gateway_host, settings.gateway_port))
    except IndexerError as error:
        click.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
