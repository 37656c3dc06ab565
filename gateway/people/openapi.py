"""Makes the API's description, OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1), from its operations."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import WithDefaultSchema

import indexer
from gateway.errors import BusyError, ErrorAnswer, GatewayError
from gateway.people.identity import COOKIE, KEY_HEADER, SESSION_HEADERS, USER_READ
from gateway.people.operation import Answer, Operation
from indexer.views.shapes import Shape

_SCHEMAS = "#/components/schemas/"
_TEXT = """\
What immich-indexer knows about the photos in Immich. Everybody sees only what Immich itself shows them. For a photo
that Immich does not show them the answer is 404, as if it did not exist. Parameters not described here are refused.
"""
_ROLES = "Permissions of an API key: {}."
_SECURITY: Mapping[str, dict[str, str]] = {
    "apiKey": {"type": "apiKey", "in": "header", "name": KEY_HEADER, "description": "An API key of Immich's."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "A session of Immich's."},
    **{
        name: {"type": "apiKey", "in": "header", "name": name, "description": "A session of Immich's."}
        for name in SESSION_HEADERS
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A session of Immich's, as a browser has it. Not for pages of other sites.",
    },
}


class _Schemas(GenerateJsonSchema):
    """Leaves out titles, which repeat the names of fields, and the default null of optional fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        return {name: value for name, value in described.items() if (name, value) != ("default", None)}


def describe(operations: Sequence[Operation[Any, Any]]) -> dict[str, Any]:
    """The description of the operations, as JSON's types."""
    paths: dict[str, dict[str, Any]] = {}
    errors: dict[str, dict[str, Any]] = {}
    for operation in operations:
        by_status: dict[int, list[type[GatewayError]]] = {}
        for error in operation.all_errors:
            by_status.setdefault(error.status, []).append(error)
        named = {_name(alike): _error(alike) for alike in by_status.values()}
        errors |= named
        responses = {str(status): _answer(answer) for status, answer in operation.answers.items()}
        responses |= {
            str(status): {"$ref": f"#/components/responses/{name}"}
            for status, name in zip(by_status, named, strict=True)
        }
        responses = dict(sorted(responses.items()))
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, responses)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "immich-indexer",
            "version": indexer.__version__,
            "description": _TEXT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "responses": errors,
            "securitySchemes": _SECURITY,
        },
    }


def _operation(operation: Operation[Any, Any], responses: dict[str, Any]) -> dict[str, Any]:
    permissions = [] if operation.public else [USER_READ, *operation.permissions]
    text = [operation.text, _ROLES.format(", ".join(f"`{each}`" for each in permissions)) if permissions else ""]
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": " ".join(filter(None, text)),
        "parameters": _parameters(operation),
        # For schemes other than OAuth the list names roles. Here: Immich's permissions, which only keys have.
        "security": [] if operation.public else [{name: permissions if name == "apiKey" else []} for name in _SECURITY],
        "responses": responses,
    }
    if operation.content is not None:
        schema = {"$ref": _SCHEMAS + operation.content.__name__}
        needed = any(field.is_required() for field in operation.content.model_fields.values())
        described["requestBody"] = {"required": needed, "content": {"application/json": {"schema": schema}}}
    return described


def _parameters(operation: Operation[Any, Any]) -> list[dict[str, Any]]:
    schema = operation.parameters.model_json_schema(schema_generator=_Schemas)
    described = []
    for name, of_one in schema.get("properties", {}).items():
        in_path = f"{{{name}}}" in operation.path
        parameter = {"name": name, "in": "path" if in_path else "query"}
        if text := of_one.pop("description", None):
            parameter["description"] = text
        described.append(parameter | {"required": name in schema.get("required", ()), "schema": of_one})
    for name, text in operation.headers.items():
        described.append({"name": name, "in": "header", "description": text, "schema": {"type": "string"}})
    return described


def _answer(answer: Answer) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {} for kind in answer.types}
    if answer.shape is not None:
        content = {kind: {"schema": {"$ref": _SCHEMAS + answer.shape.__name__}} for kind in answer.types}
    if answer.events:
        events = {name: {"$ref": _SCHEMAS + shape.__name__} for name, shape in answer.events.items()}
        content = {kind: {"schema": {"type": "string"}, "x-events": events} for kind in answer.types}
    described: dict[str, Any] = {"description": answer.text}
    if content:
        described["content"] = content
    if answer.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    return described


def _name(alike: Iterable[type[GatewayError]]) -> str:
    return ".".join(error.code for error in alike)


def _error(alike: Sequence[type[GatewayError]]) -> dict[str, Any]:
    """The description of all errors with one status."""
    schema = {
        "allOf": [{"$ref": _SCHEMAS + ErrorAnswer.__name__}],
        "properties": {"error": {"enum": [error.code for error in alike]}},
    }
    described: dict[str, Any] = {
        "description": "\n\n".join(f"`{error.code}`: {inspect.getdoc(error)}" for error in alike),
        "content": {"application/json": {"schema": schema}},
    }
    if any(issubclass(error, BusyError) for error in alike):
        described["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
        }
    return described


def _schemas(operations: Iterable[Operation[Any, Any]]) -> dict[str, Any]:
    """The schema of each body and each answer, by the name of its class."""
    taken = {operation.content for operation in operations if operation.content is not None}
    answered: set[type[Shape]] = {ErrorAnswer}
    for operation in operations:
        for answer in operation.answers.values():
            answered |= {*answer.events.values(), *([answer.shape] if answer.shape else [])}
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in taken]
    models += [(shape, "serialization") for shape in answered]
    models.sort(key=lambda model: model[0].__name__)
    _, schemas = models_json_schema(models, ref_template=_SCHEMAS + "{model}", schema_generator=_Schemas)
    found: dict[str, Any] = schemas["$defs"]
    return found
