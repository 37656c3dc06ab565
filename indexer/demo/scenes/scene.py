from collections.abc import Callable
from dataclasses import dataclass

from indexer.demo.canvas import Canvas


@dataclass(frozen=True)
class Scene:
    """Something to draw: its kind, and how."""

    category: str
    draw: Callable[[], Canvas]

    @property
    def name(self) -> str:
        """What its file is called, without the ending."""
        return f"{self.category}-{self.draw.__name__.replace('_', '-')}"


def scenes(category: str, *drawings: Callable[[], Canvas]) -> list[Scene]:
    """Several scenes of one kind."""
    return [Scene(category, draw) for draw in drawings]
