"""Lines in letters that our recogniser does not know. Immich's OCR read them. They are kept beside our lines."""

from collections.abc import Iterable, Sequence
from unicodedata import normalize

from indexer.photos.lines import StoredLine


def is_foreign(text: str, alphabet: frozenset[str]) -> bool:
    """Whether the text has letters that a recogniser of that alphabet never writes: then another one has read it."""
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
    """The lines to keep of a photo: ours, then the foreign ones.

    Where both have a line at the same place, the one stays that probably has more correct characters: the number of
    its characters times their mean score.

    Args:
        ours: the lines that our recogniser read. Foreign ones among them count as `stored`.
        theirs: Immich's present lines.
        stored: the lines in our table. Its foreign lines are used where Immich has none, as after it deleted its own.
        alphabet: the characters of our recogniser.
    """
    kept = [line for line in ours if not is_foreign(line.text, alphabet)]
    foreign: list[StoredLine] = []
    for line in theirs or stored:
        if line not in foreign and is_foreign(
            line.text, alphabet
        ):  # two overlapping jobs of Immich store each line twice
            foreign.append(line)
    won = []
    for line in foreign:
        rivals = [rival for rival in kept if _same_place(rival.box, line.box)]
        if _likely_right(line) > sum(map(_likely_right, rivals)):
            kept = [line for line in kept if line not in rivals]
            won.append(line)
    return kept + won


def _likely_right(line: StoredLine) -> float:
    """How many characters of the line are probably correct, by its score."""
    return len(line.text) * line.text_score


def _same_place(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the middle of one of the boxes lies in the other. Never true of neighbours, however tilted they are."""
    return _inside(_middle(one), other) or _inside(_middle(other), one)


def _middle(corners: Sequence[float]) -> tuple[float, float]:
    return sum(corners[0::2]) / 4, sum(corners[1::2]) / 4


def _inside(point: tuple[float, float], corners: Sequence[float]) -> bool:
    """Whether a point is on the same side of all four edges of a box, or on an edge."""
    (x, y), points = point, list(zip(corners[0::2], corners[1::2], strict=True))
    edges = zip(points, points[1:] + points[:1], strict=True)
    sides = [(x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) for (x1, y1), (x2, y2) in edges]
    return all(side >= 0 for side in sides) or all(side <= 0 for side in sides)
