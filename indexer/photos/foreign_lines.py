"""Lines that Immich read and that our recogniser cannot read, having no such letters: they stay, beside ours."""

from collections.abc import Iterable, Sequence
from unicodedata import normalize

from indexer.photos.lines import StoredLine


def is_foreign(text: str, alphabet: frozenset[str]) -> bool:
    """Whether it has letters that a recogniser of that alphabet never writes: it cannot be of its making."""
    return any(
        letter.isalpha() and letter not in alphabet and not alphabet.issuperset(normalize("NFKC", letter))
        for letter in text
    )


def merge(
    ours: Iterable[StoredLine],
    theirs: Sequence[StoredLine],
    stored: Iterable[StoredLine],
    alphabet: frozenset[str],
) -> list[StoredLine]:
    """What there is to keep of a photo: our lines, then the foreign ones.

    Where both read the same place, the reading stays of which more characters are likely to be right: the number of
    its characters times their mean score.

    Args:
        ours: what our recogniser read; foreign ones among them count as `stored`.
        theirs: what Immich has now.
        stored: what our table had, whose foreign lines count where Immich has none at all, as after it emptied its own.
        alphabet: the characters of our recogniser.
    """
    kept = [line for line in ours if not is_foreign(line.text, alphabet)]
    foreign: list[StoredLine] = []
    for line in theirs or stored:
        if line not in foreign and is_foreign(line.text, alphabet):  # two overlapping jobs of Immich's double its lines
            foreign.append(line)
    won = []
    for line in foreign:
        rivals = [rival for rival in kept if _same_place(rival.box, line.box)]
        if _likely_right(line) > sum(map(_likely_right, rivals)):
            kept = [line for line in kept if line not in rivals]
            won.append(line)
    return kept + won


def _likely_right(line: StoredLine) -> float:
    """How many characters of it are right, as far as its recogniser knows."""
    return len(line.text) * line.text_score


def _same_place(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the middle of one of two boxes lies in the other. Neighbours do not, however much they are tilted."""
    return _inside(_middle(one), other) or _inside(_middle(other), one)


def _middle(corners: Sequence[float]) -> tuple[float, float]:
    return sum(corners[0::2]) / 4, sum(corners[1::2]) / 4


def _inside(point: tuple[float, float], corners: Sequence[float]) -> bool:
    """Whether a point is on the same side of all four edges of a box, or on one of them."""
    (x, y), points = point, list(zip(corners[0::2], corners[1::2], strict=True))
    edges = zip(points, points[1:] + points[:1], strict=True)
    sides = [(x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) for (x1, y1), (x2, y2) in edges]
    return all(side >= 0 for side in sides) or all(side <= 0 for side in sides)
