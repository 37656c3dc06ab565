"""What is to be written of a photo, from what is stored and what was read."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from indexer.models.results import Line
from indexer.photos.columns import Known, compose
from indexer.photos.lines import StoredLine, line_columns, stored_lines
from indexer.photos.reading import Reading
from indexer.photos.rows import Row
from indexer.queue.jobs import Job, Priority

TAKEN = datetime(2024, 5, 1, tzinfo=UTC)
LINE = Line("增值税发票", (0.1, 0.1, 0.8, 0.1, 0.8, 0.2, 0.1, 0.2), 0.9, 0.8)
VECTOR = np.full(512, 512**-0.5, dtype=np.float32)
UNREAD: dict[str, Any] = {
    **{"owner": uuid4(), "taken_at": TAKEN, "text": "", "tokens_version": 0, "vector_version": 0},
    "public_facts": ["", "IMG_0001.jpg"],
    **dict.fromkeys(("digest", "clip_model", "clip", "ocr_model", "lines", "document_taken_at", "vector_hash")),
    **{"current_model": "c", "current": None, "mark": None, "own": True},
}


def composed(stored: dict[str, Any], width: int = 512, **read: Any) -> tuple[Row, list[tuple[UUID, StoredLine]]]:
    asset = uuid4()
    reading = Reading(Job(asset, frozenset({"clip", "ocr"}), Priority.UPLOAD, 1, 1), None, **read)
    known = Known([stored | {"asset_id": asset}], {}, width)  # type: ignore[list-item]  # a record reads like a dict
    (row,), lines = compose(known, {asset: reading})
    return row, lines


def after(row: Row) -> dict[str, Any]:
    """What is stored when that was written."""
    kept = {name: value for name, value in row._asdict().items() if name in UNREAD and value is not None}
    vector = np.array(row.clip[1:-1].split(","), dtype=">f2") if row.clip else None
    clip = None if vector is None else len(vector).to_bytes(2, "big") + bytes(2) + vector.tobytes()
    own = {"clip": clip, "current": clip, "mark": row.vector_hash}
    return UNREAD | kept | own | {"document_taken_at": row.taken_at}


READ: dict[str, Any] = {"digest": b"1", "clip_model": "c", "vector": VECTOR, "ocr_model": "o", "lines": [LINE]}


def test_what_was_written_is_not_written_again():
    first, lines = composed(UNREAD, **READ)
    assert first.opened
    assert first.fresh
    assert first.text == "增值税发票"
    assert first.search_text
    assert [line.text for _, line in lines] == ["增值税发票"]
    again, lines = composed(after(first))
    expected = Row(again.asset_id, embedding=first.embedding, search_text=first.search_text)
    assert again == expected, "Immich's columns are compared"
    assert len(lines) == 1


def test_a_vector_follows_the_facts():
    stored = after(composed(UNREAD, width=1024, **READ)[0])
    same, _ = composed(stored, width=1024)
    other, _ = composed(stored | {"public_facts": ["外婆家", "IMG_0001.jpg"]}, width=1024)
    assert same.vector_hash is None, "it is right already"
    assert other.vector_hash is not None
    assert other.embedding != same.embedding
    assert other.text is None


def test_a_vector_wider_than_immichs_column_stays_with_us():
    row, _ = composed(UNREAD, width=384, **READ)
    assert row.clip
    assert row.embedding is None
    assert row.vector_hash is None
    assert row.text


def test_a_part_that_was_not_read_is_no_result_of_another_picture():
    stored = after(composed(UNREAD, **READ)[0])
    part = {"vector": VECTOR, "clip_model": "c"}
    same, _ = composed(stored, digest=b"1", **part)
    other, _ = composed(stored, digest=b"2", **part)
    assert (same.ocr_model, other.ocr_model) == ("o", None)
    assert same.ngrams is other.ngrams is None, "its text stays"


OTHER = np.roll(np.linspace(-1, 1, 512, dtype=np.float32), 1)
OTHER /= np.linalg.norm(OTHER)
NEXT: dict[str, Any] = {"next_model": "n", "next_vector": OTHER}


def test_a_vector_of_the_next_model_stays_out_of_immichs_column_until_the_change():
    alone, _ = composed(UNREAD, **READ)
    before, _ = composed(UNREAD, **READ, **NEXT)
    assert (before.embedding, before.clip, before.clip_model) == (alone.embedding, alone.clip, "c")
    after_it, _ = composed(UNREAD | {"current_model": "n"}, **READ, **NEXT)
    assert after_it.embedding not in (None, before.embedding)
    assert (after_it.clip, after_it.clip_model) == (alone.clip, "c"), "the row has what was read into it"
    assert after_it.vector_hash is None, "the hash goes beside the photo, where the vector is"
    assert after_it.vector_version, "the column was written all the same"


def test_the_column_keeps_the_current_models_vector_while_the_row_has_anothers():
    first, _ = composed(UNREAD, **READ)
    beside = after(first) | {"clip_model": "other", "clip": None, "vector_hash": None, "own": False}
    again, _ = composed(beside)
    assert again.embedding == first.embedding
    assert again.vector_hash is None
    rewritten, _ = composed(beside, digest=b"1", clip_model="other", vector=OTHER)
    assert rewritten.embedding == first.embedding, "the other model's vector is for later"


def test_immichs_own_vectors_are_left_to_immich():
    row, _ = composed(UNREAD | {"current_model": "immich"}, **READ)
    assert row.clip
    assert row.embedding is None
    assert row.vector_version is None
    assert row.search_text


def test_no_lines_have_as_many_columns():
    some = line_columns([(uuid4(), *stored_lines([LINE]))])
    none = line_columns([])
    assert len(some) == len(none) == 13
    assert some[-1] == "{0.8}"
    assert none[-1] == "{}"
