"""A query as a person types it: every word is searched literally, "in quotes" in this order, -word must be absent."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from indexer.errors import QueryError
from indexer.text import similar
from indexer.text.normalise import clean, scripted
from indexer.text.tokens import canonical, locate, triples

LONGEST = 200  # characters: more is a pasted page, not a query
_FORGIVEN = 4  # characters: in words at least so long one misread character is forgiven
_READ = 1_000_000  # characters that are searched for a misread word, for one query
PLACELESS = 2  # characters: a phrase up to so long is one lexeme
_SEGMENTS = 8  # a longer phrase is cut into so many pieces, one of which contains the error

QUOTES = str.maketrans(dict.fromkeys("“”„‟〝〞『』「」", '"'))
_PIECE = re.compile(r'((?:(?<!\S)-)?)(?:"([^"]*)(?:"|$)|([^\s"]+))')
# The characters that keyboards produce for a minus. Two of them are the dash of Chinese texts.
HYPHENS = re.compile(r"(?<!\S)[\u2010-\u2015\u2212](?=[^\s\u2010-\u2015\u2212])")


@dataclass(frozen=True)
class Query:
    """Phrases in canonical form. A text must have each of `phrases` and none of `excluded`.

    `typed`: the parts of `phrases` that were typed in one script of Chinese and are written differently in the other.
    """

    phrases: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    typed: tuple[str, ...] = field(default=(), compare=False)

    def __bool__(self) -> bool:
        return bool(self.phrases)

    @property
    def literal(self) -> str:
        """The tsquery that matches documents with all of `phrases` and none of `excluded`."""
        return " & ".join([*map(phrase_of, self.phrases), *(f"!{phrase_of(phrase)}" for phrase in self.excluded)])

    @property
    def sieve(self) -> str:
        """A tsquery that finds these and more: for an index, and for texts too long for positions of their lexemes."""
        absent = (f"!{phrase_of(phrase)}" for phrase in self.excluded if len(phrase) <= PLACELESS)
        return " & ".join([*map(all_of, self.phrases), *absent])

    @property
    def sieved(self) -> bool:
        """Whether `sieve` finds exactly what `literal` finds."""
        return all(len(phrase) <= PLACELESS for phrase in (*self.phrases, *self.excluded))

    @property
    def ranking(self) -> str:
        """The tsquery for ranking by cover density."""
        return " & ".join(dict.fromkeys(gram for phrase in self.phrases for gram in grams_of(phrase, ":ABC")))

    @property
    def words(self) -> str:
        """The tsquery of the whole words that were typed."""
        return " | ".join(dict.fromkeys(f"'{word}':D" for phrase in self.phrases for word in phrase.split()))

    @property
    def forgiving(self) -> str | None:
        """A tsquery that finds all that `forgives` accepts, and more. None where no phrase is long enough."""
        variants = []
        for phrase in self.phrases:
            if len(phrase) >= _FORGIVEN:
                rest = [all_of(other) for other in self.phrases if other != phrase]
                size = -(-len(phrase) // _SEGMENTS)
                for start in range(0, len(phrase), size):
                    pieces = [piece for piece in (phrase[:start], phrase[start + size :]) if piece.strip()]
                    variants.append("(" + " & ".join([*map(all_of, pieces), *rest]) + ")")
        return f"({' | '.join(variants)})" if variants else None

    def forgives(self, text: str) -> bool:
        """Whether a text matches if one character of one phrase is misread, missing or added."""
        return self._forgiven(canonical(text)) is not None

    def forgiven(self, texts: Iterable[str]) -> list[bool]:
        """The same for several texts. Only the first million characters of all texts together are read."""
        left = _READ
        answers = []
        for text in texts:
            answers.append(left > 0 and self.forgives(text[:left]))
            left -= len(text)
        return answers

    def lines(self, lines: Sequence[str], *, forgiven: bool = False) -> list[int]:
        """Which of a photo's visible lines are part of a match, as indices. A match may span several lines."""
        where = locate(lines)
        near = self._forgiven(where.text) if forgiven else None
        if near is None and (forgiven or not self._hit(where.text, self.phrases)):
            return []
        literal = [phrase for phrase in self.phrases if phrase != near]
        spans = [match.span() for phrase in literal for match in re.finditer(re.escape(phrase), where.text)]
        if near is not None:
            spans += similar.spans(near, where.text)
        return sorted({where.lines[at] for span in spans for at in range(*span) if where.text[at] != " "})

    def _hit(self, form: str, phrases: Iterable[str]) -> bool:
        return all(phrase in form for phrase in phrases) and not any(word in form for word in self.excluded)

    def _forgiven(self, form: str) -> str | None:
        """The phrase that the text contains with one error, if the text matches that way."""
        for near in self.phrases:
            others = (phrase for phrase in self.phrases if phrase != near)
            if len(near) >= _FORGIVEN and self._hit(form, others) and similar.says(near, form):
                return near
        return None


def parse(text: str) -> Query:
    """Parse what a person typed. A query without letters and digits has no phrases and is false.

    Raises:
        QueryError: it only says what must be absent, or it has more than 200 characters.
    """
    text = unicodedata.normalize("NFKC", clean(text)).translate(QUOTES)
    phrases: dict[str, None] = {}
    excluded: dict[str, None] = {}
    typed: dict[str, None] = {}
    for minus, quoted, word in _PIECE.findall(HYPHENS.sub("-", text)):
        form = canonical(quoted or word)
        if form:
            (excluded if minus else phrases)[form] = None
            typed |= {} if minus else dict.fromkeys(scripted(quoted or word))
    if sum(map(len, (*phrases, *excluded))) > LONGEST:
        raise QueryError(f"this is too long to search for: at most {LONGEST} characters")
    if excluded and not phrases:
        raise QueryError("only words to leave out: say what to look for, too, as in `发票 -餐饮`")
    return Query(tuple(phrases), tuple(excluded), tuple(typed))


def grams_of(phrase: str, weights: str = "", prefix: str = "") -> list[str]:
    """The lexemes of a phrase, with `weights`, each after `prefix`.

    A single character of a text has no position in a document, so no weight. One of a field has.
    """
    if len(phrase) == 1:
        return [f"'{prefix}{phrase}'{weights if prefix else ''}"]
    return [f"'{prefix}{phrase[start : start + 2]}'{weights}" for start in range(len(phrase) - 1)]


def all_of(phrase: str, prefix: str = "") -> str:
    """A tsquery for all the lexemes of a phrase, wherever they are."""
    found = triples(phrase)
    covered = {pair for triple in found for pair in (triple[:2], triple[1:])}
    pairs = (gram for gram in grams_of(phrase) if gram[1:-1] not in covered)
    both = (*(f"'{triple}'" for triple in found), *pairs)
    return " & ".join(dict.fromkeys(f"'{prefix}{lexeme[1:]}" for lexeme in both))


def phrase_of(phrase: str) -> str:
    """A tsquery for a phrase in a text."""
    # Words among the lexemes must not count as n-grams. Words of one or two characters may: they equal their n-gram.
    return all_of(phrase) if len(phrase) <= PLACELESS else "(" + " <-> ".join(grams_of(phrase, ":ABC")) + ")"


def any_of(queries: Iterable[str]) -> str:
    """The tsquery of any of several. Empty: of none."""
    found = list(queries)
    return "(" + " | ".join(found) + ")" if found else ""
