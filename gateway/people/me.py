"""`GET /api/me`: who is asking, and what they may do here."""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import Field

import indexer
from gateway.answers import as_json
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import Parameters
from indexer.models.clip import names
from indexer.views.shapes import Shape


class Rights(Shape):
    """What the key or session allows."""

    search: Annotated[bool, Field(description="`asset.read`")]
    thumbnails: Annotated[bool, Field(description="`asset.view`")]
    faces: Annotated[bool, Field(description="`person.read`")]
    reprocess: Annotated[bool, Field(description="`asset.update`")]


class MeAnswer(Shape):
    """Who is asking."""

    id: UUID
    name: str
    email: str
    is_admin: bool
    permissions: Annotated[list[str] | None, Field(description="The key's; null: a session, which may do everything.")]
    may: Rights
    immich_url: Annotated[str, Field(description="Where Immich's pages are; empty: IMMICH_URL is not set.")]
    demo_model: Annotated[
        str | None, Field(description="The demo model, if searches use it; null: they use another model.")
    ]
    version: Annotated[str, Field(description="The gateway's.")]


ME = Operation[Parameters, None](
    "GET", "/api/me", "getMe", "Who one is, and what the key may do", Parameters, {200: Answer("You.", MeAnswer)}
)


class Me:
    """Answers who is asking.

    Args:
        immich: address of Immich's pages, for links.
        clip_model: returns the name of the model for searches by meaning. None: there is none, or it is not known yet.
    """

    def __init__(self, immich: str, clip_model: Callable[[], str | None]) -> None:
        self._immich = immich
        self._clip_model = clip_model

    def endpoints(self) -> list[Endpoint[Parameters, None]]:
        """To be added to the API."""
        return [Endpoint(ME, self._me)]

    async def _me(self, asked: Asked[Parameters, None]) -> web.Response:
        account, may = asked.person.account, asked.person.may
        clip_model = self._clip_model()
        answer = MeAnswer(
            id=account.id,
            name=account.name,
            email=account.email,
            is_admin=account.is_admin,
            permissions=None if asked.person.permissions is None else sorted(asked.person.permissions),
            may=Rights(
                search=may("asset.read"),
                thumbnails=may("asset.view"),
                faces=may("person.read"),
                reprocess=may("asset.update"),
            ),
            immich_url=self._immich,
            demo_model=clip_model if names.is_demo(clip_model) else None,
            version=indexer.__version__,
        )
        return as_json(answer.as_json)
