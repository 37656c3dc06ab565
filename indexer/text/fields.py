"""What is known of a photo besides its text, by field, and how it is written into the photo's document.

A document (tokens.py) holds the n-grams of the text, and beside them those of the fields. The lexemes of fields begin
with a space and a character for who may search them, so no text has them:

- `+`: description, file name, place, camera. For all whom Immich shows the photo.
- `-`: people, tags, albums. For the photo's owner alone.
- `=`: words of the date, whole (dates.py). `:` is the type, image or video. For all.

The weight of a position says which field it belongs to. Positions of two values are never neighbours, so a phrase is
found in one value only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from indexer.text import dates
from indexer.text.tokens import LAST_POSITION, MOST_POSITIONS, canonical, triples

VERSION = 1  # raised when the same facts would give other lexemes: older ones are then made again

GROUPS = (" +", " -")
"""What the lexemes of words begin with."""
_BYTES = {"+": 36_000, "-": 24_000}  # of canonical forms: with the text's, their lexemes fit into the largest tsvector


@dataclass(frozen=True)
class Field:
    """A field. `group` and `weight` are how its lexemes are written."""

    name: str
    group: str
    weight: str

    @property
    def public(self) -> bool:
        """Whether all search it whom Immich shows the photo, and not the owner alone."""
        return self.group == "+"


DESCRIPTION = Field("description", "+", "A")
FILE = Field("file", "+", "B")
PLACE = Field("place", "+", "C")
CAMERA = Field("camera", "+", "D")
PERSON = Field("person", "-", "A")
TAG = Field("tag", "-", "B")
ALBUM = Field("album", "-", "C")

FIELDS = (FILE, PLACE, CAMERA, DESCRIPTION, PERSON, ALBUM, TAG)  # what may be cut off comes last
"""All fields of words."""


@dataclass(frozen=True)
class Lexemes:
    """The literal of a tsvector, and, where it cannot hold all positions, the canonical forms by field."""

    literal: str
    long: dict[str, str] | None


def lexemes(values: Mapping[Field, Sequence[str]], day: date | None, kind: str) -> Lexemes:
    """The lexemes of a photo's fields. `kind` is its type in lower case."""
    places: dict[str, list[str]] = {}
    forms: dict[str, str] = {}
    overflow = False
    at = dict.fromkeys(_BYTES, 0)
    left = dict(_BYTES)
    for field in FIELDS:
        for value in dict.fromkeys(map(canonical, values.get(field, ()))):
            form = value.encode()[: max(left[field.group], 0)].decode(errors="ignore")
            if not form:
                continue
            left[field.group] -= len(form.encode()) + 1
            forms[field.name] = f"{forms[field.name]}\n{form}" if field.name in forms else form
            at[field.group] = _add(places, field, f" {form} ", at[field.group] + 1)
    for where in places.values():
        if len(where) > MOST_POSITIONS:
            overflow = True
            del where[MOST_POSITIONS:]
    overflow = overflow or max(at.values()) > LAST_POSITION
    found = [f"'{lexeme}'" + (":" + ",".join(where) if where else "") for lexeme, where in places.items()]
    found += [f"'{lexeme}'" for lexeme in exact(day, kind)]
    return Lexemes(" ".join(found), forms if overflow else None)


def exact(day: date | None, kind: str) -> list[str]:
    """The lexemes of a photo's date and type, which are matched as a whole."""
    return [*(f" ={word}" for word in (dates.words(day) if day else ())), f" :{canonical(kind)}"]


def owned(query: str, group: str, own: str | None) -> str:
    """The tsquery of being in a group of fields, for one's own photos alone where the group is only for owners."""
    return f"({query} & '{own}')" if own and group == PERSON.group else query


def _add(places: dict[str, list[str]], field: Field, form: str, start: int) -> int:
    """Add the n-grams of a form, from position `start` + 1 on. Returns the last position."""
    prefix = f" {field.group}"
    for index in range(len(form) - 1):
        position = start + index + 1
        if position <= LAST_POSITION:
            places.setdefault(prefix + form[index : index + 2], []).append(f"{position}{field.weight}")
    for character in set(form) - {" "}:  # one position tells the field
        position = min(start + form.index(character), LAST_POSITION)
        where = places.setdefault(prefix + character, [])
        if not any(known.endswith(field.weight) for known in where):
            where.append(f"{position}{field.weight}")
    for triple in triples(form):
        places.setdefault(prefix + triple, [])
    return start + len(form)
