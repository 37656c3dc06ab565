"""Weak labels: what Immich says of photos, taken as questions that should find them."""

import random
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from indexer.photos.facts import Facts
from indexer.photos.trials import Kind
from indexer.text import fields
from indexer.text.fields import Field
from indexer.text.normalise import HAN

KINDS: Mapping[Kind, Field] = {
    "description": fields.DESCRIPTION,
    "tag": fields.TAG,
    "album": fields.ALBUM,
    "person": fields.PERSON,
}
"""Where the words are from."""

_MOST = 1000  # questions, so that asking them takes a minute, not an hour
_CHINESE = re.compile(f"[{HAN}]")


@dataclass(frozen=True)
class Question:
    """Words, where they are from, and the photos of which Immich says them."""

    kind: Kind
    text: str
    photos: frozenset[UUID]

    @property
    def language(self) -> str | None:
        """The language of the words as Immich would name it, as far as they show it."""
        return "zh-CN" if _CHINESE.search(self.text) else None


def questions(facts: Mapping[UUID, Facts]) -> list[Question]:
    """The questions that these photos' descriptions, tags, albums and people give, 1000 at most.

    Without words that have no letters, such as years, and without those of more than half of the photos: every ranking
    finds these.
    """
    found: dict[tuple[Kind, str], set[UUID]] = defaultdict(set)
    for asset, known in facts.items():
        for kind, field in KINDS.items():
            for value in known.values[field]:
                text = " ".join(value.replace("/", " ").split() if kind == "tag" else value.split())
                if any(character.isalpha() for character in text):
                    found[kind, text].add(asset)
    made = [
        Question(kind, text, frozenset(photos))
        for (kind, text), photos in sorted(found.items(), key=lambda item: item[0])
        if 2 * len(photos) <= len(facts)
    ]
    return made if len(made) <= _MOST else random.Random(0).sample(made, _MOST)  # noqa: S311 - no secret
