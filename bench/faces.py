"""What the gateway adds to a request for faces that it sends on to Immich's own server."""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import statistics
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import SimpleNamespace

from aiohttp import web

from gateway.app import create_app
from gateway.ml.faces import face_entries
from gateway.ml.protocol import form
from gateway.models import LazyModels
from indexer import allocator, logs
from indexer.settings import Settings

NAME = "faces"
DESCRIPTION = "p50 that the gateway adds to a face request with a picture of 500 KB"

_FACES = 3
_WARM_UP = 20


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `added_p50_ms`, and both sides, asked in turn: the server itself, and through the gateway."""
    pairs = 100 if options.quick else 500
    with _started(_upstream) as upstream, _started(_gateway, upstream) as gateway:
        direct, through = _measure(upstream, gateway, pairs)
    return {
        "added_p50_ms": round(1000 * (statistics.median(through) - statistics.median(direct)), 2),
        "direct_p50_ms": round(1000 * statistics.median(direct), 2),
        "through_p50_ms": round(1000 * statistics.median(through), 2),
        "direct_p95_ms": round(1000 * sorted(direct)[int(0.95 * pairs)], 2),
        "through_p95_ms": round(1000 * sorted(through)[int(0.95 * pairs)], 2),
        "pairs": pairs,
    }


def _measure(upstream: int, gateway: int, pairs: int) -> tuple[list[float], list[float]]:
    body, content_type = form(face_entries("buffalo_l", 0.7), image=os.urandom(500_000))
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for port in (upstream, gateway)]
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(_WARM_UP + pairs):
        answers = []
        for connection, side in zip(connections, seconds, strict=True):
            start = time.perf_counter()
            connection.request("POST", "/predict", body, {"Content-Type": content_type})
            response = connection.getresponse()
            answers.append(json.loads(response.read()))
            if number >= _WARM_UP:
                side.append(time.perf_counter() - start)
        if answers[0] != answers[1]:
            raise RuntimeError(f"the gateway answered {str(answers[1])[:300]}")
    return seconds


@contextlib.contextmanager
def _started(serve: object, *arguments: object) -> Iterator[int]:
    """A server in a process of its own; yields its port."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process: SpawnProcess = context.Process(target=_serve, args=(serve, theirs, *arguments), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(make: object, pipe: Connection, *arguments: object) -> None:
    logs.configure("error", "auto")

    async def serve() -> None:
        assert callable(make)
        runner = web.AppRunner(make(*arguments), access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())


def _upstream() -> web.Application:
    """Immich's server with an answer ready, and nothing else to do: whatever is added shows."""
    embedding = json.dumps([0.123456789] * 512)
    face = {"boundingBox": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}, "embedding": embedding, "score": 0.9}
    answer = json.dumps({"facial-recognition": [face] * _FACES, "imageHeight": 1080, "imageWidth": 1440})

    async def predict(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=answer, content_type="application/json")

    async def ping(_request: web.Request) -> web.Response:
        return web.Response(text="pong")

    app = web.Application(client_max_size=64 << 20)
    app.add_routes([web.get("/ping", ping), web.post("/predict", predict)])
    return app


def _gateway(upstream: int) -> web.Application:
    """The real application, as its command starts it. Faces need neither models nor a database, so it has none."""
    allocator.keep_freed()
    settings = Settings.load(
        immich_ml_url=f"http://127.0.0.1:{upstream}",
        db_hostname="127.0.0.1",
        db_port=1,
        log_level="error",
        _env_file=None,
    )
    text = SimpleNamespace(name="none", dimensions=512, encode_texts=lambda texts: [])

    def no_pictures() -> object:
        raise RuntimeError("there are no models here")

    return create_app(settings, LazyModels(text, None, no_pictures))  # type: ignore[arg-type]
