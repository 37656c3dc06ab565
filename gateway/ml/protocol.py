"""Immich's machine-learning protocol: parses its multipart requests, and builds its answers."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.body import Body
from gateway.errors import MalformedError, MissingInputError, TooLargeError
from indexer.photos.lines import StoredLine

MAX_TEXT_BYTES = 16 << 10  # the model reads about 50 characters: nobody types more than this
_MAX_ENTRIES_BYTES = 64 << 10
_MAX_HEADER_BYTES = 8 << 10
_MAX_PARTS = 16
_LOOKS = 16  # tries to find the entries in a form that is still arriving: Immich sends them first

_KINDS = {
    "clip": ("textual", "visual"),
    "facial-recognition": ("detection", "recognition"),
    "ocr": ("detection", "recognition"),
}
_MEMBERS = ("modelName", "options")

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\r\n]{1,200})"|([^\s;,"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(
    rb'^content-disposition:[ \t]*form-data;(?:.*;)?[ \t]*name="([^"\r\n]*)"', re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True)
class PredictRequest:
    """One request of Immich's.

    `entries` maps tasks to types to `{"modelName": str, "options": {...}}`. Only its first level is checked. `body` is
    the form as it came, with the boundary that `content_type` names. While it is arriving, there is neither image nor
    text, and it is not known whether the form is valid: `whole` waits for all of it.
    """

    entries: dict[str, Any]
    image: bytes | None
    text: str | None
    body: Body
    content_type: str

    async def whole(self) -> "PredictRequest":
        """This request with its complete form.

        Raises:
            MalformedError, MissingInputError, TooLargeError: as `parse`.
            SlowClientError: it did not arrive in time.
        """
        if self.image is not None or self.text is not None:
            return self
        return parse(await self.body.whole(), self.content_type)

    async def check(self) -> None:
        """Wait for all of the form, which another server answers, and check it. Raises as `whole`."""
        if self.image is None and self.text is None:
            _text(_fields(await self.body.whole(), self.content_type))

    def entry(self, task: str, kind: str) -> dict[str, Any] | None:
        """The entry of that task and type, checked. None where there is none.

        Raises:
            MalformedError: it is not what Immich sends.
        """
        kinds = self.entries.get(task, {})
        if not isinstance(kinds, dict):
            raise MalformedError(f"entries: {task} is not an object")
        entry = kinds.get(kind)
        if entry is None and kind not in kinds:
            return None
        if not isinstance(entry, dict) or not isinstance(entry.get("modelName"), str):
            raise MalformedError(f"entries: {task}.{kind} has no modelName")
        if not isinstance(entry.get("options", {}), dict):
            raise MalformedError(f"entries: the options of {task}.{kind} are not an object")
        return entry

    def min_score(self, task: str, kind: str) -> float:
        """The option `minScore` of that entry, 0 where there is none.

        Raises:
            MalformedError: it is not a number.
        """
        score = ((self.entry(task, kind) or {}).get("options") or {}).get("minScore", 0)
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise MalformedError(f"entries: minScore of {task}.{kind} is not a number")
        return float(score)

    def language(self, task: str, kind: str) -> str | None:
        """The option `language` of that entry, such as `zh-CN`. None where there is none.

        Raises:
            MalformedError: it is not a text.
        """
        language = ((self.entry(task, kind) or {}).get("options") or {}).get("language")
        if language is not None and not isinstance(language, str):
            raise MalformedError(f"entries: language of {task}.{kind} is not a text")
        return language or None

    def max_resolution(self, task: str, kind: str) -> int | None:
        """The option `maxResolution` of that entry. None where there is none.

        Raises:
            MalformedError: it is not a number of pixels.
        """
        pixels = ((self.entry(task, kind) or {}).get("options") or {}).get("maxResolution")
        if pixels is not None and (isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 1):
            raise MalformedError(f"entries: maxResolution of {task}.{kind} is not a positive whole number")
        return pixels

    def need_image(self) -> bytes:
        """The image. Raises MissingInputError where there is none."""
        if self.image is None:
            raise MissingInputError("this task needs an image")
        return self.image

    def need_text(self) -> str:
        """The text. Raises MissingInputError where there is none."""
        if self.text is None:
            raise MissingInputError("this task needs a text")
        return self.text

    def only(self, tasks: Iterable[str]) -> "PredictRequest":
        """This request for `tasks` only, to be answered here. Its body stays the whole form."""
        return replace(self, entries={task: self.entries[task] for task in tasks})

    def form_for(self, tasks: Iterable[str]) -> "PredictRequest":
        """This request for `tasks` only, to be forwarded. The body stays the same if these are all tasks."""
        wanted = {task: self.entries[task] for task in tasks}
        if wanted.keys() == self.entries.keys():
            return self
        body, content_type = form(wanted, image=self.image, text=self.text)
        return replace(self, entries=wanted, body=Body(body), content_type=content_type)

    async def familiar(self) -> "PredictRequest | None":
        """This request with only what Immich's server of 3.3 knows. None where that is all of it, or nothing.

        That server answers 422 to tasks, types and members that it does not know, except options. Raises as `whole`.
        """
        known = {
            task: {
                kind: {name: entry[name] for name in _MEMBERS if name in entry}
                for kind, entry in kinds.items()
                if kind in _KINDS[task] and isinstance(entry, dict)
            }
            for task, kinds in self.entries.items()
            if task in _KINDS and isinstance(kinds, dict)
        }
        if known == self.entries or not known:
            return None
        request = await self.whole()
        body, content_type = form(known, image=request.image, text=request.text)
        return replace(request, body=Body(body), content_type=content_type)


async def receive(body: Body, content_type: str) -> PredictRequest:
    """A request, as soon as its entries have arrived. If they do not come first, after all of it has arrived.

    Raises:
        MalformedError, MissingInputError, TooLargeError, SlowClientError: as `PredictRequest.whole`.
    """
    seen = 0
    for _ in range(_LOOKS):
        await body.more(seen)
        if body.complete:
            break
        seen = body.arrived
        entries = _first_entries(body.start(2 * _MAX_ENTRIES_BYTES), content_type)
        if entries is not None:
            return PredictRequest(entries, None, None, body, content_type)
    return parse(await body.whole(), content_type)


def parse(body: bytes, content_type: str) -> PredictRequest:
    """Parse a request.

    Raises:
        MalformedError: the form or its entries are not what Immich sends.
        MissingInputError: neither image nor text is there.
        TooLargeError: the text is too long.
    """
    fields = _fields(body, content_type)
    image = bytes(fields["image"]) if "image" in fields else None
    return PredictRequest(_entries(fields["entries"]), image, _text(fields), Body(body), content_type)


def _fields(body: bytes, content_type: str) -> dict[str, memoryview]:
    """The fields of a form by name, without a copy."""
    fields: dict[str, memoryview] = {}
    for name, content in parts(body, content_type):
        if name in fields:
            raise MalformedError(f"the form names {name!r} twice")
        fields[name] = content
    if "entries" not in fields:
        raise MalformedError("the form has no entries")
    if "image" not in fields and "text" not in fields:
        raise MissingInputError("the form has neither image nor text")
    return fields


def _text(fields: Mapping[str, memoryview]) -> str | None:
    text = fields.get("text")
    if text is None:
        return None
    if len(text) > MAX_TEXT_BYTES:
        raise TooLargeError(f"the text has more than {MAX_TEXT_BYTES} bytes")
    try:
        return bytes(text).decode()
    except UnicodeDecodeError:
        raise MalformedError("the text is not UTF-8") from None


def _first_entries(start: bytes, content_type: str) -> dict[str, Any] | None:
    """The entries at the beginning of a form. None if they are not there, or are not valid."""
    try:
        return next((_entries(content) for name, content in parts(start, content_type) if name == "entries"), None)
    except MalformedError:
        return None


def _entries(content: memoryview) -> dict[str, Any]:
    if len(content) > _MAX_ENTRIES_BYTES:
        raise MalformedError("the entries are too long")
    try:
        entries = json.loads(bytes(content))
    except (ValueError, RecursionError):
        raise MalformedError("the entries are not JSON") from None
    if not isinstance(entries, dict) or not entries:
        raise MalformedError("the entries are not an object that names a task")
    return entries


def parts(body: bytes, content_type: str) -> Iterator[tuple[str, memoryview]]:
    """Name and content of each part."""
    match = _BOUNDARY.search(content_type)
    if match is None or not content_type.lower().startswith("multipart/form-data"):
        raise MalformedError("the body is not multipart/form-data with a boundary")
    dashes = b"--" + (match[1] or match[2]).encode("utf-8", "surrogateescape")
    delimiter = b"\r\n" + dashes
    if body.startswith(dashes):
        at = len(dashes)
    elif (before := body.find(delimiter)) >= 0:
        at = before + len(delimiter)
    else:
        raise MalformedError("the form does not begin with its boundary")
    for _ in range(_MAX_PARTS + 1):
        if body.startswith(b"--", at):
            return
        if not body.startswith(b"\r\n", at):
            raise MalformedError("the form is broken after a boundary")
        head = body.find(b"\r\n\r\n", at, at + _MAX_HEADER_BYTES)
        end = -1 if head < 0 else body.find(delimiter, head + 2)
        if end < 0:
            raise MalformedError("a part of the form has no end")
        name = _NAME.search(body[at:head])
        if name is None:
            raise MalformedError("a part of the form has no name")
        yield name[1].decode("utf-8", "replace"), memoryview(body)[head + 4 : max(end, head + 4)]
        at = end + len(delimiter)
    raise MalformedError(f"the form has more than {_MAX_PARTS} parts")


def form(entries: Mapping[str, Any], *, image: bytes | None = None, text: str | None = None) -> tuple[bytes, str]:
    """A request in Immich's format: the body, and its Content-Type."""
    boundary = "----formdata-undici-046872319955"
    content = (image or b"") + (text or "").encode()
    while boundary.encode() in content:
        boundary += "0"
    lines = [_part(boundary, 'name="entries"', json.dumps(entries, ensure_ascii=False).encode())]
    if image is not None:
        lines.append(_part(boundary, 'name="image"; filename="blob"\r\nContent-Type: application/octet-stream', image))
    if text is not None:
        lines.append(_part(boundary, 'name="text"', text.encode()))
    return b"".join([*lines, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, head: str, content: bytes) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


def vector_answer(vector: npt.NDArray[np.float32]) -> str:
    """A vector in Immich's format: a string with a JSON array, which gives exactly the same numbers again."""
    return json.dumps(vector.tolist(), separators=(",", ":"))


def ocr_answer(lines: Sequence[StoredLine], min_box_score: float, min_text_score: float) -> dict[str, object]:
    """Stored lines in Immich's format, only those with at least these scores."""
    kept = [line for line in lines if line.box_score >= min_box_score and line.text_score >= min_text_score]
    return {
        "text": [line.text for line in kept],
        "box": [float(corner) for line in kept for corner in line.box],
        "boxScore": [float(line.box_score) for line in kept],
        "textScore": [float(line.text_score) for line in kept],
    }
