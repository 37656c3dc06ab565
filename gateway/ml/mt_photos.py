"""The API of mt-photos-ai, for MT Photos and for other clients of that service.

It is off unless MT_PHOTOS_API_KEY is set. The names of its fields, and numbers as strings, are those of MT Photos.
Failures are HTTP errors with a `msg`, never empty results.
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from aiohttp import web

from gateway.errors import DeadlineError, GatewayError, MalformedError, MissingInputError, TooLargeError
from gateway.guard import BODY
from gateway.ml.protocol import MAX_TEXT_BYTES, parts
from indexer import images
from indexer.errors import PictureError
from indexer.models.results import Face
from indexer.photos.lines import StoredLine

_HELP = "https://mtmt.tech/docs/advanced/ocr_api"
_MIN_FACE_SCORE = 0.65  # mt-photos-ai's

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sources:
    """The functions that answer. Each raises GatewayError.

    Attributes:
        lines: of the picture whose file is given, as the indexer stores them: text, x1, y1 .. x4, y4 in 0..1, score of
            the box, score of the text.
        image_vector: of such a picture, in the CLIP model's own dimensions, L2-normalised.
        text_vector: the same of a text.
        faces: in such a picture, with at least that score.
    """

    lines: Callable[[bytes], Awaitable[Sequence[StoredLine]]]
    image_vector: Callable[[bytes], Awaitable[Vector]]
    text_vector: Callable[[str], Awaitable[Vector]]
    faces: Callable[[bytes, float], Awaitable[list[Face]]]


class MtPhotos:
    """Answers MT Photos.

    Args:
        sources: the functions that answer.
        api_key: the right value of its header `api-key`.
        face_model: name of the face model. `device`: where the models run. Both are only reported.
        max_pixels: larger pictures are refused.
        deadline: seconds for one request.
    """

    def __init__(
        self, sources: Sources, *, api_key: str, face_model: str, device: str, max_pixels: int, deadline: float
    ) -> None:
        if not api_key:
            raise ValueError("without a key everybody would have access")
        self._sources = sources
        self._api_key = api_key.encode()
        self._face_model = face_model
        self._device = device
        self._max_pixels = max_pixels
        self._deadline = deadline
        self._turning = asyncio.Semaphore(2)  # pictures decoded here at the same time, besides those of the models

    def routes(self, prefix: str = "") -> list[web.RouteDef]:
        """Routes for an application."""
        answers = {
            "/check": self._check,
            "/ocr": self._ocr,
            "/clip/img": self._clip_image,
            "/clip/txt": self._clip_text,
            "/represent": self._represent,
            "/restart": self._restart,
            "/restart_v2": self._restart,
        }
        return [web.post(prefix + path, self._guarded(answer)) for path, answer in answers.items()]

    async def _check(self, _request: web.Request) -> dict[str, Any]:
        return {"result": "pass", "title": "immich-indexer", "help": _HELP, "device": self._device}

    async def _restart(self, _request: web.Request) -> dict[str, Any]:
        """mt-photos-ai frees its memory here, and clients call it between pictures. We have nothing to free."""
        return {"result": "pass"}

    async def _ocr(self, request: web.Request) -> dict[str, Any]:
        data = await self._picture(request)
        width, height = self._size(data)
        lines = await self._sources.lines(data)
        return {
            "result": {
                "texts": [line.text for line in lines],
                "scores": [f"{line.text_score:.2f}" for line in lines],
                "boxes": [_box(line.box, width, height) for line in lines],
            }
        }

    async def _clip_image(self, request: web.Request) -> dict[str, Any]:
        return {"result": _numbers(await self._sources.image_vector(await self._picture(request)))}

    async def _clip_text(self, request: web.Request) -> dict[str, Any]:
        try:
            asked = json.loads(await request[BODY].whole())
        except (ValueError, RecursionError):
            raise MalformedError("the body is not JSON") from None
        text = asked.get("text") if isinstance(asked, dict) else None
        if not isinstance(text, str):
            raise MalformedError('the body is not {"text": "..."}')
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise MalformedError("the text is no Unicode") from None
        if size > MAX_TEXT_BYTES:
            raise TooLargeError(f"the text has more than {MAX_TEXT_BYTES} bytes")
        return {"result": _numbers(await self._sources.text_vector(text))}

    async def _represent(self, request: web.Request) -> dict[str, Any]:
        faces = await self._sources.faces(await self._picture(request), _MIN_FACE_SCORE)
        return {
            "detector_backend": "insightface",
            "recognition_model": self._face_model,
            "result": [_face(face) for face in faces],
        }

    async def _picture(self, request: web.Request) -> bytes:
        """The content of the form's `file`: a photo from a camera, turned as its EXIF data says."""
        body = await request[BODY].whole()
        for name, content in parts(body, request.headers.get("Content-Type", "")):
            if name == "file":
                return await self._upright(bytes(content))
        raise MalformedError("the form has no file")

    async def _upright(self, data: bytes) -> bytes:
        try:
            async with self._turning:
                return await asyncio.to_thread(images.upright, data, max_pixels=self._max_pixels)
        except PictureError as error:
            raise MissingInputError(str(error)) from error

    def _size(self, data: bytes) -> tuple[int, int]:
        try:
            return images.dimensions(data, max_pixels=self._max_pixels)
        except PictureError as error:
            raise MissingInputError(str(error)) from error

    def _guarded(
        self, answer: Callable[[web.Request], Awaitable[dict[str, Any]]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            given = request.headers.get("api-key", "").encode(errors="surrogateescape")
            if not hmac.compare_digest(given, self._api_key):
                return _failure(401, "unauthorized", "Invalid API key")
            try:
                async with asyncio.timeout(self._deadline):
                    return web.json_response(await answer(request))
            except GatewayError as error:
                return _failure(error.status, error.code, str(error), error.retry_after)
            except TimeoutError:
                return _failure(504, DeadlineError.code, f"no answer within {self._deadline:g} s")

        return handle


def _failure(status: int, code: str, message: str, retry_after: int | None = None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.json_response({"error": code, "message": message, "msg": message}, status=status, headers=headers)


def _numbers(vector: Vector) -> list[str]:
    return [f"{number:.16f}" for number in vector.tolist()]


def _box(corners: Sequence[float], width: int, height: int) -> dict[str, str]:
    """The upright box around four corners (x, y in turn, 0..1), in pixels."""
    xs, ys = [x * width for x in corners[::2]], [y * height for y in corners[1::2]]
    box = {"x": min(xs), "y": min(ys), "width": max(xs) - min(xs), "height": max(ys) - min(ys)}
    return {name: str(round(pixels, 2)) for name, pixels in box.items()}


def _face(face: Face) -> dict[str, Any]:
    x1, y1, x2, y2 = face.box
    unit = face.embedding.astype(np.float64) / max(float(np.linalg.norm(face.embedding)), 1e-12)
    return {
        "embedding": unit.tolist(),
        "facial_area": {"x": x1, "y": y1, "w": x2 - x1, "h": y2 - y1},
        "face_confidence": face.score,
    }
