"""Splits a request into tasks, has them answered at the same time, and merges the answers."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Set

from gateway.errors import MalformedError
from gateway.metrics import Metrics
from gateway.ml.protocol import PredictRequest
from gateway.ml.tasks import Task

_LABELS = ("facial-recognition",)  # text from a request must not become a label of our metrics


class Predict:
    """Answers whole requests.

    Args:
        local: the tasks answered here, of `clip` and `ocr`. The others are forwarded.
        reads: whether our OCR engine can replace Immich's model of that name. If not, `ocr` is forwarded: an engine
            that cannot read a script must not report that a photo has no text.
        texts: answers `clip.textual`.
        pictures: answers `clip.visual` and `ocr`.
        forward: answers faces, and new tasks of a newer Immich.
        metrics: where to count.
        immichs: whether Immich's own model is the one in use for the request's entry for CLIP, which is then forwarded.
    """

    def __init__(
        self,
        local: Collection[str],
        texts: Task,
        pictures: Task,
        forward: Task,
        metrics: Metrics,
        *,
        reads: Callable[[str], bool],
        immichs: Callable[[PredictRequest], Awaitable[bool]] | None = None,
    ) -> None:
        self._local = frozenset(local)
        self._reads = reads
        self._immichs = immichs
        self._texts = texts
        self._pictures = pictures
        self._forward = forward
        self._metrics = metrics

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """The answer to all tasks of `request`. Raises GatewayError: if one task fails, there is no answer."""
        here = self._here(request)
        if "clip" in here and self._immichs is not None and await self._immichs(request):
            here -= {"clip"}
        if not here:
            return await self._forwarded(request)
        parts = self._split(await request.whole(), here)
        if len(parts) == 1:
            return await self._timed(*parts[0])
        try:
            async with asyncio.TaskGroup() as group:
                answers = [group.create_task(self._timed(*part)) for part in parts]
        except ExceptionGroup as failed:
            # An error in the request goes first: the client can correct it.
            raise min(failed.exceptions, key=lambda error: getattr(error, "status", 999)) from None
        merged: dict[str, object] = {}
        for answer in answers:
            merged |= answer.result()
        return merged

    async def _forwarded(self, request: PredictRequest) -> dict[str, object]:
        """The answer to a request that is forwarded while it arrives. Returned after all of it has been checked."""
        answer = asyncio.create_task(self._timed(self._label(request.entries), self._forward, request))
        try:
            await request.check()
            return await answer
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)

    def _here(self, request: PredictRequest) -> Set[str]:
        """The tasks of the request that are answered here."""
        here = self._local & request.entries.keys()
        asked = [request.entry("ocr", kind) for kind in ("detection", "recognition")] if "ocr" in here else []
        if not all(self._reads(entry["modelName"]) for entry in asked if entry is not None):
            here -= {"ocr"}
        return here

    def _split(self, request: PredictRequest, here: Set[str]) -> list[tuple[str, Task, PredictRequest]]:
        parts: list[tuple[str, Task, PredictRequest]] = []
        seen: list[str] = []
        if "clip" in here:
            textual, visual = request.entry("clip", "textual"), request.entry("clip", "visual")
            if (textual is None) == (visual is None):  # one answer cannot contain both
                raise MalformedError("entries: clip must have either textual or visual")
            if textual is not None:
                request.need_text()
                parts.append(("clip.textual", self._texts, request.only(["clip"])))
            else:
                seen.append("clip")
        if "ocr" in here:
            if request.entry("ocr", "detection") is None and request.entry("ocr", "recognition") is None:
                raise MalformedError("entries: ocr has neither detection nor recognition")
            seen.append("ocr")
        if seen:
            request.need_image()
            name = {"clip": "clip.visual", "ocr": "ocr"}
            parts.append(("+".join(name[task] for task in seen), self._pictures, request.only(seen)))
        others = [task for task in request.entries if task not in here]
        if others:
            parts.append((self._label(others), self._forward, request.form_for(others)))
        return parts

    def _label(self, tasks: Collection[str]) -> str:
        (first, *more) = tasks
        return first if not more and first in _LABELS else "other"

    async def _timed(self, label: str, task: Task, request: PredictRequest) -> dict[str, object]:
        with self._metrics.timed(label):
            return await task(request)
