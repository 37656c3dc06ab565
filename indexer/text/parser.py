"""Reads a search as a person types it: words, fields in English and Chinese, quotes, `-` and OR (question.py)."""

import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

from indexer.errors import QueryError
from indexer.text import dates
from indexer.text.fields import ALBUM, CAMERA, DESCRIPTION, FIELDS, FILE, PERSON, PLACE, TAG, Field
from indexer.text.normalise import clean, fold, scripted
from indexer.text.places import latin
from indexer.text.query import HYPHENS, LONGEST, QUOTES, Query
from indexer.text.question import Clause, Question, Term
from indexer.text.tokens import canonical

_NAMED = {
    **{"person": (PERSON,), "人物": (PERSON,), "place": (PLACE,), "地点": (PLACE,), "tag": (TAG,), "标签": (TAG,)},
    **{"album": (ALBUM,), "相册": (ALBUM,), "file": (FILE,), "文件": (FILE,), "camera": (CAMERA,), "相机": (CAMERA,)},
    **{"description": (DESCRIPTION,), "描述": (DESCRIPTION,)},
}
_DATES = ("date", "日期")
_TYPES = ("type", "类型")
_KINDS = {"video": "video", "视频": "video", "image": "image", "photo": "image", "图片": "image", "照片": "image"}
KNOWN = {*_NAMED, *_DATES, *_TYPES, "ocr"}
PIECE = re.compile(r'((?:(?<!\S)-)?)((?:[^\W_]+:)?)(?:"([^"]*)(?:"|$)|([^\s"]*))')


def parse(
    text: str, *, today: date | None = None, texts_only: bool = False, filters: Sequence[Clause] = ()
) -> Question:
    """Parse what a person typed. A question without letters and digits has no clauses and is false.

    `texts_only`: search texts alone, as after `ocr:`. `filters`: what photos must be besides.

    Raises:
        QueryError: it only says what must be absent, has more than 200 characters, or a field says nothing.
    """
    text = unicodedata.normalize("NFKC", clean(text)).translate(QUOTES)
    text = HYPHENS.sub("-", text)
    today = today or datetime.now(UTC).date()
    clauses: list[Clause] = []
    typed: dict[str, None] = {}
    joins = False
    for minus, name, value, end, quoted in _pieces(text, texts_only=texts_only):
        if not name and value == "OR" and clauses and end < len(text.rstrip()) and not texts_only:
            joins = True
            continue
        term = named(name, value, today) if name else _word(value, texts_only=texts_only)
        if term is None:
            continue
        term = dataclasses.replace(term, quoted=quoted)
        if joins and (minus or clauses[-1].absent):
            raise QueryError("OR joins words to look for, not words to leave out")
        before = clauses.pop().terms if joins else ()
        clauses.append(Clause((*before, term), minus))
        joins = False
        if term.text and not minus:
            typed |= dict.fromkeys(scripted(value))
    said, clauses = tuple(clauses), list(dict.fromkeys([*clauses, *filters]))
    if sum(len(term.phrase) for clause in clauses for term in clause.terms) > LONGEST:
        raise QueryError(f"this is too long to search for: at most {LONGEST} characters")
    question = Question(tuple(clauses), _plain(clauses, tuple(typed)), tuple(typed), said)
    if clauses and not question:
        raise QueryError("only words to leave out: say what to look for, too, as in `发票 -餐饮`")
    return question


def fields_of(name: str) -> tuple[Field, ...] | None:
    """The fields that a name such as `person:` stands for: none for a date or a type. None: it names no field."""
    known = fold(name.removesuffix(":"))
    return _NAMED.get(known, ()) if known in KNOWN else None


def _pieces(text: str, *, texts_only: bool) -> Iterator[tuple[bool, str, str, int, bool]]:
    """Whether a word must be absent, its field (or empty), the word, where it ends, and whether it was in quotes."""
    for match in PIECE.finditer(text):
        minus, name, quoted, word = match.groups()
        if name and (texts_only or fold(name[:-1]) not in KNOWN):
            if quoted is None:
                word, name = name + word, ""
            else:
                yield bool(minus), "", name, match.end(2), False
                name = ""
        if match[0]:
            yield bool(minus), name, word if quoted is None else quoted, match.end(), quoted is not None


def _word(typed: str, *, texts_only: bool) -> Term | None:
    """A word without a field. None: it has no letters and no digits."""
    form = canonical(typed)
    if not form:
        return None
    if texts_only:
        return Term(form, typed, text=True, named=False)
    exact = (f" ={form}",) if dates.may_be(form) else ()
    return Term(form, typed, text=True, fields=FIELDS, exact=exact, named=False, latin=latin(form))


def named(name: str, value: str, today: date) -> Term:
    """A word of a field, of which `name` ends with the colon. Raises QueryError."""
    field, form, typed = fold(name[:-1]), canonical(value), name + value
    if not form:
        example = f"{name}{_EXAMPLES.get(field, '张三')}"
        raise QueryError(f"{name} says nothing to look for: write it without a space, as in {example}")
    if field in _DATES:
        return Term("", typed, exact=tuple(f" ={word}" for word in dates.lexemes(value, today)))
    if field in _TYPES:
        if form not in _KINDS:
            raise QueryError(f"{name} image or video, not {value[:30]!r}")
        return Term("", typed, exact=(f" :{_KINDS[form]}",))
    fields = _NAMED.get(field, ())
    return Term(form, value, text=field == "ocr", fields=fields, latin=latin(form) if PLACE in fields else ())


_EXAMPLES = {"date": "2024-05", "日期": "2024-05", "type": "video", "类型": "视频", "ocr": "发票"}


def _plain(clauses: Sequence[Clause], typed: tuple[str, ...]) -> Query | None:
    """The same as a search in texts, if only words and exclusions were typed."""
    if any(len(clause.terms) > 1 or clause.terms[0].named for clause in clauses):
        return None
    wanted = tuple(dict.fromkeys(clause.terms[0].phrase for clause in clauses if not clause.absent))
    absent = tuple(dict.fromkeys(clause.terms[0].phrase for clause in clauses if clause.absent))
    return Query(wanted, absent, typed)
