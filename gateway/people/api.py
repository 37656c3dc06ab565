"""The API for people: finds out who asks, checks the request, and runs the operation. It also describes itself."""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from gateway.people.identity import Identity
from gateway.people.openapi import describe
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import Parameters, content_of, parameters_of

DESCRIPTION = Operation[Parameters, None](
    "GET",
    "/api/openapi.json",
    "getDescription",
    "This description",
    Parameters,
    {200: Answer("The description, OpenAPI 3.1.")},
    public=True,
)


class Api:
    """Serves `endpoints`, and their description at `/api/openapi.json`.

    Args:
        identity: tells who is asking.
        endpoints: all of them.
    """

    def __init__(self, identity: Identity, endpoints: Iterable[Endpoint[Any, Any]]) -> None:
        self._identity = identity
        self._endpoints = list(endpoints)
        operations = [endpoint.operation for endpoint in self._endpoints]
        self._description = json.dumps(describe([*operations, DESCRIPTION]), ensure_ascii=False)

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application. No token is in their paths: each request says who asks."""
        return [
            *(_route(endpoint.operation, self._checked(endpoint)) for endpoint in self._endpoints),
            _route(DESCRIPTION, self._describe),
        ]

    def _checked(self, endpoint: Endpoint[Any, Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        operation = endpoint.operation

        async def handle(request: web.Request) -> web.StreamResponse:
            person = await self._identity(request)
            operation.admit(person)
            parameters = parameters_of(request, operation.parameters)
            content = None
            if operation.content is not None:
                content = await content_of(request, operation.content, longest=operation.longest)
            return await endpoint.handler(Asked(request, person, parameters, content))

        return handle

    async def _describe(self, request: web.Request) -> web.Response:
        parameters_of(request, DESCRIPTION.parameters)
        return web.Response(text=self._description, content_type="application/json")


def _route(
    operation: Operation[Any, Any], handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.RouteDef:
    if operation.method == "GET":
        return web.get(operation.path, handler, allow_head=operation.allow_head)
    return web.post(operation.path, handler)
