"""The word at the end of a search that a person has not finished typing."""

import unicodedata
from dataclasses import dataclass

from indexer.text.fields import Field
from indexer.text.normalise import clean, fold
from indexer.text.parser import PIECE, fields_of
from indexer.text.query import HYPHENS, QUOTES
from indexer.text.tokens import canonical


@dataclass(frozen=True)
class Unfinished:
    """The last word of what was typed, in canonical form. `before`: what was typed before it, without its field.

    `fields`: where it is looked for, if a field was named. None: anywhere. Empty: in the text alone.
    """

    before: str
    form: str
    fields: tuple[Field, ...] | None = None


def unfinished(text: str) -> Unfinished | None:
    """The word that is being typed at the end of `text`. None: there is none, or one of a date or a type."""
    text = HYPHENS.sub("-", unicodedata.normalize("NFKC", clean(text)).translate(QUOTES))
    last = None
    for match in PIECE.finditer(text):
        last = match if match[0] else last
    if last is None or last.end() != len(text) or (last[3] is not None and last[0].count('"') > 1):
        return None
    minus, name, quoted, word = last.groups()
    in_texts = text.lower().lstrip().startswith("ocr:")
    fields = None if in_texts else fields_of(name)
    before = text[: last.start() + len(minus)]
    if fold(name) == "ocr:" or in_texts:
        before, fields = text[: last.end() - len(word if quoted is None else f'"{quoted}')], ()
    elif name and fields is None:
        word, quoted = name + (word if quoted is None else quoted), None
    elif fields == ():
        return None
    return Unfinished(before, canonical(word if quoted is None else quoted), fields)
