"""Faces by InsightFace on this machine, for users without Immich's machine-learning server. And Immich's formats."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.errors import MissingInputError, TooLargeError, UnsupportedError
from gateway.gate import Gate
from gateway.ml.engines import asked
from gateway.ml.protocol import PredictRequest, vector_answer
from indexer import images
from indexer.errors import PictureError
from indexer.images import Picture
from indexer.models.engines.engine import Engine
from indexer.models.engines.hosted import HostedFaces
from indexer.models.results import Face
from indexer.threads import Threads

TASK = "facial-recognition"
_MIN_SCORE = 0.7  # Immich's default
_LOADING = 60.0  # seconds that a request waits for the model to be loaded
_EDGES = ("x1", "y1", "x2", "y2")


class LocalFaces:
    """Answers `facial-recognition`.

    Args:
        name: Immich's name of the model.
        model: started at the first picture.
        threads: pictures processed, and so kept decoded, at the same time.
        queue: the most pictures that may wait.
        max_pixels: larger pictures are refused.
    """

    def __init__(self, name: str, model: HostedFaces, *, threads: int, queue: int, max_pixels: int) -> None:
        self.name = name
        self.gate = Gate("faces", queue, retry_after=5)
        self._model = model
        self._max_pixels = max_pixels
        self._threads: Threads[tuple[list[Face], Picture]] = Threads(most=threads)

    @property
    def engine(self) -> Engine:
        """The model's."""
        return self._model.engine

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """`{"facial-recognition": faces, "imageWidth": pixels, "imageHeight": pixels}`. Raises GatewayError."""
        request = await request.whole()
        self._check(request)
        image = request.need_image()
        options = (request.entry(TASK, "detection") or {}).get("options") or {}
        min_score = request.min_score(TASK, "detection") if "minScore" in options else _MIN_SCORE
        faces, picture = await self._look(image, min_score)
        return {TASK: face_answer(faces), "imageWidth": picture.width, "imageHeight": picture.height}

    async def find(self, image: bytes, min_score: float) -> list[Face]:
        """The faces in the picture whose file is `image`, the highest score first. Raises GatewayError."""
        faces, _ = await self._look(image, min_score)
        return faces

    def close(self) -> None:
        """End the model, and all that is asked of it."""
        self.engine.close()

    def _check(self, request: PredictRequest) -> None:
        others = ", ".join(_described(request, task) for task in sorted(request.entries.keys() - {TASK}))
        if others:
            raise UnsupportedError(f"nothing here answers {others[:200]}: name Immich's own server in IMMICH_ML_URL")
        for kind in ("detection", "recognition"):
            entry = request.entry(TASK, kind)
            if entry is None:
                raise UnsupportedError(f"{TASK} is answered with detection and recognition together, or not at all")
            if entry["modelName"] != self.name:  # its embeddings cannot be compared with those that Immich has
                raise UnsupportedError(
                    f"Immich asks for the face model {entry['modelName'][:100]}, here is {self.name}: choose it in "
                    "Administration > Settings > Machine Learning, or name Immich's own server in IMMICH_ML_URL"
                )

    async def _look(self, image: bytes, min_score: float) -> tuple[list[Face], Picture]:
        with self.gate(), asked():
            try:
                return await asyncio.wrap_future(self._threads.submit(self._work, image, min_score))
            except PictureError as error:
                raise MissingInputError(str(error)) from error

    def _work(self, image: bytes, min_score: float) -> tuple[list[Face], Picture]:
        self.engine.start()
        self.engine.settle(_LOADING)
        width, height = images.dimensions(image, max_pixels=sys.maxsize)
        if width * height > self._max_pixels:
            raise TooLargeError(f"the picture has {width} x {height} pixels, at most {self._max_pixels} are taken")
        picture = images.decode(image, max_pixels=self._max_pixels)
        return self._model.find(picture, min_score), picture


def _described(request: PredictRequest, task: str) -> str:
    """A task and the models wanted for it: perhaps they are why nothing here answers it."""
    kinds = request.entries[task]
    entries = kinds.values() if isinstance(kinds, dict) else ()
    models = {str(entry["modelName"]) for entry in entries if isinstance(entry, dict) and "modelName" in entry}
    return f"{task} with {' and '.join(sorted(models))}" if models else task


def face_answer(faces: Sequence[Face]) -> list[dict[str, object]]:
    """Faces in Immich's format."""
    return [
        {
            "boundingBox": dict(zip(_EDGES, face.box, strict=True)),
            "embedding": vector_answer(face.embedding),
            "score": face.score,
        }
        for face in faces
    ]


def read_faces(answer: Any) -> list[Face]:
    """Faces from the answer of another server.

    Raises:
        ValueError: the answer has another format.
    """
    try:
        return [
            Face(
                box=tuple(round(found["boundingBox"][edge]) for edge in _EDGES),
                score=float(found["score"]),
                embedding=np.asarray(json.loads(found["embedding"]), dtype=np.float32),
            )
            for found in answer
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not faces as Immich takes them: {error!r}") from error


def face_entries(model: str, min_score: float) -> dict[str, Any]:
    """Immich's entries of a request for faces."""
    detection = {"modelName": model, "options": {"minScore": min_score}}
    return {TASK: {"detection": detection, "recognition": {"modelName": model}}}
