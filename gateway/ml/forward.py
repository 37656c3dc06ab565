"""Tasks that are not answered here: faces, and new tasks of a newer Immich. Immich's own server answers them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web

from gateway.body import Body
from gateway.errors import UpstreamError
from gateway.metrics import Metrics
from gateway.ml.faces import TASK, LocalFaces, face_entries, read_faces
from gateway.ml.protocol import PredictRequest, form
from gateway.ml.server import UpstreamRefusalError
from gateway.ml.upstream import Upstreams
from indexer.models.engines.engine import Engine
from indexer.models.engines.states import Phase
from indexer.models.faces import weights as face_weights
from indexer.models.fetcher import Fetcher
from indexer.models.load import make_faces
from indexer.models.results import Face
from indexer.settings import Settings

log = structlog.get_logger()

_HEADROOM = 0.95  # fraction of the gateway's deadline, so that the client still gets the reason


class Forwarded:
    """Forwards a request unchanged. `model`: the face model for `find`. A request names its own."""

    def __init__(self, upstreams: Upstreams, model: str) -> None:
        self._upstreams = upstreams
        self._model = model

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """The server's answer, unchanged. If it does not know a part of the request: its answer to the other parts.

        Raises:
            UpstreamError, DeadlineError: as `Upstreams.predict`. Also where the answer lacks a task.
        """
        try:
            answer = await self._upstreams.predict(request.body, request.content_type)
        except UpstreamRefusalError as refusal:
            # Immich may be newer than its machine-learning server, and it never asks again.
            familiar = await request.familiar() if refusal.status == HTTPStatus.UNPROCESSABLE_ENTITY else None
            if familiar is None:
                raise
            answer = await self._upstreams.predict(familiar.body, familiar.content_type)
        for task in request.entries:
            if answer.get(task) is None:
                raise UpstreamError(f"the answer of Immich's machine-learning server has no {task[:100]}")
        return answer

    async def find(self, image: bytes, min_score: float) -> list[Face]:
        """The faces in the picture whose file is `image`, the highest score first. Raises as above."""
        body, content_type = form(face_entries(self._model, min_score), image=image)
        answer = await self._upstreams.predict(Body(body), content_type)
        try:
            return read_faces(answer.get(TASK))
        except ValueError as error:
            raise UpstreamError(f"Immich's machine-learning server answered {error}") from error


class Forwarder:
    """Answers what the gateway itself does not: with other servers if the settings name any, else with InsightFace.

    `came_back` is set when a server works again after none did, or when the weights of InsightFace's model have
    arrived. The code that waits for it clears it. `fetcher` downloads those weights.
    """

    def __init__(self, settings: Settings, metrics: Metrics, fetcher: Fetcher | None = None) -> None:
        urls = settings.ml_urls
        self.upstreams = (
            Upstreams(
                urls,
                timeout=_HEADROOM * settings.gateway_deadline_seconds,
                wait=settings.immich_ml_wait_seconds,
                check=settings.immich_ml_check_seconds,
            )
            if urls
            else None
        )
        self._fetcher = fetcher or Fetcher()
        self.faces: Forwarded | LocalFaces = (
            Forwarded(self.upstreams, settings.face_model) if self.upstreams else _local(settings, self._fetcher)
        )
        self.came_back = self.upstreams.came_back if self.upstreams else asyncio.Event()
        self._settings = settings
        if self.upstreams is not None:
            metrics.watch_upstreams(self.upstreams.servers)
        if isinstance(self.faces, LocalFaces):
            metrics.watch(self.faces.gate)

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """The answer to every task of `request`. Raises GatewayError."""
        return await self.faces(request)

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """A context of the application, for its `cleanup_ctx`."""
        if self.upstreams is not None:
            async with self.upstreams:
                yield
            return
        if missing := self._missing_weights():
            log.warning("faces cannot be answered", reason=missing)
            self._tell_of_weights(asyncio.get_running_loop())
        yield
        if isinstance(self.faces, LocalFaces):
            self.faces.close()

    @property
    def well(self) -> bool:
        """Whether a request for faces would be answered now."""
        return self.upstreams.well if self.upstreams is not None else not self._missing_weights()

    @property
    def engines(self) -> dict[str, Engine]:
        """That of the face model here, once it was needed; nobody has to wait for it while its weights are missing."""
        if not isinstance(self.faces, LocalFaces):
            return {}
        engine = self.faces.engine
        return {"faces": engine} if engine.facts is not None or engine.state.phase is Phase.SICK else {}

    def state(self) -> dict[str, Any]:
        """For `health`: the servers and their state, or the model here."""
        if self.upstreams is None:
            return {
                "model": self._settings.face_model,
                "loaded": isinstance(self.faces, LocalFaces) and self.faces.engine.state.is_ready,
            }
        return {
            "upstreams": [
                {"url": server.name, "trouble": server.trouble or None, "in_flight": server.in_flight}
                for server in self.upstreams.servers
            ]
        }

    def _tell_of_weights(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set `came_back` when the weights have arrived."""

        def look() -> None:
            if not self._fetcher.missing("faces"):
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self.came_back.set)

        self._fetcher.watch(look)

    def _missing_weights(self) -> str:
        return self._fetcher.missing("faces") or face_weights.missing(
            self._settings.face_model, self._settings.face_download_root
        )


def _local(settings: Settings, fetcher: Fetcher) -> LocalFaces:
    return LocalFaces(
        settings.face_model,
        make_faces(settings, fetcher),
        threads=settings.threads,
        queue=settings.gateway_picture_queue,
        max_pixels=settings.max_megapixels * 1_000_000,
    )
