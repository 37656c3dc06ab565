"""`GET /api/search`: photos by words and by meaning, for whoever proves who they are, and only what they are shown."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast, get_args
from uuid import UUID

from aiohttp import web

from gateway.errors import ParameterError
from gateway.gate import Gate
from gateway.library import Library
from gateway.metrics import Metrics
from gateway.ml.text import Texts
from gateway.people.answers import as_json
from gateway.people.identity import Identity
from gateway.people.parameters import parameters
from indexer import hybrid
from indexer.database import Pool
from indexer.errors import QueryError
from indexer.hybrid import Found, Mode, Page, Wish
from indexer.viewer import viewer

_LONGEST = 200  # characters of a query
_DEEPEST = 1000  # photos that can be paged through
_PAGE = 100
_NAMES = ("q", "mode", "limit", "offset", "after", "before")
_AT_ONCE = 32


@dataclass(frozen=True)
class Asked:
    """The parameters of one request."""

    wish: Wish
    limit: int
    offset: int


class Search:
    """Answers searches.

    Args:
        identity: tells who is asking.
        texts: makes vectors.
        library: Immich's database, used by nobody who is in more of a hurry.
        metrics: where to count.
        weight: share of the words in a photo's score.
        deadline: seconds for one request.
    """

    def __init__(
        self, identity: Identity, texts: Texts, library: Library, metrics: Metrics, *, weight: float, deadline: float
    ) -> None:
        self.gate = Gate("searches", _AT_ONCE)
        self._identity = identity
        self._texts = texts
        self._library = library
        self._metrics = metrics
        self._weight = weight
        self._deadline = deadline

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application. No token in them: whoever asks says who they are."""
        return [web.get("/api/search", self._search)]

    async def _search(self, request: web.Request) -> web.Response:
        person = await self._identity(request)
        person.need("asset.read")
        asked = _parse(request)
        with self.gate(), self._metrics.timed(f"search.{asked.wish.mode}"):
            page, notes = await self._find(person.account.id, asked)
        end = asked.offset + asked.limit
        answer = {
            "mode": asked.wish.mode,
            "items": [_item(found) for found in page.items],
            "next": end if page.more and end < _DEEPEST else None,
            "textMatches": page.matches,
            "notes": notes,
        }
        return as_json(answer)

    async def _find(self, user: UUID, asked: Asked) -> tuple[Page, list[str]]:
        vector, notes = None, []
        if asked.wish.by_meaning:
            if self._texts.has_model or asked.wish.mode == "clip":
                vector = asyncio.ensure_future(self._texts.embed(asked.wish.text))
            else:
                notes.append("there is no CLIP here (TASKS leaves it out): found by words alone")

        async def question(pool: Pool) -> Page:
            eyes = await viewer(pool, user)
            return await hybrid.find(
                pool, asked.wish, eyes, vector, weight=self._weight, limit=asked.limit, offset=asked.offset
            )

        try:
            return await self._library.need(question, patience=self._deadline), notes
        finally:
            if vector is not None:
                vector.cancel()


def _item(found: Found) -> dict[str, Any]:
    return {
        "assetId": str(found.asset_id),
        "fileName": found.file_name,
        "takenAt": found.taken_at.isoformat(),
        "score": found.score,
        "why": {"kind": found.kind, "text": found.text, "boxes": found.boxes, "forgiven": found.forgiven},
    }


def _parse(request: web.Request) -> Asked:
    given = parameters(request, _NAMES)
    text = given.get("q", "").strip()
    if not text:
        raise ParameterError("q: say what to look for, as in ?q=发票")
    if len(text) > _LONGEST:
        raise ParameterError(f"q: at most {_LONGEST} characters")
    mode = given.get("mode", "hybrid")
    if mode not in get_args(Mode):
        raise ParameterError(f"mode: one of {', '.join(get_args(Mode))}")
    after, before = _moment(given, "after"), _moment(given, "before")
    if after is not None and before is not None and after > before:
        raise ParameterError("after: later than before, so nothing can be found")
    limit, offset = _number(given, "limit", 50, 1, _PAGE), _number(given, "offset", 0, 0, _DEEPEST)
    if offset + limit > _DEEPEST:
        raise ParameterError(f"offset: at most {_DEEPEST} photos can be paged through; look for something rarer")
    wish = Wish.parse(text, cast(Mode, mode), after, before)
    try:
        wish.words  # noqa: B018 - raises what is wrong with it
    except QueryError as error:
        raise ParameterError(f"q: {error}") from error
    return Asked(wish, limit, offset)


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,6}", text) or not least <= int(text) <= most:
        raise ParameterError(f"{name}: a number from {least} to {most}")
    return int(text)


def _moment(given: Mapping[str, str], name: str) -> datetime | None:
    """A date, which is its first moment, or a time; in UTC where no zone is given."""
    text = given.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ParameterError(
            f"{name}: a date or time like 2024-05-01 or 2024-05-01T18:30:00Z (a + in an address is written %2B)"
        ) from None
