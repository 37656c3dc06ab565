"""Parameters in addresses and bodies: their models, and the sentences that say what is wrong with a value."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args, get_origin
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from gateway.errors import ParameterError, TooLargeError
from gateway.guard import BODY

M = TypeVar("M", bound=BaseModel)

_REFUSED = "refused"  # the type of an error with its own sentence


class Parameters(BaseModel):
    """The parameters of an address: in its path, and after the question mark. Only lists may occur again."""

    model_config = ConfigDict(extra="forbid", frozen=True, regex_engine="python-re")


class Content(BaseModel):
    """The JSON object in a body."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class MustBe:
    """What a field must be, for the error about another value. `{ge}` and `{le}` stand for the field's limits.

    `named`: whether the error begins with the field's name.
    """

    text: str
    named: bool = True


def refuse(text: str) -> NoReturn:
    """For validators: refuse a value, with this sentence."""
    raise PydanticCustomError(_REFUSED, "{text}", {"text": text})


_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"
_ZONE = "[Zz]|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?"
_DATE_OR_TIME = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([Tt ]{_TIME}(:[0-5][0-9]([.,][0-9]+)?)?({_ZONE})?)?$"


def _uuid(given: object) -> UUID:
    if not isinstance(given, str) or not re.fullmatch(_UUID, given):
        raise ValueError
    return UUID(given)


def _utc(given: str) -> datetime:
    if not re.fullmatch(_DATE_OR_TIME, given):
        raise ValueError
    moment = datetime.fromisoformat(given.upper())
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise ValueError from None


def _digits(given: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", given):
        raise ValueError
    return int(given)


Id = Annotated[UUID, BeforeValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid", "pattern": _UUID})]
"""A UUID as Immich writes it."""

Whole = Annotated[int, BeforeValidator(_digits), MustBe("a number from {ge} to {le}")]
"""A whole number in an address."""

DateOrTime = Annotated[
    Annotated[
        datetime,
        BeforeValidator(_utc),
        WithJsonSchema(
            {"type": "string", "pattern": _DATE_OR_TIME, "examples": ["2024-05-01", "2024-05-01T18:30:00+08:00"]}
        ),
    ]
    | SkipJsonSchema[None],
    MustBe("a date or time like 2024-05-01 or 2024-05-01T18:30:00Z (a + in an address is written %2B)"),
]
"""A date, which means its first moment, or a time. Without a zone it is in UTC. None: it was not given."""


class PhotoParameters(Parameters):
    """The parameters of an address that names a photo."""

    id: Annotated[
        Id, MustBe("the address must name a photo by its id, as in /api/assets/0d6c8f3e-...", named=False)
    ] = Field(description="The photo's id.")


def parameters_of(request: web.Request, model: type[M]) -> M:
    """The parameters of an address.

    Raises:
        ParameterError: one is wrong, missing or unknown, or occurs twice.
    """
    named = request.match_info
    known = [name for name in model.model_fields if name not in named]
    given = request.query
    lists = {name for name in known if get_origin(model.model_fields[name].annotation) is list}
    for name in given:
        if name not in known:
            wanted = f"use {', '.join(known)}" if known else "there are none here"
            raise ParameterError(f"there is no parameter {name[:50]!r}: {wanted}")
        if len(given.getall(name)) > 1 and name not in lists:
            raise ParameterError(f"{name} is given more than once")
    return validated(model, named | {name: given.getall(name) if name in lists else given[name] for name in given})


async def content_of(request: web.Request, model: type[M], *, longest: int) -> M:
    """The JSON object in the body. Without a body: an empty one.

    Raises:
        ParameterError: it is something else.
        TooLargeError: it has more than `longest` bytes.
        SlowClientError: it did not arrive in time.
    """
    arriving = request[BODY]
    while not arriving.complete and arriving.arrived <= longest:
        await arriving.more(arriving.arrived)
    if arriving.arrived > longest:
        raise TooLargeError(f"the body has more than {longest} bytes")
    try:
        content = json.loads(await arriving.whole() or b"{}")
    except (ValueError, RecursionError):
        raise ParameterError("the body is not JSON") from None
    if not isinstance(content, dict):
        raise ParameterError('the body is no JSON object, as in {"tasks": ["ocr"]}')
    if model.model_config.get("extra") == "forbid":
        for name in content:
            if name not in model.model_fields:
                wanted = f"use {', '.join(model.model_fields)}" if model.model_fields else "it must be empty"
                raise ParameterError(f"the body has no {name[:50]!r}: {wanted}")
    return validated(model, content)


def validated(model: type[M], given: Mapping[str, Any]) -> M:
    """The values given, as a model. Raises ParameterError."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ParameterError(_sentence(model, first["type"], first["loc"], first.get("ctx", {}))) from None


def _sentence(model: type[BaseModel], kind: str, place: tuple[int | str, ...], context: Mapping[str, Any]) -> str:
    """What is wrong, and what would be right."""
    if not place:  # a validator of the whole model refused it
        return str(context["text"])
    name = str(place[0])
    if kind == _REFUSED:
        return f"{name}: {context['text']}"
    if kind == "string_too_long":
        return f"{name}: at most {context['max_length']} characters"
    must_be = _must_be(model.model_fields[name])
    return f"{name}: {must_be.text}" if must_be.named else must_be.text


def _must_be(field: FieldInfo) -> MustBe:
    if get_origin(field.annotation) is Literal:
        return MustBe(f"one of {', '.join(get_args(field.annotation))}")
    [must_be] = [each for each in field.metadata if isinstance(each, MustBe)]
    limits = {name: getattr(each, name) for each in field.metadata for name in ("ge", "le") if hasattr(each, name)}
    return MustBe(must_be.text.format(**limits), must_be.named) if limits else must_be
