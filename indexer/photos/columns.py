"""What the columns of a few photos should contain, ours and Immich's: computed from what was read and what is stored.

It needs no database, so it can run in a thread. All is then written with one statement (rows.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from indexer.immich import tokens as immich
from indexer.photos import lexical, sets
from indexer.photos.foreign_lines import merge
from indexer.photos.lines import StoredLine, dump_lines, parse_lines, stored_lines, visible_text
from indexer.photos.photo import Crop
from indexer.photos.reading import Reading
from indexer.photos.rows import Row
from indexer.photos.vectors import as_column, fingerprint, halved, literal, received
from indexer.text import buckets, tokens
from indexer.text.normalise import normalise


@dataclass(frozen=True)
class Known:
    """What the database knows of a few photos.

    `stored`: our row of each, in the order of their ids. `crops`: of those that are cropped.
    `width`: of Immich's vector column. `theirs`: Immich's lines of each, as JSON, where our recogniser has an
    `alphabet`. None: it has every letter.
    """

    stored: Sequence[asyncpg.Record]
    crops: Mapping[UUID, Crop]
    width: int
    alphabet: frozenset[str] | None = None
    theirs: Mapping[UUID, str] = field(default_factory=dict)


def compose(known: Known, readings: Mapping[UUID, Reading]) -> tuple[list[Row], list[tuple[UUID, StoredLine]]]:
    """The rows to write, and all lines of the photos. Those in `readings` were read just now."""
    columns = _Columns(known)
    for row in known.stored:
        columns.add(row, readings.get(row["asset_id"]))
    return columns.rows, columns.lines


def with_vector(made: Row, row: asyncpg.Record, width: int, opened: Reading | None = None) -> Row:
    """`made` with the vector for Immich's column of `width`, where the current model's fits: that read, or else stored.

    A new one sets `vector_version`, and `vector_hash` where the vector is in the photo's own row.
    """
    current = row["current_model"]
    if current == sets.IMMICHS:  # Immich itself writes those
        return made
    new = opened.by(current) if opened is not None else None
    if new is None and row["current"] is None:
        return made
    vector = received(row["current"]) if new is None else halved(new)
    if len(vector) > width:
        return made
    column = as_column(vector, width, row["text"] if made.text is None else made.text, row["public_facts"])
    made = made._replace(embedding=literal(column))
    mark = fingerprint(column)
    if (mark, lexical.VERSION) != (row["mark"], row["vector_version"]):
        own = row["own"] if opened is None or opened.vector is None else opened.clip_model in (current, None)
        made = made._replace(vector_hash=mark if own or current is None else None, vector_version=lexical.VERSION)
    return made


class _Columns:
    def __init__(self, known: Known) -> None:
        self.rows: list[Row] = []
        self.lines: list[tuple[UUID, StoredLine]] = []
        self._known = known

    def add(self, row: asyncpg.Record, reading: Reading | None) -> None:
        """Add one photo."""
        opened = reading if reading is not None and reading.digest is not None else None
        made = Row(row["asset_id"])
        if opened is not None:
            made = made._replace(
                opened=True,
                preview_updated_at=opened.photo.preview_updated_at if opened.photo else None,
                digest=opened.digest,
                clip_model=_model(row, opened, "clip_model"),
                ocr_model=_model(row, opened, "ocr_model"),
            )
        made = self._with_text(made, row, reading)
        self.rows.append(self._with_vector(made, row, opened))

    def _with_text(self, made: Row, row: asyncpg.Record, reading: Reading | None) -> Row:
        before = None if row["lines"] is None else parse_lines(row["lines"])
        lines = self._lines_of(made.asset_id, reading, before)
        if lines is None:
            return made
        self.lines += ((made.asset_id, line) for line in lines)
        shown = [line for line in lines if line.visible]
        texts = [line.text for line in shown]
        fresh = reading is not None and reading.lines is not None
        made = made._replace(search_text=immich.search_text(texts), fresh=fresh)
        taken_at = row["taken_at"]
        written = (before, row["tokens_version"], row["document_taken_at"])
        if not fresh and written == (lines, tokens.VERSION, taken_at):
            return made
        text = visible_text(lines)
        document = tokens.document(
            texts, heights=[line.height for line in shown], marks=buckets.marks(row["owner"], taken_at)
        )
        return made._replace(
            lines=dump_lines(lines),
            text=text,
            normal=normalise(text),
            ngrams=document.ngrams,
            overflow=document.overflow,
            tokens_version=tokens.VERSION,
            taken_at=taken_at,
        )

    def _with_vector(self, made: Row, row: asyncpg.Record, opened: Reading | None) -> Row:
        """Add the vector that was read, and Immich's. One that is wider than Immich's column stays with us alone."""
        if opened is not None and opened.vector is not None:
            made = made._replace(clip=literal(halved(opened.vector)))
        return with_vector(made, row, self._known.width, opened)

    def _lines_of(
        self, asset: UUID, reading: Reading | None, stored: list[StoredLine] | None
    ) -> list[StoredLine] | None:
        """Our lines, those just read or else the stored ones, beside those of Immich's that we could not read."""
        read = None if reading is None or reading.lines is None else stored_lines(reading.lines)
        lines = stored if read is None else read
        if lines is None:
            return None
        if (alphabet := self._known.alphabet) is not None:
            lines = merge(lines, parse_lines(self._known.theirs.get(asset)), stored or (), alphabet)
        crop = self._known.crops.get(asset)
        return [line.cut(crop) for line in lines]


def _model(row: asyncpg.Record, opened: Reading, name: str) -> str | None:
    """The model of a part. One that was not read again is no result of this picture if the picture changed."""
    made: str | None = getattr(opened, name)
    return row[name] if made is None and opened.digest == row["digest"] else made
