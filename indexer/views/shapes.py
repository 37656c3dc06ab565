"""JSON for people: these models make both the answers and their description."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

Moment = Annotated[
    datetime,
    PlainSerializer(lambda moment: moment.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""As `datetime.isoformat` writes it, with its offset from UTC."""


class Shape(BaseModel):
    """A JSON object; its names are in camelCase, as in Immich's API."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)

    @property
    def as_json(self) -> dict[str, Any]:
        """As JSON's types."""
        return self.model_dump(mode="json", by_alias=True)
