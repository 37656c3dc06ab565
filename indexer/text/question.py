"""A search as a person types it: words, which may be in a photo's text or in what else is known of it.

Every word must be somewhere. "In quotes": in this order. `-word`: nowhere. `one OR other`. `person:`, `place:` and so
on, in English or Chinese: only there. `ocr:`: only in the text. A word before a colon that names no field is a word.
"""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from indexer.text.fields import CAMERA, FIELDS, PLACE, Field, owned
from indexer.text.normalise import fold
from indexer.text.query import PLACELESS, Query, all_of, any_of, grams_of, phrase_of
from indexer.text.tokens import canonical, locate

IN_TEXT, IN_NAMES, ELSEWHERE = 3, 2, 1
"""How good a place is to find a word in: the text; the description and names; place, camera and date."""

LESS = (PLACE, CAMERA)
_EXCERPT = 200  # characters of a value that are shown
_EXACT = {"=": "date", ":": "type"}


@dataclass(frozen=True)
class Term:
    """One word, and where it may be: in the text, in `fields`, or as one of the `exact` lexemes of date and type.

    `phrase` is its canonical form; `typed` is what was typed. `named`: whether a field was named. `quoted`: whether it
    was in quotes, and is meant just as it is written. `latin`: how Immich may write a place of this name (places.py).
    """

    phrase: str
    typed: str
    text: bool = False
    fields: tuple[Field, ...] = ()
    exact: tuple[str, ...] = ()
    named: bool = True
    quoted: bool = dataclasses.field(default=False, compare=False)
    latin: tuple[str, ...] = ()

    def query(self, own: str | None) -> str:
        """The tsquery that finds it. `own`: the lexeme of the photos whose people, tags and albums count; None: all."""
        return any_of(query for _, query in self.queries(own))

    def queries(self, own: str | None) -> list[tuple[int, str]]:
        """The same in parts: how good the place is, and the tsquery of being there."""
        found = [(IN_TEXT, phrase_of(self.phrase))] if self.text else []
        names = [field for field in self.fields if field not in LESS]
        for grade, fields in ((IN_NAMES, names), (ELSEWHERE, [field for field in self.fields if field in LESS])):
            for group in dict.fromkeys(field.group for field in fields):
                weights = "".join(field.weight for field in fields if field.group == group)
                query = " <-> ".join(grams_of(self.phrase, f":{weights}", f" {group}"))
                found.append((grade, owned(f"({query})", group, own)))
        for name in self.latin:
            grams = grams_of(name, f":{PLACE.weight}", f" {PLACE.group}")
            found.append((ELSEWHERE, f"({' <-> '.join(grams)})"))
        if self.exact:
            found.append((ELSEWHERE, self._exactly))
        return found

    def sieve(self, own: str | None) -> str:
        """A tsquery that finds these and more, without positions."""
        found = [all_of(self.phrase)] if self.text else []
        for group in dict.fromkeys(field.group for field in self.fields):
            found.append(owned(all_of(self.phrase, f" {group}"), group, own))
        found += [all_of(name, f" {PLACE.group}") for name in self.latin]
        if self.exact:
            found.append(self._exactly)
        return any_of(f"({query})" for query in found)

    @property
    def sieved(self) -> bool:
        """Whether the sieve finds nothing else."""
        groups = {field.group for field in self.fields}
        return (
            not self.latin
            and len(self.phrase) <= PLACELESS
            and set(self.fields) == {field for field in FIELDS if field.group in groups}
        )

    def find(self, form: str, field: Field | None = None) -> list[tuple[int, int]]:
        """Where it is in the canonical form of a text, or of a field's value."""
        found = [match.span() for match in re.finditer(re.escape(self.phrase), form)] if self.phrase else []
        return found or ([(0, len(form))] if field is PLACE and any(name in f" {form} " for name in self.latin) else [])

    def condition(self, own: str | None) -> dict[str, object]:
        """The same as `query` for documents without all positions: for the SQL function `matches`."""
        return {
            "phrase": self.phrase,
            "text": phrase_of(self.phrase) if self.text else None,
            "rest": any_of(query for grade, query in self.queries(own) if grade != IN_TEXT) or None,
            "public": [field.name for field in self.fields if field.public],
            "private": [field.name for field in self.fields if not field.public],
            "own": own and f"'{own}'",
        }

    @property
    def _exactly(self) -> str:
        return any_of(f"'{lexeme}'" for lexeme in self.exact)


@dataclass(frozen=True)
class Clause:
    """Terms of which a photo must have one, or none if `absent`."""

    terms: tuple[Term, ...]
    absent: bool = False

    def query(self, own: str | None) -> str:
        """The tsquery of its terms."""
        return any_of(term.query(own) for term in self.terms)

    def sieve(self, own: str | None) -> str:
        """A tsquery that finds these and more, without positions."""
        return any_of(term.sieve(own) for term in self.terms)

    @property
    def named(self) -> bool:
        """Whether each term names a field: then it is a condition, and says nothing of what the photo shows."""
        return all(term.named for term in self.terms)


@dataclass(frozen=True)
class Seen:
    """Where a photo matches: indices of lines of its text, and (field, value, word as typed)."""

    lines: tuple[int, ...] = ()
    fields: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Question:
    """What a photo must be. False if nothing is asked for.

    `plain`: the same as a search in texts, where only words and exclusions were typed: for what only texts have, such
    as misread characters. `typed`: as in `Query`. `said`: all clauses in the order in which they were typed.
    """

    clauses: tuple[Clause, ...]
    plain: Query | None = None
    typed: tuple[str, ...] = ()
    said: tuple[Clause, ...] = dataclasses.field(default=(), compare=False)

    def __bool__(self) -> bool:
        return any(not clause.absent for clause in self.clauses)

    @property
    def wanted(self) -> int:
        """How many clauses a photo must fulfil."""
        return sum(not clause.absent for clause in self.clauses)

    def literal(self, own: str | None) -> str:
        """The tsquery that matches. `own` as in `Term.query`."""
        return " & ".join(("!" if clause.absent else "") + clause.query(own) for clause in self.clauses)

    def sieve(self, own: str | None) -> str:
        """A tsquery that finds these and more: for an index, and for documents without all positions."""
        wanted = [clause.sieve(own) for clause in self.clauses if not clause.absent]
        absent = (clause for clause in self.clauses if clause.absent and all(term.sieved for term in clause.terms))
        return " & ".join([*wanted, *(f"!{clause.sieve(own)}" for clause in absent)])

    @property
    def sieved(self) -> bool:
        """Whether `sieve` finds exactly what `literal` finds."""
        return all(term.sieved for clause in self.clauses for term in clause.terms)

    def conditions(self, own: str | None) -> list[dict[str, object]]:
        """The same as `literal` for documents without all positions: for the SQL function `matches`."""
        clauses = [
            {"absent": clause.absent, "terms": [term.condition(own) for term in clause.terms]}
            for clause in self.clauses
        ]
        return [{"absent": False, "clauses": clauses}]

    def grades(self, own: str | None) -> list[tuple[int, int, str]]:
        """For each wanted clause by number: how good a place is, and the tsquery of being there."""
        wanted = (clause for clause in self.clauses if not clause.absent)
        return [
            (number, grade, query)
            for number, clause in enumerate(wanted)
            for term in clause.terms
            for grade, query in term.queries(own)
        ]

    @property
    def latin(self) -> set[str]:
        """How Immich may write the places that may be meant."""
        return {name for clause in self.said or self.clauses for term in clause.terms for name in term.latin}

    def placed(self, known: Collection[str]) -> "Question":
        """The same, without other ways to write places than those that are known."""
        return dataclasses.replace(self, clauses=_placed(self.clauses, known), said=_placed(self.said, known))

    @property
    def words(self) -> Query:
        """The words that may be in a text: for ranking."""
        wanted = (term for clause in self.clauses if not clause.absent for term in clause.terms)
        return Query(
            tuple(dict.fromkeys(term.phrase for term in wanted if term.text and term.phrase)), typed=self.typed
        )

    @property
    def filter(self) -> "Question":
        """The part that a photo must fulfil that is found by what it shows."""
        clauses = tuple(clause for clause in self.clauses if clause.named and not clause.absent)
        return Question(clauses, said=clauses)

    @property
    def shown(self) -> str:
        """The words that say what a photo shows. Empty: there are none, or a vector cannot express them."""
        if any(clause.absent for clause in self.clauses):
            return ""
        wanted = [clause for clause in self.clauses if not clause.named]
        return " ".join(term.typed for clause in wanted for term in clause.terms if not term.named)

    def lines(self, lines: Sequence[str]) -> list[int]:
        """Which of a photo's visible lines hold words that are asked for."""
        where = locate(lines)
        spans = [match.span() for phrase in self.words.phrases for match in re.finditer(re.escape(phrase), where.text)]
        return sorted({where.lines[at] for span in spans for at in range(*span) if where.text[at] != " "})

    def near(self, lines: Sequence[str]) -> list[int]:
        """Which lines hold them with one character misread."""
        return self.plain.lines(lines, forgiven=True) if self.plain else []

    def see(self, lines: Sequence[str], facts: Mapping[Field, Sequence[str]], exact: Sequence[str]) -> Seen | None:
        """Where a photo matches: by its visible lines, its facts and its exact lexemes. None: it does not."""
        where = locate(lines)
        forms = {field: [(value, canonical(value)) for value in values] for field, values in facts.items()}
        spans: list[tuple[int, int]] = []
        fields: list[tuple[str, str, str]] = []
        for clause in self.clauses:
            places, values = [], []
            for term in clause.terms:
                if term.text:
                    places += term.find(where.text)
                for field in term.fields:
                    for value, form in forms.get(field, ()):
                        if found := term.find(form, field):
                            word = term.typed if term.phrase else form[slice(*found[0])]
                            values.append((field.name, _excerpt(value, word), word))
                values += [(_EXACT[lexeme[1]], term.typed, term.typed) for lexeme in term.exact if lexeme in exact][:1]
            if bool(places or values) == clause.absent:
                return None
            spans += places
            fields += values
        lit = {where.lines[at] for span in spans for at in range(*span) if where.text[at] != " "}
        return Seen(tuple(sorted(lit)), tuple(dict.fromkeys(fields)))


def _placed(clauses: Sequence[Clause], known: Collection[str]) -> tuple[Clause, ...]:
    return tuple(
        dataclasses.replace(
            clause,
            terms=tuple(
                dataclasses.replace(term, latin=tuple(name for name in term.latin if name in known))
                for term in clause.terms
            ),
        )
        for clause in clauses
    )


def _excerpt(value: str, word: str) -> str:
    """A value, or of a long one the part around a word."""
    if len(value) <= _EXCERPT:
        return value
    at = max(fold(value).find(fold(word)) - _EXCERPT // 3, 0)
    return f"{'…' if at else ''}{value[at : at + _EXCERPT]}{'…' if at + _EXCERPT < len(value) else ''}"
