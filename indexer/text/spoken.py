"""A search for what is written as it is said: words in Latin letters as pinyin, or as the first letters of syllables.

`fapiao`, `fa piao` and `fāpiào` may be 发票, and `zzs` 增值税. Such words may also be just what they are, so a search
looks for what is written first (words.py), and then for this. A single syllable and two initials are too little to be
looked for in texts: they are names of people, tags and albums.

The text index has pairs of characters. Which pairs have the sounds that are asked for tells a table of those in the
library (photos/pinyin.py): so the index is asked for no others.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, pairwise, product

from indexer.text import pinyin
from indexer.text.fields import Field, owned
from indexer.text.pinyin import NAMES
from indexer.text.query import Query, any_of
from indexer.text.question import ELSEWHERE, IN_NAMES, IN_TEXT, LESS, Clause, Question, Seen, Term
from indexer.text.tokens import locate

_TEXT = ""  # what the lexemes of a text begin with
_PUBLIC = ("", " +")
_NEVER = "(?!)"  # a pattern that matches nothing
_MOST = 64  # ways to understand a question
_MOST_SPELLINGS = 16  # of words that were typed with spaces
_LONGEST = 12  # words that are read as one
_WORDS = 3  # initials that a word in a text has at least
_Steps = list[tuple[str, ...]]  # for each pair of neighbouring characters: the pairs that sound like this


@dataclass(frozen=True)
class Heard(Term):
    """A word that is said like this. `spelt`: the ways to cut it into syllables. `letters`: its initials, or none.

    `known`: the lexemes of the library by how they sound, each without what it begins with.
    """

    spelt: tuple[tuple[str, ...], ...] = ()
    letters: str = ""
    known: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict, compare=False)

    @property
    def keys(self) -> set[str]:
        """What has to be known."""
        whole = {pinyin.key_of_initials(self.letters)} if len(self.letters) >= _WORDS else set()
        return whole.union(*self._sounds(NAMES), *self._sounds(_TEXT))

    @property
    def possible(self) -> bool:
        """Whether the library has all that one way to understand it needs."""
        return bool(self.queries(None))

    def queries(self, own: str | None) -> list[tuple[int, str]]:
        """As of a word as it is written."""
        places = [(IN_TEXT, _TEXT, "ABC")] if self.text else []
        for grade, chosen in ((IN_NAMES, _not(self.fields, LESS)), (ELSEWHERE, _and(self.fields, LESS))):
            for group in dict.fromkeys(each.group for each in chosen):
                places.append((grade, f" {group}", "".join(each.weight for each in chosen if each.group == group)))
        return [
            (grade, owned(f"({_phrase(steps, group, weights)})", group[1:], own))
            for grade, group, weights in places
            for steps in self._steps(group)
        ]

    def sieve(self, own: str | None) -> str:
        """As of a word as it is written."""
        groups = ([_TEXT] if self.text else []) + [f" {group}" for group in {each.group: 0 for each in self.fields}]
        found = [
            owned(" & ".join(_either(step, group, "") for step in steps), group[1:], own)
            for group in groups
            for steps in self._steps(group)
        ]
        return any_of(f"({query})" for query in found)

    @property
    def sieved(self) -> bool:
        """Never: neighbours in the sieve need not be neighbours in the photo."""
        return False

    def find(self, form: str, field: Field | None = None) -> list[tuple[int, int]]:
        """As of a word as it is written."""
        pattern = self._pattern(_TEXT if field is None else f" {field.group}")
        return [match.span() for match in re.finditer(pattern, form)] if pattern else []

    def condition(self, own: str | None) -> dict[str, object]:
        """As of a word as it is written."""
        public = [pattern for group in _PUBLIC if (pattern := self._pattern(group))]
        texts = any_of(query for grade, query in self.queries(own) if grade == IN_TEXT)
        patterns = {"pattern": "|".join(public) or _NEVER, "names": self._pattern(NAMES) or _NEVER}
        return super().condition(own) | {"text": texts or None} | patterns

    def _pattern(self, group: str) -> str:
        """A regular expression for all that sounds like this and that the library has."""
        found = []
        for steps in self._steps(group):
            places = [{pair[0] for pair in steps[0]}, *({pair[1] for pair in step if len(pair) > 1} for step in steps)]
            found.append("".join(f"[{''.join(sorted(place))}]" for place in places if place))
        return "|".join(found)

    @cached_property
    def _words(self) -> list[str]:
        """The words in texts with these initials."""
        known = self.known.get((_TEXT, pinyin.key_of_initials(self.letters)), ())
        return list(dict.fromkeys((*pinyin.words(self.letters), *known))) if len(self.letters) >= _WORDS else []

    def _sounds(self, group: str) -> Iterator[list[str]]:
        for syllables in self.spelt:
            if len(syllables) > 1:
                yield [pinyin.key(pair) for pair in pairwise(syllables)]
            elif group == NAMES:
                yield [pinyin.key(syllables)]
        if self.letters and group == NAMES:
            yield [pinyin.key_of_initials("".join(pair)) for pair in pairwise(self.letters)]

    def _steps(self, group: str) -> list[_Steps]:
        found = [[tuple(self.known.get((group, key), ())) for key in keys] for keys in self._sounds(group)]
        if group != NAMES:
            found += [[("".join(pair),) for pair in pairwise(word)] for word in self._words]
        return [steps for steps in found if all(steps)]


@dataclass(frozen=True)
class Spoken:
    """The ways to understand a question, of which a photo must fulfil one, but not the question as it is written.

    It can be asked what a question can be asked.
    """

    ways: tuple[Question, ...]
    written: Question

    def __bool__(self) -> bool:
        return bool(self.ways)

    @property
    def words(self) -> Query:
        """The words as they are written, for ranking."""
        return self.written.words

    @property
    def wanted(self) -> int:
        """How many clauses a photo must fulfil, at least."""
        return min(way.wanted for way in self.ways)

    @property
    def sieved(self) -> bool:
        """Never: see `Heard`."""
        return False

    def literal(self, own: str | None) -> str:
        """The tsquery that matches."""
        return f"{any_of(f'({way.literal(own)})' for way in self.ways)} & !({self.written.literal(own)})"

    def sieve(self, own: str | None) -> str:
        """A tsquery that finds these and more, without positions."""
        return any_of(f"({way.sieve(own)})" for way in self.ways)

    def conditions(self, own: str | None) -> list[dict[str, object]]:
        """The same as `literal` for documents without all positions: for the SQL function `matches`."""
        written = [conditions | {"absent": True} for conditions in self.written.conditions(own)]
        return [*(conditions for way in self.ways for conditions in way.conditions(own)), *written]

    def grades(self, own: str | None) -> list[tuple[int, int, str]]:
        """As of a question."""
        found, start = [], 0
        for way in self.ways:
            grades = way.grades(own)
            found += [(start + number, grade, query) for number, grade, query in grades]
            start += len(way.clauses)
        return found

    def see(self, lines: Sequence[str], facts: Mapping[Field, Sequence[str]], exact: Sequence[str]) -> Seen | None:
        """Where a photo matches, as of a question."""
        return next((seen for way in self.ways if (seen := way.see(lines, facts, exact))), None)

    def lines(self, lines: Sequence[str]) -> list[int]:
        """Which of a photo's visible lines hold words that are asked for."""
        where = locate(lines)
        terms = dict.fromkeys(term for way in self.ways for term in _heard(way) if term.text)
        spans = [span for term in terms for span in term.find(where.text)]
        return sorted({where.lines[at] for span in spans for at in range(*span) if where.text[at] != " "})


def understand(question: Question) -> Spoken:
    """The ways to understand a question, before it is known what the library has. Words in quotes are as written."""
    every = (Question(tuple(dict.fromkeys(clauses)), typed=question.typed) for clauses in _ways(question.said))
    return Spoken(tuple(dict.fromkeys(way for way in islice(every, _MOST) if _heard(way))), question)


def keys(spoken: Spoken) -> set[str]:
    """What has to be known of the library."""
    return {key for way in spoken.ways for term in _heard(way) for key in term.keys}


def known(spoken: Spoken, lexemes: Mapping[tuple[str, str], Sequence[str]]) -> Spoken:
    """With what the library has. The ways that it does not have are left out."""
    ways = []
    for way in spoken.ways:
        clauses = [
            replace(clause, terms=tuple(term for term in _known(clause.terms, lexemes) if _possible(term)))
            for clause in way.clauses
        ]
        if all(clause.terms for clause in clauses):
            ways.append(replace(way, clauses=tuple(clauses)))
    return replace(spoken, ways=tuple(dict.fromkeys(way for way in ways if _heard(way))))


def _known(terms: Iterable[Term], lexemes: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[Term]:
    return (replace(term, known=lexemes) if isinstance(term, Heard) else term for term in terms)


def _possible(term: Term) -> bool:
    return not isinstance(term, Heard) or term.possible


def _heard(question: Question) -> list[Heard]:
    return [term for clause in question.clauses for term in clause.terms if isinstance(term, Heard)]


def _ways(clauses: Sequence[Clause]) -> Iterator[list[Clause]]:
    """The clauses, with what each may be as it is said, and with neighbours read as one word. The longest first."""
    if not clauses:
        yield []
        return
    for count in range(min(len(clauses), _LONGEST), 0, -1):
        if clause := _alone(clauses[0]) if count == 1 else _together(clauses[:count]):
            for rest in _ways(clauses[count:]):
                yield [clause, *rest]


def _alone(clause: Clause) -> Clause:
    if clause.absent:
        return clause
    heard = (_hear(term) for term in clause.terms if not term.quoted)
    return replace(clause, terms=(*clause.terms, *(term for term in heard if term)))


def _together(clauses: Sequence[Clause]) -> Clause | None:
    """Words of which one is a single syllable, as one word. Others find more photos if they are looked for alone."""
    terms = [clause.terms[0] for clause in clauses if not clause.absent and len(clause.terms) == 1]
    if len(terms) < len(clauses) or any(term.named or term.quoted for term in terms):
        return None
    spelt = [pinyin.spellings(term.typed) for term in terms]
    if not all(spelt) or not any(len(way) == 1 for ways in spelt for way in ways):
        return None
    ways = islice(product(*spelt), _MOST_SPELLINGS)
    joined = tuple(tuple(syllable for part in way for syllable in part) for way in ways)
    typed = " ".join(term.typed for term in terms)
    return Clause((_said(terms[0], typed, joined),))


def _hear(term: Term) -> Heard | None:
    spelt, letters = pinyin.spellings(term.typed), pinyin.initials(term.typed)
    return _said(term, term.typed, spelt, letters) if spelt or letters else None


def _said(term: Term, typed: str, spelt: tuple[tuple[str, ...], ...], letters: str = "") -> Heard:
    return Heard("", typed, term.text, term.fields, named=term.named, spelt=spelt, letters=letters)


def _phrase(steps: _Steps, group: str, weights: str) -> str:
    return " <-> ".join(_either(step, group, f":{weights}") for step in steps)


def _either(lexemes: Sequence[str], group: str, weights: str) -> str:
    return any_of(f"'{group}{lexeme}'{weights}" for lexeme in lexemes)


def _and(fields: Iterable[Field], those: Collection[Field]) -> list[Field]:
    return [each for each in fields if each in those]


def _not(fields: Iterable[Field], those: Collection[Field]) -> list[Field]:
    return [each for each in fields if each not in those]
