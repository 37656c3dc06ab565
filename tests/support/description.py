"""The API's description as the gateway serves it, and whether answers are as it says."""

import copy
import json
import re
from functools import cache
from typing import Any

import aiohttp
from jsonschema import Draft202012Validator, FormatChecker


class Description:
    """The description, with its references followed."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.components = copy.deepcopy(document["components"])
        # The description lets answers gain fields; what they have today it names.
        for name in self._answered():
            self.components["schemas"][name].setdefault("additionalProperties", False)
        self.validator = cache(self._validator)

    @classmethod
    async def of_gateway(cls, session: aiohttp.ClientSession) -> "Description":
        """That of any gateway: it is the same for all."""
        if _known.get("description") is None:
            async with session.get("/api/openapi.json") as response:
                _known["description"] = cls(await response.json())
        return _known["description"]

    def operations(self) -> dict[tuple[str, str], dict[str, Any]]:
        """By method and path."""
        paths = self.document["paths"]
        return {(method.upper(), path): each for path in paths for method, each in paths[path].items()}

    def _answered(self) -> set[str]:
        """Names of the schemas that answers are made of."""
        responses = [operation["responses"] for operation in self.operations().values()]
        todo, found = json.dumps([responses, self.components["responses"]]), set[str]()
        while names := set(re.findall(r"#/components/schemas/(\w+)", todo)) - found:
            found |= names
            todo = json.dumps([self.components["schemas"][name] for name in names])
        return found

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """The operation that an address belongs to, and the path as it is described."""
        for (its_method, its_path), operation in self.operations().items():
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(its_path))
            if its_method == method and re.fullmatch(pattern, path.partition("?")[0]):
                return its_path, operation
        return None

    def responses(self, method: str, path: str) -> dict[str, Any]:
        """Those of an operation, by status."""
        responses = self.document["paths"][path][method.lower()]["responses"]
        return {
            status: self.components["responses"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each
            for status, each in responses.items()
        }

    def check(self, method: str, path: str, status: int, headers: dict[str, str], body: Any) -> None:
        """Raises unless an answer, JSON or bytes, is one that the description has."""
        found = self.operation(method, path)
        if found is None:
            return
        its_path, _ = found
        responses = self.responses(method, its_path)
        assert str(status) in responses, f"{method} {its_path} is not said to answer {status}: {body}"
        response = responses[str(status)]
        content = response.get("content", {})
        if not content:
            assert body == b"", (its_path, status)
            return
        kind = headers["content-type"].partition(";")[0]
        assert kind in content, f"{method} {its_path} is not said to answer {status} with {kind}"
        if kind == "application/json" and content[kind]:
            self.validator(method, its_path, status).validate(body)
        if "Retry-After" in response.get("headers", {}):
            assert re.fullmatch("[0-9]+", headers["retry-after"])

    def check_event(self, path: str, name: str, data: Any) -> None:
        """Raises unless a stream's event is one that the description has."""
        [content] = self.responses("GET", path)["200"]["content"].values()
        self.of(content["x-events"][name]).validate(data)

    def of(self, schema: dict[str, Any]) -> Draft202012Validator:
        """What validates against a schema of the description."""
        return Draft202012Validator(schema | {"components": self.components}, format_checker=FormatChecker())

    def _validator(self, method: str, path: str, status: int) -> Draft202012Validator:
        return self.of(self.responses(method, path)[str(status)]["content"]["application/json"]["schema"])


_known: dict[str, Description] = {}
