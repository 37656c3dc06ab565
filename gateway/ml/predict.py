"""Gives each task of a request to who answers it, side by side, and makes one answer of theirs."""

import asyncio
from collections.abc import Callable, Collection, Set

from gateway.errors import MalformedError
from gateway.metrics import Metrics
from gateway.ml.protocol import PredictRequest
from gateway.ml.tasks import Task

_LABELS = ("facial-recognition",)  # what strangers write into a request must not become labels of our metrics


class Predict:
    """Answers whole requests.

    Args:
        local: the tasks answered here, of `clip` and `ocr`; the others are forwarded.
        reads: whether our text model can stand in for Immich's of that name. Where not, `ocr` is forwarded: who cannot
            read a script must not say that a photo has no text.
        texts: answers `clip.textual`.
        pictures: answers `clip.visual` and `ocr`.
        forward: answers faces, and whatever a newer Immich may ask.
        metrics: where to count.
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
    ) -> None:
        self._local = frozenset(local)
        self._reads = reads
        self._texts = texts
        self._pictures = pictures
        self._forward = forward
        self._metrics = metrics

    async def __call__(self, request: PredictRequest) -> dict[str, object]:
        """The answer to all tasks of `request`. Raises GatewayError: where one task fails there is no answer."""
        here = self._here(request)
        if not here:
            return await self._forwarded(request)
        parts = self._split(await request.whole(), here)
        if len(parts) == 1:
            return await self._timed(*parts[0])
        try:
            async with asyncio.TaskGroup() as group:
                answers = [group.create_task(self._timed(*part)) for part in parts]
        except ExceptionGroup as failed:
            # The fault of the request, if any, is what its sender can mend.
            raise min(failed.exceptions, key=lambda error: getattr(error, "status", 999)) from None
        merged: dict[str, object] = {}
        for answer in answers:
            merged |= answer.result()
        return merged

    async def _forwarded(self, request: PredictRequest) -> dict[str, object]:
        """The answer to a request that is sent on while it arrives, given only once all of it has been seen."""
        answer = asyncio.create_task(self._timed(self._label(request.entries), self._forward, request))
        try:
            await request.check()
            return await answer
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)

    def _here(self, request: PredictRequest) -> Set[str]:
        """Those of its tasks that are answered here."""
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
            if (textual is None) == (visual is None):  # one answer cannot hold both
                raise MalformedError("entries: clip is to have either textual or visual")
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
