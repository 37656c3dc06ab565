"""The tasks of a job: what is to be done with a photo.

======================  ==============================================================================================
`clip`, `ocr`           Make the vector, read the text: where the picture or the model is new. Triggers and the
                        reconciler ask for these.
`clip!`, `ocr!`         The same, though nothing is new. People ask for these.
`next`, `next!`         The same by the CLIP model that is becoming the current one (`indexer/photos/sets.py`).
`text`                  Read nothing: bring the searchable text in line with the stored lines.
`refreshed`             In the inbox alone: somebody refreshed thumbnails. It becomes `clip!` and `ocr!` where the
                        photo is one of a few.
======================  ==============================================================================================
"""

from collections.abc import Iterable
from typing import Literal, get_args

Part = Literal["clip", "ocr", "next"]
"""What is made from a picture: its vector, its lines of text, its vector by the next model."""

Asked = Literal["clip", "ocr"]
"""What people ask for. The vector by the next model is made where a vector is."""

Task = Literal["clip", "ocr", "next", "clip!", "ocr!", "next!", "text"]

PARTS: tuple[Part, ...] = get_args(Part)

_PARTS: dict[str, Part] = {task: part for part in PARTS for task in (part, f"{part}!")}


def tasks_of(part: Part) -> frozenset[str]:
    """The tasks that make `part`."""
    return frozenset(task for task, made in _PARTS.items() if made == part)


def parts(tasks: Iterable[str]) -> frozenset[Part]:
    """The parts that `tasks` make."""
    return frozenset(_PARTS[task] for task in tasks if task in _PARTS)


def forced(tasks: Iterable[str]) -> frozenset[Part]:
    """The parts that `tasks` make even though nothing is new."""
    return parts(task for task in tasks if task.endswith("!"))
